//! One tensor's entry in a header, read without an allocation.

use super::limits;
use super::scanner::{RawText, Scanner};
use crate::error::{Error, Result};
use crate::tensor::{Dtype, dtype_named};

/// A checked entry.
pub(crate) struct Entry<'a> {
    pub(crate) name: RawText<'a>,
    pub(crate) dtype: Dtype,
    dims: [u64; limits::DIMENSIONS],
    rank: usize,
    pub(crate) start: u64,
}

impl<'a> Entry<'a> {
    /// Read exactly the format's three fields and check them against each other.
    ///
    /// # Errors
    /// `bad-header` for whatever breaks the format or goes beyond [`limits`].
    pub(crate) fn read(file: &str, name: RawText<'a>, scanner: &mut Scanner<'a>) -> Result<Entry<'a>> {
        if name.bytes() > limits::NAME_BYTES {
            let reason = format!("a tensor's name has {} bytes, more than {}", name.bytes(), limits::NAME_BYTES);
            return Err(Error::bad_header(file, reason));
        }
        let fault = |reason: String| Error::bad_header(file, format!("tensor {:?}: {reason}", name.decoded()));
        if scanner.peek() != Some(b'{') {
            return Err(fault("not an object".into()));
        }
        let types = || {
            fault(
                "it needs dtype (a string), shape (a list of whole numbers) and data_offsets (two whole numbers)"
                    .into(),
            )
        };
        let (mut dtype, mut rank, mut offset_count) = (None, None, None);
        let (mut dims, mut offsets) = ([0; limits::DIMENSIONS], [0; 2]);
        scanner.object(|scanner, field| {
            let twice = || fault(format!("the key {:?} is given twice", field.short()));
            let once = |given: bool| if given { Err(twice()) } else { Ok(()) };
            if field.is("dtype") {
                once(dtype.is_some())?;
                dtype = Some(scanner.text()?.ok_or_else(types)?);
            } else if field.is("shape") {
                once(rank.is_some())?;
                rank = Some(whole_numbers(scanner, &mut dims, types)?);
            } else if field.is("data_offsets") {
                once(offset_count.is_some())?;
                offset_count = Some(whole_numbers(scanner, &mut offsets, types)?);
            } else {
                return Err(fault(format!("unknown field {:?}", field.short())));
            }
            Ok(())
        })?;
        let (Some(dtype), Some(rank), Some(2)) = (dtype, rank, offset_count) else { return Err(types()) };
        let dtype = dtype.short();
        if dtype.is_empty() {
            return Err(fault("a placeholder without a type, which safetensors itself refuses: remove it".into()));
        }
        let Some(dtype) = dtype_named(&dtype) else { return Err(fault(format!("unknown dtype {dtype:?}"))) };
        let Some(shape) = dims.get(..rank) else {
            return Err(fault(format!("{rank} dimensions, more than {}", limits::DIMENSIONS)));
        };
        check_size(dtype, shape, offsets).map_err(fault)?;
        Ok(Entry { name, dtype, dims, rank, start: offsets[0] })
    }

    pub(crate) fn shape(&self) -> &[u64] {
        &self.dims[..self.rank]
    }
}

/// Read a list of whole numbers into `into`. Numbers that do not fit there are still counted.
fn whole_numbers(scanner: &mut Scanner, into: &mut [u64], types: impl Fn() -> Error) -> Result<usize> {
    if scanner.peek() != Some(b'[') {
        return Err(types());
    }
    let mut count = 0;
    scanner.list(|scanner| {
        let number = scanner.whole().ok_or_else(&types)?;
        if let Some(place) = into.get_mut(count) {
            *place = number;
        }
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Check that the offsets hold as many bytes as the shape needs, and that the number of bits does not overflow.
fn check_size(dtype: Dtype, shape: &[u64], [start, end]: [u64; 2]) -> std::result::Result<(), String> {
    if start > end || end > limits::FILE_BYTES {
        return Err(format!("impossible offsets {start}..{end}"));
    }
    let bits = shape.iter().try_fold(dtype.bitsize() as u64, |bits, &size| bits.checked_mul(size));
    let Some(bits) = bits else { return Err(format!("the shape {shape:?} overflows")) };
    if bits % 8 != 0 || bits / 8 != end - start {
        return Err(format!("{dtype} of shape {shape:?} has {bits} bits, its offsets hold {} bytes", end - start));
    }
    Ok(())
}
