//! The two types that tiles are computed in.

use std::ops::{Add, AddAssign, Mul, MulAssign, Sub};

use super::difference;
use super::factors::Factors;
use super::fold::fold_into;
use super::four::{Four, fours};
use super::thin::{self, Left};
use crate::tensor::Float;

/// The type that a method computes in: f32, or f64 if the base is f64.
pub trait Real:
    Copy
    + PartialEq
    + super::norms::Value
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + AddAssign
    + MulAssign
    + private::Sealed
    + 'static
{
    /// The same type as an element type.
    const FLOAT: Float;
    /// Zero.
    const ZERO: Self;

    /// The nearest value.
    fn from_f64(value: f64) -> Self;
    /// The same value.
    fn from_f32(value: f32) -> Self;
    /// The nearest value of f32.
    fn to_f32(self) -> f32;
    /// The sums of values and deltas, into `out`, which has as many.
    fn add_all(values: &[Self], deltas: &[f32], out: &mut [Self]);
    /// Whether it is neither NaN nor infinite.
    fn is_finite(self) -> bool;
    /// Add `left` × `right` (depth × width) to `out` (rows × width). Each value is summed from zero on, in the order of the depth, and then added.
    ///
    /// # Panics
    /// If the width is no multiple of [`THIN`](super::THIN), or a factor or `out` is not of its size.
    fn add_product(left: Left<Self>, right: &[Self], width: usize, out: &mut [Self]);
    /// Write `tuned` − `base` to `out`, elements of the types that stand beside them, rounded once. Returns whether all are finite.
    ///
    /// # Panics
    /// If the bytes are not as many elements as `out` has, or are f64 where this is f32.
    fn subtract(tuned: (Float, &[u8]), base: (Float, &[u8]), out: &mut [Self]) -> bool;
}

mod private {
    /// Types without padding in which every bit pattern is a value.
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

impl Real for f32 {
    const FLOAT: Float = Float::F32;
    const ZERO: f32 = 0.0;

    fn from_f64(value: f64) -> f32 {
        value as f32
    }

    fn from_f32(value: f32) -> f32 {
        value
    }

    fn to_f32(self) -> f32 {
        self
    }

    fn add_all(values: &[f32], deltas: &[f32], out: &mut [f32]) {
        let ((values, tail), (deltas, rest), (out, end)) = (fours(values), fours(deltas), out.as_chunks_mut());
        for ((out, value), delta) in out.iter_mut().zip(values).zip(deltas) {
            Four::load(value).plus(Four::load(delta)).store(out);
        }
        end.iter_mut().zip(tail).zip(rest).for_each(|((out, value), delta)| *out = value + delta);
    }

    fn is_finite(self) -> bool {
        f32::is_finite(self)
    }

    fn add_product(left: Left<f32>, right: &[f32], width: usize, out: &mut [f32]) {
        thin::add_product(left, right, width, out);
    }

    fn subtract(tuned: (Float, &[u8]), base: (Float, &[u8]), out: &mut [f32]) -> bool {
        difference::subtract(tuned, base, out)
    }
}

impl Real for f64 {
    const FLOAT: Float = Float::F64;
    const ZERO: f64 = 0.0;

    fn from_f64(value: f64) -> f64 {
        value
    }

    fn from_f32(value: f32) -> f64 {
        value.into()
    }

    fn to_f32(self) -> f32 {
        self as f32
    }

    fn add_all(values: &[f64], deltas: &[f32], out: &mut [f64]) {
        for ((out, value), &delta) in out.iter_mut().zip(values).zip(deltas) {
            *out = value + f64::from(delta);
        }
    }

    fn is_finite(self) -> bool {
        f64::is_finite(self)
    }

    fn add_product(left: Left<f64>, right: &[f64], width: usize, out: &mut [f64]) {
        thin::add_product_f64(left, right, width, out);
    }

    fn subtract(tuned: (Float, &[u8]), base: (Float, &[u8]), out: &mut [f64]) -> bool {
        difference::subtract_f64(tuned, base, out)
    }
}

/// The bytes of a tile, as they would be in a file.
pub fn bytes_of<R: Real>(tile: &[R]) -> &[u8] {
    // SAFETY: only f32 and f64 are `Real`: they have no padding, any of their bytes may be read as u8, and the length is that of the slice.
    unsafe { std::slice::from_raw_parts(tile.as_ptr().cast(), size_of_val(tile)) }
}

/// The bytes of a tile, to be written.
pub fn bytes_of_mut<R: Real>(tile: &mut [R]) -> &mut [u8] {
    // SAFETY: only f32 and f64 are `Real`: they have no padding, every pattern of bits is a value of theirs, and the length is that of the slice.
    unsafe { std::slice::from_raw_parts_mut(tile.as_mut_ptr().cast(), size_of_val(tile)) }
}

/// W + L·R for the elements of W from `first` on, decoded from `src` and not yet rounded to an output type. The result is f32, or f64 if W is f64.
///
/// # Panics
/// As [`fold_into`].
pub fn fold_tile<R: Real>(factors: &Factors, first: u64, from: Float, src: &[u8], tile: &mut [R]) {
    // A sum that leaves the finite range stays visible in the tile. The caller reports it when it rounds the tile to the output type.
    let _ = fold_into(factors, first, from, src, R::FLOAT, bytes_of_mut(tile), None);
}

/// The values of `bytes`, elements of type `from`, as many as `tile` has.
///
/// # Panics
/// If `bytes` is not as many elements.
pub fn decode<R: Real>(from: Float, bytes: &[u8], tile: &mut [R]) {
    fold_tile(&Factors::none(tile.len()), 0, from, bytes, tile);
}
