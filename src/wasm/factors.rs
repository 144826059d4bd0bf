//! What JavaScript sees of an adapter that is made of others, or of two models.

use std::pin::Pin;

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use super::input::JsInputs;
use super::values::{read, write, write_text};
use crate::error::{Error, Result};
use crate::factors::{AdapterFiles, Factored, FactorsPlan, FactorsRequest, Outcome};
use crate::plan::FileSize;

/// The types that the signatures below name.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { FactorsReport, FactorsRequest, Slot } from "./schema.js";"#;

type JsResult<T> = std::result::Result<T, JsValue>;

/// An adapter to be made, part by part.
#[wasm_bindgen]
pub struct Factors {
    plan: FactorsPlan,
    inputs: JsInputs,
    made: Option<AdapterFiles>,
}

#[wasm_bindgen]
impl Factors {
    /// Read headers and configurations through `inputs` and decide what `request` asks for, unless `signal` is aborted meanwhile.
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "FactorsRequest")] request: JsValue,
        inputs: Array,
        signal: Option<AbortSignal>,
    ) -> JsResult<Factors> {
        let inputs = JsInputs::new(&inputs)?.until(signal);
        let planned = async {
            let request: FactorsRequest = read(&request)?;
            request.plan(&inputs).await
        };
        let plan = planned.await?;
        Ok(Factors { plan, inputs, made: None })
    }

    /// How many parts there are.
    #[wasm_bindgen(getter)]
    pub fn parts(&self) -> usize {
        self.plan.parts()
    }

    /// What a part is called.
    pub fn name(&self, part: usize) -> String {
        self.plan.name(part).into()
    }

    /// How much work a part is, in elements of its weight.
    pub fn elements(&self, part: usize) -> f64 {
        self.plan.elements(part) as f64
    }

    /// Compute a part: its outcome, as `finish` takes it, and the values of A and of B.
    pub async fn compute(&self, part: usize) -> JsResult<Vec<Uint8Array>> {
        // Boxed, so that it is a function of its own, and not a part of what turns futures into promises: that one is in the first half.
        let computing: Pin<Box<dyn Future<Output = Result<Factored>> + '_>> =
            Box::pin(self.plan.compute(part, &self.inputs));
        let computed = computing.await?;
        let outcome = computed.outcome.to_bytes();
        Ok([&outcome, &computed.values[0], &computed.values[1]].map(|bytes| Uint8Array::from(bytes.as_slice())).into())
    }

    /// Take the outcomes of all parts, in their order. Then the files are known.
    pub fn finish(&mut self, outcomes: Vec<Uint8Array>) -> JsResult<()> {
        let read = |bytes: Uint8Array| Outcome::from_bytes(&bytes.to_vec());
        let outcomes: Result<Vec<Outcome>> = outcomes.into_iter().map(read).collect();
        self.made = Some(self.plan.finish(&outcomes?)?);
        Ok(())
    }

    /// The two files.
    #[wasm_bindgen(unchecked_return_type = "FileSize[]")]
    pub fn files(&self) -> JsResult<JsValue> {
        told(self.made.as_ref(), Told::Files)
    }

    /// The bytes of the first file.
    pub fn config(&self) -> JsResult<Vec<u8>> {
        Ok(made(self.made.as_ref())?.config.clone())
    }

    /// How the second file begins.
    pub fn header(&self) -> JsResult<Vec<u8>> {
        Ok(made(self.made.as_ref())?.header.clone())
    }

    /// What follows there, in order.
    #[wasm_bindgen(unchecked_return_type = "Slot[]")]
    pub fn slots(&self) -> JsResult<JsValue> {
        told(self.made.as_ref(), Told::Slots)
    }

    /// What is told of it.
    #[wasm_bindgen(unchecked_return_type = "FactorsReport")]
    pub fn report(&self) -> JsResult<JsValue> {
        told(self.made.as_ref(), Told::Report)
    }
}

fn made(made: Option<&AdapterFiles>) -> Result<&AdapterFiles> {
    made.ok_or_else(|| Error::internal("not every part is computed"))
}

/// What is told of a finished adapter.
#[derive(Clone, Copy)]
enum Told {
    Files,
    Slots,
    Report,
}

/// Not inlined into what wasm-bindgen exports, whose names have no path: the second half of the module could not have it.
#[inline(never)]
fn told(finished: Option<&AdapterFiles>, what: Told) -> JsResult<JsValue> {
    let made = made(finished)?;
    match what {
        Told::Files => write(&made.files().map(|(name, size)| FileSize { name: name.into(), size })),
        Told::Slots => write(&made.slots),
        Told::Report => write_text(&made.report),
    }
}
