//! JSON: objects that keep the order of their keys and refuse a key given twice, which `serde_json`'s maps do not; and one way of
//! making values and text. (`json!`, `Display` and each further type that is written or read are compiled once more, and most of
//! what a page loads was that.)

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The entries of a JSON object in the order of the file, without duplicates.
pub(crate) struct Entries<V>(pub(crate) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Entries<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for InOrder<V> {
            type Value = Entries<V>;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((key, map.next_value()?));
                }
                refuse_repeated(entries.iter().map(|(key, _)| key.as_str()).collect())?;
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// An error when a key is given twice.
pub(crate) fn refuse_repeated<E: serde::de::Error>(keys: Vec<&str>) -> Result<(), E> {
    match repeated(keys) {
        Some(key) => Err(E::custom(format!("the key {key:?} is given twice"))),
        None => Ok(()),
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
pub(crate) fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    collected(&mut fields.into_iter())
}

fn collected(fields: &mut dyn Iterator<Item = (&str, Value)>) -> Value {
    let mut object = serde_json::Map::new();
    for (name, value) in fields {
        object.insert(name.into(), value);
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
