//! Errors on their way between Rust and JavaScript.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};

use serde_json::Value;

use super::values::{read, write};
use crate::error::{Error, ErrorCode, ErrorKind, Facts};
use crate::json::{FromJson, from_json};

from_json!(Facts { kind, file, adapter, tensor, field, element, found, expected, fix });

impl FromJson for ErrorKind {
    fn from_json(value: &Value) -> Result<ErrorKind, String> {
        value.as_str().and_then(ErrorKind::named).ok_or_else(|| "not a kind of error".into())
    }
}

impl From<Error> for JsValue {
    /// A JavaScript `Error` with `code` and `facts`, and `tensor` and `adapter` where known.
    fn from(error: Error) -> JsValue {
        let js = js_sys::Error::new(&error.to_string());
        let facts = error.facts();
        let text = |value: &Option<String>| value.as_deref().map_or(JsValue::UNDEFINED, JsValue::from);
        let fields = [
            ("code", error.code().into()),
            ("facts", write(facts).unwrap_or_default()),
            ("tensor", text(&facts.tensor)),
            ("adapter", text(&facts.adapter)),
        ];
        for (name, value) in fields {
            if !value.is_undefined() {
                // Setting a property of an object just made cannot fail.
                let _ = Reflect::set(&js, &name.into(), &value);
            }
        }
        js.into()
    }
}

/// Converts what reading `file` threw to one of our errors. An error of ours stays what it is.
pub(super) fn read_failed(file: &str, thrown: &JsValue) -> Error {
    let field = |name: &str| Reflect::get(thrown, &name.into()).unwrap_or_default();
    let text = |name: &str| field(name).as_string().unwrap_or_default();
    let reason = match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| text("message")),
    };
    if let Some(code) = ErrorCode::named(&text("code"))
        && let Ok(facts) = read(&field("facts"))
    {
        return Error::of_sentence(code, &reason, facts);
    }
    let file = file.to_string();
    match (text("name").as_str(), text("code").as_str()) {
        ("AbortError", _) | (_, "aborted") => Error::aborted(),
        // Browsers throw these when a chosen file was changed or removed before it was read.
        ("NotReadableError" | "NotFoundError", _) | (_, "source-changed") => Error::source_changed(file, reason),
        (_, "no-range-support") => Error::no_range_support(file),
        _ => Error::fetch_failed(file, reason),
    }
}
