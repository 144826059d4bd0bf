//! Which values of a delta, or of a factor, are kept: the largest, or random ones.
//!
//! PEFT's `merge_utils.prune`. Selection is exact, by the bits of |x|; of equal values the first are kept, where PEFT's `topk` says nothing.

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};
use crate::tensor::philox::random_block;

/// Which values are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prune {
    /// All.
    Nothing,
    /// Those whose bits are above `key`, and the first `equals` of those that have just these.
    Magnitude { key: u64, equals: u64 },
    /// Each with the probability `density`, and divided by it (DARE, arXiv 2311.03099).
    Random { key: u64, density: f64 },
}

/// Hands all values over, in order, part by part.
pub(crate) type Every<'a> = dyn FnMut(&mut dyn FnMut(&[f64])) -> Result<()> + 'a;

/// Bits that a step of the selection looks at.
const STEP: u32 = 16;

impl Prune {
    /// The `⌊density · count⌋` largest of `count` values, which `every` hands over twice.
    ///
    /// # Errors
    /// Those of `every`; `limit-exceeded` where memory does not suffice for about 3 % of the values.
    pub(crate) fn largest(density: f64, count: u64, every: &mut Every) -> Result<Prune> {
        if density >= 1.0 {
            return Ok(Prune::Nothing);
        }
        let mut wanted = (density * count as f64) as u64;
        if wanted == 0 {
            return Ok(Prune::Magnitude { key: u64::MAX, equals: 0 });
        }
        // The first bits of all values, then the others of those that share the first ones with the last that is kept.
        let first = 63 - STEP;
        let mut counts = vec![0; 1 << STEP];
        every(&mut |values| values.iter().for_each(|value| counts[(bits(*value) >> first) as usize] += 1))?;
        let mut bucket = bucket(&counts, &mut wanted);
        if bucket == 0 {
            // Zeros, and what is as good as zero.
            return Ok(Prune::Nothing);
        }
        let mut candidates = Vec::new();
        let room = usize::try_from(counts[bucket]).ok().filter(|&count| candidates.try_reserve_exact(count).is_ok());
        room.ok_or_else(|| {
            Error::limit_exceeded("factors", "there is not enough memory to find the largest values of one weight")
                .kind(ErrorKind::NoMemory)
        })?;
        every(&mut |values| {
            let in_bucket = |bits: &u64| (bits >> first) as usize == bucket;
            candidates.extend(values.iter().map(|value| bits(*value)).filter(in_bucket));
        })?;
        for shift in [32, 16, 0] {
            let digit = |bits: u64| (bits >> shift) as usize & ((1 << STEP) - 1);
            counts.fill(0);
            candidates.iter().for_each(|&bits| counts[digit(bits)] += 1);
            bucket = self::bucket(&counts, &mut wanted);
            candidates.retain(|&bits| digit(bits) == bucket);
        }
        Ok(Prune::Magnitude { key: candidates.first().copied().unwrap_or(u64::MAX), equals: wanted })
    }

    /// Random values of a tensor: those of seed, adapter and name, whichever part of the tensor is computed first.
    pub(crate) fn random(density: f64, seed: u64, adapter_sha256: &str, tensor: &str) -> Prune {
        if density >= 1.0 {
            return Prune::Nothing;
        }
        Prune::Random { key: key(&[&seed.to_le_bytes(), adapter_sha256.as_bytes(), tensor.as_bytes()]), density }
    }

    /// Put zeros in the place of the values that are not kept. `first` is the number of the first value. `seen` counts what equals the threshold:
    /// 0 before the first value of a tensor, and kept from one part to the next.
    pub(crate) fn apply(&self, first: u64, values: &mut [f64], seen: &mut u64) {
        match *self {
            Prune::Nothing => {}
            Prune::Magnitude { key, equals } => {
                for value in values {
                    let bits = bits(*value);
                    *seen += u64::from(bits == key);
                    if bits < key || bits == key && *seen > equals {
                        *value = 0.0;
                    }
                }
            }
            Prune::Random { key, density } => {
                let limit = density * (1u64 << 32) as f64;
                let mut block = (u64::MAX, [0; 4]);
                for (element, value) in (first..).zip(values) {
                    if block.0 != element / 4 {
                        block = (element / 4, random_block(element / 4, key));
                    }
                    let kept = f64::from(block.1[(element % 4) as usize]) < limit;
                    *value = if kept { *value / density } else { 0.0 };
                }
            }
        }
    }
}

/// The first 64 bits of the hash of all parts.
pub(crate) fn key(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let digest = hash.finalize();
    digest.iter().take(8).rev().fold(0, |key, &byte| key << 8 | u64::from(byte))
}

/// |value|, in the order of magnitudes.
fn bits(value: f64) -> u64 {
    value.to_bits() & (u64::MAX >> 1)
}

/// Where the `wanted`th largest is, and how many are wanted of those in its bucket.
fn bucket(counts: &[u64], wanted: &mut u64) -> usize {
    for (bucket, &count) in counts.iter().enumerate().rev() {
        if count >= *wanted {
            return bucket;
        }
        *wanted -= count;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::random_of;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn pruned(prune: &Prune, values: &[f64], part: usize) -> Vec<f64> {
        let (mut out, mut seen) = (values.to_vec(), 0);
        for (number, part_of) in out.chunks_mut(part).enumerate() {
            prune.apply((number * part) as u64, part_of, &mut seen);
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
                order.sort_by(|&one, &other| values[other].abs().total_cmp(&values[one].abs()));
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
        let prune = Prune::random(0.25, 1, "ab", "t");
        let Prune::Random { key, .. } = prune else { panic!("{prune:?}") };
        // sha256 of 01 00 00 00 00 00 00 00 61 62 74.
        assert_eq!(key, self::key(&[&[1, 0, 0, 0, 0, 0, 0, 0, b'a', b'b', b't']]));
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
