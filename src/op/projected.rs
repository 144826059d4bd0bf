//! Methods that add a low-rank product with a factor that depends on the weight: W' = W + back @ g(projectᵀ @ W), where g works column by column.
//!
//! For a weight stored (out, in), projectᵀ @ W is a fact of the whole weight: rank × inputs numbers, each summed in f64 row by row. In a weight
//! stored (in, out), each row holds all that its input needs.

use super::dense::runs;
use super::{Apply, Given, Place, Prepared, Tile};
use crate::error::Result;

/// What is applied to the projection.
pub(crate) trait Middle {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Apply g to the columns of the layer's inputs from `first` on. `columns` is (rank, count), row by row.
    fn change(&self, columns: &mut [f64], count: usize, first: usize);
}

/// The update of the weight by `project` and `back`, both (outputs, rank).
pub(super) fn projected(
    project: Vec<f64>,
    back: Vec<f64>,
    middle: impl Middle + 'static,
    given: &Given,
) -> Result<Prepared> {
    let (rank, place, transposed) = (given.size('r'), given.place.clone(), given.op.transposed);
    Prepared::other(Projected { project, back, rank, middle: Box::new(middle), place, transposed, factor: Vec::new() })
}

/// The update in memory.
struct Projected {
    project: Vec<f64>,
    back: Vec<f64>,
    rank: usize,
    middle: Box<dyn Middle>,
    place: Place,
    transposed: bool,
    /// g(projectᵀ @ W), (rank, inputs), once the weight is known.
    factor: Vec<f64>,
}

impl Projected {
    /// A weight stored (in, out), in whole rows.
    fn apply_transposed(&self, tile: &Tile<f64>, out: &mut [f64]) {
        let mut column = vec![0.0; self.rank];
        for (input, _, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            column.fill(0.0);
            let (base, out) = (&tile.base[inside.clone()], &mut out[inside]);
            for (value, project) in base.iter().zip(self.project.chunks_exact(self.rank)) {
                column.iter_mut().zip(project).for_each(|(sum, factor)| *sum += factor * value);
            }
            self.middle.change(&mut column, 1, input);
            for ((out, &base), back) in out.iter_mut().zip(base).zip(self.back.chunks_exact(self.rank)) {
                let delta: f64 = back.iter().zip(&column).map(|(back, value)| back * value).sum();
                *out = base + delta;
            }
        }
    }
}

impl Apply for Projected {
    fn bytes(&self) -> u64 {
        let numbers = self.project.len() + self.back.len() + self.factor.len();
        (numbers * size_of::<f64>()) as u64 + self.middle.bytes()
    }

    fn gather(&self, tile: &Tile<f64>, sums: &mut [f64]) {
        for (output, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, tile.base.len()) {
            let project = &self.project[output * self.rank..(output + 1) * self.rank];
            for (sums, factor) in sums.chunks_exact_mut(tile.cols).zip(project) {
                for (sum, &value) in sums[col..].iter_mut().zip(&tile.base[inside.clone()]) {
                    *sum += factor * value;
                }
            }
        }
    }

    fn learn(&mut self, projection: &[f64]) -> Result<()> {
        self.factor = projection.to_vec();
        self.middle.change(&mut self.factor, self.place.cols, 0);
        Ok(())
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        if self.transposed {
            return self.apply_transposed(tile, out);
        }
        for (output, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            let values = &mut out[inside.clone()];
            values.fill(0.0);
            let back = &self.back[output * self.rank..(output + 1) * self.rank];
            for (row, factor) in self.factor.chunks_exact(tile.cols).zip(back) {
                values.iter_mut().zip(&row[col..]).for_each(|(sum, value)| *sum += factor * value);
            }
            values.iter_mut().zip(&tile.base[inside]).for_each(|(delta, base)| *delta += base);
        }
    }
}
