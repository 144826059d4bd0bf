//! Random masks: which elements are kept is decided by their numbers alone.

use crate::kernel::{FOUR, Four, random_numbers};

/// Random numbers that are drawn together: they stay in the first-level cache.
const DRAWN: usize = 512;

/// Hand the values to `each` part by part, with the random numbers of their elements under a key: number `element % 4` of Philox's block
/// `element / 4`. `first` is the first value's element.
fn with_random(values: &mut [f32], first: u64, key: u64, mut each: impl FnMut(usize, &mut [f32], &[u32])) {
    let mut numbers = [0; DRAWN];
    for (part, values) in values.chunks_mut(DRAWN).enumerate() {
        let numbers = &mut numbers[..values.len()];
        random_numbers(first + (part * DRAWN) as u64, key, numbers);
        each(part * DRAWN, values, numbers);
    }
}

/// Below which random number an element is kept that is kept with this probability.
pub(crate) fn limit(probability: f64) -> u64 {
    (probability * (1u64 << 32) as f64) as u64
}

/// Put zeros in place of the values, from element `first` on, that are not kept.
pub(crate) fn mask_randomly(values: &mut [f32], first: u64, key: u64, probability: f64) {
    let Some(last) = limit(probability).checked_sub(1) else { return values.fill(0.0) };
    // Beyond that all are kept.
    let Ok(last) = u32::try_from(last) else { return };
    with_random(values, first, key, |_, values, numbers| {
        let ((fours, tail), (drawn, end)) = (values.as_chunks_mut::<FOUR>(), numbers.as_chunks::<FOUR>());
        for (four, numbers) in fours.iter_mut().zip(drawn) {
            Four::load(four).only(Four::drawn(numbers, last)).store(four);
        }
        for (value, _) in tail.iter_mut().zip(end).filter(|(_, number)| **number > last) {
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
        with_random(values, start, key, |at, values, numbers| {
            for ((value, &number), &limit) in values.iter_mut().zip(numbers).zip(&limits[at..]) {
                if u64::from(number) >= limit {
                    *value = 0.0;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::philox::random_of;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn an_element_is_kept_by_its_own_number() {
        for first in [0, 1, 3, (1 << 34) + 5] {
            for probability in [0.0, 1e-11, 0.3, 0.5, 1.0] {
                let mut values = vec![1.0; 1100];
                mask_randomly(&mut values, first, 99, probability);
                for (element, value) in (first..).zip(&values) {
                    let kept = u64::from(random_of(element, 99)) < limit(probability);
                    assert_eq!(*value != 0.0, kept, "{element} at {probability}");
                }
            }
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
