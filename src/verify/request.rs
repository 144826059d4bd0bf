//! What a caller that is not Rust asks for.

use super::Verification;
use crate::error::Result;
use crate::inputs::{Inputs, Listing};
use crate::json::from_json;
use crate::plan::PlanRequest;

/// What is to be verified. The files of all folders are the inputs: the base's, the adapters', the merged model's.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct VerifyRequest {
    /// The merge that is expected.
    pub plan: PlanRequest,
    /// The merged model.
    pub merged: Listing,
}

from_json!(VerifyRequest { plan, merged });

impl VerifyRequest {
    /// Number the inputs, read headers and configurations, and plan what is compared.
    ///
    /// # Errors
    /// Those of [`Verification::open`].
    pub async fn open(mut self, inputs: &impl Inputs) -> Result<Verification> {
        self.plan.number_inputs();
        let PlanRequest { base, adapters, options } = self.plan;
        let before = adapters.iter().map(|adapter| adapter.folder.files.len()).sum::<usize>();
        self.merged.first_input = base.files.len() + before;
        let adapters: Vec<_> = adapters.into_iter().map(|adapter| (adapter.folder, adapter.options)).collect();
        Verification::open(inputs, &base, &adapters, &options, &self.merged).await
    }
}
