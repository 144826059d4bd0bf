//! Element types: their names in safetensors files, their sizes, and their exact conversions to and from f32.

pub mod bf16;
pub mod f16;
mod f64;

/// The element type of a tensor: every one the safetensors format names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types, reason = "the names are the format's own")]
pub enum Dtype {
    Bool,
    F4,
    F6E2M3,
    F6E3M2,
    U8,
    I8,
    F8E5M2,
    F8E4M3,
    F8E8M0,
    F8E4M3Fnuz,
    F8E5M2Fnuz,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

/// Name in the file and width in bits, one row a type.
const TABLE: [(Dtype, &str, u64); 22] = [
    (Dtype::Bool, "BOOL", 8),
    (Dtype::F4, "F4", 4),
    (Dtype::F6E2M3, "F6_E2M3", 6),
    (Dtype::F6E3M2, "F6_E3M2", 6),
    (Dtype::U8, "U8", 8),
    (Dtype::I8, "I8", 8),
    (Dtype::F8E5M2, "F8_E5M2", 8),
    (Dtype::F8E4M3, "F8_E4M3", 8),
    (Dtype::F8E8M0, "F8_E8M0", 8),
    (Dtype::F8E4M3Fnuz, "F8_E4M3FNUZ", 8),
    (Dtype::F8E5M2Fnuz, "F8_E5M2FNUZ", 8),
    (Dtype::I16, "I16", 16),
    (Dtype::U16, "U16", 16),
    (Dtype::F16, "F16", 16),
    (Dtype::Bf16, "BF16", 16),
    (Dtype::I32, "I32", 32),
    (Dtype::U32, "U32", 32),
    (Dtype::F32, "F32", 32),
    (Dtype::C64, "C64", 64),
    (Dtype::F64, "F64", 64),
    (Dtype::I64, "I64", 64),
    (Dtype::U64, "U64", 64),
];

impl Dtype {
    /// The type a safetensors header calls `name`.
    pub fn from_name(name: &str) -> Option<Dtype> {
        TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The name in safetensors headers.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// Width of one element in bits (some types share bytes).
    pub fn bits(self) -> u64 {
        TABLE[self as usize].2
    }

    /// The same type as a [`Float`], where lorafold can compute with it.
    pub fn float(self) -> Option<Float> {
        match self {
            Dtype::F16 => Some(Float::F16),
            Dtype::Bf16 => Some(Float::Bf16),
            Dtype::F32 => Some(Float::F32),
            Dtype::F64 => Some(Float::F64),
            _ => None,
        }
    }
}

/// The element types that deltas can be added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
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
            Float::Bf16 => Dtype::Bf16,
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

#[cfg(test)]
pub(crate) mod tests;
