//! Writes JSON.

use serde::Serialize;
use serde_json::Value;

/// A value as text. This crate's values have only text as keys, and nothing else that JSON cannot express.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A value on several lines, indented by `indent` at each level, as Python's `json.dumps` writes it. `line` is a line break and the indentation of
/// the value itself.
pub(crate) fn pretty(value: &Value, indent: &str, line: &str) -> String {
    let inner = format!("{line}{indent}");
    let item = |value: &Value| pretty(value, indent, &inner);
    let (brackets, items): ([&str; 2], Vec<String>) = match value {
        Value::Array(items) if !items.is_empty() => (["[", "]"], items.iter().map(item).collect()),
        Value::Object(fields) if !fields.is_empty() => {
            let field = |(name, value): (&String, &Value)| format!("{}: {}", text(name), item(value));
            (["{", "}"], fields.iter().map(field).collect())
        }
        _ => return text(value),
    };
    let [open, close] = brackets;
    let items = items.join(&format!(",{inner}"));
    format!("{open}{inner}{items}{line}{close}")
}

/// A number as people write it: without a decimal point if it is whole. All numbers in messages are written by this function, because `Display` of
/// `f64` would be 7 kB of the WebAssembly module.
pub(crate) fn number(value: f64) -> String {
    let mut text = text(&value);
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_serde_json() {
        let value = serde_json::json!({"a": [1, [], {"b": "\n", "c": {}}], "d": null, "é\"": [true, 0.5]});
        assert_eq!(pretty(&value, "  ", "\n"), serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn numbers_are_as_people_write_them() {
        assert_eq!([1.0, -0.5, 16.0, 11.313708498984761].map(number), ["1", "-0.5", "16", "11.313708498984761"]);
    }
}
