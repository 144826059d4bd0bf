//! NF4 as bitsandbytes stores it (QLoRA, arXiv 2305.14314): 4-bit codes of the flat tensor, with one scale for each 64 elements. With double
//! quantisation the scales are codes, too.
//!
//! This is decoding only; nothing is encoded as NF4.

use std::ops::Range;

use super::{Encoding, Operand};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::kernel::Real;
use crate::tensor::Float;
use crate::wire::wire;

/// Elements that share a scale.
const BLOCK: u64 = 64;
/// Scales that share a scale of their own.
const NESTED_BLOCK: usize = 256;

/// The values of the codes: quantiles of the normal distribution, from -1 to 1.
const CODES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// A tensor stored in NF4. Its side tensors may be in other files.
#[derive(Debug, Clone, PartialEq)]
pub struct Nf4 {
    /// The tensor's key, for errors.
    pub key: String,
    /// Two codes in each byte, the first in the upper half.
    pub codes: Span,
    /// The scales: one f32 for each 64 elements, or one byte if they are nested.
    pub absmax: Span,
    /// How the scales are stored, if they are codes themselves.
    pub nested: Option<Nested>,
}

wire!(Nf4 { key, codes, absmax, nested });

/// The scales of scales (double quantisation).
#[derive(Debug, Clone, PartialEq)]
pub struct Nested {
    /// One f32 for each 256 scales.
    pub absmax: Operand,
    /// The values of the 256 codes, f32.
    pub map: Operand,
    /// What is added to every scale.
    pub offset: f32,
}

wire!(Nested { absmax, map, offset });

impl Nf4 {
    fn scale_bytes(&self) -> u64 {
        if self.nested.is_some() { 1 } else { Float::F32.bytes() as u64 }
    }

    /// The scales of the blocks from number `first` on. `bytes` are these scales as stored.
    fn scales(&self, first: usize, bytes: &[u8], operands: &[Vec<u8>]) -> Option<Vec<f32>> {
        let Some(nested) = &self.nested else {
            return Some(bytes.as_chunks().0.iter().map(|scale| f32::from_le_bytes(*scale)).collect());
        };
        let [absmax, map] = operands else { return None };
        let at = |table: &[u8], index: usize| Some(f32::from_le_bytes(*table.as_chunks().0.get(index)?));
        let scale = |(number, &code): (usize, &u8)| {
            // Two roundings, as in bitsandbytes.
            Some(at(map, code.into())? * at(absmax, (first + number) / NESTED_BLOCK)? + nested.offset)
        };
        bytes.iter().enumerate().map(scale).collect()
    }
}

impl Encoding for Nf4 {
    fn granule(&self) -> u64 {
        BLOCK
    }

    fn reads(&self, elements: Range<u64>) -> Vec<Span> {
        let part = |of: Span, from: u64, to: u64| Span { input: of.input, start: of.start + from, bytes: to - from };
        let scales = self.scale_bytes();
        vec![
            part(self.codes, elements.start / 2, elements.end.div_ceil(2)),
            part(self.absmax, elements.start / BLOCK * scales, elements.end.div_ceil(BLOCK) * scales),
        ]
    }

    fn operands(&self) -> Vec<&Operand> {
        self.nested.iter().flat_map(|nested| [&nested.absmax, &nested.map]).collect()
    }

    fn decode<R: Real>(
        &self,
        elements: Range<u64>,
        parts: &[&[u8]],
        operands: &[Vec<u8>],
        tile: &mut [R],
    ) -> Result<()> {
        let first = elements.start / BLOCK;
        let scales = match parts {
            [_, scales] => self.scales(first as usize, scales, operands),
            _ => None,
        };
        let (Some(codes), Some(scales)) = (parts.first(), scales) else {
            return Err(Error::bad_header(self.key.clone(), "the side tensors of NF4 are too short"));
        };
        for (number, value) in (elements.start..elements.end).zip(tile) {
            let byte = codes[(number / 2 - elements.start / 2) as usize];
            let code = if number % 2 == 0 { byte >> 4 } else { byte & 15 };
            let Some(scale) = scales.get((number / BLOCK - first) as usize) else {
                return Err(Error::bad_header(self.key.clone(), "NF4 has too few scales"));
            };
            *value = R::from_f32(CODES[usize::from(code)] * scale);
        }
        Ok(())
    }
}
