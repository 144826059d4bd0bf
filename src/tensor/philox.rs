//! Random numbers that depend only on a key and a position: Philox4x32-10.
//!
//! Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A block of four numbers is a function of a counter and a
//! key, so any worker can compute the number of any element without those before it.

/// What a round multiplies words 0 and 2 with.
pub(crate) const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// What is added to the key after each round.
pub(crate) const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
/// How many rounds there are.
pub(crate) const ROUNDS: u32 = 10;

/// The four numbers of `counter` under `key`, each word with its low half first.
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let wide = |a: u32, b: u32| {
        let product = u64::from(a) * u64::from(b);
        ((product >> 32) as u32, product as u32)
    };
    let mut key = key;
    let mut counter = counter;
    for _ in 0..ROUNDS {
        let (high, low) = wide(MULTIPLIERS[0], counter[0]);
        let (high_2, low_2) = wide(MULTIPLIERS[1], counter[2]);
        counter = [high_2 ^ counter[1] ^ key[0], low_2, high ^ counter[3] ^ key[1], low];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The numbers of the elements `4 · block` to `4 · block + 3` under `key` (the first 64 bits of a hash).
#[inline(always)]
pub fn random_block(block: u64, key: u64) -> [u32; 4] {
    philox4x32([block as u32, (block >> 32) as u32, 0, 0], [key as u32, (key >> 32) as u32])
}

/// The number of element `element` under `key`: number `element % 4` of block `element / 4`.
pub fn random_of(element: u64, key: u64) -> u32 {
    random_block(element / 4, key)[(element % 4) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_published_known_answers() {
        // Random123's kat_vectors, philox4x32 10.
        let rows = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in rows {
            assert_eq!(philox4x32(counter, key), expected);
        }
    }

    #[test]
    fn an_element_has_its_place_in_a_block() {
        let key = 0x0123_4567_89ab_cdef;
        let block = philox4x32([2, 1, 0, 0], [0x89ab_cdef, 0x0123_4567]);
        let first = ((1 << 32) + 2) * 4;
        assert_eq!([0, 1, 2, 3].map(|number| random_of(first + number, key)), block);
    }
}
