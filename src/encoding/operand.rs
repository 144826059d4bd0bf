//! A tensor that is read once, as a whole, before any block of a program can be computed.

use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Span;
use crate::tensor::{Dtype, Float};
use crate::wire::wire;

/// A small tensor of an adapter, or a side tensor of an encoding, with the place of its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// Its key in the file, for errors.
    pub key: String,
    /// Its bytes.
    pub at: Span,
    /// Element type.
    pub dtype: Dtype,
    /// Which elements of each row belong to it, if not all do.
    pub columns: Option<Box<Columns>>,
}

wire!(Operand { key, at, dtype, columns });

/// Some elements of each row of a matrix: every `step`th from `first` on. These are the factors of one expert, in a tensor with those of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// Elements of a row.
    pub of: u64,
    /// The first element that is taken.
    pub first: u64,
    /// The distance from one to the next.
    pub step: u64,
    /// How many are taken from each row.
    pub count: u64,
}

wire!(Columns { of, first, step, count });

impl Operand {
    /// A whole tensor.
    pub fn whole(key: &str, at: Span, dtype: Dtype) -> Operand {
        Operand { key: key.into(), at, dtype, columns: None }
    }

    /// Bytes that its values take.
    pub(crate) fn bytes(&self) -> u64 {
        self.columns.as_ref().map_or(self.at.bytes, |columns| self.at.bytes / columns.of.max(1) * columns.count)
    }

    /// Its element type, which must be one that lorafold computes with. A plan ensures that.
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

    /// Its values as indices into something with `length` elements, from its bytes. Its type must be an integer type of at most 64 bits.
    ///
    /// # Errors
    /// `shape-mismatch` for an index that is negative, or `length` or more; `internal` for another type.
    pub(crate) fn indices(&self, bytes: &[u8], length: u64, adapter: &str) -> Result<Vec<usize>> {
        if !is_integer(self.dtype) {
            return Err(Error::internal(format!("{} is of type {}, no integer", self.key, self.dtype)));
        }
        let width = self.dtype.bitsize() / 8;
        let mut indices = Vec::with_capacity(bytes.len() / width);
        for (element, value) in bytes.chunks_exact(width).enumerate() {
            let value = integer(self.dtype, value);
            if value < 0 || value as u64 >= length {
                let reason = format!("element {element} is the index {value}, of {length} elements");
                return Err(Error::shape_mismatch(adapter, self.key.clone(), reason)
                    .kind(ErrorKind::OtherShape)
                    .found(value.to_string())
                    .expected(format!("an index from 0 to below {length}"))
                    .fix("check that this is the base that the adapter was trained on"));
            }
            indices.push(value as usize);
        }
        Ok(indices)
    }
}

/// Whether elements of the type are integers of whole bytes.
pub(crate) fn is_integer(dtype: Dtype) -> bool {
    is_signed(dtype) || matches!(dtype, Dtype::U8 | Dtype::U16 | Dtype::U32 | Dtype::U64)
}

fn is_signed(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::I8 | Dtype::I16 | Dtype::I32 | Dtype::I64)
}

/// One little-endian element of an integer type. A value beyond `i64` becomes the largest `i64`: no tensor has that many elements.
pub(crate) fn integer(dtype: Dtype, bytes: &[u8]) -> i64 {
    let mut all = [0; 8];
    let width = bytes.len().min(8);
    all[..width].copy_from_slice(&bytes[..width]);
    let value = u64::from_le_bytes(all);
    let unused = 64 - 8 * width as u32;
    match is_signed(dtype) && unused < 64 {
        true => (value << unused) as i64 >> unused,
        false => i64::try_from(value).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_of_any_integer_type_and_in_range() {
        let operand = |dtype| Operand::whole("k", Span { input: 0, start: 0, bytes: 0 }, dtype);
        let read = |dtype, bytes: &[u8]| operand(dtype).indices(bytes, 300, "a").map_err(|error| error.to_string());
        assert_eq!(read(Dtype::U8, &[0, 255]).unwrap(), [0, 255]);
        assert_eq!(read(Dtype::I16, &[1, 1, 3, 0]).unwrap(), [257, 3]);
        assert_eq!(read(Dtype::I32, &[43, 1, 0, 0]).unwrap(), [299]);
        assert_eq!(read(Dtype::U64, &[9, 0, 0, 0, 0, 0, 0, 0]).unwrap(), [9]);
        assert!(read(Dtype::I32, &[44, 1, 0, 0]).unwrap_err().contains("index 300"));
        assert!(read(Dtype::I8, &[0, 255]).unwrap_err().contains("element 1 is the index -1"));
        assert!(read(Dtype::I64, &[255; 8]).is_err() && read(Dtype::U64, &[255; 8]).is_err());
        assert_eq!(operand(Dtype::F32).indices(&[0; 4], 1, "a").unwrap_err().code(), "internal");
    }
}
