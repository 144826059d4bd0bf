//! A rule on the deltas of one module: they are computed from their factors, some rows at a time, whenever they are asked for.

use super::combine::{Source, prune};
use super::matrix::{add_multiple, zeros};
use super::options::Combining;
use super::rule::{Mixer, Rule};
use super::sketch::{ROWS_TOGETHER, Rows};
use crate::error::Result;
use crate::kernel::Real;
use crate::op::Unpacked;

/// What the deltas of some adapters become.
pub(crate) struct DenseMix<'a> {
    sides: (usize, usize),
    sources: &'a [Source<'a>],
    mixer: Mixer,
    /// Some rows of each delta.
    tiles: Vec<Vec<f64>>,
    /// The same rows of what they become.
    mixed: Vec<f64>,
}

impl<'a> DenseMix<'a> {
    /// Find what the rule keeps of each delta.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn of(
        module: &str,
        sides: (usize, usize),
        sources: &'a [Source<'a>],
        rule: Rule,
        options: &Combining,
    ) -> Result<DenseMix<'a>> {
        let (rows, cols) = sides;
        let name = format!("{module}.weight");
        let room = || zeros(cols.checked_mul(ROWS_TOGETHER));
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            let mut tile = room()?;
            let found = prune(rule, options, source.adapter, &name, (rows * cols) as u64, &mut |take| {
                for first in (0..rows).step_by(ROWS_TOGETHER) {
                    let tile = &mut tile[..ROWS_TOGETHER.min(rows - first) * cols];
                    delta(&source.factors, cols, first, tile);
                    take(tile);
                }
                Ok(())
            });
            parts.push((source.adapter.weight, found?));
        }
        let tiles = sources.iter().map(|_| room()).collect::<Result<_>>()?;
        Ok(DenseMix {
            sides,
            sources,
            mixer: Mixer { elects: rule.elects, sign: options.sign, parts },
            tiles,
            mixed: Vec::new(),
        })
    }
}

impl Rows for DenseMix<'_> {
    fn sides(&self) -> (usize, usize) {
        self.sides
    }

    fn is_narrow(&self) -> bool {
        false
    }

    async fn read<R: Real>(&mut self, first: usize, count: usize, stride: usize, out: &mut [R]) -> Result<()> {
        let cols = self.sides.1;
        for (source, tile) in self.sources.iter().zip(&mut self.tiles) {
            tile.resize(count * cols, 0.0);
            delta(&source.factors, cols, first, tile);
        }
        self.mixed.resize(count * cols, 0.0);
        self.mixer.mix((first * cols) as u64, &mut self.tiles, &mut self.mixed);
        for (to, from) in out.chunks_mut(stride).zip(self.mixed.chunks_exact(cols.max(1))) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = R::from_f64(*from));
        }
        Ok(())
    }
}

/// scale · B @ A, from row `first` on, as many rows as `out` has.
fn delta(factors: &Unpacked, cols: usize, first: usize, out: &mut [f64]) {
    let Unpacked { a, b, rank, scale } = factors;
    out.fill(0.0);
    let rows = b.get(first * rank..).unwrap_or_default().chunks_exact(*rank.max(&1));
    for (b, out) in rows.zip(out.chunks_exact_mut(cols.max(1))) {
        for (b, a) in b.iter().zip(a.chunks_exact(cols.max(1))) {
            add_multiple(out, scale * b, a);
        }
    }
}
