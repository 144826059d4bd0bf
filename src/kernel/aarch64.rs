//! AArch64: NEON, which every such CPU has. No fused multiplication: it would round once where the others round twice.

use core::arch::aarch64::*;

use super::element::Element;
use super::isa::{Body, Isa, Strip};
use super::statistics::Statistics;
use super::tile;
use super::vector::Vector;

impl Vector for float32x4_t {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: NEON is part of every AArch64; no memory is touched.
        unsafe { vdupq_n_f32(value) }
    }

    #[inline(always)]
    unsafe fn splat_bits(bits: u32) -> Self {
        // SAFETY: NEON is part of every AArch64; no memory is touched.
        unsafe { vreinterpretq_f32_u32(vdupq_n_u32(bits)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: NEON is part of every AArch64; `from` points to 16 readable bytes (4 f32), and this load asks for no alignment.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: NEON is part of every AArch64; `to` points to 16 writable bytes (4 f32), and this store asks for no alignment.
        unsafe { vst1q_f32(to, self) }
    }

    #[inline(always)]
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2] {
        // SAFETY: NEON is part of every AArch64; `from` points to 16 readable bytes (8 u16), and this load asks for no alignment.
        unsafe {
            let halves = vld1q_u16(from);
            let (low, high) = (vget_low_u16(halves), vget_high_u16(halves));
            [vreinterpretq_f32_u32(vshll_n_u16::<16>(low)), vreinterpretq_f32_u32(vshll_n_u16::<16>(high))]
        }
    }

    #[inline(always)]
    unsafe fn store_as_i16([low, high]: [Self; 2], to: *mut u16) {
        // SAFETY: NEON is part of every AArch64; `to` points to 16 writable bytes (8 u16), and this store asks for no alignment.
        unsafe {
            let (low, high) = (vmovn_u32(vreinterpretq_u32_f32(low)), vmovn_u32(vreinterpretq_u32_f32(high)));
            vst1q_u16(to, vcombine_u16(low, high));
        }
    }

    #[inline(always)]
    unsafe fn blocks() -> Self {
        const BLOCKS: [u32; 4] = [0, 1, 2, 3];
        // SAFETY: NEON is part of every AArch64; the constant is a vector long.
        unsafe { vreinterpretq_f32_u32(vld1q_u32(BLOCKS.as_ptr())) }
    }

    #[inline(always)]
    unsafe fn store_blocks([a, b, c, d]: [Self; 4], to: *mut u32) {
        // SAFETY: NEON is part of every AArch64; `to` points to 64 writable bytes, and this store asks for no alignment.
        unsafe { vst4q_f32(to.cast(), float32x4x4_t(a, b, c, d)) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vaddq_f32(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vsubq_f32(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vmulq_f32(self, other) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vsubq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn shr<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vshrq_n_u32::<BY>(vreinterpretq_u32_f32(self))) }
    }

    #[inline(always)]
    fn sar<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_s32(vshrq_n_s32::<BY>(vreinterpretq_s32_f32(self))) }
    }

    #[inline(always)]
    fn shl<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<BY>(vreinterpretq_u32_f32(self))) }
    }

    #[inline(always)]
    fn max_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_s32(vmaxq_s32(vreinterpretq_s32_f32(self), vreinterpretq_s32_f32(other))) }
    }

    #[inline(always)]
    fn gt_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vcgtq_s32(vreinterpretq_s32_f32(self), vreinterpretq_s32_f32(other))) }
    }

    #[inline(always)]
    fn eq_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vreinterpretq_f32_u32(vceqq_u32(vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other))) }
    }

    #[inline(always)]
    fn wide_product(self, other: Self) -> [Self; 2] {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe {
            let (one, other) = (vreinterpretq_u32_f32(self), vreinterpretq_u32_f32(other));
            let low = vreinterpretq_f32_u64(vmull_u32(vget_low_u32(one), vget_low_u32(other)));
            let high = vreinterpretq_f32_u64(vmull_u32(vget_high_u32(one), vget_high_u32(other)));
            [vuzp2q_f32(low, high), vuzp1q_f32(low, high)]
        }
    }

    #[inline(always)]
    fn any(self) -> bool {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { vmaxvq_u32(vreinterpretq_u32_f32(self)) != 0 }
    }
}

/// NEON.
pub(super) struct Neon;

impl Isa for Neon {
    const COLUMNS: usize = 2 * <float32x4_t as Vector>::LANES;

    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize {
        // SAFETY: NEON is part of every AArch64; the strip's pointers cover its tiles and panels, which is all that `fold_strip` touches.
        unsafe { tile::fold_strip::<float32x4_t, F, T, STATISTICS>(strip, statistics) }
    }

    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
        // SAFETY: NEON is part of every AArch64; `left` and `right` point to `rank` groups, and `delta` to room for one tile.
        unsafe { tile::store_product::<float32x4_t>(left, right, rank, delta) }
    }

    #[inline]
    unsafe fn run<B: Body>(body: B) -> B::Out {
        // SAFETY: NEON is part of every AArch64; the rest is what `body` asks for.
        unsafe { body.run::<float32x4_t>() }
    }

    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: NEON is part of every AArch64; no memory is touched.
        unsafe { tile::multiply_and_add::<float32x4_t>(turns) }
    }
}
