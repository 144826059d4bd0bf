//! The element types a tile can load and store whole vectors of.

use super::vector::Vector;
use crate::tensor::Float;

/// An element type. Its values are loaded as f32; its *codes* are what is stored, one in a lane.
pub(super) trait Element {
    const FLOAT: Float;
    /// The bits of the least positive f32 that rounds to infinity.
    const OVERFLOW: u32;

    /// Loads `2 * LANES` values.
    ///
    /// # Safety
    /// The CPU has the instruction set, and that many elements may be read at `from`, of any alignment.
    unsafe fn load<V: Vector>(from: *const u8) -> [V; 2];

    /// The codes nearest to `values`, ties to even. Every magnitude is below `OVERFLOW`.
    fn encode<V: Vector>(values: V) -> V;

    /// The bits of the least and of the largest positive f32 that [`encode_randomly`](Self::encode_randomly) takes.
    const RANDOMLY: [u32; 2];

    /// The codes of the numbers next to `values`: the one that is farther from zero where `random` is less than 2³² times the part of a step
    /// that is cut off, as [`write_stochastic`](crate::tensor::write_stochastic) has it. Every magnitude is 0 or within `RANDOMLY`.
    fn encode_randomly<V: Vector>(values: V, random: V) -> V;

    /// The values of finite codes.
    fn decode<V: Vector>(codes: V) -> V;

    /// Stores `2 * LANES` codes.
    ///
    /// # Safety
    /// That many elements may be written at `to`, of any alignment.
    unsafe fn store<V: Vector>(codes: [V; 2], to: *mut u8);
}

pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct F32;

impl Element for F16 {
    const FLOAT: Float = Float::F16;
    const OVERFLOW: u32 = 65520.0f32.to_bits();

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const u8) -> [V; 2] {
        // SAFETY: `from` points to `2 * LANES` elements of 16 bits, and the CPU has the instruction set.
        let [low, high] = unsafe { V::load_upper_halves(from.cast()) };
        [low.f16_to_f32(), high.f16_to_f32()]
    }

    #[inline(always)]
    fn encode<V: Vector>(values: V) -> V {
        values.f32_to_f16()
    }

    /// From the least normal number on: below it more bits are cut off than 13.
    const RANDOMLY: [u32; 2] = [(127 - 14) << 23, 65504.0f32.to_bits()];

    #[inline(always)]
    fn encode_randomly<V: Vector>(values: V, random: V) -> V {
        // The carry says whether the complement of the number's upper 13 bits and what is cut off are more than all ones. Zero stays, as it has
        // nothing to cut off: there the exponent would be too small to be shifted.
        let magnitude = values.and(values.constant(0x7FFF_FFFF));
        let up = random.xor(values.constant(u32::MAX)).shr::<19>();
        let code = magnitude.add_bits(up).sub_bits(values.constant((127 - 15) << 23)).shr::<13>();
        let code = code.and(magnitude.gt_bits(values.constant(0)));
        code.or(values.sar::<16>().and(values.constant(0xFFFF_8000)))
    }

    #[inline(always)]
    fn decode<V: Vector>(codes: V) -> V {
        codes.shl::<16>().f16_to_f32()
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(codes: [V; 2], to: *mut u8) {
        // SAFETY: `to` has room for `2 * LANES` elements of 16 bits. Codes are sign-extended from 16 bits, so they fit.
        unsafe { V::store_as_i16(codes, to.cast()) }
    }
}

impl Element for Bf16 {
    const FLOAT: Float = Float::Bf16;
    const OVERFLOW: u32 = 0x7F7F_8000;

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const u8) -> [V; 2] {
        // SAFETY: `from` points to `2 * LANES` elements of 16 bits, and the CPU has the instruction set.
        unsafe { V::load_upper_halves(from.cast()) }
    }

    #[inline(always)]
    fn encode<V: Vector>(values: V) -> V {
        let odd = values.shr::<16>().and(values.constant(1));
        values.add_bits(values.constant(0x7FFF)).add_bits(odd).sar::<16>()
    }

    const RANDOMLY: [u32; 2] = [0, 0x7F7F_0000];

    #[inline(always)]
    fn encode_randomly<V: Vector>(values: V, random: V) -> V {
        // The carry says whether the complement of the number's upper half and what is cut off are more than all ones.
        values.add_bits(random.xor(values.constant(u32::MAX)).shr::<16>()).sar::<16>()
    }

    #[inline(always)]
    fn decode<V: Vector>(codes: V) -> V {
        codes.shl::<16>()
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(codes: [V; 2], to: *mut u8) {
        // SAFETY: `to` has room for `2 * LANES` elements of 16 bits. Codes are sign-extended from 16 bits, so they fit.
        unsafe { V::store_as_i16(codes, to.cast()) }
    }
}

impl Element for F32 {
    const FLOAT: Float = Float::F32;
    const OVERFLOW: u32 = f32::INFINITY.to_bits();

    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const u8) -> [V; 2] {
        let from = from.cast::<f32>();
        // SAFETY: `from` points to `2 * LANES` f32, the second half `LANES` further on, and the CPU has the instruction set.
        unsafe { [V::load(from), V::load(from.add(V::LANES))] }
    }

    #[inline(always)]
    fn encode<V: Vector>(values: V) -> V {
        values
    }

    const RANDOMLY: [u32; 2] = [0, f32::MAX.to_bits()];

    #[inline(always)]
    fn encode_randomly<V: Vector>(values: V, _random: V) -> V {
        values
    }

    #[inline(always)]
    fn decode<V: Vector>(codes: V) -> V {
        codes
    }

    #[inline(always)]
    unsafe fn store<V: Vector>([low, high]: [V; 2], to: *mut u8) {
        let to = to.cast::<f32>();
        // SAFETY: `to` has room for `2 * LANES` f32, the second half `LANES` further on.
        unsafe {
            low.store(to);
            high.store(to.add(V::LANES));
        }
    }
}
