//! A program with its operands in memory.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::Factors;
use crate::op::{Given, Place, Prepared};
use crate::order::sort;
use crate::plan::program::{Program, Update};

/// The rows that elements are in.
fn rows_of(program: &Program, elements: &Range<u64>) -> Range<u64> {
    let cols = program.cols.max(1);
    elements.start / cols..elements.end.div_ceil(cols)
}

/// Bytes that the factors of `rows` take when they are packed.
fn packed_bytes(program: &Program, rows: &Range<u64>) -> u64 {
    let side = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
    let covering = program.updates.iter().filter(|update| covers(update, rows));
    let rank: u64 = covering.map(|update| update.op.packed_rank()).sum();
    Factors::bytes_needed(side(rows.end - rows.start), side(program.cols), side(rank))
}

/// The bands that `elements` are in, and as many more behind them as `limit` bytes have room for; and the bytes that they take. A tensor of
/// experts has one band or more for each.
pub(super) fn bands(program: &Program, elements: &Range<u64>, limit: u64) -> (Vec<Range<u64>>, u64) {
    let mut edges = vec![0, program.rows];
    edges.extend(program.updates.iter().flat_map(|update| [update.region.rows.start, update.region.rows.end]));
    sort(&mut edges);
    edges.dedup();
    let wanted = rows_of(program, elements);
    let (mut bands, mut total) = (Vec::new(), 0u64);
    for edge in edges.windows(2).filter(|edge| edge[1] > wanted.start) {
        let rows = edge[0]..edge[1];
        let bytes = packed_bytes(program, &rows);
        if rows.start >= wanted.end && total.saturating_add(bytes) > limit {
            break;
        }
        total = total.saturating_add(bytes);
        bands.push(rows);
    }
    (bands, total)
}

/// The updates that cover one of some bands, with their numbers.
pub(super) fn updates_of<'p>(program: &'p Program, bands: &[Range<u64>]) -> impl Iterator<Item = (usize, &'p Update)> {
    let rows = bands.first().map_or(0, |band| band.start)..bands.last().map_or(0, |band| band.end);
    let touches = move |update: &Update| update.region.rows.start < rows.end && rows.start < update.region.rows.end;
    program.updates.iter().enumerate().filter(move |(_, update)| touches(update))
}

/// Rows of a tensor that the same updates cover.
pub(super) struct Band {
    /// The rows, as stored.
    pub(super) rows: Range<u64>,
    /// The packed factors of all updates that are low-rank products, in the order of the adapters.
    pub(super) factors: Factors,
    /// Rank positions of `factors` that are packed.
    packed: usize,
    /// The other updates, each with its weight and its number in the program.
    pub(super) others: Vec<(f64, usize, Prepared)>,
}

/// A program with its operands in memory, or those of them that have been added so far: for some of its rows, where different updates cover
/// different rows.
pub(super) struct PreparedProgram {
    pub(super) bands: Vec<Band>,
    /// The source's operands.
    pub(super) side: Vec<Vec<u8>>,
}

impl PreparedProgram {
    /// Room for the operands of these bands of `program`.
    pub(super) fn begin(program: &Program, bands: &[Range<u64>]) -> Result<PreparedProgram> {
        let cols = size(program, program.cols)?;
        let bands = bands.iter().map(|rows| {
            let rank = |update: &Update| if update.op.is_low_rank() { update.op.positions() } else { 0 };
            let covering = program.updates.iter().filter(|update| covers(update, rows));
            let rank = size(program, covering.map(rank).sum())?;
            let factors = Factors::try_new(size(program, rows.end - rows.start)?, cols, rank)?;
            Ok(Band { rows: rows.clone(), factors, packed: 0, others: Vec::new() })
        });
        Ok(PreparedProgram { bands: bands.collect::<Result<_>>()?, side: Vec::new() })
    }

    /// Whether the operands are those of all rows that `elements` are in.
    pub(super) fn holds(&self, program: &Program, elements: &Range<u64>) -> bool {
        let held =
            self.bands.first().map_or(0, |band| band.rows.start)..self.bands.last().map_or(0, |band| band.rows.end);
        let rows = rows_of(program, elements);
        rows.is_empty() || held.start <= rows.start && rows.end <= held.end
    }

    /// Add the operands of update number `number`.
    pub(super) fn add(&mut self, program: &Program, number: usize, operands: &[Vec<u8>]) -> Result<()> {
        let update = &program.updates[number];
        let region = &update.region.rows;
        for band in &mut self.bands {
            if !covers(update, &band.rows) {
                continue;
            }
            let row = |row: u64| size(program, row - region.start);
            let place = Place {
                rows: row(band.rows.start)?..row(band.rows.end)?,
                of: row(region.end)?,
                cols: band.factors.cols(),
                order: update.region.order,
            };
            let (op, adapter) = (&update.op, &update.adapter);
            if op.is_low_rank() {
                op.pack(&mut band.factors, band.packed, &place, operands, update.weight, adapter)?;
                band.packed += op.positions() as usize;
            } else {
                let given = Given { op, place: &place, bytes: operands, adapter };
                band.others.push((update.weight, number, (op.method.prepare)(&given)?));
            }
        }
        Ok(())
    }

    /// Whether some update is more than a low-rank product.
    pub(super) fn has_others(&self) -> bool {
        self.bands.iter().any(|band| !band.others.is_empty())
    }

    /// Give each update its part of the facts.
    pub(super) fn learn(&mut self, program: &Program, facts: &[f64]) {
        for band in &mut self.bands {
            for (_, number, prepared) in &mut band.others {
                if let Some(facts) = program.fact_range(*number).and_then(|range| facts.get(range)) {
                    prepared.learn(facts);
                }
            }
        }
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        let others = |band: &Band| band.others.iter().map(|(.., prepared)| prepared.bytes()).sum::<u64>();
        let bands: u64 = self.bands.iter().map(|band| band.factors.bytes() + others(band)).sum();
        bands + self.side.iter().map(|side| side.len() as u64).sum::<u64>()
    }
}

fn covers(update: &Update, rows: &Range<u64>) -> bool {
    update.region.rows.start <= rows.start && rows.end <= update.region.rows.end
}

fn size(program: &Program, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| {
        let reason = format!("a side of {value} elements is too long for this machine");
        Error::limit_exceeded(program.tensor.clone(), reason).tensor(program.tensor.clone())
    })
}
