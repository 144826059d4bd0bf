//! Torch's generator on the CPU, bit for bit: MT19937 (Matsumoto and Nishimura, 1998), as `torch.Generator().manual_seed(seed)` seeds it, and
//! the beginning of `torch.randperm` (ATen's `randperm_cpu`).

use std::collections::HashMap;

const WORDS: usize = 624;
const MIDDLE: usize = 397;

/// From this length on `randperm` shuffles in another way.
const LONG: u64 = (u32::MAX / 20) as u64;

/// The generator.
pub(crate) struct TorchGenerator {
    state: Vec<u32>,
    next: usize,
}

impl TorchGenerator {
    /// `torch.Generator().manual_seed(seed)`, which uses the low 32 bits.
    pub(crate) fn new(seed: u64) -> TorchGenerator {
        let mut word = seed as u32;
        let mut state = Vec::with_capacity(WORDS);
        for number in 1..=WORDS as u32 {
            state.push(word);
            word = 1_812_433_253u32.wrapping_mul(word ^ (word >> 30)).wrapping_add(number);
        }
        TorchGenerator { state, next: WORDS }
    }

    /// `random()`.
    pub(crate) fn next_u32(&mut self) -> u32 {
        if self.next == WORDS {
            self.twist();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    /// `random64()`: the first word is the high one.
    pub(crate) fn next_u64(&mut self) -> u64 {
        let high = u64::from(self.next_u32());
        high << 32 | u64::from(self.next_u32())
    }

    fn twist(&mut self) {
        let (left, wrap) = (WORDS - MIDDLE, |at: usize| if at < WORDS { at } else { at - WORDS });
        for at in 0..WORDS {
            let mixed = self.state[at] & 0x8000_0000 | self.state[wrap(at + 1)] & 0x7fff_ffff;
            let turned = (mixed >> 1) ^ if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[if at < left { at + MIDDLE } else { at - left }] ^ turned;
        }
        self.next = 0;
    }
}

/// `torch.randperm(length, generator=torch.Generator().manual_seed(seed))[:count]`, with memory for `count` numbers only.
pub(crate) fn permutation(length: u64, count: usize, seed: u64) -> Vec<u64> {
    let count = u64::try_from(count).unwrap_or(u64::MAX).min(length);
    let mut generator = TorchGenerator::new(seed);
    if length < LONG { swapped(&mut generator, length, count) } else { inside_out(&mut generator, length, count) }
}

/// Each place in turn gets the number of a later one, chosen by a word modulo the number of places left. After `count` steps the first `count`
/// are final.
fn swapped(generator: &mut TorchGenerator, length: u64, count: u64) -> Vec<u64> {
    // The numbers that are no longer at their first place.
    let mut moved = HashMap::new();
    let step = |place: u64| {
        let here = moved.remove(&place).unwrap_or(place);
        let other = match length - place {
            1 => place,
            left => place + u64::from(generator.next_u32()) % left,
        };
        if other == place { here } else { moved.insert(other, here).unwrap_or(other) }
    };
    (0..count).map(step).collect()
}

/// Number `n` goes to one of the first `n + 1` places, and the number from there to place `n`. All random numbers must be drawn, but places from
/// `count` on never matter again.
fn inside_out(generator: &mut TorchGenerator, length: u64, count: u64) -> Vec<u64> {
    let mut first: Vec<u64> = Vec::with_capacity(count as usize);
    for number in 0..length {
        let place = (generator.next_u64() % (number + 1)) as usize;
        if number < count {
            first.push(number);
            first.swap(place, number as usize);
        } else if let Some(there) = first.get_mut(place) {
            *there = number;
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Length, seed, and the first numbers of `torch.randperm(length, generator=torch.Generator().manual_seed(seed))` in torch 2.15.
    #[test]
    fn permutations_are_torchs() {
        let known: &[(u64, u64, &[u64])] = &[
            (1, 777, &[0]),
            (2, 777, &[1, 0]),
            (3, 0, &[2, 0, 1]),
            (10, 777, &[5, 9, 0, 3, 1, 7, 4, 8, 6, 2]),
            (17, 1, &[2, 12, 11, 13, 10, 6, 0, 8, 16, 9, 14, 4, 3, 7, 15, 5, 1]),
            (100, 777, &[35, 18, 53, 58, 27, 42, 91, 71, 6, 74, 21, 84]),
            (624, 5, &[131, 139, 477, 69, 230, 304, 334, 452]),
            (1000, 2147483648, &[386, 520, 839, 831, 249, 71, 774, 889]),
            (4096, 777, &[2151, 945, 3161, 4091, 1983, 1566, 3683, 2858]),
            (384, 777, &[359, 192, 99, 0, 159, 189, 357, 132, 71, 313]),
            (65537, 4294967301, &[21135, 18639, 11994, 36966, 10926, 20727]),
            (1000003, 12345, &[658714, 177736, 821329, 383556, 926077, 766082]),
            (3000000, 1099511627777, &[95845, 1877567, 772188, 307376, 491267, 1291233]),
            (16777216, 777, &[1374311, 8240085, 6766295, 6474818, 14786199, 14783200]),
        ];
        for (length, seed, expected) in known {
            assert_eq!(permutation(*length, expected.len(), *seed), *expected, "{length} {seed}");
        }
        assert_eq!(permutation(5, 5, 777), [0, 4, 3, 2, 1]);
        assert_eq!(permutation(5, 9, 777), [0, 4, 3, 2, 1]);
        assert!(permutation(0, 3, 1).is_empty());
    }

    #[test]
    fn a_long_permutation_is_torchs() {
        let expected = [150358698, 199533091, 83306822, 145970095, 40813261, 111338416, 71047571, 163718730];
        assert_eq!(permutation(LONG, 8, 777), expected);
        assert_eq!(permutation(LONG - 1, 2, 777), [11440646, 199500216]);
    }

    #[test]
    fn shuffled_inside_out_every_number_comes_once() {
        let all = inside_out(&mut TorchGenerator::new(3), 1000, 1000);
        assert_eq!(inside_out(&mut TorchGenerator::new(3), 1000, 10), all[..10]);
        let mut sorted = all;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
    }
}
