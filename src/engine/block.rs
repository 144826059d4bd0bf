//! One run of elements of a program: decode the source, apply the updates, round once.

use std::ops::Range;

use super::deltas::Work;
use super::facts::{Gathered, Known, Stage};
use super::prepared::{Band, PreparedProgram};
use super::sample::Sample;
use crate::combine::{Fate, add_weighted};
use crate::encoding::{Plain, Stored};
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span, resize};
use crate::kernel::{Factors, NonFinite, Real, Statistics, bytes_of, fold_in_place, fold_into, fold_tile, row_squares};
use crate::op::{Prepared, Tile};
use crate::plan::{Program, Update};
use crate::tensor::{Float, Rounding, write_stochastic};

/// Elements of the tiles that methods work on, about: a few tiles fit the second-level cache.
const TILE_ELEMENTS: u64 = 64 << 10;

/// What blocks are computed in. Kept from block to block.
#[derive(Default)]
pub(super) struct BlockBuffers {
    /// The source's bytes of the block, one span after another.
    pub(super) base: Vec<u8>,
    spans: Vec<Span>,
    pub(super) merged: Vec<u8>,
    /// Runs of a sample, which are merged once more, with statistics: what the block's own fold does stays as fast as it is.
    pub(super) sampled: Vec<u8>,
    /// What became of the values of the adapters' deltas of the latest block, where that was counted.
    pub(super) fates: Vec<Fate>,
}

impl BlockBuffers {
    /// Read the bytes that `block` needs, which are in `spans`.
    pub(super) async fn read(&mut self, block: &Block<'_>, spans: Vec<Span>, inputs: &impl Inputs) -> Result<()> {
        self.spans = spans;
        resize(&mut self.base, &block.program.tensor, self.spans.iter().map(|span| span.bytes).sum())?;
        let mut rest = self.base.as_mut_slice();
        for span in &self.spans {
            let (part, next) = rest.split_at_mut(span.bytes as usize);
            inputs.read(span.input, span.start, part).await?;
            rest = next;
        }
        Ok(())
    }
}

impl BlockBuffers {
    /// The bytes of `wanted`, which lie in the spans that were read, from number `first` on.
    fn held(&self, first: usize, wanted: &[Span]) -> Vec<&[u8]> {
        let mut start: usize = self.spans.iter().take(first).map(|span| span.bytes as usize).sum();
        let mut parts = Vec::with_capacity(wanted.len());
        for (wanted, held) in wanted.iter().zip(self.spans.iter().skip(first)) {
            let at = start + (wanted.start - held.start) as usize;
            parts.push(&self.base[at..at + wanted.bytes as usize]);
            start += held.bytes as usize;
        }
        parts
    }
}

/// One run of elements of a program whose operands are in memory.
pub(super) struct Block<'a> {
    pub(super) program: &'a Program,
    pub(super) prepared: &'a PreparedProgram,
    pub(super) elements: Range<u64>,
    pub(super) allow_nonfinite: bool,
    /// What is known of the whole weight, where the program must know something.
    pub(super) known: Option<&'a Known>,
}

impl Block<'_> {
    /// The block's bytes in the output, from those of the source.
    pub(super) fn compute<'b>(
        &self,
        buffers: &'b mut BlockBuffers,
        statistics: Option<&mut Statistics>,
    ) -> Result<&'b [u8]> {
        let to = self.program.to;
        let nearest = self.program.rounding == Rounding::Nearest;
        match self.program.source {
            Stored::Plain(Plain { float, .. })
                if nearest && self.program.combine.rule().is_none() && !self.prepared.has_others() =>
            {
                let mut statistics = match statistics {
                    Some(sample) if sample.spread.is_some() => {
                        self.sample(buffers, float, sample)?;
                        None
                    }
                    every => every,
                };
                let BlockBuffers { base, merged, .. } = buffers;
                if float == to {
                    self.fold(base, float, |factors, first, base| {
                        fold_in_place(factors, first, float, base, statistics.as_deref_mut())
                    })?;
                    return Ok(base);
                }
                resize(merged, &self.program.tensor, self.count() * to.bytes() as u64)?;
                let (from_width, to_width) = (float.bytes(), to.bytes());
                let mut rest = merged.as_mut_slice();
                self.fold(base, float, |factors, first, base| {
                    let (part, next) = std::mem::take(&mut rest).split_at_mut(base.len() / from_width * to_width);
                    rest = next;
                    fold_into(factors, first, float, base, to, part, statistics.as_deref_mut())
                })?;
                Ok(merged)
            }
            Stored::Plain(Plain { float, .. })
                if !self.prepared.has_others()
                    && statistics.as_ref().is_none_or(|statistics| statistics.spread.is_some())
                    && self.has_strips() =>
            {
                self.compute_strips(buffers, float, statistics)
            }
            Stored::Plain(Plain { float: Float::F64, .. }) => self.transform::<f64>(buffers, statistics),
            _ => self.transform::<f32>(buffers, statistics),
        }
    }

    /// The source's values, and what the updates make of them, in f64 and not rounded; the products of low-rank factors are f32.
    pub(super) fn values(&self, buffers: &BlockBuffers) -> Result<(Vec<f64>, Vec<f64>)> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let mut work = Work::new();
        for tile in self.tiles() {
            self.merge_tile(&tile, buffers, &mut work)?;
            before.extend_from_slice(&work.base);
            after.extend_from_slice(&work.sum);
        }
        Ok((before, after))
    }

    /// Add what is in the block of a sample to `statistics`: as nothing is done for these elements but once more, the fold of the block is as fast as
    /// without.
    fn sample(&self, buffers: &mut BlockBuffers, float: Float, statistics: &mut Statistics) -> Result<()> {
        let Program { to, cols, tensor, .. } = self.program;
        let BlockBuffers { base, sampled, .. } = buffers;
        for run in self.sampled(&self.elements) {
            let mut found = Statistics::default();
            for (band, part) in self.parts(&run) {
                let bytes = self.bytes_of(&part, float, base);
                resize(sampled, tensor, (part.end - part.start) * to.bytes() as u64)?;
                let first = part.start - band.rows.start * cols;
                // What leaves the finite range is found by the fold of the block.
                let _ = fold_into(&band.sum.factors, first, float, bytes, *to, sampled, Some(&mut found));
            }
            statistics.add_run(&found);
        }
        Ok(())
    }

    /// The runs of the tensor's sample in `elements`. A tensor that only changes its type has none.
    pub(super) fn sampled(&self, elements: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
        let sample = (!self.program.updates.is_empty()).then(|| Sample::of(self.program));
        let elements = elements.clone();
        sample.into_iter().flat_map(move |sample| sample.within(elements.clone()))
    }

    /// The bytes of `part` among those of the block, elements of type `float`.
    fn bytes_of<'b>(&self, part: &Range<u64>, float: Float, bytes: &'b [u8]) -> &'b [u8] {
        let at = |element: u64| (element - self.elements.start) as usize * float.bytes();
        &bytes[at(part.start)..at(part.end)]
    }

    /// Gather what the round that is under way asks of the block's elements.
    pub(super) fn gather(&self, buffers: &BlockBuffers, known: &Known, result: &mut Gathered) -> Result<()> {
        match self.program.source.float() {
            Some(Float::F64) => self.gather_as::<f64>(buffers, known, result),
            _ => self.gather_as::<f32>(buffers, known, result),
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.elements.end - self.elements.start
    }

    /// Each band that some of `elements` are in, and its part of them.
    pub(super) fn parts(&self, elements: &Range<u64>) -> impl Iterator<Item = (&Band, Range<u64>)> {
        let (cols, elements) = (self.program.cols, elements.clone());
        self.prepared.bands.iter().filter_map(move |band| {
            let part = elements.start.max(band.rows.start * cols)..elements.end.min(band.rows.end * cols);
            (part.start < part.end).then_some((band, part))
        })
    }

    /// Fold the factors of every band into the bytes of its part: the fast path, where nothing is decoded but in registers.
    fn fold(
        &self,
        bytes: &mut [u8],
        float: Float,
        mut fold: impl FnMut(&Factors, u64, &mut [u8]) -> std::result::Result<(), NonFinite>,
    ) -> Result<()> {
        let mut rest = bytes;
        for (band, part) in self.parts(&self.elements) {
            let (bytes, next) = rest.split_at_mut((part.end - part.start) as usize * float.bytes());
            rest = next;
            let start = band.rows.start * self.program.cols;
            if let Err(NonFinite { element }) = fold(&band.sum.factors, part.start - start, bytes)
                && !self.allow_nonfinite
            {
                return Err(self.non_finite(start + element));
            }
        }
        Ok(())
    }

    /// Apply the updates tile by tile.
    fn transform<'b, R: Real>(
        &self,
        buffers: &'b mut BlockBuffers,
        mut statistics: Option<&mut Statistics>,
    ) -> Result<&'b [u8]> {
        let to = self.program.to;
        let mut merged = std::mem::take(&mut buffers.merged);
        resize(&mut merged, &self.program.tensor, self.count() * to.bytes() as u64)?;
        let mut work = Work::<R>::new();
        work.kept.fates = statistics.as_ref().filter(|asked| asked.spread.is_none()).map(|_| Vec::new());
        for tile in self.tiles() {
            self.merge_tile(&tile, buffers, &mut work)?;
            let (base, sum) = (work.base.as_slice(), work.sum.as_slice());
            let offset = (tile.start - self.elements.start) as usize * to.bytes();
            let out = &mut merged[offset..offset + sum.len() * to.bytes()];
            self.round(tile.start, base, sum, out)?;
            let Some(statistics) = statistics.as_deref_mut() else { continue };
            if statistics.spread.is_none() {
                statistics.compare(base, sum, to, out);
                continue;
            }
            for run in self.sampled(&tile) {
                let (start, end) = ((run.start - tile.start) as usize, (run.end - tile.start) as usize);
                let mut found = Statistics::default();
                found.compare(&base[start..end], &sum[start..end], to, &out[start * to.bytes()..end * to.bytes()]);
                statistics.add_run(&found);
            }
        }
        buffers.fates = work.kept.fates.unwrap_or_default();
        buffers.merged = merged;
        Ok(&buffers.merged)
    }

    /// Decode the elements of `tile`, and apply the updates to them.
    pub(super) fn merge_tile<R: Real>(
        &self,
        tile: &Range<u64>,
        buffers: &BlockBuffers,
        work: &mut Work<R>,
    ) -> Result<()> {
        let Work { base, sum, changed, kept } = work;
        self.decode(tile, buffers, base)?;
        // The bands cover every row, so all of it is written.
        sum.resize(base.len(), R::ZERO);
        for (band, part) in self.parts(tile) {
            let inside = (part.start - tile.start) as usize..(part.end - tile.start) as usize;
            let (base, sum) = (&base[inside.clone()], &mut sum[inside]);
            match self.program.combine.rule() {
                Some(rule) => self.combine(rule, band, &part, buffers, base, sum, changed, kept),
                None => self.update(band, &part, buffers, base, sum, changed),
            }
        }
        Ok(())
    }

    /// The updates of `band` on its elements `part`, into `sum`.
    fn update<R: Real>(
        &self,
        band: &Band,
        part: &Range<u64>,
        buffers: &BlockBuffers,
        base: &[R],
        sum: &mut [R],
        changed: &mut Vec<R>,
    ) {
        let start = band.rows.start * self.program.cols;
        let apply = |number: usize, update: &Prepared, out: &mut [R]| {
            let beside = self.beside(number, part, buffers);
            update.apply(&self.tile(band, part.start, base, &beside), out);
        };
        // One update at weight 1 is what it makes of the weight, without a difference that rounds.
        if let ([(1.0, number, only)], 0) = (band.sum.others.as_slice(), band.sum.factors.rank()) {
            return apply(*number, only, sum);
        }
        fold_tile(&band.sum.factors, part.start - start, R::FLOAT, bytes_of(base), sum);
        for (weight, number, update) in &band.sum.others {
            changed.resize(base.len(), R::ZERO);
            apply(*number, update, changed);
            add_weighted(sum, base, changed, *weight);
        }
    }

    /// The elements of `band` that begin with element `first`.
    pub(super) fn tile<'t, R: Real>(
        &self,
        band: &Band,
        first: u64,
        base: &'t [R],
        beside: &'t [&'t [u8]],
    ) -> Tile<'t, R> {
        let cols = self.program.cols.max(1);
        let row = first / cols - band.rows.start;
        Tile {
            row: row as usize,
            col: (first % cols) as usize,
            cols: band.sum.factors.cols(),
            float: R::FLOAT,
            base,
            beside,
        }
    }

    /// Round a tile to the output's type; no finite value of the base may leave the finite range.
    pub(super) fn round<R: Real>(&self, first: u64, base: &[R], sum: &[R], out: &mut [u8]) -> Result<()> {
        // The sum of the squares is taken in vectors, and is finite only where every value is.
        let mut squares = [0.0];
        row_squares(sum, sum.len(), &mut squares);
        let left = match squares[0].is_finite() {
            true => None,
            false => sum.iter().zip(base).position(|(sum, base)| !sum.is_finite() && base.is_finite()),
        };
        let to = self.program.to;
        let over = match self.program.rounding {
            Rounding::Nearest => {
                let rounded = fold_into(&Factors::none(sum.len()), 0, R::FLOAT, bytes_of(sum), to, out, None);
                rounded.err().map(|NonFinite { element }| element)
            }
            Rounding::Stochastic(key) => write_stochastic(sum, first, key, to, out),
        };
        match left.map(|element| element as u64).into_iter().chain(over).min() {
            Some(element) if !self.allow_nonfinite => Err(self.non_finite(first + element)),
            _ => Ok(()),
        }
    }

    fn gather_as<R: Real>(&self, buffers: &BlockBuffers, known: &Known, result: &mut Gathered) -> Result<()> {
        if let (Some(rule), Stage::Largest | Stage::Sums) = (self.program.combine.rule(), known.stage) {
            return self.gather_deltas::<R>(rule, known, buffers, result);
        }
        let mut sums = vec![0.0; self.program.fact_length()];
        let (mut base, mut changed) = (Vec::<R>::new(), Vec::<R>::new());
        for tile in self.tiles() {
            self.decode(&tile, buffers, &mut base)?;
            for (band, part) in self.parts(&tile) {
                let inside = (part.start - tile.start) as usize..(part.end - tile.start) as usize;
                for (_, number, update) in band.others() {
                    let Some(facts) = self.program.fact_range(*number) else { continue };
                    let beside = self.beside(*number, &part, buffers);
                    let rows = self.tile(band, part.start, &base[inside.clone()], &beside);
                    update.gather(&rows, &mut changed, &mut sums[facts]);
                }
            }
        }
        result.sums = sums;
        Ok(())
    }

    /// The block in tiles: runs that methods can work on, of rows in fours where there are enough, as the kernel wants them.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let most = match self.program.combine.rule() {
            None => TILE_ELEMENTS,
            // Each adapter has a tile of its own: four rows suffice.
            Some(_) => self.program.cols.saturating_mul(4).clamp(TILE_ELEMENTS / 4, TILE_ELEMENTS),
        };
        let step = self.program.block(most * self.program.to.bytes() as u64);
        let mut start = self.elements.start;
        std::iter::from_fn(move || {
            let end = self.program.footprint(start..(start + step).min(self.elements.end)).end;
            let tile = start..end.min(self.elements.end);
            start = tile.end;
            (tile.start < tile.end).then_some(tile)
        })
    }

    /// The source's values of a tile of the block.
    pub(super) fn decode<R: Real>(&self, tile: &Range<u64>, buffers: &BlockBuffers, values: &mut Vec<R>) -> Result<()> {
        values.resize((tile.end - tile.start) as usize, R::ZERO);
        let parts = buffers.held(0, &self.program.source.reads(tile.clone()));
        self.program.source.decode(tile.clone(), &parts, &self.prepared.side, values)
    }

    /// The bytes that update number `number` reads beside the source's for `elements`.
    pub(super) fn beside<'b>(&self, number: usize, elements: &Range<u64>, buffers: &'b BlockBuffers) -> Vec<&'b [u8]> {
        let Program { source, updates, cols, .. } = self.program;
        let wanted = updates[number].reads(elements, *cols);
        if wanted.is_empty() {
            return Vec::new();
        }
        // Those of the whole block, as they were read.
        let reads = |update: &Update| update.reads(&self.elements, *cols).len();
        let before: usize = updates[..number].iter().map(reads).sum();
        buffers.held(source.reads(self.elements.clone()).len() + before, &wanted)
    }

    pub(super) fn non_finite(&self, element: u64) -> Error {
        let reason = format!("a finite value of the base becomes infinite or NaN in {}", self.program.to.dtype());
        Error::non_finite(self.program.tensor.clone(), element, reason)
            .fix("use a smaller weight or a wider dtype, or allow such values (allowNonfinite)")
    }
}
