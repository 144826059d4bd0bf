//! Numbers by name.

use serde_json::{Map, Value};

/// A number for each name. (In the map that JSON is written from: another kind would be several kilobytes of module.)
#[derive(Default)]
pub(crate) struct Names(Map<String, Value>);

impl Names {
    /// Give `name` a number, and return the one it had.
    pub(crate) fn insert(&mut self, name: &str, number: usize) -> Option<usize> {
        self.0.insert(name.into(), number.into()).as_ref().and_then(whole)
    }

    /// The number of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).and_then(whole)
    }

    /// The names, in the order they came.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

fn whole(value: &Value) -> Option<usize> {
    value.as_u64().map(|number| number as usize)
}
