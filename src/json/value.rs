//! A JSON value that shows a key given twice.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::names::repeated;

/// A value whose objects keep every entry, in the order of the text. A [`Value`] keeps one of two entries with the same key; at the top of
/// an adapter's configuration the second is an error.
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
    /// Parses a text.
    ///
    /// # Errors
    /// Why it is not valid, and where. `serde_json` refuses more than 127 lists and objects within each other.
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
        formatter.write_str("a JSON value")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_are_given_once() {
        let keys = |json: &str| Json::parse(json.as_bytes()).and_then(Json::entries);
        let entries = keys(r#"{"b":1,"a":{"c":2,"c":3}}"#).unwrap();
        assert_eq!(entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(keys(r#"{"b":1,"a":2,"\u0062":3}"#).unwrap_err(), "the key \"b\" is given twice");
        assert_eq!(keys("[]").unwrap_err(), "not an object");
    }

    #[test]
    fn depth_is_bounded() {
        for open in ["[", "{\"a\":"] {
            assert!(Json::parse(open.repeat(100_000).as_bytes()).unwrap_err().contains("recursion limit"));
        }
    }

    #[test]
    fn numbers_keep_every_bit() {
        let number = |json: &str| Value::from(Json::parse(json.as_bytes()).unwrap()).as_f64().unwrap();
        for value in [11.313708498984761f64, 5e-324, 1.7976931348623157e308, 7.038531e-26, 9007199254740993.0] {
            assert_eq!(number(&value.to_string()).to_bits(), value.to_bits());
        }
    }
}
