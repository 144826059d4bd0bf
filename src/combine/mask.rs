//! Random masks: which elements are kept is decided by their numbers alone.

use crate::tensor::philox::random_block;

/// Hand each value to `each` with the random number of its element under a key: number `element % 4` of Philox's block `element / 4`. `first` is
/// the first value's element.
fn with_random(values: &mut [f32], first: u64, key: u64, mut each: impl FnMut(usize, &mut f32, u32)) {
    let (mut at, mut block, mut skip) = (0, first / 4, (first % 4) as usize);
    while let Some(rest) = values.get_mut(at..).filter(|rest| !rest.is_empty()) {
        let numbers = random_block(block, key);
        for (place, (value, &number)) in rest.iter_mut().zip(numbers.iter().skip(skip)).enumerate() {
            each(at + place, value, number);
        }
        (at, block, skip) = (at + 4 - skip, block + 1, 0);
    }
}

/// Below which random number an element is kept that is kept with this probability.
pub(crate) fn limit(probability: f64) -> u64 {
    (probability * (1u64 << 32) as f64) as u64
}

/// Put zeros in place of the values, from element `first` on, that are not kept.
pub(crate) fn mask_randomly(values: &mut [f32], first: u64, key: u64, probability: f64) {
    let limit = limit(probability);
    with_random(values, first, key, |_, value, random| {
        if u64::from(random) >= limit {
            *value = 0.0;
        }
    });
}

/// The same where the probability depends on the rank of |x| in its row: from `least` for the smallest to `most` for the largest. Equal values
/// rank by their columns. A row of one value has the mean.
pub(crate) fn mask_by_rank(values: &mut [f32], cols: usize, first: u64, key: u64, least: f64, most: f64) {
    let mut order: Vec<u32> = Vec::new();
    let mut limits = vec![0; cols];
    for (row, values) in values.chunks_mut(cols.max(1)).enumerate() {
        order.clear();
        order.extend(0..values.len() as u32);
        let key_of = |at: u32| values[at as usize].to_bits() & 0x7FFF_FFFF;
        crate::order::sort_numbers(&mut order, &|one, other| key_of(one).cmp(&key_of(other)));
        let last = values.len().saturating_sub(1);
        for (rank, &at) in order.iter().enumerate() {
            let share = if last == 0 { 0.5 } else { rank as f64 / last as f64 };
            limits[at as usize] = limit(least + share * (most - least));
        }
        let start = first + (row * cols) as u64;
        with_random(values, start, key, |at, value, random| {
            if u64::from(random) >= limits[at] {
                *value = 0.0;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::random_of;

    #[test]
    fn the_numbers_are_those_of_the_elements() {
        for first in [0, 1, 2, 3, 4, 7, (1 << 34) + 5] {
            let mut seen = Vec::new();
            with_random(&mut [0.0; 9], first, 99, |at, _, number| seen.push((at, number)));
            assert_eq!(seen, (0..9).map(|at| (at, random_of(first + at as u64, 99))).collect::<Vec<_>>());
        }
    }

    #[test]
    fn as_many_are_kept_as_should_be() {
        let mut values = vec![1.0; 100_000];
        mask_randomly(&mut values, 3, 7, 0.3);
        let kept = values.iter().filter(|value| **value != 0.0).count();
        assert!((29_500..30_500).contains(&kept), "{kept}");
        // The smaller half is kept with 0.2 to 0.3, the larger one with 0.3 to 0.4.
        let mut ranked: Vec<f32> = (0..100_000u32).map(|at| 1.0 + (at * 7919 % 1000) as f32).collect();
        mask_by_rank(&mut ranked, 1000, 0, 7, 0.2, 0.4);
        let [small, large] =
            [1.0..501.0, 501.0..1002.0].map(|range| ranked.iter().filter(|x| range.contains(*x)).count());
        assert!((12_000..13_000).contains(&small) && (17_000..18_000).contains(&large), "{small}, {large}");
    }
}
