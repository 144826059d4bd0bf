//! Random numbers of many elements at a time: Philox4x32-10 with a block in each lane.

use super::isa::{self, Body};
use super::vector::Vector;
use crate::tensor::philox::{MULTIPLIERS, ROUNDS, WEYL, random_block};

/// Numbers of a block.
const BLOCK: usize = 4;

/// The numbers of the elements from `first` on under `key`, as [`random_of`](crate::tensor::philox::random_of) gives them one by one.
pub fn random_numbers(first: u64, key: u64, out: &mut [u32]) {
    let skipped = (first % BLOCK as u64) as usize;
    let (mut block, mut out) = (first / BLOCK as u64, out);
    if skipped > 0 {
        let (head, rest) = out.split_at_mut(out.len().min(BLOCK - skipped));
        head.iter_mut().zip(&random_block(block, key)[skipped..]).for_each(|(to, from)| *to = *from);
        (block, out) = (block + 1, rest);
    }
    let blocks = Blocks { block, key, blocks: out.len() / BLOCK, to: out.as_mut_ptr() };
    // SAFETY: so many blocks of four fit into `out`.
    let done = unsafe { isa::run(blocks) };
    for (number, part) in out.chunks_mut(BLOCK).enumerate().skip(done) {
        part.iter_mut().zip(random_block(block + number as u64, key)).for_each(|(to, from)| *to = from);
    }
}

/// As many of these blocks as fill vectors; gives how many. It asks that `to` has room for all of them.
pub(super) struct Blocks {
    pub(super) block: u64,
    pub(super) key: u64,
    pub(super) blocks: usize,
    pub(super) to: *mut u32,
}

impl Body for Blocks {
    type Out = usize;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> usize {
        let Blocks { block, key, blocks, mut to } = self;
        let mut done = 0;
        // The lower half of a counter must not overflow in some lanes only: that end is left to the caller.
        let together = (blocks as u64).min((1 << 32) - (block & 0xFFFF_FFFF)) as usize / V::LANES * V::LANES;
        // SAFETY: the CPU has the instruction set; `to` has room for `blocks` blocks, of which no more than `together` are written.
        unsafe {
            let (high, lanes) = (V::splat_bits((block >> 32) as u32), V::blocks());
            while done < together {
                let low = V::splat_bits((block as u32).wrapping_add(done as u32)).add_bits(lanes);
                V::store_blocks(philox([low, high, V::splat_bits(0), V::splat_bits(0)], key), to);
                to = to.add(BLOCK * V::LANES);
                done += V::LANES;
            }
        }
        done
    }
}

/// [`philox4x32`](crate::tensor::philox::philox4x32), in each lane with another counter.
///
/// # Safety
/// The CPU has the instruction set.
#[inline(always)]
unsafe fn philox<V: Vector>([mut a, mut b, mut c, mut d]: [V; 4], key: u64) -> [V; 4] {
    // SAFETY: the CPU has the instruction set.
    let (first, second) = unsafe { (V::splat_bits(MULTIPLIERS[0]), V::splat_bits(MULTIPLIERS[1])) };
    let (mut key_0, mut key_1) = (key as u32, (key >> 32) as u32);
    let mut round = 0;
    loop {
        let [high, low] = a.wide_product(first);
        let [high_2, low_2] = c.wide_product(second);
        (a, b, c, d) = (high_2.xor(b).xor(a.constant(key_0)), low_2, high.xor(d).xor(a.constant(key_1)), low);
        (key_0, key_1) = (key_0.wrapping_add(WEYL[0]), key_1.wrapping_add(WEYL[1]));
        round += 1;
        if round == ROUNDS {
            return [a, b, c, d];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::isa::Isa;
    use crate::tensor::philox::{philox4x32, random_of};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The published known answers (Random123's `kat_vectors`, philox4x32 10), and other counters, in every lane.
    struct KnownAnswers;

    impl Body for KnownAnswers {
        type Out = ();

        unsafe fn run<V: Vector>(self) {
            let rows: [([u32; 4], u64, Option<[u32; 4]>); 4] = [
                ([0; 4], 0, Some([0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8])),
                ([u32::MAX; 4], u64::MAX, Some([0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd])),
                (
                    [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                    0x299f_31d0_a409_3822,
                    Some([0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
                ),
                ([5, 1, 0, 0], 0x0123_4567_89ab_cdef, None),
            ];
            for (counter, key, expected) in rows {
                let mut out = [0; 4 * 16];
                // SAFETY: the CPU has the instruction set, and `out` has room for 16 lanes.
                unsafe {
                    V::store_blocks(philox(counter.map(|word| V::splat_bits(word)), key), out.as_mut_ptr());
                }
                let expected = expected.unwrap_or_else(|| philox4x32(counter, [key as u32, (key >> 32) as u32]));
                for lane in 0..V::LANES {
                    assert_eq!(out[4 * lane..4 * lane + 4], expected, "lane {lane} of {}", V::LANES);
                }
            }
        }
    }

    /// The same numbers as one by one, from any block on, also where the lower half of the counter overflows.
    fn battery<I: Isa>() {
        // SAFETY: the caller has looked whether the CPU has the instruction set.
        unsafe { I::run(KnownAnswers) };
        for block in [0, 1, 7, (1 << 32) - 3, (1 << 32) - 16, (5 << 32) + 9] {
            for blocks in [0, 1, 3, 8, 21, 40] {
                let mut out = vec![0; 4 * blocks];
                let work = Blocks { block, key: 0xfeed_0123_4567_89ab, blocks, to: out.as_mut_ptr() };
                // SAFETY: as above; `out` has room for so many blocks.
                let done = unsafe { I::run(work) };
                assert!(done <= blocks);
                for (element, number) in (4 * block..).zip(&out[..4 * done]) {
                    assert_eq!(*number, random_of(element, 0xfeed_0123_4567_89ab), "{element}");
                }
            }
        }
    }

    crate::kernel::isa::batteries!(battery);

    #[test]
    fn any_run_has_the_numbers_of_its_elements() {
        for first in [0, 1, 2, 3, 4, 7, (1 << 34) + 5, (1 << 34) - 30] {
            for count in [0, 1, 2, 5, 16, 33, 70] {
                let mut out = vec![0; count];
                random_numbers(first, 99, &mut out);
                let expected: Vec<u32> = (first..).take(count).map(|element| random_of(element, 99)).collect();
                assert_eq!(out, expected, "{count} from {first} on");
            }
        }
    }
}
