//! x86-64: SSE2, which every such CPU has. No FMA: it would round once where the others round twice.

use core::arch::x86_64::*;

use super::element::Element;
use super::isa::{Body, Isa, Strip};
use super::statistics::Statistics;
use super::tile;
use super::vector::Vector;

impl Vector for __m128 {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: SSE2 is part of every x86-64; no memory is touched.
        unsafe { _mm_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn splat_bits(bits: u32) -> Self {
        // SAFETY: SSE2 is part of every x86-64; no memory is touched.
        unsafe { _mm_castsi128_ps(_mm_set1_epi32(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: SSE2 is part of every x86-64; `from` points to 16 readable bytes (4 f32), and this load asks for no alignment.
        unsafe { _mm_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: SSE2 is part of every x86-64; `to` points to 16 writable bytes (4 f32), and this store asks for no alignment.
        unsafe { _mm_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2] {
        // SAFETY: SSE2 is part of every x86-64; `from` points to 16 readable bytes (8 u16), and this load asks for no alignment.
        unsafe {
            let halves = _mm_loadu_si128(from.cast());
            let zero = _mm_setzero_si128();
            [_mm_castsi128_ps(_mm_unpacklo_epi16(zero, halves)), _mm_castsi128_ps(_mm_unpackhi_epi16(zero, halves))]
        }
    }

    #[inline(always)]
    unsafe fn store_as_i16([low, high]: [Self; 2], to: *mut u16) {
        // SAFETY: SSE2 is part of every x86-64; `to` points to 16 writable bytes (8 u16), and this store asks for no alignment.
        unsafe { _mm_storeu_si128(to.cast(), _mm_packs_epi32(_mm_castps_si128(low), _mm_castps_si128(high))) }
    }

    #[inline(always)]
    unsafe fn blocks() -> Self {
        // SAFETY: SSE2 is part of every x86-64; no memory is touched.
        unsafe { _mm_castsi128_ps(_mm_setr_epi32(0, 1, 2, 3)) }
    }

    #[inline(always)]
    unsafe fn store_blocks([a, b, c, d]: [Self; 4], to: *mut u32) {
        let to = to.cast::<f32>();
        // SAFETY: SSE2 is part of every x86-64; `to` points to 64 writable bytes, and these stores ask for no alignment.
        unsafe {
            let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
            let (more_ab, more_cd) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
            _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
            _mm_storeu_ps(to.add(4), _mm_movehl_ps(cd, ab));
            _mm_storeu_ps(to.add(8), _mm_movelh_ps(more_ab, more_cd));
            _mm_storeu_ps(to.add(12), _mm_movehl_ps(more_cd, more_ab));
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_add_ps(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_sub_ps(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_mul_ps(self, other) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_and_ps(self, other) }
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_or_ps(self, other) }
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_xor_ps(self, other) }
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(self), _mm_castps_si128(other))) }
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_sub_epi32(_mm_castps_si128(self), _mm_castps_si128(other))) }
    }

    #[inline(always)]
    fn shr<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_srli_epi32::<BY>(_mm_castps_si128(self))) }
    }

    #[inline(always)]
    fn sar<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_srai_epi32::<BY>(_mm_castps_si128(self))) }
    }

    #[inline(always)]
    fn shl<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_slli_epi32::<BY>(_mm_castps_si128(self))) }
    }

    #[inline(always)]
    fn max_bits(self, other: Self) -> Self {
        let greater = self.gt_bits(other);
        // SAFETY: `self` exists, so the CPU has the instruction set. (SSE2 has no maximum of 32-bit integers.)
        unsafe { _mm_or_ps(_mm_and_ps(greater, self), _mm_andnot_ps(greater, other)) }
    }

    #[inline(always)]
    fn gt_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_cmpgt_epi32(_mm_castps_si128(self), _mm_castps_si128(other))) }
    }

    #[inline(always)]
    fn eq_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_castsi128_ps(_mm_cmpeq_epi32(_mm_castps_si128(self), _mm_castps_si128(other))) }
    }

    #[inline(always)]
    fn wide_product(self, other: Self) -> [Self; 2] {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe {
            let (one, other) = (_mm_castps_si128(self), _mm_castps_si128(other));
            let even = _mm_castsi128_ps(_mm_mul_epu32(one, other));
            let odd = _mm_castsi128_ps(_mm_mul_epu32(_mm_srli_epi64::<32>(one), _mm_srli_epi64::<32>(other)));
            // Lanes 0 and 2 of the products, then 1 and 3: the last shuffle puts them in order.
            let halves = [_mm_shuffle_ps::<0b11_01_11_01>(even, odd), _mm_shuffle_ps::<0b10_00_10_00>(even, odd)];
            let [high, low] = halves;
            [_mm_shuffle_ps::<0b11_01_10_00>(high, high), _mm_shuffle_ps::<0b11_01_10_00>(low, low)]
        }
    }

    #[inline(always)]
    fn any(self) -> bool {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_movemask_ps(self) != 0 }
    }
}

/// SSE2.
pub(super) struct Sse2;

impl Isa for Sse2 {
    const COLUMNS: usize = 2 * <__m128 as Vector>::LANES;

    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize {
        // SAFETY: SSE2 is part of every x86-64; the strip's pointers cover its tiles and panels, which is all that `fold_strip` touches.
        unsafe { tile::fold_strip::<__m128, F, T, STATISTICS>(strip, statistics) }
    }

    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
        // SAFETY: SSE2 is part of every x86-64; `left` and `right` point to `rank` groups, and `delta` to room for one tile.
        unsafe { tile::store_product::<__m128>(left, right, rank, delta) }
    }

    #[inline]
    unsafe fn run<B: Body>(body: B) -> B::Out {
        // SAFETY: SSE2 is part of every x86-64; the rest is what `body` asks for.
        unsafe { body.run::<__m128>() }
    }

    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: SSE2 is part of every x86-64; no memory is touched.
        unsafe { tile::multiply_and_add::<__m128>(turns) }
    }
}
