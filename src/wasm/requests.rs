//! What JavaScript asks for.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsValue;

use crate::error::{Error, Result};
use crate::inputs::Listing;
use crate::plan::{AdapterOptions, PlanOptions};

/// What `Plan.open` is given. The files of all folders are the inputs, one folder after another.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PlanRequest {
    pub(super) base: Listing,
    pub(super) adapters: Vec<AdapterRequest>,
    pub(super) options: PlanOptions,
}

/// One adapter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdapterRequest {
    pub(super) folder: Listing,
    pub(super) options: AdapterOptions,
}

impl PlanRequest {
    pub(super) fn read(request: JsValue) -> Result<PlanRequest> {
        let mut request: PlanRequest = read(request)?;
        let mut first_input = request.base.files.len();
        for AdapterRequest { folder, .. } in &mut request.adapters {
            folder.first_input = first_input;
            first_input += folder.files.len();
        }
        Ok(request)
    }
}

/// A value of JavaScript as one of our types.
///
/// # Errors
/// `bad-option` where it is of another type.
pub(super) fn read<T: DeserializeOwned>(value: JsValue) -> Result<T> {
    serde_wasm_bindgen::from_value(value).map_err(|error| Error::bad_option("request", error.to_string()))
}
