//! Methods that add a low-rank product of which one factor depends on the weight: W' = W + back @ g(projectᵀ @ W), g column by column.
//!
//! Of a weight stored (out, in), projectᵀ @ W is a fact of the whole weight: rank × inputs numbers, each added up in f64 row by row. One stored
//! (in, out) has what an input needs in its row.

use super::dense::runs;
use super::{Apply, Fact, Footprint, Place, Tile};
use crate::kernel::Real;

/// What becomes of the projection.
pub(crate) trait Middle {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// g of the columns that belong to the layer's inputs from `first` on. `columns` is (rank, count), row by row.
    fn change(&self, columns: &mut [f64], count: usize, first: usize);
}

/// The update in memory.
pub(crate) struct Projected {
    /// (outputs, rank).
    project: Vec<f64>,
    /// (outputs, rank).
    back: Vec<f64>,
    rank: usize,
    middle: Box<dyn Middle>,
    place: Place,
    transposed: bool,
    /// g(projectᵀ @ W), (rank, inputs), once the weight is known.
    factor: Vec<f64>,
}

/// What such an update needs for some elements.
pub(super) fn footprint(transposed: bool) -> Footprint {
    if transposed { Footprint::Rows } else { Footprint::Elements }
}

/// What such an update must know of the whole weight.
pub(super) fn fact(rank: u64, transposed: bool) -> Option<Fact> {
    (!transposed).then_some(Fact::Projection(rank))
}

impl Projected {
    /// Both matrices are (outputs, rank), row by row.
    pub(crate) fn new(
        project: Vec<f64>,
        back: Vec<f64>,
        rank: usize,
        middle: impl Middle + 'static,
        place: &Place,
        transposed: bool,
    ) -> Projected {
        let middle = Box::new(middle);
        Projected { project, back, rank, middle, place: place.clone(), transposed, factor: Vec::new() }
    }

    /// A weight stored (in, out), in whole rows.
    fn apply_transposed<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let mut column = vec![0.0; self.rank];
        for (input, _, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            column.fill(0.0);
            let (base, out) = (&tile.base[inside.clone()], &mut out[inside]);
            for (&value, project) in base.iter().zip(self.project.chunks_exact(self.rank)) {
                let value: f64 = value.into();
                column.iter_mut().zip(project).for_each(|(sum, factor)| *sum += factor * value);
            }
            self.middle.change(&mut column, 1, input);
            for ((out, &base), back) in out.iter_mut().zip(base).zip(self.back.chunks_exact(self.rank)) {
                let delta: f64 = back.iter().zip(&column).map(|(back, value)| back * value).sum();
                *out = R::from_f64(base.into() + delta);
            }
        }
    }
}

impl Apply for Projected {
    fn bytes(&self) -> u64 {
        let numbers = self.project.len() + self.back.len() + self.factor.len();
        (numbers * size_of::<f64>()) as u64 + self.middle.bytes()
    }

    fn gather<R: Real>(&self, tile: &Tile<R>, _changed: &mut Vec<R>, sums: &mut [f64]) {
        for (output, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, tile.base.len()) {
            let project = &self.project[output * self.rank..(output + 1) * self.rank];
            for (sums, factor) in sums.chunks_exact_mut(tile.cols).zip(project) {
                for (sum, &value) in sums[col..].iter_mut().zip(&tile.base[inside.clone()]) {
                    *sum += factor * value.into();
                }
            }
        }
    }

    fn learn(&mut self, projection: &[f64]) {
        self.factor = projection.to_vec();
        self.middle.change(&mut self.factor, self.place.cols, 0);
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        if self.transposed {
            return self.apply_transposed(tile, out);
        }
        let mut values = vec![0.0; tile.cols.min(out.len())];
        for (output, col, inside) in runs(&self.place, tile.row, tile.col, tile.cols, out.len()) {
            let values = &mut values[..inside.len()];
            values.fill(0.0);
            let back = &self.back[output * self.rank..(output + 1) * self.rank];
            for (row, factor) in self.factor.chunks_exact(tile.cols).zip(back) {
                values.iter_mut().zip(&row[col..]).for_each(|(sum, value)| *sum += factor * value);
            }
            for ((out, &base), delta) in out[inside.clone()].iter_mut().zip(&tile.base[inside]).zip(&*values) {
                *out = R::from_f64(base.into() + delta);
            }
        }
    }
}
