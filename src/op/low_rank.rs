//! LoRA (arXiv 2106.09685): W' = W + weight · scale · B@A; PEFT's `Linear.get_delta_weight`.
//!
//! A convolution is the same: its `lora_A` is a matrix of rank × (inputs · kernel), as its weight is one of outputs × (inputs · kernel)
//! (`_ConvNd.get_delta_weight`). An embedding is stored (inputs, outputs): the product is added transposed (`Embedding.get_delta_weight`).

use std::borrow::Cow;

use super::{Apply, LayerShape, Method, Place, Scale, Tile};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::{FactorLayout, Factors, Real, Unrepresentable, bytes_of, fold_tile};
use crate::tensor::Dtype;
use crate::wire::wire;

/// A pair of factors and its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// `lora_A`, shape (rank, inputs · kernel).
    pub a: Operand,
    /// `lora_B`, shape (outputs, rank).
    pub b: Operand,
    /// Rank of this pair.
    pub rank: u64,
    /// The weight that it is for.
    pub layer: LayerShape,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
    /// The weight is stored (inputs, outputs), as GPT-2's Conv1D does: the product is added transposed.
    pub transposed: bool,
}

wire!(LowRank { a, b, rank, layer, alpha, scale, transposed });

impl LowRank {
    /// Pack both factors into the rank positions from `k0` on. W stored (out, in) takes B as rows and A as columns; stored (in, out) it
    /// takes Aᵀ and Bᵀ. The scale and `weight` go onto B in f64, with one rounding. `bytes` are those of A and of B.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, or becomes so.
    pub(crate) fn pack(
        &self,
        factors: &mut Factors,
        k0: usize,
        place: &Place,
        bytes: &[Vec<u8>],
        weight: f64,
        adapter: &str,
    ) -> Result<()> {
        let rank = self.rank as usize;
        let layout = if self.transposed { FactorLayout::Transposed } else { FactorLayout::AsIs };
        let a = (&self.a, 1.0, &bytes[0], self.transposed);
        let b = (&self.b, weight * self.scale, &bytes[1], !self.transposed);
        for (operand, scale, bytes, is_left) in [a, b] {
            let float = operand.float()?;
            let packed = if is_left {
                let rows = rows_of(bytes, float.bytes(), rank, layout, place);
                factors.pack_left(k0, rank, layout, &rows, float, scale)
            } else {
                factors.pack_right(k0, rank, layout, bytes, float, scale)
            };
            packed.map_err(|value| unrepresentable(adapter, operand, value))?;
        }
        Ok(())
    }
}

/// The rows of a left factor that stand in `place`.
fn rows_of<'a>(bytes: &'a [u8], width: usize, rank: usize, layout: FactorLayout, place: &Place) -> Cow<'a, [u8]> {
    if place.is_whole() {
        return bytes.into();
    }
    let mut rows = Vec::with_capacity(place.rows.len() * rank * width);
    match layout {
        FactorLayout::AsIs => {
            let row = rank * width;
            place.sources().for_each(|source| rows.extend_from_slice(&bytes[source * row..(source + 1) * row]));
        }
        FactorLayout::Transposed => {
            for k in 0..rank {
                let at = |source: usize| (k * place.of + source) * width;
                place.sources().for_each(|source| rows.extend_from_slice(&bytes[at(source)..at(source) + width]));
            }
        }
    }
    rows.into()
}

fn unrepresentable(adapter: &str, operand: &Operand, value: Unrepresentable) -> Error {
    let reason = match (value, operand.dtype) {
        (Unrepresentable::Underflow { .. }, _) => {
            "it and the other factor are so far apart in size that f32 cannot hold both"
        }
        (_, Dtype::F64) => "it is NaN, infinite, or beyond f32 once scaled",
        _ => "it is NaN or infinite (or becomes so once scaled)",
    };
    Error::non_finite(operand.key.clone(), value.index(), reason).adapter(adapter)
}

impl Method for LowRank {
    const NAME: &'static str = "lora";

    type Prepared = Product;

    fn low_rank(&self) -> Option<&LowRank> {
        Some(self)
    }

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b]
    }

    fn layer(&self) -> LayerShape {
        self.layer.clone()
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scale })
    }

    fn packed_rank(&self) -> u64 {
        self.rank
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Product> {
        let mut factors = Factors::try_new(place.rows.len(), place.cols, self.rank as usize)?;
        self.pack(&mut factors, 0, place, operands, 1.0, adapter)?;
        Ok(Product(factors))
    }
}

/// Packed factors: W + L·R.
pub(crate) struct Product(pub(super) Factors);

impl Apply for Product {
    fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let first = (tile.row * tile.cols + tile.col) as u64;
        fold_tile(&self.0, first, R::FLOAT, bytes_of(tile.base), out);
    }
}
