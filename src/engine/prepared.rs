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
    /// All updates, where they are added up as they are.
    pub(super) sum: Deltas,
    /// Those of each adapter that has some, where a rule combines them.
    pub(super) members: Vec<Member>,
}

/// Updates that are added up.
pub(super) struct Deltas {
    /// The packed factors of all that are low-rank products, in the order of the adapters.
    pub(super) factors: Factors,
    /// Rank positions of `factors` that are packed.
    packed: usize,
    /// The others, each with its weight and its number in the program.
    pub(super) others: Vec<(f64, usize, Prepared)>,
}

/// The updates of one adapter.
pub(super) struct Member {
    /// Which of the adapters that change the weight it is.
    pub(super) number: usize,
    /// Its weight, which is not in the deltas.
    pub(super) weight: f64,
    pub(super) deltas: Deltas,
}

impl Band {
    /// Everything that is added up.
    fn deltas(&self) -> impl Iterator<Item = &Deltas> {
        std::iter::once(&self.sum).chain(self.members.iter().map(|member| &member.deltas))
    }

    /// The updates that are no low-rank products.
    pub(super) fn others(&self) -> impl Iterator<Item = &(f64, usize, Prepared)> {
        self.deltas().flat_map(|deltas| &deltas.others)
    }
}

impl Deltas {
    /// Room for the factors of `updates`.
    fn begin<'p>(program: &Program, rows: &Range<u64>, updates: impl Iterator<Item = &'p Update>) -> Result<Deltas> {
        let rank = updates.map(|update| if update.op.is_low_rank() { update.op.positions() } else { 0 }).sum();
        let (rows, cols, rank) =
            (size(program, rows.end - rows.start)?, size(program, program.cols)?, size(program, rank)?);
        Ok(Deltas { factors: Factors::try_new(rows, cols, rank)?, packed: 0, others: Vec::new() })
    }

    /// Add an update, whose number is `number`, with its operands.
    fn add(&mut self, number: usize, update: &Update, weight: f64, place: &Place, operands: &[Vec<u8>]) -> Result<()> {
        let Update { op, adapter, .. } = update;
        if op.is_low_rank() {
            op.pack(&mut self.factors, self.packed, place, operands, weight, adapter)?;
            self.packed += op.positions() as usize;
        } else {
            let given = Given { op, place, bytes: operands, adapter };
            self.others.push((weight, number, (op.method.prepare)(&given)?));
        }
        Ok(())
    }
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
        let members = program.members();
        let bands = bands.iter().map(|rows| {
            let covering = || program.updates.iter().filter(|update| covers(update, rows));
            let Some(_) = program.combine.rule() else {
                let sum = Deltas::begin(program, rows, covering())?;
                return Ok(Band { rows: rows.clone(), sum, members: Vec::new() });
            };
            let mut band = Band {
                rows: rows.clone(),
                sum: Deltas::begin(program, rows, std::iter::empty())?,
                members: Vec::new(),
            };
            for (number, name) in members.iter().enumerate() {
                let own = || covering().filter(|update| update.adapter == *name);
                let Some(Update { weight, .. }) = own().next() else { continue };
                band.members.push(Member { number, weight: *weight, deltas: Deltas::begin(program, rows, own())? });
            }
            Ok(band)
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
        let (update, members) = (&program.updates[number], program.members());
        let region = &update.region.rows;
        for band in &mut self.bands {
            if !covers(update, &band.rows) {
                continue;
            }
            let row = |row: u64| size(program, row - region.start);
            let place = Place {
                rows: row(band.rows.start)?..row(band.rows.end)?,
                of: row(region.end)?,
                cols: band.sum.factors.cols(),
                order: update.region.order,
            };
            if program.combine.rule().is_none() {
                band.sum.add(number, update, update.weight, &place, operands)?;
            } else if let Some(name) = members.iter().position(|name| *name == update.adapter)
                && let Some(member) = band.members.iter_mut().find(|member| member.number == name)
            {
                member.deltas.add(number, update, 1.0, &place, operands)?;
            }
        }
        Ok(())
    }

    /// Whether some update is more than a low-rank product.
    pub(super) fn has_others(&self) -> bool {
        self.bands.iter().any(|band| band.others().next().is_some())
    }

    /// Give each update its part of the facts.
    ///
    /// # Errors
    /// Those of a method, where the weight has no such fact.
    pub(super) fn learn(&mut self, program: &Program, facts: &[f64]) -> Result<()> {
        for band in &mut self.bands {
            let deltas = std::iter::once(&mut band.sum).chain(band.members.iter_mut().map(|member| &mut member.deltas));
            for (_, number, prepared) in deltas.flat_map(|deltas| &mut deltas.others) {
                if let Some(facts) = program.fact_range(*number).and_then(|range| facts.get(range)) {
                    prepared.learn(facts).map_err(|error| error.tensor(program.tensor.clone()))?;
                }
            }
        }
        Ok(())
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        let others = |deltas: &Deltas| deltas.others.iter().map(|(.., prepared)| prepared.bytes()).sum::<u64>();
        let deltas = self.bands.iter().flat_map(Band::deltas);
        let bands: u64 = deltas.map(|deltas| deltas.factors.bytes() + others(deltas)).sum();
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
