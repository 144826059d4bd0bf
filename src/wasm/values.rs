//! Values of JavaScript as types of ours, and back.

use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::error::{Error, Result};
use crate::json::{self, FromJson};

/// A value of JavaScript as one of our types.
///
/// # Errors
/// `bad-option` where it is of another type.
pub(super) fn read<T: FromJson>(value: &JsValue) -> Result<T> {
    let text = js_sys::JSON::stringify(value).map(String::from).unwrap_or_default();
    let read = json::parse(text.as_bytes()).and_then(|value| T::from_json(&value));
    read.map_err(|reason| Error::bad_option("request", reason))
}

/// One of our values as JavaScript's, field by field.
///
/// # Errors
/// `internal` where JavaScript has no such value.
pub(super) fn write(value: &impl Serialize) -> std::result::Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|error| Error::internal(error.to_string()).into())
}

/// The same by way of JSON, for values that may hold whatever a file says: numbers beyond 2^53, which are errors field by field, and
/// keys such as `__proto__`. Numbers that are not finite become `null`.
///
/// # Errors
/// `internal` where JavaScript does not read it.
pub(super) fn write_text(value: &impl Serialize) -> std::result::Result<JsValue, JsValue> {
    js_sys::JSON::parse(&json::text(value)).map_err(|_| Error::internal("a value is not JSON").into())
}
