//! Reads JSON text as values.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use super::escapes::decoded;
use super::names::repeated;
use super::number::float;
use super::scan::{Result, Scanner};
use crate::wire::{Wire, wire_text};

/// The value of a text. If a key is there twice, the last one counts.
///
/// # Errors
/// Why it is not valid, and where; a number too large for `f64`; more than 128 lists and objects inside each other. A byte order mark is
/// skipped. Python's `NaN`, `Infinity` and `-Infinity`, which are not JSON, are read as text, so they are not accepted as numbers.
pub(crate) fn parse(json: &[u8]) -> Result<Value> {
    let mut scanner = begin(json)?;
    let value = value(&mut scanner, 0)?;
    end(scanner)?;
    Ok(value)
}

/// The entries of a text that is an object, in order, each key once.
///
/// # Errors
/// As [`parse`]; another type, or a key given twice.
pub(crate) fn entries(json: &[u8]) -> Result<Vec<(String, Value)>> {
    let mut scanner = begin(json)?;
    if scanner.peek() != Some(b'{') {
        value(&mut scanner, 0)?;
        return Err("not an object".into());
    }
    let mut entries = Vec::new();
    object(&mut scanner, 0, &mut |key, value| entries.push((key, value)))?;
    end(scanner)?;
    match repeated(entries.iter().map(|(key, _)| key.as_str()).collect()) {
        Some(key) => Err(format!("the key {key:?} is given twice")),
        None => Ok(entries),
    }
}

fn begin(json: &[u8]) -> Result<Scanner<'_>> {
    let text =
        std::str::from_utf8(json).map_err(|error| format!("not valid: byte {} is not UTF-8", error.valid_up_to()))?;
    let mut scanner = Scanner::new(text);
    scanner.mark();
    scanner.whitespace();
    Ok(scanner)
}

fn end(mut scanner: Scanner) -> Result<()> {
    scanner.whitespace();
    scanner.end()
}

/// The next value, inside `depth` lists and objects.
fn value(scanner: &mut Scanner, depth: usize) -> Result<Value> {
    Ok(match scanner.peek() {
        Some(b'{') => {
            let mut map = Map::new();
            object(scanner, depth, &mut |key, value| drop(map.insert(key, value)))?;
            Value::Object(map)
        }
        Some(b'[') => {
            let mut list = Vec::new();
            scanner.items(*b"[]", depth, &mut |scanner| {
                list.push(value(scanner, depth + 1)?);
                Ok(())
            })?;
            Value::Array(list)
        }
        Some(b'"') => Value::String(text(scanner)?),
        Some(b't' | b'f' | b'n' | b'N' | b'I') => match scanner.value(depth)? {
            "null" => Value::Null,
            word @ ("true" | "false") => Value::Bool(word == "true"),
            word => Value::String(word.into()),
        },
        Some(b'-' | b'0'..=b'9') => {
            let text = scanner.value(depth)?;
            match number(text) {
                Some(number) => Value::Number(number),
                None if text.ends_with('y') => Value::String(text.into()),
                None => return Err(scanner.fault("a number out of range")),
            }
        }
        _ => return Err(scanner.fault("expected a value")),
    })
}

/// The next value, an object: each of its entries.
fn object(scanner: &mut Scanner, depth: usize, each: &mut dyn FnMut(String, Value)) -> Result<()> {
    scanner.items(*b"{}", depth, &mut |scanner| {
        let key = text(scanner)?;
        scanner.colon()?;
        each(key, value(scanner, depth + 1)?);
        Ok(())
    })
}

fn text(scanner: &mut Scanner) -> Result<String> {
    let quoted = scanner.string()?;
    decoded(quoted).map(Cow::into_owned).ok_or_else(|| scanner.fault("half a surrogate pair"))
}

/// A number. Whole numbers are kept exactly up to 64 bits. `None` if it is too large, and for Python's `-Infinity`.
fn number(text: &str) -> Option<Number> {
    // -0 is a float.
    let whole = text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from));
    match whole {
        Ok(whole) if text != "-0" => Some(whole),
        _ if text.ends_with('y') => None,
        _ => Number::from_f64(float(text)?),
    }
}

wire_text!(Value, super::text, |text: &str| parse(text.as_bytes()).ok());

impl Wire for Map<String, Value> {
    fn put(&self, out: &mut Vec<u8>) {
        super::text(self).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        match <Value as Wire>::take(from)? {
            Value::Object(map) => Some(map),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_order_and_are_given_once() {
        let keys = |json: &str| entries(json.as_bytes());
        let entries = keys(r#" {"b":1,"a":{"c":2,"c":3}} "#).unwrap();
        assert_eq!(entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(entries[1].1["c"], 3);
        assert_eq!(keys(r#"{"b":1,"a":2,"\u0062":3}"#).unwrap_err(), "the key \"b\" is given twice");
        assert_eq!(keys("[]").unwrap_err(), "not an object");
    }

    #[test]
    fn depth_is_bounded() {
        for open in ["[", "{\"a\":"] {
            assert!(parse(open.repeat(100_000).as_bytes()).unwrap_err().contains("more than 128 lists and objects"));
        }
    }

    #[test]
    fn values_are_those_of_serde_json() {
        for text in [
            " null\n",
            "true",
            "[false, {\"a\" : [ ] , \"b\":{ }} ]",
            "0",
            "-0",
            "-1",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "1.0",
            "-0.0",
            "11.313708498984761",
            "5e-324",
            "1.7976931348623157e308",
            "7.038531e-26",
            "9007199254740993.0",
            "\"\\ud83d\\ude00\\n\\/\\\\é\"",
            "{\"a\":1,\"b\":2,\"a\":3}",
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            let found = parse(text.as_bytes()).unwrap();
            assert_eq!((&found, found.to_string()), (&expected, expected.to_string()), "{text}");
        }
        for text in [
            "",
            " ",
            "nul",
            "nan",
            "-Inf",
            "01",
            "1.",
            "-",
            "1e400",
            "[1,]",
            "{\"a\"}",
            "{1:2}",
            "1 2",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\x\"",
            "\"\n\"",
            "\"",
        ] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let found = parse("\u{FEFF}[NaN, Infinity, -Infinity]".as_bytes());
        assert_eq!(found, Ok(Value::from(vec!["NaN", "Infinity", "-Infinity"])));
        assert_eq!(parse(b"[\n 1, x]").unwrap_err(), "not valid: expected a value at line 2 column 5");
        assert_eq!(parse(b"\"\xff\"").unwrap_err(), "not valid: byte 1 is not UTF-8");
    }
}
