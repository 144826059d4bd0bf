//! Which values of a delta, or of a factor, are kept: the largest, or random ones. The same as when adapters are merged by a method, where the
//! values are those of the weight's delta: one search for the largest ([`Selection`]), and one random number of each element.
//!
//! PEFT's `merge_utils.prune`. Selection is exact, by the bits of |x| in f32; of equal values the first are kept, where PEFT's `topk` says nothing.

use crate::combine::{Found, Selection, Tally, limit};
use crate::error::Result;
use crate::kernel::random_numbers;

/// Which values are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prune {
    /// All.
    Nothing,
    /// The largest.
    Magnitude(Found),
    /// Each with the probability `density`, and divided by it (DARE, arXiv 2311.03099).
    Random { key: u64, density: f64 },
}

/// Hands all values over, in order, part by part.
pub(crate) type Every<'a> = dyn FnMut(&mut dyn FnMut(&[f64])) -> Result<()> + 'a;

/// Values that are looked at together.
const TOGETHER: usize = 256;

impl Prune {
    /// The `⌊density · count⌋` largest of `count` values, which `every` hands over two times or three.
    ///
    /// # Errors
    /// Those of `every`.
    pub(crate) fn largest(density: f64, count: u64, every: &mut Every) -> Result<Prune> {
        if density >= 1.0 {
            return Ok(Prune::Nothing);
        }
        let mut selection = Selection::largest((density * count as f64) as u64, count, false);
        loop {
            let search = match &selection {
                Selection::Known(found) => return Ok(Prune::Magnitude(*found)),
                Selection::Sought(search) => search.clone(),
            };
            let (mut tally, mut first, mut narrow) = (Tally::default(), 0, [0.0; TOGETHER]);
            every(&mut |values| {
                for values in values.chunks(TOGETHER) {
                    narrow.iter_mut().zip(values).for_each(|(to, from)| *to = *from as f32);
                    search.count(&narrow[..values.len()], first, &mut tally);
                    first += values.len() as u64;
                }
            })?;
            selection = search.next(&tally);
        }
    }

    /// Random values of a tensor, by a key for the tensor of an adapter.
    pub(crate) fn random(density: f64, key: u64) -> Prune {
        if density >= 1.0 { Prune::Nothing } else { Prune::Random { key, density } }
    }

    /// Put zeros in the place of the values that are not kept. `first` is the number of the first value.
    pub(crate) fn apply(&self, first: u64, values: &mut [f64]) {
        match *self {
            Prune::Nothing => {}
            Prune::Magnitude(found) => {
                let dropped = (first..).zip(values).filter(|(element, value)| !found.keeps(**value as f32, *element));
                dropped.for_each(|(_, value)| *value = 0.0);
            }
            Prune::Random { key, density } => {
                let (limit, mut numbers) = (limit(density), [0; TOGETHER]);
                for (first, values) in (first..).step_by(TOGETHER).zip(values.chunks_mut(TOGETHER)) {
                    let numbers = &mut numbers[..values.len()];
                    random_numbers(first, key, numbers);
                    for (value, &number) in values.iter_mut().zip(&*numbers) {
                        *value = if u64::from(number) < limit { *value / density } else { 0.0 };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::random_of;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pruned(prune: &Prune, values: &[f64], part: usize) -> Vec<f64> {
        let mut out = values.to_vec();
        for (number, part_of) in out.chunks_mut(part).enumerate() {
            prune.apply((number * part) as u64, part_of);
        }
        out
    }

    #[test]
    fn the_largest_are_those_of_a_stable_sort() {
        // Few distinct magnitudes, so that there are ties; and many.
        for distinct in [3u64, 40, 1 << 40] {
            let value = |at: u64| {
                let random = (u64::from(random_of(at, 7)) << 16 ^ u64::from(random_of(at, 8))) % distinct;
                (random as f64 - distinct as f64 / 3.0) * 1e-3
            };
            let values: Vec<f64> = (0..501).map(value).collect();
            for density in [0.0, 0.001, 0.2, 0.5, 0.97, 1.0] {
                let mut order: Vec<usize> = (0..values.len()).collect();
                // Of those that f32 does not tell apart the first.
                order.sort_by(|&one, &other| (values[other].abs() as f32).total_cmp(&(values[one].abs() as f32)));
                let mut expected = vec![0.0; values.len()];
                let count = (density * values.len() as f64) as usize;
                order[..count].iter().for_each(|&at| expected[at] = values[at]);
                let prune = Prune::largest(density, values.len() as u64, &mut |take| {
                    values.chunks(64).for_each(take);
                    Ok(())
                });
                let prune = prune.unwrap();
                for part in [1, 7, 501] {
                    assert_eq!(pruned(&prune, &values, part), expected, "{distinct} {density}");
                }
            }
        }
    }

    #[test]
    fn random_values_are_those_of_their_places() {
        let key = 0x0123_4567_89ab_cdef;
        let prune = Prune::random(0.25, key);
        let values: Vec<f64> = (1..=4001).map(f64::from).collect();
        let kept = pruned(&prune, &values, 4001);
        assert_eq!(pruned(&prune, &values, 6), kept);
        for (at, (value, kept)) in values.iter().zip(&kept).enumerate() {
            let random = f64::from(random_of(at as u64, key)) / 4_294_967_296.0;
            assert_eq!(*kept, if random < 0.25 { value * 4.0 } else { 0.0 });
        }
        let count = kept.iter().filter(|value| **value != 0.0).count();
        assert!((900..1100).contains(&count), "{count}");
    }
}
