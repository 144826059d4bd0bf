//! Writes JSON.

use serde::Serialize;

/// A value as text. Values of this crate have no keys but text and nothing else that JSON cannot say.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
