//! A verification as JavaScript sees it: the same jobs as of a merge, whose results are evidence in place of bytes.

use std::pin::Pin;

use js_sys::Array;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use super::input::{Given, JsInputs};
use super::values::{read, write, write_text};
use crate::error::Result;
use crate::verify::{self, CheckJob, VerifyRequest};

/// The types that the signatures below name.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { CheckJob, VerifyReport, VerifyRequest } from "./schema.js";"#;

type JsResult<T> = std::result::Result<T, JsValue>;

/// A verification of a merged model, planned.
#[wasm_bindgen]
pub struct Verification(verify::Verification);

#[wasm_bindgen]
impl Verification {
    /// Read headers and configurations through `inputs` and plan what is compared, unless `signal` is aborted meanwhile.
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "VerifyRequest")] request: JsValue,
        inputs: Array,
        signal: Option<AbortSignal>,
    ) -> JsResult<Verification> {
        let inputs = JsInputs::new(&inputs)?.until(signal);
        Ok(Verification(open(&request, &inputs).await?))
    }

    /// The jobs that are to be run next, none where all is known.
    #[wasm_bindgen(unchecked_return_type = "CheckJob[]")]
    pub fn jobs(&mut self) -> JsResult<JsValue> {
        write(&self.0.jobs())
    }

    /// A check, as `Verifier.load` takes it.
    pub fn program(&self, check: usize) -> Option<Vec<u8>> {
        self.0.check(check)
    }

    /// None: checks gather what they need.
    pub fn facts(&self, _check: usize) -> Option<Vec<u8>> {
        None
    }

    /// So none are gathered.
    #[wasm_bindgen(js_name = factRounds)]
    pub fn fact_rounds(&self, _check: usize) -> u32 {
        0
    }

    /// Add the result of a job, as `Verifier.run` gives it.
    pub fn add(&mut self, check: usize, job: usize, result: &[u8]) {
        self.0.add(&CheckJob { check, job, first: 0, count: 0 }, result);
    }

    /// How many tensors are judged.
    pub fn judged(&self) -> usize {
        self.0.progress().0
    }

    /// How many tensors there are.
    pub fn tensors(&self) -> usize {
        self.0.progress().1
    }

    /// The report, once no jobs are left.
    #[wasm_bindgen(unchecked_return_type = "VerifyReport")]
    pub fn report(&self) -> JsResult<JsValue> {
        write_text(&self.0.report())
    }
}

/// What is behind a pointer does not become part of what calls it, which every page loads.
fn open<'a>(
    request: &JsValue,
    inputs: &'a JsInputs,
) -> Pin<Box<dyn Future<Output = Result<verify::Verification>> + 'a>> {
    let request = read::<VerifyRequest>(request);
    Box::pin(async move { request?.open(inputs).await })
}

/// Runs jobs of checks; one for each worker.
#[wasm_bindgen]
pub struct Verifier {
    inputs: JsInputs,
    verifier: verify::Verifier,
}

#[wasm_bindgen]
impl Verifier {
    /// A verifier that reads from `inputs`.
    #[wasm_bindgen(constructor)]
    pub fn new(inputs: Array) -> JsResult<Verifier> {
        Ok(Verifier { inputs: JsInputs::new(&inputs)?, verifier: verify::Verifier::new(0) })
    }

    /// Take a check (`Verification.program`) by its number.
    pub fn load(&mut self, check: usize, bytes: &[u8]) -> JsResult<()> {
        Ok(self.verifier.load(check, bytes)?)
    }

    /// Forget a check.
    pub fn drop(&mut self, check: usize) {
        self.verifier.drop_check(check);
    }

    /// What a job finds, as `Verification.add` takes it.
    pub async fn run(&mut self, check: usize, first: f64, count: f64) -> JsResult<Vec<u8>> {
        let elements = first as u64..(first + count) as u64;
        // The same inputs as a merger's, so that the engine is compiled for one kind.
        let inputs = Given::with(Some(&self.inputs));
        let run: Pin<Box<dyn Future<Output = Result<Vec<u8>>> + '_>> =
            Box::pin(self.verifier.run(check, elements, &inputs));
        Ok(run.await?)
    }
}
