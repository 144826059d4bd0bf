//! Inputs from JavaScript: Blobs and functions.

use js_sys::{Array, Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, Blob};

use super::errors::read_failed;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span};

/// One input file.
enum Input {
    /// A `Blob` or `File`.
    Blob(Blob),
    /// `read(start, end)` returns a promise of a `Uint8Array`.
    Read(Function),
    /// `readInto(view, start)` fills the view at once: files in Node, sync handles in a worker.
    ReadInto(Function),
}

/// Every input, by number, and the signal that they are no longer wanted.
pub(super) struct JsInputs {
    inputs: Vec<Named>,
    signal: Option<AbortSignal>,
}

/// An input, its name, and the platform's own hash function if there is one (`sha256()` returns a promise of hex).
struct Named {
    name: String,
    input: Input,
    sha256: Option<Function>,
}

impl JsInputs {
    /// From an array of `{ name, blob | readInto | read }`.
    pub(super) fn new(array: &Array) -> Result<JsInputs> {
        let inputs = array.iter().map(|object| describe(&object)).collect::<Result<_>>()?;
        Ok(JsInputs { inputs, signal: None })
    }

    /// The same inputs, for work that ends at its next pause once `signal` is aborted.
    pub(super) fn until(self, signal: Option<AbortSignal>) -> JsInputs {
        JsInputs { signal, ..self }
    }

    /// The name of an input in errors.
    fn name(&self, input: usize) -> &str {
        self.inputs.get(input).map_or("an input", |input| &input.name)
    }
}

fn describe(object: &JsValue) -> Result<Named> {
    let field = |name: &str| Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let name = field("name").as_string().unwrap_or_default();
    let function = |name: &str| field(name).dyn_into::<Function>().ok();
    let input = if let Ok(blob) = field("blob").dyn_into::<Blob>() {
        Input::Blob(blob)
    } else if let Some(read_into) = function("readInto") {
        Input::ReadInto(read_into)
    } else if let Some(read) = function("read") {
        Input::Read(read)
    } else {
        let reason = "an input has neither blob, readInto nor read";
        return Err(Error::internal(reason));
    };
    Ok(Named { name, input, sha256: function("sha256") })
}

impl Inputs for JsInputs {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let Some(Named { name, input, .. }) = self.inputs.get(input) else {
            return Err(Error::internal(format!("there is no input {input}")));
        };
        let end = start + buffer.len() as u64;
        match input {
            Input::Blob(blob) => {
                let slice = blob.slice_with_f64_and_f64(start as f64, end as f64).map_err(|e| read_failed(name, &e))?;
                let bytes = slice.array_buffer().await.map_err(|e| read_failed(name, &e))?;
                fill(name, buffer, &Uint8Array::new(&bytes))
            }
            Input::Read(read) => {
                let promise = read.call2(&JsValue::UNDEFINED, &number(start), &number(end));
                let promise = promise.map_err(|e| read_failed(name, &e))?;
                let bytes = Promise::resolve(&promise).await.map_err(|e| read_failed(name, &e))?;
                let bytes = bytes
                    .dyn_into::<Uint8Array>()
                    .map_err(|_| Error::fetch_failed(name.clone(), "the source's read did not give a Uint8Array"))?;
                fill(name, buffer, &bytes)
            }
            Input::ReadInto(read_into) => {
                // SAFETY: the view is used only during this call; the function fills it synchronously, and nothing in
                // wasm runs meanwhile that could grow the memory or free the buffer.
                let view = unsafe { Uint8Array::view_mut_raw(buffer.as_mut_ptr(), buffer.len()) };
                read_into.call2(&JsValue::UNDEFINED, &view, &number(start)).map_err(|e| read_failed(name, &e))?;
                Ok(())
            }
        }
    }

    async fn sha256(&self, input: usize) -> Result<Option<String>> {
        let Some(Named { name, sha256: Some(sha256), .. }) = self.inputs.get(input) else { return Ok(None) };
        let promise = sha256.call0(&JsValue::UNDEFINED).map_err(|e| read_failed(name, &e))?;
        let hex = Promise::resolve(&promise).await.map_err(|e| read_failed(name, &e))?;
        Ok(hex.as_string())
    }

    async fn pause(&self) -> Result<()> {
        // If waiting fails, the work simply continues without a pause.
        let _ = next_task().await;
        match &self.signal {
            Some(signal) if signal.aborted() => Err(Error::aborted()),
            _ => Ok(()),
        }
    }
}

/// A promise for the next turn of the event loop: not a microtask, which would come before every event.
///
/// Every platform has `setTimeout`. `setImmediate` (in Node) does not wait for a millisecond, so it is used if it is there.
fn next_task() -> Promise {
    let global = js_sys::global();
    Promise::new(&mut |resolve, reject| {
        let function = |name: &str| Reflect::get(&global, &name.into()).ok()?.dyn_into::<Function>().ok();
        let later = function("setImmediate").or_else(|| function("setTimeout"));
        let scheduled = later.map(|later| later.call2(&global, &resolve, &JsValue::from(0)));
        if !matches!(scheduled, Some(Ok(_))) {
            let _ = reject.call0(&JsValue::UNDEFINED);
        }
    })
}

/// Bytes that JavaScript has read, by their spans, and the source of everything else.
pub(super) struct Given<'a> {
    bytes: Vec<(Span, Uint8Array)>,
    /// `None` if the work must not wait.
    rest: Option<&'a JsInputs>,
}

impl<'a> Given<'a> {
    /// Nothing yet, and `rest`.
    pub(super) fn with(rest: Option<&'a JsInputs>) -> Given<'a> {
        Given { bytes: Vec::new(), rest }
    }

    /// Add the bytes of `spans`.
    pub(super) fn add(&mut self, spans: Vec<Span>, bytes: Vec<Uint8Array>) {
        self.bytes.extend(spans.into_iter().zip(bytes));
    }
}

impl Inputs for Given<'_> {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let end = start + buffer.len() as u64;
        // A span may be read in parts.
        let holds = |span: &Span| span.input == input && span.start <= start && end <= span.start + span.bytes;
        match (self.bytes.iter().find(|(span, _)| holds(span)), self.rest) {
            (Some((span, bytes)), rest) => {
                // If the length differs, the file has changed.
                let is_whole = u64::from(bytes.length()) == span.bytes;
                let at = (start - span.start) as u32;
                let part = if is_whole { bytes.subarray(at, at + buffer.len() as u32) } else { bytes.clone() };
                match rest {
                    Some(inputs) => fill(inputs.name(input), buffer, &part),
                    None => fill(&format!("input {input}"), buffer, &part),
                }
            }
            (None, Some(inputs)) => inputs.read(input, start, buffer).await,
            (None, None) => Err(Error::internal(format!("bytes of input {input} from {start} on were not given"))),
        }
    }
}

/// Offsets cross as JavaScript numbers; files are limited to what those hold exactly.
fn number(offset: u64) -> JsValue {
    JsValue::from_f64(offset as f64)
}

/// Copy all of `bytes` into `buffer`. If the lengths differ, the file has changed.
fn fill(name: &str, buffer: &mut [u8], bytes: &Uint8Array) -> Result<()> {
    if bytes.length() as usize != buffer.len() {
        let reason = format!("{} bytes came where {} were asked for", bytes.length(), buffer.len());
        let error = Error::source_changed(name, reason).found(bytes.length().to_string());
        return Err(error.expected(buffer.len().to_string()));
    }
    bytes.copy_to(buffer);
    Ok(())
}
