//! The values of an operand, read where they lie: a copy in f64 would take up to four times their bytes.

use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::tensor::{Dtype, Float};

/// The finite values of one operand.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    width: usize,
    read: fn(&[u8]) -> f64,
}

impl<'a> Numbers<'a> {
    /// The values of `operand`, from its bytes: floating-point, or whole numbers.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, `internal` for a type that a plan must not let through.
    pub(crate) fn of(operand: &Operand, bytes: &'a [u8], adapter: &str) -> Result<Numbers<'a>> {
        let (width, read): (usize, fn(&[u8]) -> f64) = match operand.dtype {
            Dtype::F16 => (2, |bytes| Float::F16.read(bytes)),
            Dtype::BF16 => (2, |bytes| Float::Bf16.read(bytes)),
            Dtype::F32 => (4, |bytes| Float::F32.read(bytes)),
            Dtype::F64 => (8, |bytes| Float::F64.read(bytes)),
            Dtype::U8 => (1, |bytes| u8::from_le_bytes(head(bytes)).into()),
            Dtype::I16 => (2, |bytes| i16::from_le_bytes(head(bytes)).into()),
            Dtype::I32 => (4, |bytes| i32::from_le_bytes(head(bytes)).into()),
            // Beyond 2^53 not every number is there, and no tensor has so many places.
            Dtype::I64 => (8, |bytes| i64::from_le_bytes(head(bytes)) as f64),
            other => return Err(Error::internal(format!("{} is of type {other}", operand.key))),
        };
        match bytes.chunks_exact(width).position(|value| !read(value).is_finite()) {
            None => Ok(Numbers { bytes, width, read }),
            Some(element) => Err(operand.not_finite(element, adapter)),
        }
    }

    /// Value number `index`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn get(&self, index: usize) -> f64 {
        (self.read)(&self.bytes[index * self.width..])
    }

    /// The values from number `first` on, each `step` behind the one before, as far as there are any.
    pub(crate) fn every(&self, step: usize, first: usize) -> impl Iterator<Item = f64> + Clone + use<'a> {
        let Numbers { bytes, width, read } = *self;
        let rest = bytes.get(first.saturating_mul(width)..).unwrap_or_default();
        rest.chunks_exact(width).step_by(step.max(1)).map(read)
    }
}

/// The first `N` bytes.
fn head<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut head = [0; N];
    head.copy_from_slice(&bytes[..N]);
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::Span;

    #[test]
    fn values_of_every_type_are_read_in_steps() {
        let operand = |dtype| Operand::whole("k", Span { input: 0, start: 0, bytes: 0 }, dtype);
        let every = |dtype, bytes: &[u8]| -> Vec<f64> {
            Numbers::of(&operand(dtype), bytes, "a").unwrap().every(2, 1).collect()
        };
        let i16s: Vec<u8> = [1i16, -2, 3, -4, 5].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(every(Dtype::I16, &i16s), [-2.0, -4.0]);
        assert_eq!(every(Dtype::U8, &[1, 2, 255, 200]), [2.0, 200.0]);
        assert_eq!(every(Dtype::U8, &[]), [0.0; 0]);
        let f32s: Vec<u8> = [1.5f32, -2.5].iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(every(Dtype::F32, &f32s), [-2.5]);
        let error = Numbers::of(&operand(Dtype::F32), &f32::NAN.to_le_bytes(), "a").err().unwrap();
        assert_eq!((error.code(), error.facts().element), ("non-finite", Some(0)));
        assert_eq!(Numbers::of(&operand(Dtype::U64), &[0; 8], "a").err().unwrap().code(), "internal");
    }
}
