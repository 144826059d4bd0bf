//! The fields of a configuration: their types, and the errors for other types.

use serde_json::Value;

use super::pattern::{PatternTable, TableError};
use crate::error::{Error, ErrorKind, Result};
use crate::json::{self, text};

/// The fields of the configuration called `file`, in their order.
///
/// # Errors
/// `bad-config` when it is not a JSON object, or has a field twice.
pub(crate) fn entries(file: &str, json: &[u8]) -> Result<Vec<(String, Value)>> {
    json::entries(json).map_err(|reason| Error::bad_config(file, reason))
}

/// null, false, "", [] and {}: the field is there, but its value is empty.
pub(crate) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Reads fields of the configuration called `file`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FieldReader<'a> {
    /// The configuration's file.
    pub(crate) file: &'a str,
    /// What errors call the adapter.
    pub(crate) adapter: &'a str,
}

impl FieldReader<'_> {
    /// The field has a value of another type than `expected`.
    pub(crate) fn bad<T>(&self, field: &str, value: &Value, expected: &str) -> Result<T> {
        let found = text(value);
        let error = Error::bad_config(self.file, format!("{field} is {found}, not {expected}"));
        Err(error.field(field).found(found).expected(expected))
    }

    /// The field asks for something that lorafold would leave out, so that the merge would be wrong.
    pub(crate) fn refuse(&self, field: &str, value: &Value, meaning: &str) -> Error {
        Error::unsupported(format!("{}: {field}", self.file), meaning)
            .adapter(self.adapter)
            .file(self.file)
            .field(field)
            .found(text(value))
    }

    /// The field is known, but what it asks for is not implemented.
    pub(crate) fn not_yet(&self, field: &str, value: &Value, meaning: &str) -> Error {
        self.refuse(field, value, meaning).kind(ErrorKind::NotImplemented).fix("merge this adapter with PEFT")
    }

    /// A whole number above 0.
    pub(crate) fn rank(&self, name: &str, value: &Value) -> Result<u64> {
        match value.as_u64() {
            Some(r) if r > 0 => Ok(r),
            _ => self.bad(name, value, "a whole number above 0"),
        }
    }

    /// A finite number.
    pub(crate) fn number(&self, name: &str, value: &Value) -> Result<f64> {
        match value.as_f64() {
            Some(number) if number.is_finite() => Ok(number),
            _ => self.bad(name, value, "a number"),
        }
    }

    /// True or false; null is false.
    pub(crate) fn flag(&self, name: &str, value: &Value) -> Result<bool> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::Null => Ok(false),
            _ => self.bad(name, value, "true or false"),
        }
    }

    /// A list of strings, or a single string; null is an empty list.
    pub(crate) fn texts(&self, name: &str, value: &Value) -> Result<Vec<String>> {
        let texts = match value {
            Value::Null => Some(Vec::new()),
            Value::String(text) => Some(vec![text.clone()]),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(Into::into)).collect(),
            _ => None,
        };
        texts.map_or_else(|| self.bad(name, value, "a list of strings"), Ok)
    }

    /// A list of whole numbers; null is an empty list.
    pub(crate) fn indices(&self, name: &str, value: &Value) -> Result<Vec<u64>> {
        let numbers = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(items) => items.iter().map(Value::as_u64).collect(),
            _ => None,
        };
        numbers.map_or_else(|| self.bad(name, value, "a list of whole numbers"), Ok)
    }

    /// A list of ranges, each with its first number and the one after its last; null is an empty list.
    pub(crate) fn ranges(&self, name: &str, value: &Value) -> Result<Vec<[u64; 2]>> {
        let range = |item: &Value| match item.as_array()?.as_slice() {
            [start, end] => Some([start.as_u64()?, end.as_u64()?]),
            _ => None,
        };
        let ranges = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(items) => items.iter().map(range).collect(),
            _ => None,
        };
        ranges.map_or_else(|| self.bad(name, value, "a list of pairs of whole numbers"), Ok)
    }

    /// Trained rows of embeddings: the end of an embedding's path, or an empty text, and which rows.
    pub(crate) fn tokens(&self, name: &str, value: &Value) -> Result<Vec<(String, Vec<u64>)>> {
        match value {
            Value::Null => Ok(Vec::new()),
            Value::Object(rows) => {
                let row = |(end, value): (&String, &Value)| Ok((end.clone(), self.indices(name, value)?));
                rows.iter().map(row).collect()
            }
            _ => Ok(vec![(String::new(), self.indices(name, value)?)]),
        }
    }

    /// A table of patterns.
    pub(crate) fn patterns(
        &self,
        field: &'static str,
        value: &Value,
        read: fn(&Self, &str, &Value) -> Result<f64>,
    ) -> Result<PatternTable<f64>> {
        let rows = match value {
            Value::Null => return Ok(PatternTable::default()),
            Value::Object(rows) => rows,
            _ => return self.bad(field, value, "an object"),
        };
        let row = |(key, value): (&String, &Value)| Ok((key.clone(), read(self, &format!("{field}.{key}"), value)?));
        let rows: Vec<(String, f64)> = rows.iter().map(row).collect::<Result<_>>()?;
        PatternTable::new(field, rows).map_err(|error| {
            let subject = format!("{}: {field}", self.file);
            let refused = match &error {
                TableError::Pattern(reason) => {
                    Error::unsupported(subject, reason.as_str()).kind(ErrorKind::NotImplemented)
                }
                TableError::TooLong => Error::limit_exceeded(subject, error.to_string())
                    .fix("write out the names that they stand for; plain names have no limit"),
            };
            refused.adapter(self.adapter).file(self.file).field(field)
        })
    }
}
