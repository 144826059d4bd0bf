//! LoRA (arXiv 2106.09685): W' = W + weight · scale · B@A; PEFT's `Linear.get_delta_weight`.
//!
//! It is the same for a convolution: `lora_A` is a matrix of rank × (inputs · kernel), and the weight one of outputs × (inputs · kernel)
//! (`_ConvNd.get_delta_weight`). An embedding is stored (inputs, outputs), so the product is added transposed (`Embedding.get_delta_weight`).

use std::borrow::Cow;

use super::unpacked::pair_factors;
use super::{Given, Method, Op, Place, Prepared, Tile};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::{FactorLayout, Factors, Real, Unrepresentable, bytes_of, fold_tile};
use crate::tensor::{Dtype, Float};

/// `lora_A`, shape (rank, inputs · kernel), and `lora_B`, shape (outputs, rank). The scale is α/r, or α/√r with rsLoRA.
pub static LORA: Method =
    Method { vanishes: true, packed: 1, unpack: Some(pair_factors), ..Method::new("lora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    product(given, 1.0).map(Prepared::Product)
}

/// The product of the first two operands, multiplied by `factor`.
pub(super) fn product(given: &Given, factor: f64) -> Result<Product> {
    let Given { op, place, bytes, adapter } = given;
    let mut factors = Factors::try_new(place.rows.len(), place.cols, given.size('r'))?;
    op.pack(&mut factors, 0, place, bytes, factor, adapter)?;
    Ok(Product(factors))
}

impl Op {
    /// Whether the update is only a low-rank product. Those of all adapters are packed together.
    pub(crate) fn is_low_rank(&self) -> bool {
        *self.method == LORA
    }

    /// Pack both factors into the rank positions from `k0` on. W stored (out, in) takes B as rows and A as columns; stored (in, out) it
    /// takes Aᵀ and Bᵀ. The scale and `weight` go onto B in f64, with one rounding. `bytes` are those of A and of B.
    ///
    /// # Errors
    /// `non-finite` for a value that is, or becomes, NaN or infinite.
    pub(crate) fn pack(
        &self,
        factors: &mut Factors,
        k0: usize,
        place: &Place,
        bytes: &[Vec<u8>],
        weight: f64,
        adapter: &str,
    ) -> Result<()> {
        let rank = self.size('r') as usize;
        let layout = if self.transposed { FactorLayout::Transposed } else { FactorLayout::AsIs };
        let sides = [(1.0, self.transposed), (weight * self.scaling(), !self.transposed)];
        for ((operand, bytes), (scale, is_left)) in self.operands.iter().zip(bytes).zip(sides) {
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

/// The rows of a left factor that are in `place`.
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

/// Packed factors: W + L·R.
pub(crate) struct Product(pub(super) Factors);

impl Product {
    pub(super) fn bytes(&self) -> u64 {
        self.0.bytes()
    }

    /// The same for values in f64, computed in the weight's type.
    pub(super) fn apply_wide(&self, tile: &Tile<f64>, out: &mut [f64]) {
        if tile.float == Float::F64 {
            return self.apply(tile, out);
        }
        let base: Vec<f32> = tile.base.iter().map(|&value| value as f32).collect();
        let mut narrow = vec![0.0f32; out.len()];
        self.apply(&tile.of(&base), &mut narrow);
        out.iter_mut().zip(narrow).for_each(|(out, value)| *out = value.into());
    }

    pub(super) fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let first = (tile.row * tile.cols + tile.col) as u64;
        fold_tile(&self.0, first, R::FLOAT, bytes_of(tile.base), out);
    }
}
