//! Methods whose delta is a low-rank product of factors that are computed from their tensors: W' = W + B@A, with B (outputs × rank) and A
//! (rank × inputs). The factors are computed in f64, rounded once to f32 and packed as those of LoRA are.

use super::low_rank::Product;
use super::numbers::Numbers;
use super::{LayerShape, Method, Place, Scale};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::{FactorLayout, Factors, Unrepresentable};
use crate::model::orientation::Fit;
use crate::tensor::Float;

/// Rank positions that are computed at a time, so that no factor is in memory as a whole but packed.
const TOGETHER: usize = 8;

/// A method with computed factors.
pub(crate) trait Factored {
    /// What a report calls it.
    const NAME: &'static str;

    /// Whether nothing changes where one of its operands is all zeros.
    fn vanishes_at_zero(&self) -> bool {
        false
    }

    /// What is read once, as a whole.
    fn operands(&self) -> Vec<&Operand>;

    /// The weight that it is for.
    fn layer(&self) -> LayerShape;

    /// How a weight of this shape would have to be stored for the update to fit.
    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape)
    }

    /// Whether the weight is stored (in, out).
    fn transposed(&self) -> bool;

    /// Take the weight as stored (in, out) instead of (out, in).
    fn transpose(&mut self, transposed: bool);

    /// What a report says of its size, where it has a scale.
    fn scale(&self) -> Option<Scale> {
        None
    }

    /// Rank of the product.
    fn rank(&self) -> u64;

    /// Make sure of values that must not be just any.
    ///
    /// # Errors
    /// `shape-mismatch` for an index of something that is not there.
    fn check(&self, _values: &[Numbers], _adapter: &str) -> Result<()> {
        Ok(())
    }

    /// Row `k` of A into `a`, and column `k` of B into `b`, from the values of the operands. `a` has one place for each input (and
    /// value of a convolution's kernel), `b` one for each output; both are zero.
    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]);
}

impl<T: Factored> Method for T {
    const NAME: &'static str = <T as Factored>::NAME;

    type Prepared = Product;

    fn vanishes_at_zero(&self) -> bool {
        Factored::vanishes_at_zero(self)
    }

    fn operands(&self) -> Vec<&Operand> {
        Factored::operands(self)
    }

    fn layer(&self) -> LayerShape {
        Factored::layer(self)
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        Factored::fit(self, shape)
    }

    fn transpose(&mut self, transposed: bool) {
        Factored::transpose(self, transposed);
    }

    fn transposed(&self) -> bool {
        Factored::transposed(self)
    }

    fn scale(&self) -> Option<Scale> {
        Factored::scale(self)
    }

    fn packed_rank(&self) -> u64 {
        self.rank()
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Product> {
        let keys = Factored::operands(self);
        let mut values = Vec::with_capacity(keys.len());
        for (operand, bytes) in keys.iter().zip(operands) {
            values.push(Numbers::of(operand, bytes, adapter)?);
        }
        self.check(&values, adapter)?;
        let rank = self.rank() as usize;
        let mut factors = Factors::try_new(place.rows.len(), place.cols, rank)?;
        let transposed = Factored::transposed(self);
        let (inputs, outputs) = if transposed { (place.of, place.cols) } else { (place.cols, place.of) };
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for first in (0..rank).step_by(TOGETHER) {
            let count = TOGETHER.min(rank - first);
            left.clear();
            right.clear();
            for k in first..first + count {
                let (mut a, mut b) = (vec![0.0; inputs], vec![0.0; outputs]);
                self.compute(&values, k, &mut a, &mut b);
                let (rows, cols) = if transposed { (a, b) } else { (b, a) };
                left.extend(place.sources().flat_map(|row| rows[row].to_le_bytes()));
                right.extend(cols.iter().flat_map(|value| value.to_le_bytes()));
            }
            let packed = factors
                .pack_right(first, count, FactorLayout::AsIs, &right, Float::F64, 1.0)
                .and_then(|()| factors.pack_left(first, count, FactorLayout::Transposed, &left, Float::F64, 1.0));
            packed.map_err(|value| unrepresentable(adapter, keys.first(), value))?;
        }
        Ok(Product(factors))
    }
}

/// The error that f32 cannot hold a computed factor; the value is counted in that factor.
fn unrepresentable(adapter: &str, operand: Option<&&Operand>, value: Unrepresentable) -> Error {
    let key = operand.map_or_else(String::new, |operand| operand.key.clone());
    let reason = match value {
        Unrepresentable::Underflow { .. } => {
            "the factors computed from it are so far apart in size that f32 cannot hold both"
        }
        Unrepresentable::NonFinite { .. } => "a factor computed from it is beyond f32",
    };
    Error::non_finite(key, value.index(), reason).adapter(adapter)
}
