//! How large a block may be, so that an instance stays within its memory.

use crate::error::{Error, Result};

/// Memory of one instance when nothing else is said, without the factors of the adapters.
pub const DEFAULT_BUDGET: u64 = 64 << 20;
/// What an instance needs for its code's data, stack, allocator and one file's small things.
const FIXED: u64 = 8 << 20;
/// Larger blocks gain nothing: the read is long enough, and the rows no longer fit the caches.
const LARGEST_BLOCK: u64 = 8 << 20;

/// A limit on the memory of one instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget(u64);

impl Budget {
    /// A budget of `bytes`.
    ///
    /// # Errors
    /// `bad-option` when so little memory cannot hold even a small block.
    pub fn new(bytes: u64) -> Result<Budget> {
        let least = FIXED + (1 << 20);
        if bytes < least {
            let reason = format!("{bytes} bytes are too few, at least {least} are needed");
            let error = Error::bad_option("memoryBudget", reason).found(bytes.to_string());
            return Err(error.expected(format!("at least {least} bytes")));
        }
        Ok(Budget(bytes))
    }

    /// Bytes of output that one block may have. A block needs a buffer for its input and, where the type changes,
    /// another for its output, each up to four times the other.
    pub fn block_bytes(self) -> u64 {
        ((self.0 - FIXED) / 5).min(LARGEST_BLOCK)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Budget(DEFAULT_BUDGET)
    }
}
