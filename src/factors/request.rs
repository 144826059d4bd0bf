//! What a caller that is not Rust asks for.

use super::adapters::plan_combine;
use super::models::plan_extract;
use super::options::{CombineOptions, ExtractOptions};
use super::plan::FactorsPlan;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Listing};
use crate::json::from_json;
use crate::plan::{AdapterOptions, AdapterRequest};

/// An adapter to be made: of adapters, where `combine` is there, or of a base and a fine-tuned model, where `extract` is. The files of all folders
/// are the inputs, one folder after another: adapters in their order; or base, then model.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct FactorsRequest {
    /// The adapters.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<AdapterRequest>>"))]
    pub adapters: Vec<AdapterRequest>,
    /// How they become one.
    pub combine: Option<CombineOptions>,
    /// The base and the model; where adapters are combined, their base, if it is given.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<Listing>>"))]
    pub models: Vec<Listing>,
    /// How their difference becomes an adapter.
    pub extract: Option<ExtractOptions>,
}

from_json!(FactorsRequest { adapters or Vec::new(), combine, models or Vec::new(), extract });

impl FactorsRequest {
    /// Read configurations and headers, and decide what is made.
    ///
    /// # Errors
    /// Those of [`plan_combine`] or [`plan_extract`].
    pub async fn plan(mut self, inputs: &impl Inputs) -> Result<FactorsPlan> {
        let mut first = 0;
        for folder in self.adapters.iter_mut().map(|adapter| &mut adapter.folder).chain(&mut self.models) {
            folder.first_input = first;
            first += folder.files.len();
        }
        match (self.combine, self.extract, self.models.as_slice()) {
            (Some(options), None, base @ ([] | [_])) => {
                let adapters: Vec<(Listing, AdapterOptions)> =
                    self.adapters.into_iter().map(|adapter| (adapter.folder, adapter.options)).collect();
                plan_combine(inputs, &adapters, base.first(), &options).await
            }
            (None, Some(options), [base, tuned]) => plan_extract(inputs, base, tuned, &options).await,
            _ => Err(Error::internal("an adapter is made either of adapters or of two models")),
        }
    }
}
