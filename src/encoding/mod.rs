//! Encodings: how the numbers of one logical tensor are stored. Every encoding is a file here and a line of `encodings!`.
//!
//! A tensor is a row-major run of numbers, whatever its encoding. An encoding says which bytes hold a run of elements, and decodes
//! them. What it needs as a whole (tables of codes, scales of scales) are operands, which are read once, with those of the adapters.

mod nf4;
mod operand;
mod plain;

use std::ops::Range;

pub use nf4::{Nested, Nf4};
pub use plain::Plain;

use crate::error::Result;
use crate::inputs::Span;
use crate::kernel::Real;
use crate::tensor::Float;
use crate::wire::wire_enum;
pub use operand::{Columns, Operand};
pub(crate) use operand::{integer, is_integer};

/// What every encoding can do.
pub(crate) trait Encoding {
    /// Elements that only decode together: a run begins and ends at multiples of this, or at the end of the tensor.
    fn granule(&self) -> u64;

    /// The bytes that hold the elements. The first span is the largest: a reader may stream it.
    fn reads(&self, elements: Range<u64>) -> Vec<Span>;

    /// What is read once, as a whole.
    fn operands(&self) -> Vec<&Operand> {
        Vec::new()
    }

    /// Decode the elements into `tile`. `parts` are the bytes of [`reads`](Self::reads), `operands` those of
    /// [`operands`](Self::operands).
    fn decode<R: Real>(
        &self,
        elements: Range<u64>,
        parts: &[&[u8]],
        operands: &[Vec<u8>],
        tile: &mut [R],
    ) -> Result<()>;
}

/// The closed list of encodings. Dispatch over it is written once.
macro_rules! encodings {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// A logical tensor as it is stored: its encoding, and where its bytes are.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Stored { $($(#[$doc])* $name($name)),+ }

        wire_enum!(Stored { $($name(part)),+ });

        impl Stored {
            /// Elements that only decode together.
            pub fn granule(&self) -> u64 {
                match self { $(Stored::$name(encoding) => encoding.granule()),+ }
            }

            /// The bytes that hold the elements, the largest span first.
            pub fn reads(&self, elements: Range<u64>) -> Vec<Span> {
                match self { $(Stored::$name(encoding) => encoding.reads(elements)),+ }
            }

            /// What is read once, as a whole.
            pub fn operands(&self) -> Vec<&Operand> {
                match self { $(Stored::$name(encoding) => encoding.operands()),+ }
            }

            /// Decode the elements into `tile`, which must have room for exactly these.
            ///
            /// # Errors
            /// `bad-header` if the bytes are not what the encoding expects.
            pub(crate) fn decode<R: Real>(
                &self,
                elements: Range<u64>,
                parts: &[&[u8]],
                operands: &[Vec<u8>],
                tile: &mut [R],
            ) -> Result<()> {
                match self { $(Stored::$name(encoding) => encoding.decode(elements, parts, operands, tile)),+ }
            }
        }
    };
}

encodings! {
    /// One element after another: F16, BF16, F32 or F64.
    Plain,
    /// 4-bit codes of NF4 with scales in side tensors, as bitsandbytes stores them.
    Nf4,
}

impl Stored {
    /// The element type, if the tensor is stored plainly.
    pub fn float(&self) -> Option<Float> {
        match self {
            Stored::Plain(plain) => Some(plain.float),
            _ => None,
        }
    }
}
