//! Memory whose amount depends on a file. It is reserved before it is used, because an allocation that fails ends a wasm module.
//!
//! An empty list gets exactly as much as it asks for. One that grows again gets twice as much, so that growing takes linear time.

use crate::error::{Error, ErrorKind, Result};

/// Reserve room for `count` more items.
///
/// # Errors
/// `limit-exceeded` when there is not as much memory.
pub(crate) fn reserve<T>(file: &str, items: &mut Vec<T>, count: usize) -> Result<()> {
    items.try_reserve(count).map_err(|_| lacking(file, count.saturating_mul(size_of::<T>())))
}

/// Make room for `bytes` more bytes of text.
///
/// # Errors
/// `limit-exceeded` when there is not as much memory.
pub(crate) fn reserve_text(file: &str, text: &mut String, bytes: usize) -> Result<()> {
    text.try_reserve(bytes).map_err(|_| lacking(file, bytes))
}

fn lacking(file: &str, bytes: usize) -> Error {
    Error::limit_exceeded(file, format!("there is not enough memory: {bytes} more bytes are needed"))
        .kind(ErrorKind::NoMemory)
        .file(file)
}
