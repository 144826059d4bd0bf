//! The values of an operand, read in place: a copy in f64 would take up to four times as many bytes.

use crate::encoding::{Operand, integer, is_integer};
use crate::error::{Error, Result};
use crate::tensor::{Dtype, Float};

/// The finite values of one operand: floating-point, or whole numbers.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    dtype: Dtype,
    width: usize,
}

impl<'a> Numbers<'a> {
    /// The values of `operand`, from its bytes.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, `internal` for a type that a plan must not let through.
    pub(crate) fn of(operand: &Operand, bytes: &'a [u8], adapter: &str) -> Result<Numbers<'a>> {
        let dtype = operand.dtype;
        if Float::of(dtype).is_none() && !is_integer(dtype) {
            return Err(Error::internal(format!("{} is of type {dtype}", operand.key)));
        }
        let numbers = Numbers { bytes, dtype, width: dtype.bitsize() / 8 };
        match numbers.every(1, 0).position(|value| !value.is_finite()) {
            None => Ok(numbers),
            Some(element) => Err(operand.not_finite(element, adapter)),
        }
    }

    /// Value number `index`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn get(&self, index: usize) -> f64 {
        read(self.dtype, &self.bytes[index * self.width..][..self.width])
    }

    /// `factor` times the values from number `first` on, each `step` after the one before, as many as `out` has.
    pub(crate) fn fill(&self, step: usize, first: usize, factor: f64, out: &mut [f64]) {
        out.iter_mut().zip(self.every(step, first)).for_each(|(out, value)| *out = factor * value);
    }

    /// Multiply `out` by the values from number `first` on.
    pub(crate) fn multiply(&self, first: usize, out: &mut [f64]) {
        out.iter_mut().zip(self.every(1, first)).for_each(|(out, value)| *out *= value);
    }

    /// The values from number `first` on, each `step` after the one before, to the end.
    pub(crate) fn every(&self, step: usize, first: usize) -> impl Iterator<Item = f64> + Clone + use<'a> {
        let Numbers { bytes, dtype, width } = *self;
        let rest = bytes.get(first.saturating_mul(width)..).unwrap_or_default();
        rest.chunks_exact(width).step_by(step.max(1)).map(move |bytes| read(dtype, bytes))
    }
}

/// One element. f64 does not hold every whole number beyond 2^53, but no tensor has that many places.
fn read(dtype: Dtype, bytes: &[u8]) -> f64 {
    match Float::of(dtype) {
        Some(float) => float.read(bytes),
        None => integer(dtype, bytes) as f64,
    }
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
        assert_eq!(Numbers::of(&operand(Dtype::BOOL), &[0; 8], "a").err().unwrap().code(), "internal");
    }
}
