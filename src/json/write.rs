//! Writes JSON.

use serde_json::Value;

/// A JSON object.
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    value.to_string()
}

/// A value as text over several lines, as transformers writes it.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
