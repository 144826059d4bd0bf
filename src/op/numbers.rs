//! The values of an operand, read where they lie: a copy in f64 would take up to four times their bytes.

use crate::encoding::Operand;
use crate::error::Result;
use crate::tensor::Float;

/// The finite values of one operand.
#[derive(Clone, Copy)]
pub(crate) struct Numbers<'a> {
    bytes: &'a [u8],
    float: Float,
}

impl<'a> Numbers<'a> {
    /// The values of `operand`, from its bytes.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite.
    pub(crate) fn of(operand: &Operand, bytes: &'a [u8], adapter: &str) -> Result<Numbers<'a>> {
        let numbers = Numbers { bytes, float: operand.float()? };
        let mut values = bytes.chunks_exact(numbers.float.bytes());
        match values.position(|value| !numbers.float.read(value).is_finite()) {
            None => Ok(numbers),
            Some(element) => Err(operand.not_finite(element, adapter)),
        }
    }

    /// Value number `index`.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn get(&self, index: usize) -> f64 {
        let width = self.float.bytes();
        self.float.read(&self.bytes[index * width..])
    }

    /// The values from number `first` on, each `step` behind the one before.
    ///
    /// # Panics
    /// When one is taken that is not there.
    pub(crate) fn every(&self, step: usize, first: usize) -> impl Iterator<Item = f64> + use<'a> {
        let numbers = *self;
        (first..).step_by(step).map(move |index| numbers.get(index))
    }
}
