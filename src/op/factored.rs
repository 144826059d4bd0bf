//! Methods whose delta is a low-rank product of factors that are computed from their tensors: W' = W + B@A, with B (outputs × rank) and A
//! (rank × inputs). The factors are computed in f64, rounded once to f32, and packed like those of LoRA.

use super::low_rank::Product;
use super::{Given, Prepared};
use crate::error::{Error, Result};
use crate::kernel::{FactorLayout, Factors, Unrepresentable};
use crate::tensor::Float;

/// Rank positions that are computed at a time, so that a whole factor is in memory only in its packed form.
const TOGETHER: usize = 8;

/// Computes the factors at one rank position.
type Compute<'a> = dyn FnMut(usize, &mut [f64], &mut [f64]) + 'a;

/// The product of factors that `compute` makes: it writes row `k` of A into its second argument, and column `k` of B into its third. The former has
/// one place for each input (and value of a convolution's kernel), the latter one for each output. Both are zero at first.
pub(super) fn product(given: &Given, compute: &mut Compute) -> Result<Prepared> {
    let (place, transposed) = (given.place, given.op.transposed);
    let rank = given.op.positions() as usize;
    let mut factors = Factors::try_new(place.rows.len(), place.cols, rank)?;
    let (inputs, outputs) = if transposed { (place.of, place.cols) } else { (place.cols, place.of) };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for first in (0..rank).step_by(TOGETHER) {
        let count = TOGETHER.min(rank - first);
        left.clear();
        right.clear();
        for k in first..first + count {
            let (mut a, mut b) = (vec![0.0; inputs], vec![0.0; outputs]);
            compute(k, &mut a, &mut b);
            let (rows, cols) = if transposed { (a, b) } else { (b, a) };
            left.extend(place.sources().flat_map(|row| rows[row].to_le_bytes()));
            right.extend(cols.iter().flat_map(|value| value.to_le_bytes()));
        }
        let packed = factors
            .pack_right(first, count, FactorLayout::AsIs, &right, Float::F64, 1.0)
            .and_then(|()| factors.pack_left(first, count, FactorLayout::Transposed, &left, Float::F64, 1.0));
        packed.map_err(|value| unrepresentable(given, value))?;
    }
    Ok(Prepared::Product(Product(factors)))
}

/// The error that f32 cannot hold a computed factor; the value is counted in that factor.
fn unrepresentable(given: &Given, value: Unrepresentable) -> Error {
    let reason = match value {
        Unrepresentable::Underflow { .. } => {
            "the factors computed from it are so far apart in size that f32 cannot hold both"
        }
        Unrepresentable::NonFinite { .. } => "a factor computed from it is beyond f32",
    };
    Error::non_finite(given.key(), value.index(), reason).adapter(given.adapter)
}
