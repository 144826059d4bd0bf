//! Elements of one floating-point type, one after another.

use std::ops::Range;

use super::Encoding;
use crate::error::Result;
use crate::inputs::Span;
use crate::kernel::{self, Real};
use crate::tensor::Float;
use crate::wire::wire;

/// A tensor stored plainly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plain {
    /// Element type.
    pub float: Float,
    /// Number of the file among all inputs.
    pub input: usize,
    /// The tensor's first byte in that file.
    pub start: u64,
}

wire!(Plain { float, input, start });

impl Encoding for Plain {
    fn granule(&self) -> u64 {
        1
    }

    fn reads(&self, elements: Range<u64>) -> Vec<Span> {
        let width = self.float.bytes() as u64;
        let bytes = (elements.end - elements.start) * width;
        vec![Span { input: self.input, start: self.start + elements.start * width, bytes }]
    }

    fn decode<R: Real>(&self, _: Range<u64>, parts: &[&[u8]], _: &[Vec<u8>], tile: &mut [R]) -> Result<()> {
        if let [bytes] = parts {
            kernel::decode(self.float, bytes, tile);
        }
        Ok(())
    }
}
