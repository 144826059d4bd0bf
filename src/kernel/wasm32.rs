//! WebAssembly with simd128. Relaxed SIMD is not used: its results differ between engines.

use core::arch::wasm32::*;

use super::element::Element;
use super::isa::{Body, Isa, Strip};
use super::statistics::Statistics;
use super::tile;
use super::vector::Vector;

impl Vector for v128 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        f32x4_splat(value)
    }

    #[inline(always)]
    unsafe fn splat_bits(bits: u32) -> Self {
        u32x4_splat(bits)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the module is compiled with simd128; `from` points to 16 readable bytes (4 f32), and this load asks for no alignment.
        unsafe { v128_load(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the module is compiled with simd128; `to` points to 16 writable bytes (4 f32), and this store asks for no alignment.
        unsafe { v128_store(to.cast(), self) }
    }

    #[inline(always)]
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2] {
        // SAFETY: the module is compiled with simd128; `from` points to 16 readable bytes (8 u16), and this load asks for no alignment.
        let halves = unsafe { v128_load(from.cast()) };
        let zero = u16x8_splat(0);
        // Engines know these two shuffles as one instruction each.
        [
            u16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, halves),
            u16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, halves),
        ]
    }

    #[inline(always)]
    unsafe fn store_as_i16([low, high]: [Self; 2], to: *mut u16) {
        // SAFETY: the module is compiled with simd128; `to` points to 16 writable bytes (8 u16), and this store asks for no alignment.
        unsafe { v128_store(to.cast(), i16x8_narrow_i32x4(low, high)) }
    }

    #[inline(always)]
    unsafe fn blocks() -> Self {
        u32x4(0, 1, 2, 3)
    }

    #[inline(always)]
    unsafe fn store_blocks([a, b, c, d]: [Self; 4], to: *mut u32) {
        let (ab, cd) = (u32x4_shuffle::<0, 4, 1, 5>(a, b), u32x4_shuffle::<0, 4, 1, 5>(c, d));
        let (more_ab, more_cd) = (u32x4_shuffle::<2, 6, 3, 7>(a, b), u32x4_shuffle::<2, 6, 3, 7>(c, d));
        let to = to.cast::<v128>();
        // SAFETY: the module is compiled with simd128; `to` points to 64 writable bytes, and these stores ask for no alignment.
        unsafe {
            v128_store(to, u64x2_shuffle::<0, 2>(ab, cd));
            v128_store(to.add(1), u64x2_shuffle::<1, 3>(ab, cd));
            v128_store(to.add(2), u64x2_shuffle::<0, 2>(more_ab, more_cd));
            v128_store(to.add(3), u64x2_shuffle::<1, 3>(more_ab, more_cd));
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        f32x4_add(self, other)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        f32x4_sub(self, other)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        f32x4_mul(self, other)
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        v128_and(self, other)
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        v128_or(self, other)
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        v128_xor(self, other)
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        i32x4_add(self, other)
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        i32x4_sub(self, other)
    }

    #[inline(always)]
    fn shr<const BY: i32>(self) -> Self {
        u32x4_shr(self, BY as u32)
    }

    #[inline(always)]
    fn sar<const BY: i32>(self) -> Self {
        i32x4_shr(self, BY as u32)
    }

    #[inline(always)]
    fn shl<const BY: i32>(self) -> Self {
        i32x4_shl(self, BY as u32)
    }

    #[inline(always)]
    fn max_bits(self, other: Self) -> Self {
        i32x4_max(self, other)
    }

    #[inline(always)]
    fn gt_bits(self, other: Self) -> Self {
        i32x4_gt(self, other)
    }

    #[inline(always)]
    fn eq_bits(self, other: Self) -> Self {
        i32x4_eq(self, other)
    }

    #[inline(always)]
    fn wide_product(self, other: Self) -> [Self; 2] {
        let (low, high) = (u64x2_extmul_low_u32x4(self, other), u64x2_extmul_high_u32x4(self, other));
        [u32x4_shuffle::<1, 3, 5, 7>(low, high), u32x4_shuffle::<0, 2, 4, 6>(low, high)]
    }

    #[inline(always)]
    fn any(self) -> bool {
        v128_any_true(self)
    }
}

/// WebAssembly simd128.
pub(super) struct Simd128;

impl Isa for Simd128 {
    const COLUMNS: usize = 2 * <v128 as Vector>::LANES;

    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize {
        // SAFETY: the module is compiled with simd128; the strip's pointers cover its tiles and panels, which is all that `fold_strip` touches.
        unsafe { tile::fold_strip::<v128, F, T, STATISTICS>(strip, statistics) }
    }

    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
        // SAFETY: the module is compiled with simd128; `left` and `right` point to `rank` groups, and `delta` to room for one tile.
        unsafe { tile::store_product::<v128>(left, right, rank, delta) }
    }

    #[inline]
    unsafe fn run<B: Body>(body: B) -> B::Out {
        // SAFETY: the module is compiled with simd128; the rest is what `body` asks for.
        unsafe { body.run::<v128>() }
    }

    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: the module is compiled with simd128; no memory is touched.
        unsafe { tile::multiply_and_add::<v128>(turns) }
    }
}
