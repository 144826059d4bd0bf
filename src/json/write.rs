//! Writes JSON.

use serde::Serialize;

/// A value as text. Values of this crate have no keys but text and nothing else that JSON cannot say.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A number as people write it: without a point where it is whole. All numbers in messages are written by this one: `Display` of `f64` would be 7 kB
/// of the WebAssembly module.
pub(crate) fn number(value: f64) -> String {
    let mut text = text(&value);
    if text.ends_with(".0") {
        text.truncate(text.len() - 2);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_as_people_write_them() {
        assert_eq!([1.0, -0.5, 16.0, 11.313708498984761].map(number), ["1", "-0.5", "16", "11.313708498984761"]);
    }
}
