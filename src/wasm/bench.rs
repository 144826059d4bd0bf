//! Measures what crossing to JavaScript costs, in each of the two ways, for `benches/boundary.mjs`. Only with the feature `bench`.

use std::collections::BTreeMap;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::exports::Plan;
use super::values::{write, write_text};

type JsResult<T> = std::result::Result<T, JsValue>;

#[wasm_bindgen]
impl Plan {
    /// Pieces of the first file, as JSON or field by field.
    #[wasm_bindgen(js_name = benchPieces)]
    pub fn bench_pieces(&self, as_text: bool, block: f64, limit: usize) -> JsResult<JsValue> {
        let pieces = self.plan.pieces(0, 0..u64::MAX, block as u64, limit);
        if as_text { write_text(&pieces) } else { write(&pieces) }
    }

    /// The report.
    #[wasm_bindgen(js_name = benchReport)]
    pub fn bench_report(&self, as_text: bool) -> JsResult<JsValue> {
        let report = self.plan.report(&BTreeMap::new());
        if as_text { write_text(&report) } else { write(&report) }
    }
}
