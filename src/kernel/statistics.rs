//! Statistics of a fold: what the report says of each tensor.

use super::element::Element;
use super::real::Real;
use super::vector::Vector;
use crate::tensor::Float;
use crate::wire::{Wire, wire};

/// Sums over folded elements. Write W for the base, d for the delta (f32), out for the stored result.
///
/// The counts and `max_delta` are exact. The sums are good to about 1e-5 (they are added up in f32 for short stretches) and so may
/// depend, in their last digits, on how the elements were split. Elements whose W or d is infinite or NaN are counted, but left
/// out of the sums. Where both are finite and the result is not, `kept` is infinite or NaN.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Statistics {
    /// Elements folded.
    pub elements: u64,
    /// Elements whose stored bits are not those that W alone would have in the output type.
    pub changed: u64,
    /// Σ d².
    pub delta_sq: f64,
    /// Σ W².
    pub base_sq: f64,
    /// The largest |d|.
    pub max_delta: f32,
    /// Σ (out − W) · d: divided by `delta_sq`, the share of the delta that survives rounding.
    pub kept: f64,
    /// Where these are of a sample of the elements: how much its runs differ.
    pub spread: Option<Spread>,
}

wire!(Statistics { elements, changed, delta_sq, base_sq, max_delta, kept, spread });

/// How much the runs of elements of a sample differ. Write x for a run's `kept` and y for its `delta_sq`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spread {
    /// Number of runs.
    pub runs: u64,
    /// Σ x²
    pub kept_kept: f64,
    /// Σ x·y
    pub kept_delta: f64,
    /// Σ y²
    pub delta_delta: f64,
}

wire!(Spread { runs, kept_kept, kept_delta, delta_delta });

impl Statistics {
    /// Those of a sample, with nothing in it yet: [`Merger::compute`](crate::engine::Merger::compute) adds what it chooses.
    pub fn sampled() -> Statistics {
        Statistics { spread: Some(Spread::default()), ..Statistics::default() }
    }

    /// Adds a run of elements to a sample.
    pub(crate) fn add_run(&mut self, run: &Statistics) {
        let (x, y) = (run.kept, run.delta_sq);
        let spread = Spread { runs: 1, kept_kept: x * x, kept_delta: x * y, delta_delta: y * y };
        self.absorb(&Statistics { spread: Some(spread), ..*run });
    }

    /// As bytes, which `Wire::take` reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// Adds the statistics of other elements.
    pub fn absorb(&mut self, other: &Statistics) {
        self.elements += other.elements;
        self.changed += other.changed;
        self.delta_sq += other.delta_sq;
        self.base_sq += other.base_sq;
        self.max_delta = self.max_delta.max(other.max_delta);
        self.kept += other.kept;
        if let Some(other) = other.spread {
            let spread = self.spread.get_or_insert_default();
            spread.runs += other.runs;
            spread.kept_kept += other.kept_kept;
            spread.kept_delta += other.kept_delta;
            spread.delta_delta += other.delta_delta;
        }
    }

    /// Adds the elements of a tile: W, what it became before rounding, and the stored elements of type `to`.
    pub fn compare<R: Real>(&mut self, base: &[R], sum: &[R], to: Float, out: &[u8]) {
        let width = to.bytes();
        let mut unmerged = [0; 8];
        for ((&base, &sum), out) in base.iter().zip(sum).zip(out.chunks_exact(width)) {
            let (base, sum) = (base.into(), sum.into());
            to.write(base, &mut unmerged);
            self.add(base, (sum - base) as f32, to.read(out), out != &unmerged[..width]);
        }
    }

    /// Adds one element.
    pub(super) fn add(&mut self, base: f64, delta: f32, out: f64, changed: bool) {
        self.elements += 1;
        self.changed += u64::from(changed);
        if base.is_finite() && delta.is_finite() {
            let d = f64::from(delta);
            self.delta_sq += d * d;
            self.base_sq += base * base;
            self.max_delta = self.max_delta.max(delta.abs());
            self.kept += (out - base) * d;
        }
    }
}

/// The same sums, lane by lane, over one strip.
pub(super) struct Lanes<V> {
    unchanged: V,
    delta_sq: V,
    base_sq: V,
    max_delta: V,
    kept: V,
}

impl<V: Vector> Lanes<V> {
    /// # Safety
    /// The CPU has the instruction set.
    #[inline(always)]
    pub(super) unsafe fn new() -> Self {
        // SAFETY: the CPU has the instruction set, as this function requires.
        let zero = unsafe { V::splat(0.0) };
        Lanes { unchanged: zero, delta_sq: zero, base_sq: zero, max_delta: zero, kept: zero }
    }

    /// Adds one row of a tile.
    #[inline(always)]
    pub(super) fn add_row<F: Element, T: Element>(&mut self, base: [V; 2], delta: [V; 2], codes: [V; 2]) {
        let low = self.products::<F, T>(base[0], delta[0], codes[0]);
        let high = self.products::<F, T>(base[1], delta[1], codes[1]);
        self.delta_sq = self.delta_sq.add(low[0].add(high[0]));
        self.base_sq = self.base_sq.add(low[1].add(high[1]));
        self.kept = self.kept.add(low[2].add(high[2]));
    }

    /// Counts one vector, and returns d², W² and (out − W) · d.
    #[inline(always)]
    fn products<F: Element, T: Element>(&mut self, base: V, delta: V, codes: V) -> [V; 3] {
        let out = T::decode(codes);
        let same = if F::FLOAT == T::FLOAT { out.eq_bits(base) } else { codes.eq_bits(T::encode(base)) };
        // A comparison gives -1 where it holds.
        self.unchanged = self.unchanged.sub_bits(same);
        self.max_delta = self.max_delta.max_bits(delta.and(delta.constant(0x7FFF_FFFF)));
        [delta.mul(delta), base.mul(base), out.sub(base).mul(delta)]
    }

    /// Adds the lanes up, into the statistics of `elements` more elements.
    #[inline(always)]
    pub(super) fn flush(self, elements: usize, statistics: &mut Statistics) {
        let sum = |lanes: [f32; 8]| lanes[..V::LANES].iter().map(|&lane| f64::from(lane)).sum::<f64>();
        let unchanged: u64 = spread(self.unchanged)[..V::LANES].iter().map(|lane| u64::from(lane.to_bits())).sum();
        statistics.absorb(&Statistics {
            elements: elements as u64,
            changed: elements as u64 - unchanged,
            delta_sq: sum(spread(self.delta_sq)),
            base_sq: sum(spread(self.base_sq)),
            max_delta: spread(self.max_delta)[..V::LANES].iter().copied().fold(0.0, f32::max),
            kept: sum(spread(self.kept)),
            spread: None,
        });
    }
}

/// The lanes one by one, the first `LANES` of the array.
#[inline(always)]
fn spread<V: Vector>(lanes: V) -> [f32; 8] {
    const { assert!(V::LANES <= 8) };
    let mut spread = [0.0; 8];
    // SAFETY: the array has room for `LANES` values.
    unsafe { lanes.store(spread.as_mut_ptr()) };
    spread
}
