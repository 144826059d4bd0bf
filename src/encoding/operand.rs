//! A tensor that is read once, as a whole, before any block of a program can be computed.

use serde::{Deserialize, Serialize};

use crate::inputs::Span;
use crate::tensor::Float;

/// A small tensor of an adapter, or a side tensor of an encoding: where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operand {
    /// Its key in the file, for errors.
    pub key: String,
    /// Its bytes.
    pub at: Span,
    /// Element type.
    pub float: Float,
}
