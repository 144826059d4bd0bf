//! The k largest values of a tensor by magnitude, exactly, and without ever holding them: k integers decide, so no order of the work can show.
//!
//! Values are ranked by the bits of |x|, the largest first; of equal ones the first element comes first. A search narrows the keys down between
//! which the k-th value lies. A pass over the values counts those above, and those between by bins, of the key or, where all keys are equal, of the
//! element. Where few lie between, the pass also lists them, which ends the search. Before the first pass a part of the values may be looked at to
//! guess where the k-th lies: a wrong guess costs a pass, and changes nothing else.

use super::found::{Found, LARGEST, key_of};
use crate::kernel::{Count, FOUR, Four, fours, padded};
use crate::wire::{Wire, wire, wire_enum};

/// Bins of a pass.
const BINS: u32 = 4096;

/// Values that are listed at most: a MiB.
const LISTED: usize = 128 << 10;

/// Bits of a key that the bins of a sample leave out.
const SAMPLE_SHIFT: u32 = 13;

/// Of so many values one is in a sample.
pub(crate) const SAMPLED: u64 = 16;

/// Standard deviations, of values that are drawn independently, that a guess is made wide: the values of a tile have much in common.
const WIDE: f64 = 7.0;

/// What is known of which values are kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Selection {
    /// Not yet.
    Sought(Search),
    /// It is known.
    Known(Found),
}

wire_enum!(Selection { Sought(search), Known(found) });

/// A search that is under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// How many values are kept.
    kept: u64,
    /// Of the values that are not zero, which share is kept; then `kept` is not known before they are counted.
    share: Option<f64>,
    /// How many values there are.
    of: u64,
    /// The key of the k-th value is between these, as far as is known or guessed.
    low: u32,
    high: u32,
    /// Where both are equal: between which elements it is.
    first: u64,
    end: u64,
    /// The next pass goes through a sample.
    sample: bool,
    /// The next pass lists what is between.
    lists: bool,
}

wire!(Search { kept, share, of, low, high, first, end, sample, lists });

/// What a pass found, or a part of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Values that were looked at.
    seen: u64,
    /// Values above what was sought between.
    above: u64,
    /// Those between, by bins, the largest first; of a sample by keys.
    bins: Counts,
    /// Those between, where they are listed: how far below the highest, and which element.
    list: Vec<u64>,
    /// There were too many for the list.
    over: bool,
}

wire!(Tally { seen, above, bins, list, over });

/// Counts, most of which are zero.
#[derive(Debug, Clone, Default, PartialEq)]
struct Counts(Vec<u32>);

impl Wire for Counts {
    fn put(&self, out: &mut Vec<u8>) {
        (self.0.len() as u64).put(out);
        for (at, &count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            (at as u32, count).put(out);
        }
        (u32::MAX, 0u32).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = u64::take(from)?.min(1 << (31 - SAMPLE_SHIFT));
        let mut counts = vec![0; length as usize];
        loop {
            let (at, count) = <(u32, u32)>::take(from)?;
            if at == u32::MAX {
                return Some(Counts(counts));
            }
            *counts.get_mut(at as usize)? = count;
        }
    }
}

/// Number `wanted` of different numbers in their order.
fn nth(numbers: &mut [u64], wanted: usize) -> u64 {
    let (mut from, mut to) = (0, numbers.len());
    while to - from > 1 {
        let (first, middle, last) = (numbers[from], numbers[(from + to) / 2], numbers[to - 1]);
        let pivot = first.max(middle).min(last.max(first.min(middle)));
        let mut smaller = from;
        for at in from..to {
            if numbers[at] < pivot {
                numbers.swap(at, smaller);
                smaller += 1;
            }
        }
        if wanted < smaller {
            to = smaller;
        } else {
            let Some(place) = numbers[smaller..to].iter().position(|&number| number == pivot) else { break };
            numbers.swap(smaller, smaller + place);
            if wanted == smaller {
                return pivot;
            }
            from = smaller + 1;
        }
    }
    numbers.get(from).copied().unwrap_or(u64::MAX)
}

/// Bits that a number below `limit` has at most.
fn bits(limit: u64) -> u32 {
    64 - limit.saturating_sub(1).leading_zeros()
}

impl Selection {
    /// The `kept` largest of `of` values. `sampled`: whether a sample can be had.
    pub fn largest(kept: u64, of: u64, sampled: bool) -> Selection {
        match kept {
            0 => Selection::Known(Found::NONE),
            _ if kept >= of => Selection::Known(Found::ALL),
            _ => Selection::Sought(Search::new(kept, None, of, sampled)),
        }
    }

    /// The largest of `of` values: this share of those that are not zero.
    pub fn share(share: f64, of: u64) -> Selection {
        if share >= 1.0 {
            Selection::Known(Found::ALL)
        } else {
            Selection::Sought(Search::new(0, Some(share), of, false))
        }
    }

    /// What is kept, once it is known.
    pub fn found(&self) -> Option<Found> {
        match self {
            Selection::Known(found) => Some(*found),
            Selection::Sought(_) => None,
        }
    }

    /// The next search, where there is one.
    pub fn search(&self) -> Option<&Search> {
        match self {
            Selection::Sought(search) => Some(search),
            Selection::Known(_) => None,
        }
    }
}

impl Search {
    fn new(kept: u64, share: Option<f64>, of: u64, sampled: bool) -> Search {
        let few = of <= LISTED as u64;
        Search { kept, share, of, low: 1, high: LARGEST, first: 0, end: of, sample: sampled && !few, lists: few }
    }

    /// Whether the next pass goes through a sample.
    pub fn samples(&self) -> bool {
        self.sample
    }

    /// Bits of an element's number in the list.
    fn element_bits(&self) -> u32 {
        bits(self.of)
    }

    /// By how many bits what is between is shifted to get its bin.
    fn shift(&self) -> u32 {
        let width = if self.low == self.high { self.end - self.first } else { u64::from(self.high - self.low) + 1 };
        bits(width).saturating_sub(BINS.trailing_zeros())
    }

    /// Count the values from element `first` on.
    pub fn count(&self, values: &[f32], first: u64, tally: &mut Tally) {
        tally.seen += values.len() as u64;
        let bins = if self.sample { 1 << (31 - SAMPLE_SHIFT) } else { BINS as usize };
        tally.bins.0.resize(bins, 0);
        if self.sample {
            values.iter().for_each(|&value| tally.bins.0[(key_of(value) >> SAMPLE_SHIFT) as usize] += 1);
            return;
        }
        let (low, high) = (self.low as i32 - 1, self.high as i32);
        let (fours, tail) = fours(values);
        let (pairs, odd) = fours.as_chunks::<2>();
        let mut count = Count::none();
        for (number, [one, other]) in pairs.iter().enumerate() {
            let (a, b) = (Four::load(one), Four::load(other));
            let (above_a, above_b) = (a.key_above(high), b.key_above(high));
            count = count.with(above_a).with(above_b);
            // Those above the one and not the other: few.
            let between = (a.key_above(low).and(above_a.others()), b.key_above(low).and(above_b.others()));
            if between.0.or(between.1).any() {
                let first = first + (number * 2 * FOUR) as u64;
                if between.0.any() {
                    self.between(one, first, tally);
                }
                if between.1.any() {
                    self.between(other, first + FOUR as u64, tally);
                }
            }
        }
        let mut first = first + (pairs.len() * 2 * FOUR) as u64;
        // Zeros beyond the end are no values: what is sought is above 0.
        for last in odd.iter().map(|four| four.as_slice()).chain([tail]) {
            count = count.with(Four::load(&padded(last)).key_above(high));
            self.between(last, first, tally);
            first += last.len() as u64;
        }
        tally.above += count.total();
    }

    #[cold]
    fn between(&self, values: &[f32], first: u64, tally: &mut Tally) {
        let shift = self.shift();
        for (element, &value) in (first..).zip(values) {
            let key = key_of(value);
            if key < self.low || key > self.high {
                continue;
            }
            let below = self.high - key;
            let bin = if self.low == self.high {
                if element < self.first {
                    tally.above += 1;
                    continue;
                }
                if element >= self.end {
                    continue;
                }
                (element - self.first) >> shift
            } else {
                u64::from(below) >> shift
            };
            tally.bins.0[bin as usize] += 1;
            if self.lists && !tally.over {
                tally.list.push(u64::from(below) << self.element_bits() | element);
                tally.limit();
            }
        }
    }

    /// What is known after a pass.
    pub fn next(&self, tally: &Tally) -> Selection {
        if self.sample {
            return Selection::Sought(self.guess(tally));
        }
        let Tally { above, bins: Counts(bins), list, over, .. } = tally;
        let between: u64 = bins.iter().map(|&count| u64::from(count)).sum();
        let kept = match self.share {
            Some(share) => (share * between as f64) as u64,
            None => self.kept,
        };
        let next = Search { kept, share: None, sample: false, ..self.clone() };
        if kept == 0 {
            return Selection::Known(Found::NONE);
        }
        if kept <= *above {
            // The guess was too low.
            return Selection::Sought(Search { low: self.high + 1, high: LARGEST, lists: false, ..next });
        }
        let mut place = kept - above;
        if place > between {
            return match self.low {
                // Fewer are not zero than may be kept.
                ..=1 => Selection::Known(Found::ALL),
                low => Selection::Sought(Search { low: 1, high: low - 1, lists: false, ..next }),
            };
        }
        if self.lists && !over {
            let code = nth(&mut list.clone(), place as usize - 1);
            let element_bits = self.element_bits();
            let key = self.high - (code >> element_bits) as u32;
            return Selection::Known(Found { key, last: code & ((1 << element_bits) - 1) });
        }
        let mut bin = 0;
        while let Some(&count) = bins.get(bin)
            && place > u64::from(count)
        {
            place -= u64::from(count);
            bin += 1;
        }
        let count = bins.get(bin).copied().unwrap_or(0);
        let (width, start) = (1u64 << self.shift(), (bin as u64) << self.shift());
        let mut next = next;
        if self.low == self.high {
            next.first = self.first + start;
            next.end = self.end.min(next.first + width);
        } else {
            next.high = self.high - start as u32;
            next.low = self.low.max(next.high.saturating_sub(width as u32 - 1));
        }
        next.lists = count as usize <= LISTED && next.list_fits();
        Selection::Sought(next)
    }

    /// Whether an entry of the list has room for the keys between and the element.
    fn list_fits(&self) -> bool {
        bits(u64::from(self.high - self.low) + 1) + self.element_bits() <= 64
    }

    /// Between which keys the k-th value presumably lies.
    fn guess(&self, tally: &Tally) -> Search {
        let (seen, share) = (tally.seen as f64, self.kept as f64 / self.of as f64);
        let margin = WIDE * (seen * share * (1.0 - share)).sqrt() + 16.0;
        let (from, to) = (seen * share - margin, seen * share + margin);
        let (mut low, mut high, mut before) = (1, LARGEST, 0.0);
        for (bin, &count) in tally.bins.0.iter().enumerate().rev().filter(|(_, count)| **count > 0) {
            let after = before + f64::from(count);
            let start = (bin as u32) << SAMPLE_SHIFT;
            if before <= from && from < after {
                high = start | ((1 << SAMPLE_SHIFT) - 1);
            }
            if before < to && to <= after {
                low = start.max(1);
            }
            before = after;
        }
        let guess = Search { low, high: high.max(low), sample: false, ..self.clone() };
        let lists = guess.list_fits();
        Search { lists, ..guess }
    }
}

impl Tally {
    /// Add what another part of the pass found.
    pub fn add(&mut self, other: Tally) {
        self.seen += other.seen;
        self.above += other.above;
        let bins = &mut self.bins.0;
        bins.resize(bins.len().max(other.bins.0.len()), 0);
        bins.iter_mut().zip(other.bins.0).for_each(|(bin, count)| *bin += count);
        self.over |= other.over;
        self.list.extend(other.list);
        self.limit();
    }

    /// Count values that are all zero.
    pub(crate) fn skip(&mut self, count: u64) {
        self.seen += count;
    }

    fn limit(&mut self) {
        if self.over || self.list.len() > LISTED {
            (self.over, self.list) = (true, Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// SplitMix64.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        }
    }

    /// The search, each pass in parts of random sizes that come in any order and cross as bytes.
    fn search(values: &[f32], mut selection: Selection, random: &mut Random) -> (Found, usize) {
        for pass in 0.. {
            let search = match &selection {
                Selection::Known(found) => return (*found, pass),
                Selection::Sought(search) => search.clone(),
            };
            assert!(pass < 8, "{search:?}");
            let (mut tallies, mut at) = (Vec::new(), 0);
            while at < values.len() {
                let end = (at + 1 + random.next() as usize % values.len()).min(values.len());
                let mut tally = Tally::default();
                let step = if search.samples() { SAMPLED as usize } else { 1 };
                let part: Vec<f32> = values[at..end].iter().step_by(step).copied().collect();
                search.count(&part, at as u64, &mut tally);
                let mut bytes = Vec::new();
                tally.put(&mut bytes);
                tallies
                    .insert(random.next() as usize % (tallies.len() + 1), Tally::take(&mut bytes.as_slice()).unwrap());
                at = end;
            }
            let mut all = Tally::default();
            tallies.into_iter().for_each(|tally| all.add(tally));
            selection = search.next(&all);
        }
        unreachable!()
    }

    /// The same by sorting.
    fn sorted(values: &[f32], kept: u64) -> Vec<bool> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by_key(|&element| (u32::MAX - key_of(values[element]), element));
        let mut keeps = vec![false; values.len()];
        order[..kept as usize].iter().for_each(|&element| keeps[element] = values[element] != 0.0);
        keeps
    }

    fn check(values: &[f32], kept: u64, sampled: bool, random: &mut Random) -> usize {
        let of = values.len() as u64;
        let (found, passes) = search(values, Selection::largest(kept, of, sampled), random);
        let mut masked = values.to_vec();
        let middle = random.next() as usize % (values.len() + 1);
        let (head, tail) = masked.split_at_mut(middle);
        found.mask(head, 0, true);
        found.mask(tail, middle as u64, true);
        let mut dropped = values.to_vec();
        found.mask(&mut dropped, 0, false);
        for (element, keeps) in sorted(values, kept).into_iter().enumerate() {
            let value = values[element];
            assert_eq!(masked[element] != 0.0, keeps, "{kept} of {of}: {value} at {element}, {found:?}");
            assert_eq!(found.keeps(value, element as u64) && value != 0.0, keeps);
            assert_eq!(dropped[element], if keeps { 0.0 } else { value });
        }
        passes
    }

    #[test]
    fn a_search_finds_what_sorting_finds() {
        let mut random = Random(5);
        for round in 0..300u64 {
            let length = 1 + random.next() % if round % 10 == 0 { 3000 } else { 60 };
            // Few different values, many zeros, all equal, or all different.
            let kinds = [1, 2, 7, 1 << 40][round as usize % 4];
            let values: Vec<f32> =
                (0..length).map(|_| ((random.next() % kinds) as f32 - (kinds / 3) as f32) * 0.37).collect();
            let kept = random.next() % (length + 1);
            check(&values, kept, round % 3 == 0, &mut random);
        }
    }

    #[test]
    fn a_large_search_takes_two_passes_and_ties_do_not_show() {
        let mut random = Random(9);
        let length = 3 * LISTED + 77;
        let ordinary: Vec<f32> =
            (0..length).map(|_| (0..6).map(|_| (random.next() >> 40) as f32 / 8e6 - 1.0).sum()).collect();
        for kept in [1, 3000, length / 10, length / 2, length - 5] {
            let passes = check(&ordinary, kept as u64, true, &mut random);
            assert!(passes <= 3, "{kept}: {passes}");
            check(&ordinary, kept as u64, false, &mut random);
        }
        assert_eq!(check(&ordinary, length as u64 / 2, true, &mut random), 2);
        // So many equal ones that the list does not hold them: then their elements are searched.
        for (values, kept) in [(1, 1000), (1, LISTED + 5), (2, length / 3), (3, length - 9), (40, length / 7)] {
            let equal: Vec<f32> = (0..length).map(|_| (1 + random.next() % values) as f32).collect();
            check(&equal, kept as u64, true, &mut random);
            check(&equal, kept as u64, false, &mut random);
        }
        // The sample sees nothing of what is sought: every sixteenth value is small.
        let hidden: Vec<f32> =
            (0..length).map(|at| if at % 16 == 0 { 1e-3 } else { 1.0 + ordinary[at].abs() }).collect();
        check(&hidden, length as u64 / 3, true, &mut random);
    }

    #[test]
    fn a_share_is_one_of_what_is_not_zero() {
        let mut random = Random(3);
        for length in [10usize, 1000, LISTED + 10] {
            let values: Vec<f32> = (0..length).map(|at| if at % 3 == 0 { 0.0 } else { random.next() as f32 }).collect();
            let nonzero = values.iter().filter(|value| **value != 0.0).count();
            let (found, _) = search(&values, Selection::share(0.5, length as u64), &mut random);
            let kept = (0..length).filter(|&at| found.keeps(values[at], at as u64)).count();
            assert_eq!(kept, nonzero / 2);
        }
    }
}
