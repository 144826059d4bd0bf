//! A plan as bytes: a browser makes plans in a worker, and uses them in the page's own thread.

use super::build::MergePlan;
use crate::error::{Error, Result};

impl MergePlan {
    /// The plan as bytes, for another instance of the same version. A tensor takes about as many as in memory.
    ///
    /// # Errors
    /// `internal` where a value cannot be written.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        postcard::to_allocvec(self).map_err(failed)
    }

    /// The plan that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// `internal` where the bytes are not those of a plan of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<MergePlan> {
        postcard::from_bytes(bytes).map_err(failed)
    }
}

fn failed(error: postcard::Error) -> Error {
    Error::internal(format!("a plan as bytes: {error}"))
}
