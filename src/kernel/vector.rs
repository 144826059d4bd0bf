//! What the tile needs from an instruction set.

/// `LANES` lanes of 32 bits, used as f32 and as integers.
///
/// Implemented on the native vector types. All methods are `#[inline(always)]` and carry no `target_feature`, so that they
/// become part of whichever function, compiled for the instruction set, uses them. For the same reason there are no closures
/// over vectors and no `array::map` here: a function of the standard library in between is compiled without the instruction set.
///
/// Only the unsafe constructors make a vector, and their caller promises that the CPU has the instruction set. So the methods that
/// compute with an existing vector are safe.
pub(super) trait Vector: Copy {
    const LANES: usize;

    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn splat(value: f32) -> Self;

    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn splat_bits(bits: u32) -> Self;

    /// Loads from any alignment.
    ///
    /// # Safety
    /// The CPU has the instruction set, and `LANES` f32 may be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Stores to any alignment.
    ///
    /// # Safety
    /// `LANES` f32 may be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// Loads `2 * LANES` 16-bit elements from any alignment into the upper halves of the lanes; the lower halves are zero.
    ///
    /// # Safety
    /// The CPU has the instruction set, and `2 * LANES` u16 may be read at `from`.
    unsafe fn load_upper_halves(from: *const u16) -> [Self; 2];

    /// Stores `2 * LANES` lanes, each of which holds a value that fits an i16, as 16-bit elements, to any alignment.
    ///
    /// # Safety
    /// `2 * LANES` u16 may be written at `to`.
    unsafe fn store_as_i16(pair: [Self; 2], to: *mut u16);

    /// In each lane the number of the block of four that [`store_blocks`](Self::store_blocks) makes of it.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn blocks() -> Self;

    /// Stores blocks of four, to any alignment: each is one lane of all four.
    ///
    /// # Safety
    /// `4 * LANES` values may be written at `to`.
    unsafe fn store_blocks(four: [Self; 4], to: *mut u32);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;

    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    fn add_bits(self, other: Self) -> Self;
    fn sub_bits(self, other: Self) -> Self;
    /// Shifts right, bringing in zeros.
    fn shr<const BY: i32>(self) -> Self;
    /// Shifts right, bringing in copies of the sign.
    fn sar<const BY: i32>(self) -> Self;
    fn shl<const BY: i32>(self) -> Self;
    /// The larger of two signed integers.
    fn max_bits(self, other: Self) -> Self;
    /// All ones where the signed integer is greater than `other`'s, zero elsewhere.
    fn gt_bits(self, other: Self) -> Self;
    /// All ones where the integers are equal, zero elsewhere.
    fn eq_bits(self, other: Self) -> Self;
    /// The upper and the lower halves of the products of unsigned integers.
    fn wide_product(self, other: Self) -> [Self; 2];
    /// Whether any lane of a comparison's result is set.
    fn any(self) -> bool;

    /// `bits` in every lane; `self` only shows that the CPU has the instruction set.
    #[inline(always)]
    fn constant(self, bits: u32) -> Self {
        // SAFETY: `self` exists, so the CPU has the instruction set.
        unsafe { Self::splat_bits(bits) }
    }

    /// The value of the f16 in the upper half of each lane.
    #[inline(always)]
    fn f16_to_f32(self) -> Self {
        // Exponent and fraction go to their places in f32. The exponent is then too small by 127 - 15 = 112, which a
        // multiplication corrects: it is exact, and makes subnormal numbers normal.
        let small = self.sar::<3>().and(self.constant(0x8FFF_E000));
        let largest = self.constant(31 << 23);
        let infinite_or_nan = small.and(largest).eq_bits(largest).and(self.constant(0x7F80_0000));
        small.mul(self.constant((127 + 112) << 23)).or(infinite_or_nan)
    }

    /// The f16 nearest to each lane, ties to even, sign-extended to the lane. Every `|lane|` must be below 65520.
    #[inline(always)]
    fn f32_to_f16(self) -> Self {
        // The power of two at or below |lane|, but at least the least normal one, decides how long one unit of f16 is.
        let power = self.and(self.constant(0x7F80_0000)).max_bits(self.constant((127 - 14) << 23));
        // In a sum with 2^13 times that power, the last bit of the f32 is one unit: the addition does the rounding.
        let units = self.and(self.constant(0x7FFF_FFFF)).add(power.add_bits(self.constant(13 << 23)));
        // The low half of `units` counts them, from 1024 to 2048 for normal numbers: the leading one becomes part of the
        // exponent field, which therefore starts from 0 at the least normal power.
        let exponent = power.shr::<13>().sub_bits(self.constant((127 - 14) << 10));
        let code = units.add_bits(exponent).and(self.constant(0x7FFF));
        code.or(self.sar::<16>().and(self.constant(0xFFFF_8000)))
    }
}
