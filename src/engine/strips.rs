//! Blocks strip by strip: a few rows of a few columns, of which everything that stands between the factors and the output's bytes fits the
//! first-level cache. For what the kernel's fold does not do in its registers: rules of combining, and rounding by random numbers, where all deltas
//! are products.

use std::ops::Range;

use super::block::{Block, BlockBuffers};
use super::deltas::Work;
use super::facts::{Gathered, Known};
use super::prepared::Band;
use crate::combine::{Delta, Part, Rule};
use crate::encoding::{Plain, Stored};
use crate::error::Result;
use crate::inputs::resize;
use crate::kernel::{
    Bytes, Factors, PANEL_COLS, PANEL_ROWS, Rounded, Statistics, add_rounded, panel_products, random_numbers,
};
use crate::plan::Program;
use crate::tensor::{Float, Rounding};

/// Columns of a strip: three tiles of it, and the right factors of a rank of 16 or so, are in the first-level cache together.
const COLS: usize = 16 * PANEL_COLS;

/// Bytes of the right factors that stay in the second-level cache while the rows go by.
const RIGHT_BYTES: usize = 256 << 10;

/// A few rows of a few columns of a band.
struct Strip {
    /// Its first row in the band, of [`PANEL_ROWS`], and its columns, of which there are whole panels: more than the tensor has, at its edge.
    row: usize,
    col: usize,
    width: usize,
    /// The first element of its first row.
    first: u64,
    /// What is asked for of each row: elements of the tensor.
    runs: [Range<u64>; PANEL_ROWS],
}

impl Strip {
    /// What is asked for of each row, with its place in a tile of the strip.
    fn runs(&self, cols: u64) -> impl Iterator<Item = (Range<u64>, Range<usize>)> {
        self.runs.iter().enumerate().filter(|(_, run)| !run.is_empty()).map(move |(number, run)| {
            let start = number * self.width + (run.start - self.first - number as u64 * cols) as usize;
            (run.clone(), start..start + (run.end - run.start) as usize)
        })
    }
}

impl Block<'_> {
    /// Whether all deltas are products, and nothing needs more than them, or more of them than a strip.
    pub(super) fn has_strips(&self) -> bool {
        let plain = matches!(self.program.source, Stored::Plain(Plain { float, .. }) if float != Float::F64);
        let more = self.program.combine.rule().is_some_and(|rule| rule.whole_rows() || rule.takes_base());
        plain && !more && !self.prepared.has_others()
    }

    /// Hand the strips to `each` that some of `elements` are in.
    fn strips(&self, elements: &Range<u64>, each: &mut dyn FnMut(&Band, &Strip)) {
        let cols = self.program.cols.max(1);
        for (band, part) in self.parts(elements) {
            let start = band.rows.start * cols;
            let rank: usize =
                band.sum.factors.rank() + band.members.iter().map(|one| one.deltas.factors.rank()).sum::<usize>();
            let together = (RIGHT_BYTES / (rank.max(1) * size_of::<f32>()) / COLS * COLS).max(COLS);
            // The first row, and the one after the last; in fours.
            let rows = (part.start - start) / cols..(part.end - start).div_ceil(cols);
            let panels = rows.start / PANEL_ROWS as u64..rows.end.div_ceil(PANEL_ROWS as u64);
            for block in (0..cols).step_by(together) {
                let block = block..(block + together as u64).min(cols);
                for panel in panels.clone() {
                    let row = panel * PANEL_ROWS as u64;
                    for col in block.clone().step_by(COLS) {
                        let end = (col + COLS as u64).min(block.end);
                        let first = start + row * cols + col;
                        let run = |number: u64| {
                            let (from, to) = (first + number * cols, first + number * cols + end - col);
                            from.max(part.start)..to.min(part.end)
                        };
                        let runs: [Range<u64>; PANEL_ROWS] = std::array::from_fn(|number| run(number as u64));
                        if runs.iter().any(|run| !run.is_empty()) {
                            let width = ((end - col) as usize).next_multiple_of(PANEL_COLS);
                            each(band, &Strip { row: row as usize, col: col as usize, width, first, runs });
                        }
                    }
                }
            }
        }
    }

    /// The block's bytes in the output, as [`compute`](Block::compute) gives them, in place where the type stays.
    #[inline(never)]
    pub(super) fn compute_strips<'b>(
        &self,
        buffers: &'b mut BlockBuffers,
        float: Float,
        statistics: Option<&mut Statistics>,
    ) -> Result<&'b [u8]> {
        let Program { to, cols, ref tensor, .. } = *self.program;
        if let Some(statistics) = statistics {
            self.sample_strips(buffers, statistics)?;
        }
        let BlockBuffers { base: source, merged, .. } = buffers;
        if float != to {
            resize(merged, tensor, self.count() * to.bytes() as u64)?;
        }
        let (mut deltas, mut mixed) = (Vec::new(), Vec::new());
        let mut numbers = [0; COLS];
        let mut lost: Option<u64> = None;
        self.strips(&self.elements, &mut |band, strip| {
            mixed.resize(PANEL_ROWS * strip.width, 0.0);
            match (self.program.combine.rule(), self.known) {
                (Some(rule), Some(known)) => {
                    products(band, strip, &mut deltas, &|_| true);
                    rule.combine(&mut deltas, &self.part_of(strip, known), None, &mut mixed);
                }
                _ => panel_products_of(&band.sum.factors, strip, &mut mixed),
            }
            for (run, place) in strip.runs(cols) {
                let at = |element: u64, float: Float| (element - self.elements.start) as usize * float.bytes();
                let own = at(run.start, float)..at(run.end, float);
                let bytes = match float == to {
                    true => Bytes::InPlace(&mut source[own]),
                    false => Bytes::Into(&source[own], &mut merged[at(run.start, to)..at(run.end, to)]),
                };
                let rounded = match self.program.rounding {
                    Rounding::Nearest => Rounded::Nearest,
                    Rounding::Stochastic(key) => {
                        let numbers = &mut numbers[..place.len()];
                        random_numbers(run.start, key, numbers);
                        Rounded::Randomly(numbers, run.start, key)
                    }
                };
                if let Err(left) = add_rounded(&mixed[place], float, to, bytes, rounded) {
                    let element = run.start + left.element;
                    lost = Some(lost.map_or(element, |first| first.min(element)));
                }
            }
        });
        match lost {
            Some(element) if !self.allow_nonfinite => Err(self.non_finite(element)),
            _ if float == to => Ok(&buffers.base),
            _ => Ok(&buffers.merged),
        }
    }

    /// Add what is in the block of a sample to `statistics`, before the source's bytes give way to the output's.
    fn sample_strips(&self, buffers: &mut BlockBuffers, statistics: &mut Statistics) -> Result<()> {
        let to = self.program.to;
        let (mut work, mut sampled) = (Work::<f32>::new(), std::mem::take(&mut buffers.sampled));
        for run in self.sampled(&self.elements) {
            self.merge_tile(&run, buffers, &mut work)?;
            resize(&mut sampled, &self.program.tensor, (run.end - run.start) * to.bytes() as u64)?;
            // What leaves the finite range is found by the block itself.
            let _ = self.round(run.start, &work.base, &work.sum, &mut sampled);
            let mut found = Statistics::default();
            found.compare(&work.base, &work.sum, to, &sampled);
            statistics.add_run(&found);
        }
        buffers.sampled = sampled;
        Ok(())
    }

    /// Count the values of deltas among which the largest are sought.
    #[inline(never)]
    pub(super) fn count_strips(&self, rule: &dyn Rule, known: &Known, result: &mut Gathered) {
        let cols = self.program.cols.max(1);
        let sought = || known.selections.iter().enumerate().filter_map(|(number, one)| Some((number, one.search()?)));
        let (mut deltas, mut scratch) = (Vec::new(), Vec::new());
        self.strips(&self.elements, &mut |band, strip| {
            products(band, strip, &mut deltas, &|member| {
                sought().any(|(number, _)| rule.member_of(number).is_none_or(|of| of == member))
            });
            for ((number, search), tally) in sought().zip(&mut result.tallies) {
                let Some(values) = rule.ranked(number, &deltas, &mut scratch) else { continue };
                for (run, place) in strip.runs(cols) {
                    search.count(&values[place], run.start, tally);
                }
            }
        });
    }

    /// What is known of the whole weight, for a strip.
    fn part_of<'k>(&self, strip: &Strip, known: &'k Known) -> Part<'k> {
        let Program { cols, .. } = *self.program;
        let (selections, sums) = (known.selections.as_slice(), known.sums.as_slice());
        Part { first: strip.first, width: strip.width, step: cols, cols: cols as usize, selections, sums }
    }
}

/// The deltas of a strip, of each adapter that `wanted` asks for.
fn products(band: &Band, strip: &Strip, deltas: &mut Vec<Delta>, wanted: &dyn Fn(usize) -> bool) {
    let members = || band.members.iter().filter(|member| wanted(member.number));
    deltas.resize_with(members().count(), Delta::default);
    for (member, delta) in members().zip(deltas) {
        (delta.member, delta.weight) = (member.number, member.weight as f32);
        delta.values.resize(PANEL_ROWS * strip.width, 0.0);
        panel_products_of(&member.deltas.factors, strip, &mut delta.values);
    }
}

fn panel_products_of(factors: &Factors, strip: &Strip, out: &mut [f32]) {
    panel_products(factors, strip.row, strip.col, out);
}
