//! The deltas of a block, each adapter's by itself: what the rules of combining work on that are more than a weighted sum.

use std::ops::Range;

use super::Merger;
use super::block::{Block, BlockBuffers};
use super::facts::{Gathered, Known, Stage};
use super::prepared::{Band, Member};
use crate::combine::{Delta, Fate, Lanes, Part, Rule, SAMPLED, Selection, Tally};
use crate::error::Result;
use crate::inputs::Inputs;
use crate::kernel::{Real, bytes_of, fold_tile, sample_products};
use crate::plan::Program;
use crate::tensor::Float;

impl Block<'_> {
    /// Each adapter's delta for the elements `part` of `band`, whose values are `base`, into `kept`.
    fn deltas<R: Real>(
        &self,
        band: &Band,
        part: &Range<u64>,
        buffers: &BlockBuffers,
        base: &[R],
        changed: &mut Vec<R>,
        kept: &mut Kept,
    ) {
        let (start, count) = (band.rows.start * self.program.cols, (part.end - part.start) as usize);
        let Kept { nothing, deltas, .. } = kept;
        // Adding to -0 changes nothing.
        nothing.resize(nothing.len().max(count), -0.0);
        let takes_base = self.program.combine.rule().is_some_and(|rule| rule.takes_base());
        deltas.resize_with(band.members.len() + usize::from(takes_base), Delta::default);
        if let (true, Some(own)) = (takes_base, deltas.last_mut()) {
            own.member = self.program.members().len();
            own.values.clear();
            own.values.extend(base.iter().map(|value| value.to_f32()));
        }
        for (member, delta) in band.members.iter().zip(deltas) {
            let values = &mut delta.values;
            (delta.member, delta.weight) = (member.number, member.weight as f32);
            values.resize(count, 0.0);
            // A sum that leaves the finite range stays visible until the block is rounded.
            fold_tile(&member.deltas.factors, part.start - start, Float::F32, bytes_of(&nothing[..count]), values);
            for (_, number, update) in &member.deltas.others {
                changed.resize(count, R::ZERO);
                let beside = self.beside(*number, part, buffers);
                update.apply(&self.tile(band, part.start, base, &beside), changed);
                for ((value, &changed), &base) in values.iter_mut().zip(&*changed).zip(base) {
                    *value += (changed - base).to_f32();
                }
            }
        }
    }

    /// What is known of the whole weight, for the elements from `first` on.
    fn part<'k>(&self, first: u64, known: &'k Known) -> Part<'k> {
        let Program { cols, .. } = self.program;
        let (selections, sums) = (known.selections.as_slice(), known.sums.as_slice());
        Part { first, width: usize::MAX, step: 0, cols: *cols as usize, selections, sums }
    }

    /// The updates of `band` on its elements `part`, into `sum`, as `rule` combines them.
    #[allow(clippy::too_many_arguments, reason = "those of the weighted sum, and what the rule keeps")]
    pub(super) fn combine<R: Real>(
        &self,
        rule: &dyn Rule,
        band: &Band,
        part: &Range<u64>,
        buffers: &BlockBuffers,
        base: &[R],
        sum: &mut [R],
        changed: &mut Vec<R>,
        kept: &mut Kept,
    ) {
        self.deltas(band, part, buffers, base, changed, kept);
        let Kept { deltas, mixed, fates, .. } = kept;
        mixed.resize(base.len(), 0.0);
        if let Some(known) = self.known {
            rule.combine(deltas, &self.part(part.start, known), fates.as_mut(), mixed);
        }
        R::add_all(base, mixed, sum);
    }

    /// Gather what the round asks of the block's deltas.
    pub(super) fn gather_deltas<R: Real>(
        &self,
        rule: &dyn Rule,
        known: &Known,
        buffers: &BlockBuffers,
        result: &mut Gathered,
    ) -> Result<()> {
        let sought = || known.selections.iter().enumerate().filter_map(|(number, one)| Some((number, one.search()?)));
        if known.stage == Stage::Largest {
            result.tallies.resize(sought().count(), Tally::default());
        }
        if known.stage == Stage::Largest && sought().all(|(_, search)| search.samples()) {
            self.gather_sample(rule, known, result);
            return Ok(());
        }
        if known.stage == Stage::Largest && self.has_strips() {
            self.count_strips(rule, known, result);
            return Ok(());
        }
        let mut lanes = vec![Lanes::default(); if known.stage == Stage::Sums { rule.sums() } else { 0 }];
        let (mut base, mut changed, mut kept) = (Vec::<R>::new(), Vec::<R>::new(), Kept::default());
        for tile in self.tiles() {
            // The deltas of products alone do not depend on the weight.
            match self.program.deltas_alone() {
                true => base.resize((tile.end - tile.start) as usize, R::ZERO),
                false => self.decode(&tile, buffers, &mut base)?,
            }
            for (band, part) in self.parts(&tile) {
                let inside = (part.start - tile.start) as usize..(part.end - tile.start) as usize;
                self.deltas(band, &part, buffers, &base[inside], &mut changed, &mut kept);
                let Kept { deltas, mixed, .. } = &mut kept;
                if known.stage == Stage::Sums {
                    rule.gather(deltas, &self.part(part.start, known), &mut lanes);
                    continue;
                }
                for ((number, search), tally) in sought().zip(&mut result.tallies) {
                    if let Some(values) = rule.ranked(number, deltas, mixed) {
                        search.count(values, part.start, tally);
                    }
                }
            }
        }
        result.sums.extend(lanes.iter().map(Lanes::sum));
        Ok(())
    }

    /// Count a part of the values of deltas that are products alone: squares here and there.
    fn gather_sample(&self, rule: &dyn Rule, known: &Known, result: &mut Gathered) {
        let cols = self.program.cols.max(1);
        let sought = || known.selections.iter().enumerate().filter(|(_, one)| one.search().is_some()).map(|(at, _)| at);
        for (band, part) in self.parts(&self.elements) {
            let rows = part.start / cols - band.rows.start..part.end.div_ceil(cols) - band.rows.start;
            for (number, tally) in sought().zip(&mut result.tallies) {
                let is_of = |member: &Member| rule.member_of(number) == Some(member.number);
                if !band.members.iter().any(is_of) {
                    tally.skip((part.end - part.start) / SAMPLED);
                }
            }
            for member in &band.members {
                let is_own = |number| rule.member_of(number) == Some(member.number);
                let search = |number: usize| known.selections[number].search().filter(|_| is_own(number));
                let mut sought: Vec<_> = sought()
                    .zip(&mut result.tallies)
                    .filter_map(|(number, tally)| Some((search(number)?, tally)))
                    .collect();
                let rows = rows.start as usize..rows.end as usize;
                sample_products(&member.deltas.factors, rows, SAMPLED as usize, &mut |values| {
                    for (search, tally) in &mut sought {
                        search.count(values, 0, tally);
                    }
                });
            }
        }
    }
}

/// The deltas of some elements of a weight, and what a rule makes of them.
#[derive(Debug, Default)]
pub(crate) struct Mixed {
    /// The source's values.
    pub(crate) base: Vec<f64>,
    /// The delta of each adapter that changes the weight; zeros where it does not. Then the source's values, where a rule takes them as well.
    pub(crate) deltas: Vec<Vec<f64>>,
    /// What is left of each after pruning, scaled.
    pub(crate) left: Vec<Vec<f64>>,
    /// What each is multiplied with in the sum.
    pub(crate) weights: Vec<f64>,
    /// The delta that they become.
    pub(crate) mixed: Vec<f64>,
    /// The facts: which values are the largest …
    pub(crate) selections: Vec<Selection>,
    /// … and sums over the whole weight.
    pub(crate) sums: Vec<f64>,
}

impl Merger {
    /// The deltas of `elements` of a program that a rule combines, each by itself and not rounded, and what becomes of them: for whoever compares a
    /// merge with another.
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub(crate) async fn mixed(&mut self, id: usize, elements: Range<u64>, inputs: &impl Inputs) -> Result<Mixed> {
        let (block, buffers) = self.read_block(id, elements, inputs).await?;
        block.mixed(buffers)
    }
}

impl Block<'_> {
    fn mixed(&self, buffers: &BlockBuffers) -> Result<Mixed> {
        let (Some(rule), Some(known)) = (self.program.combine.rule(), self.known) else { return Ok(Mixed::default()) };
        let count = (self.elements.end - self.elements.start) as usize;
        let members = self.program.members().len() + usize::from(rule.takes_base());
        let zeros = || vec![vec![0.0; count]; members];
        let mut all = Mixed { deltas: zeros(), left: zeros(), weights: vec![0.0; members], ..Mixed::default() };
        (all.selections, all.sums) = (known.selections.clone(), known.sums.clone());
        let (mut base, mut changed, mut kept) = (Vec::<f64>::new(), Vec::new(), Kept::default());
        for tile in self.tiles() {
            self.decode(&tile, buffers, &mut base)?;
            all.base.extend_from_slice(&base);
            for (band, part) in self.parts(&tile) {
                let inside = (part.start - tile.start) as usize..(part.end - tile.start) as usize;
                let first = (part.start - self.elements.start) as usize;
                self.deltas(band, &part, buffers, &base[inside.clone()], &mut changed, &mut kept);
                let Kept { deltas, mixed, .. } = &mut kept;
                put(deltas, first, &mut all.deltas);
                mixed.resize(inside.len(), 0.0);
                rule.combine(deltas, &self.part(part.start, known), None, mixed);
                put(deltas, first, &mut all.left);
                deltas.iter().for_each(|delta| all.weights[delta.member] = delta.weight.into());
                all.mixed.extend(mixed.iter().map(|&value| f64::from(value)));
            }
        }
        Ok(all)
    }
}

/// The values of each delta, into those of its member from `first` on.
fn put(deltas: &[Delta], first: usize, all: &mut [Vec<f64>]) {
    for Delta { member, values, .. } in deltas {
        let to = all[*member][first..].iter_mut();
        to.zip(values).for_each(|(to, &value)| *to = value.into());
    }
}

/// Memory that the deltas of a tile are kept in.
#[derive(Default)]
pub(super) struct Kept {
    /// As many -0 as a tile has elements.
    nothing: Vec<f32>,
    deltas: Vec<Delta>,
    mixed: Vec<f32>,
    /// What becomes of their values, where that is to be counted.
    pub(super) fates: Option<Vec<Fate>>,
}

/// What a tile is computed in, kept from tile to tile.
pub(super) struct Work<R> {
    /// The source's values.
    pub(super) base: Vec<R>,
    /// What the updates make of them.
    pub(super) sum: Vec<R>,
    /// What one update makes of them, where the sum needs it apart.
    pub(super) changed: Vec<R>,
    /// The deltas of each adapter, where a rule needs them apart.
    pub(super) kept: Kept,
}

impl<R> Work<R> {
    pub(super) fn new() -> Work<R> {
        Work { base: Vec::new(), sum: Vec::new(), changed: Vec::new(), kept: Kept::default() }
    }
}
