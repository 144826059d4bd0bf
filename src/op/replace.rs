//! A parameter that the adapter brings as a whole, in place of the base's: W' = M. PEFT's `modules_to_save`, its biases, and the
//! embeddings that it saves after a vocabulary was resized.
//!
//! It may be as large as any weight of the base, so it is read block by block beside it, or in its place.

use super::{Given, LayerShape, Method, Op, Prepared, ln_tuning};
use crate::encoding::{Operand, Plain};
use crate::error::{Error, Result};
use crate::model::orientation::Fit;
use crate::wire::wire;

/// A parameter of the adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Replace {
    /// Its key in the file, for errors.
    pub key: String,
    /// Its shape as stored, which is that of the base's.
    pub shape: Vec<u64>,
    /// Its type and place.
    pub stored: Plain,
}

wire!(Replace { key, shape, stored });

/// No operands, but a replacement.
pub(super) static REPLACE: Method = Method { fit, spellings: &[ln_tuning::PEFT], ..Method::new("replace", prepare) };

/// The update that puts `values` in place of a parameter.
///
/// # Errors
/// `internal` for values of a type that was not checked.
pub(crate) fn replace(values: &Operand, shape: &[u64]) -> Result<Op> {
    let stored = Plain { float: values.float()?, input: values.at.input, start: values.at.start };
    let layer = match *shape {
        [outputs] => LayerShape::vector(outputs),
        [outputs, inputs, ref kernel @ ..] => LayerShape::convolution(outputs, inputs, kernel),
        [] => LayerShape::default(),
    };
    let replacement = Some(Replace { key: values.key.clone(), shape: shape.into(), stored });
    Ok(Op { layer, replacement, ..Op::new(&REPLACE) })
}

pub(super) fn fit(op: &Op, shape: &[u64]) -> Fit {
    match &op.replacement {
        Some(replace) if replace.shape == shape => Fit::Certain { transposed: false },
        _ => Fit::Neither,
    }
}

pub(super) fn prepare(given: &Given) -> Result<Prepared> {
    match &given.op.replacement {
        Some(replace) => Ok(Prepared::Beside(replace.stored.float)),
        None => Err(Error::internal("there is nothing in place of the weight")),
    }
}
