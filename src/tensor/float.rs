//! The element types that lorafold computes with.

use super::{Dtype, bf16, f16};
use crate::wire::wire_enum;

/// The element types that deltas can be added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

wire_enum!(Float { F16, Bf16, F32, F64 });

impl Float {
    /// The type that a header calls `dtype`, if lorafold computes with it.
    pub fn of(dtype: Dtype) -> Option<Float> {
        match dtype {
            Dtype::F16 => Some(Float::F16),
            Dtype::BF16 => Some(Float::Bf16),
            Dtype::F32 => Some(Float::F32),
            Dtype::F64 => Some(Float::F64),
            _ => None,
        }
    }

    /// Width of one element in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Float::F16 | Float::Bf16 => 2,
            Float::F32 => 4,
            Float::F64 => 8,
        }
    }

    /// The value of one little-endian element, exactly.
    ///
    /// # Panics
    /// If `bytes` is shorter than one element.
    #[inline]
    pub fn read(self, bytes: &[u8]) -> f64 {
        match self {
            Float::F16 => f16::decode(u16::from_le_bytes(head(bytes))).into(),
            Float::Bf16 => bf16::decode(u16::from_le_bytes(head(bytes))).into(),
            Float::F32 => f32::from_le_bytes(head(bytes)).into(),
            Float::F64 => f64::from_le_bytes(head(bytes)),
        }
    }

    /// The values of little-endian elements, as many as `values` has, exactly.
    pub(crate) fn read_all(self, bytes: &[u8], values: &mut [f64]) {
        let elements = bytes.chunks_exact(self.bytes()).zip(values);
        // One loop for each type, with the type known inside.
        match self {
            Float::F16 => elements.for_each(|(bytes, value)| *value = Float::F16.read(bytes)),
            Float::Bf16 => elements.for_each(|(bytes, value)| *value = Float::Bf16.read(bytes)),
            Float::F32 => elements.for_each(|(bytes, value)| *value = Float::F32.read(bytes)),
            Float::F64 => elements.for_each(|(bytes, value)| *value = Float::F64.read(bytes)),
        }
    }

    /// Writes `value`, rounded once to nearest even, NaN canonically, as one little-endian element.
    ///
    /// # Panics
    /// If `bytes` is shorter than one element.
    #[inline]
    pub fn write(self, value: f64, bytes: &mut [u8]) {
        match self {
            Float::F16 => bytes[..2].copy_from_slice(&f16::encode_f64(value).to_le_bytes()),
            Float::Bf16 => bytes[..2].copy_from_slice(&bf16::encode_f64(value).to_le_bytes()),
            Float::F32 => {
                let value = if value.is_nan() { f32::NAN } else { value as f32 };
                bytes[..4].copy_from_slice(&value.to_le_bytes());
            }
            Float::F64 => {
                let value = if value.is_nan() { f64::NAN } else { value };
                bytes[..8].copy_from_slice(&value.to_le_bytes());
            }
        }
    }

    /// The same type as a [`Dtype`].
    pub fn dtype(self) -> Dtype {
        match self {
            Float::F16 => Dtype::F16,
            Float::Bf16 => Dtype::BF16,
            Float::F32 => Dtype::F32,
            Float::F64 => Dtype::F64,
        }
    }
}

/// The first `N` bytes.
#[inline]
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut head = [0; N];
    head.copy_from_slice(&bytes[..N]);
    head
}
