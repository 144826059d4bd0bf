//! Matrices from which several methods build their deltas, in f64: a product of two factors, and a whole matrix.

use super::dense::Delta;
use crate::kernel::weighted_sum;

/// scale · left @ right, computed when it is needed.
pub(crate) struct Matmul {
    /// (rows, rank).
    left: Vec<f64>,
    /// (rank, cols).
    right: Vec<f64>,
    rank: usize,
    cols: usize,
    scale: f64,
}

impl Matmul {
    /// The product of `left` (rows, rank) and `right` (rank, cols), both row by row.
    pub(crate) fn new(left: Vec<f64>, right: Vec<f64>, rank: usize, scale: f64) -> Matmul {
        let cols = right.len() / rank.max(1);
        Matmul { left, right, rank, cols, scale }
    }

    /// The product of `a` (rows, rank) and `b` (rank, cols); with a core, as in [`of_core`](Self::of_core).
    pub(crate) fn of(a: Vec<f64>, b: Vec<f64>, core: Option<Vec<f64>>, rank: usize, scale: f64) -> Matmul {
        match core {
            None => Matmul::new(a, b, rank, scale),
            Some(core) => Matmul::of_core(&core, &a, &b, rank, scale),
        }
    }

    /// scale · core ×₁ `a` ×₂ `b`, as in LyCORIS for the kernel of a convolution: `core` is (rank, rank, kernel), `a` (rank, outputs),
    /// `b` (rank, inputs); the value of output p, input c and position s of the kernel is Σ_ij core[i, j, s] · a[i, p] · b[j, c].
    pub(crate) fn of_core(core: &[f64], a: &[f64], b: &[f64], rank: usize, scale: f64) -> Matmul {
        let (outputs, inputs) = (a.len() / rank, b.len() / rank);
        let kernel = core.len() / (rank * rank);
        let mut right = vec![0.0; rank * inputs * kernel];
        for (row, core) in right.chunks_exact_mut(inputs * kernel).zip(core.chunks_exact(rank * kernel)) {
            for (core, b) in core.chunks_exact(kernel).zip(b.chunks_exact(inputs)) {
                for (values, b) in row.chunks_exact_mut(kernel).zip(b) {
                    values.iter_mut().zip(core).for_each(|(value, core)| *value += core * b);
                }
            }
        }
        Matmul::new(transposed(a, outputs), right, rank, scale)
    }
}

impl Matmul {
    /// Its factors (rows, rank) and (rank, cols), without the scale.
    pub(crate) fn factors(self) -> (Vec<f64>, Vec<f64>) {
        (self.left, self.right)
    }

    /// Its rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }
}

/// The transpose of a matrix with `cols` columns.
pub(crate) fn transposed(matrix: &[f64], cols: usize) -> Vec<f64> {
    (0..cols).flat_map(|col| matrix.iter().skip(col).step_by(cols).copied()).collect()
}

impl Delta for Matmul {
    fn bytes(&self) -> u64 {
        (size_of_val(self.left.as_slice()) + size_of_val(self.right.as_slice())) as u64
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let row = self.left.iter().skip(output * self.rank).take(self.rank);
        let weights: Vec<f64> = row.map(|left| left * self.scale).collect();
        weighted_sum(&weights, &self.right, self.cols, first, out);
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        let column: Vec<f64> =
            self.right.iter().skip(input).step_by(self.cols).map(|right| right * self.scale).collect();
        for (out, left) in out.iter_mut().zip(self.left[first * self.rank..].chunks_exact(self.rank)) {
            *out = left.iter().zip(&column).map(|(left, right)| left * right).sum();
        }
    }
}

/// A matrix that is stored whole, or as a product.
pub(crate) enum Matrix {
    /// Its values row by row, and its number of columns.
    Whole(Vec<f64>, usize),
    /// Two factors.
    Product(Matmul),
}

impl Matrix {
    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Matrix::Whole(values, _) => size_of_val(values.as_slice()) as u64,
            Matrix::Product(product) => product.bytes(),
        }
    }

    /// Columns.
    pub(crate) fn cols(&self) -> usize {
        match self {
            Matrix::Whole(_, cols) => *cols,
            Matrix::Product(product) => product.cols,
        }
    }

    /// The values of a row from column `first` on, as many as `out` has.
    pub(crate) fn row(&self, row: usize, first: usize, out: &mut [f64]) {
        match self {
            Matrix::Whole(values, cols) => out.copy_from_slice(&values[row * cols + first..][..out.len()]),
            Matrix::Product(product) => product.output(row, first, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_contracted_with_both_factors() {
        // rank 2, 3 outputs, 2 inputs, a kernel of 2.
        let core: Vec<f64> = (1..=8).map(f64::from).collect();
        let (a, b) = ([1.0, 2.0, 3.0, -1.0, 0.5, 4.0], [2.0, -3.0, 1.0, 0.25]);
        let product = Matmul::of_core(&core, &a, &b, 2, 0.5);
        let mut row = [0.0; 4];
        for output in 0..3 {
            product.output(output, 0, &mut row);
            for (at, found) in row.iter().enumerate() {
                let (input, place) = (at / 2, at % 2);
                let term = |i: usize, j: usize| core[(i * 2 + j) * 2 + place] * a[i * 3 + output] * b[j * 2 + input];
                assert_eq!(*found, 0.5 * (term(0, 0) + term(0, 1) + term(1, 0) + term(1, 1)));
            }
        }
        let mut column = [0.0; 2];
        product.input(3, 1, &mut column);
        product.output(2, 3, &mut row[..1]);
        assert_eq!(column[1], row[0]);
    }
}
