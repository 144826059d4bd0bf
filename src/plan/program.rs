//! Programs: how a tensor of the output is computed. A worker needs no more than a program and the inputs.

use std::ops::Range;

use crate::combine::Combine;
use crate::encoding::{Operand, Stored};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::op::{Fact, Footprint, Op, Replace, Rounds, RowOrder};
use crate::tensor::{Float, Rounding};
use crate::wire::{Wire, wire};

/// How one tensor of the output is computed: source → updates → combine → type.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The tensor's name, for errors.
    pub tensor: String,
    /// Rows as stored.
    pub rows: u64,
    /// Columns as stored.
    pub cols: u64,
    /// The weight that is changed: the base's, or an adapter's that brings its own.
    pub source: Stored,
    /// The updates, in the order of the adapters; none when the tensor only changes its type.
    pub updates: Vec<Update>,
    /// How the updates become one.
    pub combine: Combine,
    /// Element type in the output.
    pub to: Float,
    /// How the results are rounded to it.
    pub rounding: Rounding,
}

wire!(Program { tensor, rows, cols, source, updates, combine, to, rounding });

/// What one adapter does to a tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// The adapter's name, for errors.
    pub adapter: String,
    /// The user's weight of the adapter.
    pub weight: f64,
    /// The rows that it covers.
    pub region: Region,
    /// The method.
    pub op: Op,
}

wire!(Update { adapter, weight, region, op });

/// The letter of an update's size that says how many rows, the first ones, its model and the base have in common, where one of them has more.
pub(crate) const COMMON_ROWS: char = 'v';

/// Rows of a tensor: all of it, or the part of a fused tensor that an update means.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    /// The rows, as stored.
    pub rows: Range<u64>,
    /// In which order the update's rows stand there.
    pub order: RowOrder,
}

wire!(Region { rows, order });

// As a worker gets it.

/// Elements that a job for a fact goes through, about: so that the jobs, and with them the order of the sums, depend on the tensor alone.
const FACT_ELEMENTS: u64 = 512 << 10;

/// Rows that the kernel computes together: blocks of other sizes lose time at their edges.
const KERNEL_ROWS: u64 = 4;

impl Program {
    /// The program as bytes, for another thread.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// The program that [`to_bytes`](Self::to_bytes) gave.
    ///
    /// # Errors
    /// `internal` for other bytes.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Program> {
        Program::take(&mut bytes).ok_or_else(|| Error::internal("these are not the bytes of a program"))
    }

    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.rows * self.cols
    }

    /// Everything that is read once, as a whole: the source's operands, then those of each update.
    pub fn operands(&self) -> Vec<&Operand> {
        let updates = self.updates.iter().flat_map(|update| &update.op.operands);
        self.source.operands().into_iter().chain(updates).collect()
    }

    /// Elements that must be computed together: runs begin and end at multiples of this, or at the end of the tensor.
    fn granule(&self) -> u64 {
        let granule = |update: &Update| match update.op.footprint() {
            Footprint::Elements => 1,
            Footprint::Rows => self.cols.max(1),
            Footprint::RowGroups(rows) if update.region.rows.start.is_multiple_of(rows.max(1)) => {
                self.cols.max(1).saturating_mul(rows.max(1))
            }
            Footprint::RowGroups(_) => self.elements().max(1),
        };
        let rows = if self.combine.rule().is_some_and(|rule| rule.whole_rows()) { self.cols.max(1) } else { 1 };
        self.updates.iter().map(granule).fold(lcm(self.source.granule(), rows), lcm)
    }

    /// The elements that must be computed together with those of `wanted`: whole rows where an update needs them.
    pub fn footprint(&self, wanted: Range<u64>) -> Range<u64> {
        let granule = self.granule();
        let end = wanted.end.div_ceil(granule).saturating_mul(granule).min(self.elements());
        wanted.start / granule * granule..end.max(wanted.end)
    }

    /// Elements of a block of about `bytes` bytes of output: rows in fours where they are short enough, parts of a row where not, unless an
    /// update needs whole rows.
    pub fn block(&self, bytes: u64) -> u64 {
        // What is read beside the source takes memory, too.
        let beside = self.updates.iter().filter_map(|update| update.op.beside());
        let beside: u64 = beside.map(|(stored, each)| stored.float.bytes() as u64 * each).sum();
        let most = (bytes / (self.to.bytes() as u64 + beside)).max(1);
        let rows = most / self.cols.max(1);
        let elements = match rows {
            _ if self.updates.is_empty() => most,
            0 => most,
            1..KERNEL_ROWS => rows * self.cols,
            _ => rows / KERNEL_ROWS * KERNEL_ROWS * self.cols,
        };
        let granule = self.granule();
        (elements / granule * granule).max(granule)
    }

    /// Whether something must be known of the whole weight before any block is computed.
    pub fn has_facts(&self) -> bool {
        self.combine.rule().is_some() || self.updates.iter().any(|update| update.op.fact().is_some())
    }

    /// The adapters that change the weight, in their order.
    pub(crate) fn members(&self) -> Vec<&str> {
        let mut members: Vec<&str> = Vec::new();
        for update in &self.updates {
            if !members.contains(&update.adapter.as_str()) {
                members.push(&update.adapter);
            }
        }
        members
    }

    /// Whether nothing that is combined depends on the weight: all deltas are products, and stand alone.
    pub(crate) fn deltas_alone(&self) -> bool {
        let takes_base = self.combine.rule().is_some_and(|rule| rule.takes_base());
        !takes_base && self.updates.iter().all(|update| update.op.is_low_rank())
    }

    /// The elements of each job for facts, in the order of their sums; each job has as many as `jobs` of the smallest.
    pub(crate) fn fact_jobs(&self, jobs: u64) -> impl Iterator<Item = Range<u64>> + use<> {
        let rows = (FACT_ELEMENTS / self.cols.max(1) / KERNEL_ROWS * KERNEL_ROWS).max(KERNEL_ROWS);
        let (least, end) = (rows * self.cols.max(1), self.elements());
        // What is computed together is gathered together.
        let step = least.saturating_mul(jobs).next_multiple_of(self.granule());
        (0..end.div_ceil(step)).map(move |job| job * step..((job + 1) * step).min(end))
    }

    /// The bytes of inputs that a job for facts reads for its elements.
    pub(crate) fn fact_reads(&self, elements: Range<u64>) -> Vec<Span> {
        if self.deltas_alone() { Vec::new() } else { self.reads(elements) }
    }

    /// Which of the program's facts are those of update number `number`, where it has some.
    pub(crate) fn fact_range(&self, number: usize) -> Option<Range<usize>> {
        let length = self.facts_of(self.updates.get(number)?)?;
        let start = self.updates.iter().take(number).filter_map(|update| self.facts_of(update)).sum();
        Some(start..start + length)
    }

    /// Numbers that the facts of all updates have together.
    pub(crate) fn fact_length(&self) -> usize {
        self.updates.iter().filter_map(|update| self.facts_of(update)).sum()
    }

    /// Numbers that the facts of `update` have.
    fn facts_of(&self, update: &Update) -> Option<usize> {
        let cols = self.cols as usize;
        update.op.fact().map(|fact| match fact {
            Fact::ColumnSquares => cols,
            Fact::Projection(rank) => (rank as usize).saturating_mul(cols),
            Fact::Leading(rank) => Rounds::length(rank, self.cols),
        })
    }

    /// The bytes that hold the elements: those of the source, the largest span first, then those that each update reads beside them.
    pub fn reads(&self, elements: Range<u64>) -> Vec<Span> {
        let mut spans = self.source.reads(elements.clone());
        spans.extend(self.updates.iter().flat_map(|update| update.reads(&elements, self.cols)));
        spans
    }
}

impl Update {
    /// What it reads beside the source for `elements` of a weight with `cols` columns: nothing for those that it does not cover.
    pub(crate) fn reads(&self, elements: &Range<u64>, cols: u64) -> Vec<Span> {
        let Range { start, end } = self.region.rows;
        let (first, last) = (start * cols, end * cols);
        let covered = elements.start.max(first)..elements.end.min(last);
        if covered.is_empty() { Vec::new() } else { self.op.reads(covered.start - first..covered.end - first) }
    }
}

/// The adapter's parameter, where a tensor becomes that and no more.
pub(crate) fn replacement(updates: &[Update]) -> Option<&Replace> {
    match updates {
        [only] if only.weight == 1.0 && only.op.size(COMMON_ROWS) == 0 => only.op.replacement.as_ref(),
        _ => None,
    }
}

impl Region {
    /// All rows of a tensor.
    pub fn all(rows: u64) -> Region {
        Region { rows: 0..rows, order: RowOrder::AsIs }
    }
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Plain;
    use crate::op::{LORA, LayerShape, Sizes};
    use crate::tensor::Dtype;

    fn operand() -> Operand {
        Operand::whole("k", Span { input: 0, start: 0, bytes: 0 }, Dtype::F32)
    }

    #[test]
    fn a_scale_reaches_a_worker_with_every_bit() {
        for rank in 1..500u64 {
            let scale = 32.0 / (rank as f64).sqrt();
            let op = Op {
                operands: vec![operand(), operand()],
                sizes: Sizes::of(&[('r', rank)]),
                layer: LayerShape::linear(1, 1),
                ..Op::new(&LORA)
            };
            let op = op.scaled(rank, 32.0, scale);
            let update = Update { adapter: "a".into(), weight: -0.1 / scale, region: Region::all(1), op };
            let program = Program {
                tensor: "t".into(),
                rows: 1,
                cols: 1,
                source: Stored::Plain(Plain { float: Float::F32, input: 0, start: 0 }),
                updates: vec![update],
                combine: Combine::Linear,
                to: Float::F32,
                rounding: Rounding::Stochastic(rank << 40 | 7),
            };
            let sent = program.to_bytes();
            assert_eq!(Program::from_bytes(&sent).unwrap(), program, "rank {rank}");
            assert!(Program::from_bytes(&sent[..sent.len() - 1]).is_err());
        }
    }
}
