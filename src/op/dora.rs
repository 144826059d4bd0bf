//! DoRA (arXiv 2402.09353): W' = m · V / ‖V‖, V = W + scale · B@A, with one magnitude m and one norm for each output; PEFT's
//! `DoraLinearVariant.merge_safe`.
//!
//! A weight stored (out, in) has its outputs in rows, so a block needs whole rows. One stored (in, out) has them in columns, so their
//! norms are facts of the whole weight. Norms are summed in f64 in a fixed order; m/‖V‖ is rounded to f32 once.

use super::low_rank::{self, Product};
use super::method::Needs;
use super::{Given, Method, Prepared, Tile};
use crate::error::Result;
use crate::kernel::{Real, column_squares, row_squares, scale_columns, scale_rows};

/// The operands of LoRA, and `lora_magnitude_vector`, shape (outputs,).
pub static DORA: Method = Method { needs: Needs::Norms, packed: 1, ..Method::new("dora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let product = low_rank::product(given, 1.0)?;
    let all = given.values(2)?;
    let transposed = given.op.transposed;
    let magnitudes = if transposed { all } else { given.place.sources().map(|row| all[row]).collect() };
    Ok(Prepared::Normalised(Normalised { product, transposed, magnitudes, factors: Vec::new() }))
}

/// Packed factors, and what each output is multiplied by.
pub(crate) struct Normalised {
    product: Product,
    /// Whether outputs are columns.
    transposed: bool,
    /// m of each output, which is a row or a column.
    magnitudes: Vec<f64>,
    /// m/‖V‖ of each column, once the norms are known.
    factors: Vec<f32>,
}

impl Normalised {
    pub(super) fn bytes(&self) -> u64 {
        self.product.bytes() + (self.magnitudes.len() * (size_of::<f64>() + size_of::<f32>())) as u64
    }

    pub(super) fn gather<R: Real>(&self, tile: &Tile<R>, changed: &mut Vec<R>, sums: &mut [f64]) {
        changed.resize(tile.base.len(), R::ZERO);
        self.product.apply(tile, changed);
        column_squares(changed, tile.cols, sums);
    }

    pub(super) fn learn(&mut self, squares: &[f64]) {
        self.factors = self.magnitudes.iter().zip(squares).map(|(&m, &square)| factor(m, square)).collect();
    }

    pub(super) fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        self.product.apply(tile, out);
        if self.transposed {
            let factors: Vec<R> = self.factors.iter().map(|&factor| R::from_f32(factor)).collect();
            scale_columns(out, tile.cols, &factors);
            return;
        }
        let mut squares = vec![0.0; out.len() / tile.cols];
        row_squares(out, tile.cols, &mut squares);
        let magnitudes = &self.magnitudes[tile.row..tile.row + squares.len()];
        let factors: Vec<R> =
            magnitudes.iter().zip(squares).map(|(&m, square)| R::from_f32(factor(m, square))).collect();
        scale_rows(out, tile.cols, &factors);
    }
}

/// m/‖V‖, from the square of the norm, rounded to f32 once. PEFT adds no epsilon either: an output of zeros becomes NaN, an error.
fn factor(magnitude: f64, square: f64) -> f32 {
    (magnitude / square.sqrt()) as f32
}
