//! A program with its operands in memory.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernel::Factors;
use crate::op::{Given, Place, Prepared};
use crate::order::sort;
use crate::plan::program::{Program, Update};

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

/// A program with its operands in memory, or those of them that have been added so far.
pub(super) struct PreparedProgram {
    pub(super) bands: Vec<Band>,
    /// The source's operands.
    pub(super) side: Vec<Vec<u8>>,
}

impl PreparedProgram {
    /// Room for the operands of `program`.
    pub(super) fn begin(program: &Program) -> Result<PreparedProgram> {
        let mut edges = vec![0, program.rows];
        edges.extend(program.updates.iter().flat_map(|update| [update.region.rows.start, update.region.rows.end]));
        sort(&mut edges);
        edges.dedup();
        let cols = size(program, program.cols)?;
        let bands = edges.windows(2).map(|edge| {
            let rows = edge[0]..edge[1];
            let rank = |update: &Update| if update.op.is_low_rank() { update.op.positions() } else { 0 };
            let covering = program.updates.iter().filter(|update| covers(update, &rows));
            let rank = size(program, covering.map(rank).sum())?;
            let factors = Factors::try_new(size(program, rows.end - rows.start)?, cols, rank)?;
            Ok(Band { rows, factors, packed: 0, others: Vec::new() })
        });
        let bands: Vec<Band> = bands.collect::<Result<_>>()?;
        Ok(PreparedProgram { bands, side: Vec::new() })
    }

    /// Bytes that the packed factors of `program` take where its updates cover all rows; an estimate elsewhere.
    pub(super) fn bytes_needed(program: &Program) -> u64 {
        let side = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        let rank: u64 = program.updates.iter().map(|update| update.op.packed_rank()).sum();
        Factors::bytes_needed(side(program.rows), side(program.cols), side(rank))
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
