//! What a caller outside Rust asks for.

use super::options::{AdapterOptions, PlanOptions};
use crate::inputs::Listing;
use crate::json::from_json;

/// What is to be planned. The files of all folders are the inputs, one folder after another.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PlanRequest {
    /// The base.
    pub base: Listing,
    /// The adapters, in their order.
    pub adapters: Vec<AdapterRequest>,
    /// Options of the merge.
    pub options: PlanOptions,
}

/// One adapter of a request.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct AdapterRequest {
    /// Its files.
    pub folder: Listing,
    /// Its own options.
    pub options: AdapterOptions,
}

from_json!(PlanRequest { base, adapters, options });
from_json!(AdapterRequest { folder, options });

impl PlanRequest {
    /// Number the inputs: those of each folder follow those of the folder before it.
    pub fn number_inputs(&mut self) {
        let mut first_input = self.base.files.len();
        for AdapterRequest { folder, .. } in &mut self.adapters {
            folder.first_input = first_input;
            first_input += folder.files.len();
        }
    }
}
