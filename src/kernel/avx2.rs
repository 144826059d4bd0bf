//! x86-64 with AVX2, found at run time. No FMA: it would round once where the others round twice.

use core::arch::x86_64::*;

use super::element::Element;
use super::isa::{Body, Isa, Strip};
use super::statistics::Statistics;
use super::tile;
use super::vector::Vector;

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
    unsafe fn blocks() -> Self {
        // The halves of the register are apart in `store_blocks`: each stores every second block.
        // SAFETY: the CPU has AVX2, as this function requires; no memory is touched.
        unsafe { _mm256_castsi256_ps(_mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)) }
    }

    #[inline(always)]
    unsafe fn store_blocks([a, b, c, d]: [Self; 4], to: *mut u32) {
        let to = to.cast::<f64>();
        // SAFETY: the lanes exist, so the CPU has AVX2; `to` points to 128 writable bytes, and these stores ask for no alignment.
        unsafe {
            let (ab, cd) = (_mm256_castps_pd(_mm256_unpacklo_ps(a, b)), _mm256_castps_pd(_mm256_unpacklo_ps(c, d)));
            let more_ab = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
            let more_cd = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
            _mm256_storeu_pd(to, _mm256_unpacklo_pd(ab, cd));
            _mm256_storeu_pd(to.add(4), _mm256_unpackhi_pd(ab, cd));
            _mm256_storeu_pd(to.add(8), _mm256_unpacklo_pd(more_ab, more_cd));
            _mm256_storeu_pd(to.add(12), _mm256_unpackhi_pd(more_ab, more_cd));
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
    fn xor(self, other: Self) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_xor_ps(self, other) }
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
    fn wide_product(self, other: Self) -> [Self; 2] {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe {
            let (one, other) = (_mm256_castps_si256(self), _mm256_castps_si256(other));
            let even = _mm256_mul_epu32(one, other);
            let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(one), _mm256_srli_epi64::<32>(other));
            let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            let low = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
            [_mm256_castsi256_ps(high), _mm256_castsi256_ps(low)]
        }
    }

    #[inline(always)]
    fn any(self) -> bool {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { _mm256_movemask_ps(self) != 0 }
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

    unsafe fn run<B: Body>(body: B) -> B::Out {
        // SAFETY: the CPU has AVX2, as this function requires; the rest is what `body` asks for.
        unsafe { body.run::<__m256>() }
    }

    #[cfg(feature = "bench")]
    #[target_feature(enable = "avx2")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: the CPU has AVX2, as this function requires; no memory is touched.
        unsafe { tile::multiply_and_add::<__m256>(turns) }
    }
}
