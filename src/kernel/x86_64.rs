//! x86-64: SSE2, which every such CPU has, and AVX2, found at run time. No FMA: it would round once where the others round twice.

use core::arch::x86_64::*;

use super::difference;
use super::element::Element;
use super::isa::{Isa, Strip};
use super::statistics::Statistics;
use super::thin::{self, Product};
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
    fn any(self) -> bool {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm_movemask_ps(self) != 0 }
    }
}

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the CPU has AVX2, as this function requires; no memory is touched.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn splat_bits(bits: u32) -> Self {
        // SAFETY: the CPU has AVX2, as this function requires; no memory is touched.
        unsafe { _mm256_castsi256_ps(_mm256_set1_epi32(bits as i32)) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the CPU has AVX2, as this function requires; `from` points to 32 readable bytes (8 f32), and this load asks for no alignment.
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: `self` exists, so the CPU has AVX2; `to` points to 32 writable bytes, and this store asks for no alignment.
        unsafe { _mm256_storeu_ps(to, self) }
    }

    #[inline(always)]
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2] {
        // SAFETY: the CPU has AVX2, as this function requires; `from` points to 32 readable bytes (16 u16), and this load asks for no alignment.
        unsafe {
            let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.cast()));
            let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(from.add(8).cast()));
            [_mm256_castsi256_ps(_mm256_slli_epi32::<16>(low)), _mm256_castsi256_ps(_mm256_slli_epi32::<16>(high))]
        }
    }

    #[inline(always)]
    unsafe fn store_as_i16([low, high]: [Self; 2], to: *mut u16) {
        // SAFETY: the lanes exist, so the CPU has AVX2; `to` points to 32 writable bytes, and this store asks for no alignment.
        unsafe {
            // Packing works in each half of the register; the permutation puts the four quarters in order.
            let packed = _mm256_packs_epi32(_mm256_castps_si256(low), _mm256_castps_si256(high));
            _mm256_storeu_si256(to.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(packed));
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_add_ps(self, other) }
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_sub_ps(self, other) }
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_mul_ps(self, other) }
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_and_ps(self, other) }
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_or_ps(self, other) }
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(self), _mm256_castps_si256(other))) }
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(self), _mm256_castps_si256(other))) }
    }

    #[inline(always)]
    fn shr<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_srli_epi32::<BY>(_mm256_castps_si256(self))) }
    }

    #[inline(always)]
    fn sar<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_srai_epi32::<BY>(_mm256_castps_si256(self))) }
    }

    #[inline(always)]
    fn shl<const BY: i32>(self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<BY>(_mm256_castps_si256(self))) }
    }

    #[inline(always)]
    fn max_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(self), _mm256_castps_si256(other))) }
    }

    #[inline(always)]
    fn gt_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_castps_si256(self), _mm256_castps_si256(other))) }
    }

    #[inline(always)]
    fn eq_bits(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_castps_si256(self), _mm256_castps_si256(other))) }
    }

    #[inline(always)]
    fn any(self) -> bool {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_movemask_ps(self) != 0 }
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

    unsafe fn add_product(product: &Product) {
        // SAFETY: SSE2 is part of every x86-64; the product's pointers cover all that `add_tiles` touches.
        unsafe { thin::add_tiles::<__m128>(product) }
    }

    unsafe fn subtract<F: Element>(tuned: *const u8, base: *const u8, count: usize, out: *mut f32) -> u32 {
        // SAFETY: SSE2 is part of every x86-64; the pointers cover `count` elements, which is all that `subtract_all` touches.
        unsafe { difference::subtract_all::<__m128, F>(tuned, base, count, out) }
    }

    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: SSE2 is part of every x86-64; no memory is touched.
        unsafe { tile::multiply_and_add::<__m128>(turns) }
    }
}

/// AVX2. Its functions may be called only on CPUs that have it.
pub(super) struct Avx2;

impl Isa for Avx2 {
    const COLUMNS: usize = 2 * <__m256 as Vector>::LANES;

    #[target_feature(enable = "avx2")]
    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize {
        // SAFETY: the CPU has AVX2, as this function requires; the strip's pointers cover its tiles and panels, which is all that `fold_strip` touches.
        unsafe { tile::fold_strip::<__m256, F, T, STATISTICS>(strip, statistics) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
        // SAFETY: the CPU has AVX2, as this function requires; `left` and `right` point to `rank` groups, and `delta` to room for one tile.
        unsafe { tile::store_product::<__m256>(left, right, rank, delta) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn add_product(product: &Product) {
        // SAFETY: the CPU has AVX2, as this function requires; the product's pointers cover all that `add_tiles` touches.
        unsafe { thin::add_tiles::<__m256>(product) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn subtract<F: Element>(tuned: *const u8, base: *const u8, count: usize, out: *mut f32) -> u32 {
        // SAFETY: the CPU has AVX2, as this function requires; the pointers cover `count` elements, which is all that `subtract_all` touches.
        unsafe { difference::subtract_all::<__m256, F>(tuned, base, count, out) }
    }

    #[cfg(feature = "bench")]
    #[target_feature(enable = "avx2")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: the CPU has AVX2, as this function requires; no memory is touched.
        unsafe { tile::multiply_and_add::<__m256>(turns) }
    }
}
