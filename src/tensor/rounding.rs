//! How values are rounded, and the conversion of f64 to the 16-bit types with one rounding. `half` rounds twice: it first cuts off the lower 32
//! bits, or, on some processors, rounds to the nearest f32.

use crate::wire::wire_enum;

/// How the computed values of a tensor are rounded to its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// To the nearest value, of two equally near ones to the even.
    #[default]
    Nearest,
    /// To one of the two neighbours, by the random numbers of this key (see [`random_of`](super::philox::random_of)).
    Stochastic(u64),
}

wire_enum!(Rounding { Nearest, Stochastic(key) });

/// `value` rounded to f32 such that an inexact result has an odd last bit (round to odd: Boldo and Melquiond, "Emulation of
/// FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on Computers 57, 2008).
///
/// The odd bit remembers that something was cut off, so rounding the result to nearest in a type at least two bits narrower
/// gives what rounding `value` itself would have given.
pub(super) fn round_to_odd(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) == value || value.is_nan() {
        return nearest;
    }
    let bits = nearest.to_bits();
    let towards_zero = if f64::from(nearest).abs() > value.abs() { bits - 1 } else { bits };
    f32::from_bits(towards_zero | 1)
}
