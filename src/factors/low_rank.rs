//! Matrices given as products of factors, and what is computed of them from the factors alone.

use super::matrix::Matrix;
use super::qr::qr;
use super::svd::{Svd, svd};
use crate::error::Result;

/// `left` @ `right`ᵀ: of an adapter, B and Aᵀ. A column of each belongs to one position of the rank.
#[derive(Debug, Clone)]
pub(crate) struct LowRank {
    /// (outputs, rank).
    pub(crate) left: Matrix,
    /// (inputs, rank).
    pub(crate) right: Matrix,
}

impl LowRank {
    /// Columns of both.
    pub(crate) fn rank(&self) -> usize {
        self.left.cols
    }

    /// The sum of all, each times its factor, as one product whose rank is the sum of theirs; the factors go onto the right. All are of the
    /// same shape.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn sum(parts: &[(f64, &LowRank)]) -> Result<LowRank> {
        let (rows, cols) = parts.first().map_or((0, 0), |(_, part)| (part.left.rows, part.right.rows));
        let rank = parts.iter().map(|(_, part)| part.rank()).sum();
        let (mut left, mut right) = (Matrix::zeros(rows, rank)?, Matrix::zeros(cols, rank)?);
        let mut at = 0;
        for (factor, part) in parts {
            for (of_left, of_right) in part.left.columns().zip(part.right.columns()) {
                left.col_mut(at).copy_from_slice(of_left);
                right.col_mut(at).iter_mut().zip(of_right).for_each(|(to, from)| *to = factor * from);
                at += 1;
            }
        }
        Ok(LowRank { left, right })
    }

    /// Its singular value decomposition: QR of both factors, and the decomposition of what is between them, which is no larger than the
    /// rank. The dense matrix is nowhere.
    ///
    /// # Errors
    /// As [`svd`].
    pub(crate) fn svd(self) -> Result<Svd> {
        let (left, right) = (qr(self.left)?, qr(self.right)?);
        let Svd { u, values, v } = svd(left.r.times(&right.r.transposed()?)?)?;
        Ok(Svd { u: left.q.times(&u)?, values, v: right.q.times(&v)? })
    }

    /// Σ self ∘ other, both dense.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn inner(&self, other: &LowRank) -> Result<f64> {
        let (left, right) = (self.left.transposed_times(&other.left)?, self.right.transposed_times(&other.right)?);
        Ok(super::matrix::dot(&left.values, &right.values))
    }

    /// The Frobenius norm of the dense difference to `other`, over that of `other`: 0 where the two are equal, and 1 where this one is zero.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn deviation(&self, other: &LowRank) -> Result<f64> {
        let (difference, whole) = self.distance(other)?;
        Ok(if whole > 0.0 { difference / whole } else { difference })
    }

    /// The Frobenius norm of the dense difference to `other`, and that of `other`.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn distance(&self, other: &LowRank) -> Result<(f64, f64)> {
        Ok((LowRank::sum(&[(1.0, self), (-1.0, other)])?.norm()?, other.norm()?))
    }

    /// The Frobenius norm of the dense matrix.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn norm(&self) -> Result<f64> {
        // By the triangles of QR: the inner products would lose what is below 10⁻⁸.
        let (left, right) = (qr(self.left.clone())?, qr(self.right.clone())?);
        let core = left.r.times(&right.r.transposed()?)?;
        Ok(super::matrix::dot(&core.values, &core.values).sqrt())
    }
}

impl Svd {
    /// The first `rank` positions as factors: the left ones times the values, as PEFT has it (`B = U·S`, `A = Vᵀ`).
    pub(crate) fn factors(self, rank: usize) -> LowRank {
        let mut left = self.u.truncated(rank);
        left.scale_columns(&self.values);
        LowRank { left, right: self.v.truncated(rank) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factors::qr::qr;
    use crate::kernel::tests::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn random(rows: usize, cols: usize, random: &mut Random) -> Matrix {
        Matrix { rows, cols, values: (0..rows * cols).map(|_| random.weight()).collect() }
    }

    /// A product whose singular values are known: orthonormal columns times powers of two.
    #[test]
    fn values_of_a_product_are_those_of_the_dense_matrix() {
        let mut numbers = Random(7);
        let basis = |rows: usize, numbers: &mut Random| qr(random(rows, 12, numbers)).unwrap().q;
        let (mut left, right) = (basis(90, &mut numbers), basis(31, &mut numbers));
        let known: Vec<f64> = (0..12).map(|k| 2f64.powi(-3 * k)).collect();
        left.scale_columns(&known);
        let values = LowRank { left, right }.svd().unwrap().values;
        for (found, known) in values.iter().zip(&known) {
            assert!((found - known).abs() < 1e-14, "{found} is not {known}");
        }
    }
}
