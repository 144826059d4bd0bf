//! OLoRA (arXiv 2406.01775): W' = W − s·Q@Qᵀ@W + s·B@A, where Q is the orthonormal factor of the weight's first r columns. PEFT's `olora_init` makes
//! the base for the training from the given one: A and B begin as parts of its QR factorisation, and their product is subtracted from the base.
//!
//! If C are the first r columns, Q@Qᵀ@W = C@(CᵀC)⁻¹@CᵀW. CᵀW is a fact of the whole weight: r × columns numbers, the first r columns of which are
//! CᵀC. A row of W has its own part of C. PEFT does this with the weight as it is stored, even if that is (in, out).

use super::low_rank::{self, Product};
use super::method::Needs;
use super::{Apply, Given, Inverse, Method, Prepared, Tile};
use crate::error::Result;

/// A column that depends on those before it by more than this has no direction of its own, so that the result of a factorisation is arbitrary.
const DEPENDENT: f64 = 1e-11;

/// The operands of LoRA, trained on a base from which the projection on its first columns is subtracted. In memory there is also the projection, in
/// f64.
pub static OLORA: Method = Method { needs: Needs::Columns, packed: 3, ..Method::new("olora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (rank, scale, back) = (given.size('r'), given.op.scaling(), Inverse::of(given));
    let product = low_rank::product(given, if back { -1.0 } else { 1.0 })?;
    // What is left of the projection on C is 1 − s of it.
    let scale = if back { scale / (1.0 - scale) } else { -scale };
    Prepared::other(Orthogonal { product, rank, scale, back, projection: Vec::new() })
}

/// The update in memory.
struct Orthogonal {
    product: Product,
    /// At most the number of columns.
    rank: usize,
    /// −s, or what takes that back.
    scale: f64,
    /// W = V + s/(1 − s)·Q@Qᵀ@V, V = W' − s·B@A, takes it back: the first columns of V lead in the same directions as those of W.
    back: bool,
    /// −s·(CᵀC)⁻¹@CᵀW, (rank, columns), once the weight is known; to take it back, the same of V.
    projection: Vec<f64>,
}

impl Apply for Orthogonal {
    fn bytes(&self) -> u64 {
        self.product.bytes() + size_of_val(self.projection.as_slice()) as u64
    }

    fn gather(&self, tile: &Tile<f64>, sums: &mut [f64]) {
        let mut without = Vec::new();
        let rows = match self.back {
            false => tile.base,
            true => {
                without.resize(tile.base.len(), 0.0);
                self.product.apply_wide(tile, &mut without);
                &without
            }
        };
        for row in rows.chunks_exact(tile.cols) {
            for (sums, first) in sums.chunks_exact_mut(tile.cols).zip(row) {
                sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += first * value);
            }
        }
    }

    fn learn(&mut self, fact: &[f64]) -> Result<()> {
        self.projection = fact.to_vec();
        let cols = fact.len() / self.rank.max(1);
        solve(&mut self.projection, self.rank, cols);
        self.projection.iter_mut().for_each(|value| *value *= self.scale);
        Ok(())
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        self.product.apply_wide(tile, out);
        let mut sums = vec![0.0; tile.cols];
        for (row, out) in tile.base.chunks_exact(tile.cols).zip(out.chunks_exact_mut(tile.cols)) {
            sums.fill(0.0);
            let row = if self.back { &*out } else { row };
            for (projection, first) in self.projection.chunks_exact(tile.cols).zip(row) {
                sums.iter_mut().zip(projection).for_each(|(sum, value)| *sum += first * value);
            }
            out.iter_mut().zip(&sums).for_each(|(out, sum)| *out += sum);
        }
    }
}

/// Replaces F, (rank, cols), whose first `rank` columns are G, by the X with G@X = F. It uses elimination, without pivots because a matrix such as CᵀC
/// needs none. The result is NaN or infinite if columns of C depend on others.
fn solve(values: &mut [f64], rank: usize, cols: usize) {
    // No layer has such factors.
    if rank > cols {
        return values.fill(f64::NAN);
    }
    let lengths: Vec<f64> = (0..rank).map(|row| values[row * cols + row]).collect();
    for step in 0..rank {
        let pivot = values[step * cols + step];
        if pivot.is_nan() || pivot <= DEPENDENT * lengths[step] {
            return values.fill(f64::NAN);
        }
        let (before, rest) = values.split_at_mut(step * cols);
        let (current, after) = rest.split_at_mut(cols);
        current.iter_mut().for_each(|value| *value /= pivot);
        for row in before.chunks_exact_mut(cols).chain(after.chunks_exact_mut(cols)) {
            let factor = row[step];
            row.iter_mut().zip(&*current).for_each(|(value, other)| *value -= factor * other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::solve;

    #[test]
    fn columns_that_depend_on_others_give_no_numbers() {
        let mut values = [4.0, 2.0, 8.0, 2.0, 3.0, 6.0];
        solve(&mut values, 2, 3);
        assert_eq!(values, [1.0, 0.0, 1.5, 0.0, 1.0, 1.0]);
        let mut values = [4.0, 2.0, 8.0, 2.0, 1.0, 6.0];
        solve(&mut values, 2, 3);
        assert!(values.iter().all(|value| value.is_nan()));
    }
}
