//! A plan as bytes: a browser makes plans in a worker, and uses them in the page's own thread.

use super::build::MergePlan;
use crate::error::{Error, Result};
use crate::wire::Wire;

impl MergePlan {
    /// The plan as bytes, for another instance of the same version. A tensor takes about as many as in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// The plan that [`to_bytes`](Self::to_bytes) wrote. Nothing else is to be read: a plan is not checked again.
    ///
    /// # Errors
    /// `internal` where the bytes are no plan.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<MergePlan> {
        let plan = MergePlan::take(&mut bytes).filter(|_| bytes.is_empty());
        plan.ok_or_else(|| Error::internal("these are not the bytes of a plan"))
    }
}
