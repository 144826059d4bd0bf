//! A plan as bytes: in a browser a worker makes the plan, and the page's own thread uses it.

use super::build::MergePlan;
use crate::error::{Error, Result};
use crate::wire::Wire;

impl MergePlan {
    /// The plan as bytes, for another instance of the same version. It is about as large as in memory.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// The plan that [`to_bytes`](Self::to_bytes) wrote. Read nothing else with it: the plan is not checked again.
    ///
    /// # Errors
    /// `internal` if the bytes are not a plan.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<MergePlan> {
        let plan = MergePlan::take(&mut bytes).filter(|_| bytes.is_empty());
        plan.ok_or_else(|| Error::internal("these are not the bytes of a plan"))
    }
}
