//! JSON: one type that everything is read into, because objects must keep the order of their keys and a key given twice is an
//! error, which `serde_json`'s maps do not see; and one way of making values and text. (Each further type that is read or written,
//! `json!` and `Display` are compiled once more, and most of what a page had to load was that.)

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// A value as it was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    /// In the order of the text.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// # Errors
    /// Why it is not valid, and where.
    pub(crate) fn parse(json: &[u8]) -> Result<Json, String> {
        serde_json::from_slice(json).map_err(|error| format!("not valid: {error}"))
    }

    /// The entries of an object, each key once.
    ///
    /// # Errors
    /// Another type, or a key given twice.
    pub(crate) fn entries(self) -> Result<Vec<(String, Json)>, String> {
        let Json::Object(entries) = self else { return Err("not an object".into()) };
        match repeated(entries.iter().map(|(key, _)| key.as_str()).collect()) {
            Some(key) => Err(format!("the key {key:?} is given twice")),
            None => Ok(entries),
        }
    }
    /// A whole number that is not negative.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn whole(&self) -> Option<u64> {
        match self {
            Json::Number(number) => number.as_u64(),
            _ => None,
        }
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(flag) => Value::Bool(flag),
            Json::Number(number) => Value::Number(number),
            Json::Text(text) => Value::String(text),
            Json::List(items) => Value::Array(items.into_iter().map(Value::from).collect()),
            Json::Object(entries) => {
                let mut object = serde_json::Map::new();
                for (key, value) in entries {
                    object.insert(key, value.into());
                }
                Value::Object(object)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(key) = entries.next_key()? {
            object.push((key, entries.next_value()?));
        }
        Ok(Json::Object(object))
    }
}

/// The names in order, each once.
pub(crate) fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names.dedup();
    names
}

/// A name that is there twice.
pub(crate) fn repeated(mut names: Vec<&str>) -> Option<&str> {
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// A JSON object.
pub(crate) fn object<const N: usize>(mut fields: [(&str, Value); N]) -> Value {
    taken(&mut fields)
}

fn taken(fields: &mut [(&str, Value)]) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        object.insert((*name).into(), std::mem::take(value));
    }
    Value::Object(object)
}

/// A value as text.
pub(crate) fn text(value: &Value) -> String {
    // Only keys that are not strings cannot be written.
    serde_json::to_string(value).unwrap_or_default()
}

/// A value as text over several lines, as transformers writes it.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}
