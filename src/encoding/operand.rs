//! A tensor that is read once, as a whole, before any block of a program can be computed.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::tensor::{Dtype, Float};

/// A small tensor of an adapter, or a side tensor of an encoding: where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    /// Its key in the file, for errors.
    pub key: String,
    /// Its bytes.
    pub at: Span,
    /// Element type.
    pub dtype: Dtype,
}

impl Operand {
    /// Its element type, where it is one that lorafold computes with: a plan makes sure of it.
    ///
    /// # Errors
    /// `internal` for another type.
    pub(crate) fn float(&self) -> Result<Float> {
        Float::of(self.dtype).ok_or_else(|| Error::internal(format!("{} is of type {}", self.key, self.dtype)))
    }

    /// Its values, from its bytes.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite.
    pub(crate) fn values(&self, bytes: &[u8], adapter: &str) -> Result<Vec<f64>> {
        let float = self.float()?;
        let values: Vec<f64> = bytes.chunks_exact(float.bytes()).map(|value| float.read(value)).collect();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(element) => Err(self.not_finite(element, adapter)),
        }
    }

    /// The error that one of its values is NaN or infinite.
    pub(crate) fn not_finite(&self, element: usize, adapter: &str) -> Error {
        Error::non_finite(self.key.clone(), element as u64, "it is NaN or infinite").adapter(adapter)
    }
}
