//! Values that are JSON text inside another format, for `#[serde(with = "as_text")]`: formats that do not say what comes next cannot leave a field
//! out, and do not know JSON's own values.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Write `value` as a string of JSON.
pub(crate) fn serialize<S: Serializer>(value: &impl Serialize, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&super::text(value))
}

/// Read what [`serialize`] wrote.
pub(crate) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    serde_json::from_str(&text).map_err(D::Error::custom)
}
