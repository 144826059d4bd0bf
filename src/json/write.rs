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
