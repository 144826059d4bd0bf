//! Which values of a tensor are the largest by magnitude, once it is known: two numbers say it of every element.

use crate::kernel::each_four;
use crate::wire::wire;

/// The largest key: of a NaN.
pub(super) const LARGEST: u32 = 0x7FFF_FFFF;

/// Which values are kept: those with a larger key, and of those with the same one the elements up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Bits of |x|.
    pub key: u32,
    /// The last element that is kept of those with that key.
    pub last: u64,
}

wire!(Found { key, last });

impl Found {
    /// All are kept.
    pub const ALL: Found = Found { key: 0, last: u64::MAX };
    /// None is.
    pub const NONE: Found = Found { key: u32::MAX, last: 0 };

    /// Whether a value is kept.
    pub fn keeps(&self, value: f32, element: u64) -> bool {
        let key = key_of(value);
        key > self.key || key == self.key && element <= self.last
    }

    /// Put zeros in place of what is not kept of the values from element `first` on, or of what is.
    pub(crate) fn mask(&self, values: &mut [f32], first: u64, keeps: bool) {
        let equal = (self.last.saturating_add(1).saturating_sub(first)).min(values.len() as u64) as usize;
        let (head, tail) = values.split_at_mut(equal);
        for (part, least) in [(head, self.key), (tail, self.key.saturating_add(1))] {
            let least = least.min(LARGEST + 1).wrapping_sub(1) as i32;
            match keeps {
                true => each_four(part, |values| values.only(values.key_above(least))),
                false => each_four(part, |values| values.only(values.key_above(least).others())),
            }
        }
    }
}

/// |x| as an integer, in the order of magnitudes.
pub(super) fn key_of(value: f32) -> u32 {
    value.to_bits() & LARGEST
}
