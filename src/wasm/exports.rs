//! What JavaScript sees: a plan, and a merger that computes blocks of it.

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use super::errors::to_js;
use super::input::{JsInputs, fill};
use super::requests;
use crate::engine::{Budget, Merger as Merging};
use crate::error::{Error, Result};
use crate::json::{object, text};
use crate::kernel::Statistics;
use crate::plan::output::OutputFile;
use crate::plan::{MergePlan, build, open_adapter, open_base};

/// A merge, planned.
#[wasm_bindgen]
pub struct Plan(MergePlan);

#[wasm_bindgen]
impl Plan {
    /// Read headers and configurations through `inputs` and plan what `request` (JSON) asks for, unless `signal` is
    /// aborted meanwhile.
    pub async fn open(
        request: String,
        inputs: Array,
        signal: Option<AbortSignal>,
    ) -> std::result::Result<Plan, JsValue> {
        open(&request, &inputs, signal).await.map(Plan).map_err(|e| to_js(&e))
    }

    /// The output files: JSON, `[{ name, size }]`.
    pub fn files(&self) -> String {
        let file = |file: &OutputFile| object([("name", file.name.as_str().into()), ("size", file.size.into())]);
        text(&self.0.files.iter().map(file).collect())
    }

    /// A strong entity tag of every output file: JSON, an array of strings.
    pub fn etags(&self) -> String {
        json(&self.0.etags())
    }

    /// What tells this output from another, in hex; see `MergePlan::identity`.
    pub fn identity(&self) -> String {
        self.0.identity()
    }

    /// What the bytes `start..end` of a file are made of, at most `limit` pieces: JSON, see `Piece`.
    pub fn pieces(&self, file: usize, start: f64, end: f64, block: f64, limit: Option<usize>) -> String {
        json(&self.0.pieces(file, start as u64..end as u64, block as u64, limit.unwrap_or(usize::MAX)))
    }

    /// The longest beginning of the bytes `start..end` of a file that one read serves: JSON, see `Run`.
    pub fn run(&self, file: usize, start: f64, end: f64) -> String {
        json(&self.0.run(file, start as u64..end as u64))
    }

    /// The bytes of a file that the plan itself holds.
    #[wasm_bindgen(js_name = planBytes)]
    pub fn plan_bytes(&self, file: usize) -> Uint8Array {
        Uint8Array::from(self.0.files.get(file).map(|file| file.plan_bytes()).unwrap_or_default())
    }

    /// All that a merger must know of a tensor: JSON.
    #[wasm_bindgen(js_name = mergeSpec)]
    pub fn merge_spec(&self, tensor: usize) -> Option<String> {
        self.0.tensors.get(tensor).and_then(|tensor| tensor.merge.as_ref()).map(json)
    }

    /// The report as JSON; `statistics` is JSON, `[[tensor, statistics]]` in any order, several of one tensor added up.
    pub fn report(&self, statistics: &str) -> std::result::Result<String, JsValue> {
        let statistics = requests::statistics(statistics, self.0.tensors.len()).map_err(|e| to_js(&e))?;
        Ok(json(&self.0.report(&statistics)))
    }
}

/// Bytes of output in one block under a memory budget in bytes.
#[wasm_bindgen(js_name = blockBytes)]
pub fn block_bytes(budget: Option<f64>) -> std::result::Result<f64, JsValue> {
    let budget = budget.map_or(Ok(Budget::default()), |bytes| Budget::new(bytes as u64)).map_err(|e| to_js(&e))?;
    Ok(budget.block_bytes() as f64)
}

/// What a folder is: JSON in (`{ name, files }`) and out.
#[wasm_bindgen]
pub async fn inspect(request: String, inputs: Array) -> std::result::Result<String, JsValue> {
    let inspected = async {
        let folder = requests::folder(&request)?;
        crate::inspect::inspect(&JsInputs::new(&inputs)?, &folder).await
    };
    inspected.await.map(|value| json(&value)).map_err(|e| to_js(&e))
}

/// Computes blocks of merged tensors; one for each worker.
#[wasm_bindgen]
pub struct Merger {
    inputs: JsInputs,
    merging: Merging,
    output: (usize, usize),
}

#[wasm_bindgen]
impl Merger {
    /// A merger that reads from `inputs`, and keeps packed factors of at most `factor_bytes`.
    #[wasm_bindgen(constructor)]
    pub fn new(inputs: Array, allow_nonfinite: bool, factor_bytes: f64) -> std::result::Result<Merger, JsValue> {
        let inputs = JsInputs::new(&inputs).map_err(|e| to_js(&e))?;
        Ok(Merger { inputs, merging: Merging::new(allow_nonfinite, factor_bytes as u64), output: (0, 0) })
    }

    /// Compute elements `first .. first + count` of the tensor that `spec` (JSON) describes. The bytes then stand in
    /// the memory at `offset`, `length`, until the next call. Gives the block's statistics as JSON where wanted. `base` has the elements' bytes where they were read ahead.
    pub async fn fold(
        &mut self,
        spec: String,
        first: f64,
        count: f64,
        statistics: bool,
        base: Option<Uint8Array>,
    ) -> std::result::Result<Option<String>, JsValue> {
        let mut statistics = statistics.then(Statistics::default);
        let spec = requests::merge_spec(&spec).map_err(|e| to_js(&e))?;
        let (first, count, gathered) = (first as u64, count as u64, statistics.as_mut());
        let merged = match &base {
            None => self.merging.fold(&self.inputs, &spec, first, count, gathered).await,
            Some(bytes) => {
                let take = |buffer: &mut [u8]| fill(&spec.tensor, buffer, bytes);
                self.merging.fold_read(&self.inputs, &spec, first, count, gathered, take).await
            }
        };
        let merged = merged.map_err(|e| to_js(&e))?;
        self.output = (merged.as_ptr() as usize, merged.len());
        Ok(statistics.map(|statistics| json(&statistics)))
    }

    /// Whether the factors of a tensor are packed already.
    #[wasm_bindgen(js_name = hasFactors)]
    pub fn has_factors(&self, tensor: &str) -> bool {
        self.merging.has_factors(tensor)
    }

    /// As `fold`, of bytes that the caller has read: `base` of the elements, `factors` of every term's A and B unless
    /// `hasFactors`. It does not wait, so that a read which is given up holds up nobody.
    #[wasm_bindgen(js_name = foldGiven)]
    pub fn fold_given(
        &mut self,
        spec: &str,
        first: f64,
        count: f64,
        factors: Vec<Uint8Array>,
        base: &Uint8Array,
    ) -> std::result::Result<(), JsValue> {
        let spec = requests::merge_spec(spec).map_err(|e| to_js(&e))?;
        let factor = |number: usize, buffer: &mut [u8]| match factors.get(number) {
            Some(bytes) => fill(&spec.tensor, buffer, bytes),
            None => Err(Error::bad_option("factors", format!("{number} are too few"))),
        };
        let take = |buffer: &mut [u8]| fill(&spec.tensor, buffer, base);
        let merged = self.merging.fold_given(&spec, first as u64, count as u64, factor, take);
        let merged = merged.map_err(|e| to_js(&e))?;
        self.output = (merged.as_ptr() as usize, merged.len());
        Ok(())
    }

    /// Copy bytes of an input into the memory, at `offset`, `length`.
    pub async fn read(&mut self, input: usize, start: f64, bytes: f64) -> std::result::Result<(), JsValue> {
        let read = self.merging.copy(&self.inputs, input, start as u64, bytes as u64).await.map_err(|e| to_js(&e))?;
        self.output = (read.as_ptr() as usize, read.len());
        Ok(())
    }

    /// Where the latest result stands in the memory.
    #[wasm_bindgen(getter)]
    pub fn offset(&self) -> usize {
        self.output.0
    }

    /// How many bytes it has.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.output.1
    }
}

async fn open(request: &str, inputs: &Array, signal: Option<AbortSignal>) -> Result<MergePlan> {
    let request = requests::plan_request(request)?;
    let inputs = JsInputs::new(inputs)?.until(signal);
    let base = open_base(&inputs, &request.base).await?;
    let mut adapters = Vec::with_capacity(request.adapters.len());
    for (folder, options) in &request.adapters {
        adapters.push(open_adapter(&inputs, folder, options).await?);
    }
    build(base, adapters, &request.options)
}

fn json(value: &impl serde::Serialize) -> String {
    // Nothing that is written here has keys other than strings, the only way this can fail.
    serde_json::to_string(value).unwrap_or_default()
}
