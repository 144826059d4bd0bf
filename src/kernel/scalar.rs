//! One lane in plain Rust: for targets without SIMD, and as the reference in tests of the others.

use super::element::Element;
use super::isa::{Body, Isa, Strip};
use super::statistics::Statistics;
use super::tile;
use super::vector::Vector;
use crate::tensor::f16;

impl Vector for f32 {
    const LANES: usize = 1;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        value
    }

    #[inline(always)]
    unsafe fn splat_bits(bits: u32) -> Self {
        f32::from_bits(bits)
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: `from` points to 4 readable bytes (1 f32), and this load asks for no alignment.
        unsafe { from.read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: `to` points to 4 writable bytes (1 f32), and this store asks for no alignment.
        unsafe { to.write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2] {
        // SAFETY: `from` points to 4 readable bytes (2 u16), and this load asks for no alignment.
        let halves = unsafe { from.cast::<[u16; 2]>().read_unaligned() };
        halves.map(|half| f32::from_bits(u32::from(half) << 16))
    }

    #[inline(always)]
    unsafe fn store_as_i16(pair: [Self; 2], to: *mut u16) {
        // SAFETY: `to` points to 4 writable bytes (2 u16), and this store asks for no alignment.
        unsafe { to.cast::<[u16; 2]>().write_unaligned(pair.map(|lane| lane.to_bits() as u16)) }
    }

    #[inline(always)]
    unsafe fn blocks() -> Self {
        f32::from_bits(0)
    }

    #[inline(always)]
    unsafe fn store_blocks(four: [Self; 4], to: *mut u32) {
        // SAFETY: `to` points to 16 writable bytes (4 u32), and this store asks for no alignment.
        unsafe { to.cast::<[u32; 4]>().write_unaligned(four.map(f32::to_bits)) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self * other
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        f32::from_bits(self.to_bits() & other.to_bits())
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        f32::from_bits(self.to_bits() | other.to_bits())
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        f32::from_bits(self.to_bits() ^ other.to_bits())
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        f32::from_bits(self.to_bits().wrapping_add(other.to_bits()))
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        f32::from_bits(self.to_bits().wrapping_sub(other.to_bits()))
    }

    #[inline(always)]
    fn shr<const BY: i32>(self) -> Self {
        f32::from_bits(self.to_bits() >> BY)
    }

    #[inline(always)]
    fn sar<const BY: i32>(self) -> Self {
        f32::from_bits((self.to_bits() as i32 >> BY) as u32)
    }

    #[inline(always)]
    fn shl<const BY: i32>(self) -> Self {
        f32::from_bits(self.to_bits() << BY)
    }

    #[inline(always)]
    fn max_bits(self, other: Self) -> Self {
        f32::from_bits((self.to_bits() as i32).max(other.to_bits() as i32) as u32)
    }

    #[inline(always)]
    fn gt_bits(self, other: Self) -> Self {
        mask(self.to_bits() as i32 > other.to_bits() as i32)
    }

    #[inline(always)]
    fn eq_bits(self, other: Self) -> Self {
        mask(self.to_bits() == other.to_bits())
    }

    #[inline(always)]
    fn wide_product(self, other: Self) -> [Self; 2] {
        let product = u64::from(self.to_bits()) * u64::from(other.to_bits());
        [f32::from_bits((product >> 32) as u32), f32::from_bits(product as u32)]
    }

    #[inline(always)]
    fn any(self) -> bool {
        self.to_bits() != 0
    }

    #[inline(always)]
    fn f16_to_f32(self) -> Self {
        f16::decode((self.to_bits() >> 16) as u16)
    }

    #[inline(always)]
    fn f32_to_f16(self) -> Self {
        f32::from_bits(i32::from(f16::encode(self) as i16) as u32)
    }
}

fn mask(set: bool) -> f32 {
    f32::from_bits(if set { u32::MAX } else { 0 })
}

/// Plain Rust.
pub(super) struct Scalar;

impl Isa for Scalar {
    const COLUMNS: usize = 2 * <f32 as Vector>::LANES;

    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize {
        // SAFETY: the strip's pointers cover its tiles and panels, which is all that `fold_strip` touches.
        unsafe { tile::fold_strip::<f32, F, T, STATISTICS>(strip, statistics) }
    }

    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32) {
        // SAFETY: `left` and `right` point to `rank` groups, and `delta` to room for one tile.
        unsafe { tile::store_product::<f32>(left, right, rank, delta) }
    }

    #[inline]
    unsafe fn run<B: Body>(body: B) -> B::Out {
        // SAFETY: f32 needs no instruction set; the rest is what `body` asks for.
        unsafe { body.run::<f32>() }
    }

    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32 {
        // SAFETY: f32 needs no instruction set, and no memory is touched.
        unsafe { tile::multiply_and_add::<f32>(turns) }
    }
}
