//! Converts JavaScript values to our types, and back.

use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::error::{Error, Result};
use crate::json::{self, FromJson};

/// A JavaScript value as one of our types.
///
/// # Errors
/// `bad-option` if it is of another type.
pub(super) fn read<T: FromJson>(value: &JsValue) -> Result<T> {
    let text = js_sys::JSON::stringify(value).map(String::from).unwrap_or_default();
    let read = json::parse(text.as_bytes()).and_then(|value| T::from_json(&value));
    read.map_err(|reason| Error::bad_option("request", reason))
}

/// One of our values as a JavaScript value, field by field.
///
/// # Errors
/// `internal` if JavaScript has no such value.
pub(super) fn write(value: &impl Serialize) -> std::result::Result<JsValue, JsValue> {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).map_err(|error| Error::internal(error.to_string()).into())
}

/// The same through JSON, for values that may hold anything from a file: numbers beyond 2^53, which are errors field by field, and
/// keys such as `__proto__`. Numbers that are not finite become `null`.
///
/// # Errors
/// `internal` if JavaScript cannot read it.
pub(super) fn write_text(value: &impl Serialize) -> std::result::Result<JsValue, JsValue> {
    js_sys::JSON::parse(&json::text(value)).map_err(|_| Error::internal("a value is not JSON").into())
}
