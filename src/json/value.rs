//! A JSON value that shows a key given twice.

use serde_json::{Number, Value};

use super::names::repeated;
use super::scan::Scanner;

/// A value whose objects keep every entry, in the order of the text. A [`Value`] keeps one of two entries with the same key; at the top of
/// an adapter's configuration the second is an error. What Python writes beside JSON (`NaN`, `-Infinity`) is the text of that.
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
    /// Why it is not valid, and where; more than 128 lists and objects within each other.
    pub(crate) fn parse(json: &[u8]) -> Result<Json, String> {
        let text = str::from_utf8(json).map_err(|error| format!("not valid: {error}"))?;
        let mut scanner = Scanner::new(text);
        scanner.mark();
        scanner.whitespace();
        let value = read(&mut scanner, 0)?;
        scanner.whitespace();
        scanner.end()?;
        Ok(value)
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

/// A value with `depth` lists and objects around it.
fn read(scanner: &mut Scanner, depth: usize) -> Result<Json, String> {
    match scanner.peek() {
        Some(b'[') => {
            let mut items = Vec::new();
            let mut more = scanner.first(*b"[]", depth)?;
            while more {
                items.push(read(scanner, depth + 1)?);
                more = scanner.next(b']')?;
            }
            Ok(Json::List(items))
        }
        Some(b'{') => {
            let mut entries = Vec::new();
            let mut more = scanner.first(*b"{}", depth)?;
            while more {
                let Json::Text(key) = scalar(scanner.string()?)? else { return Err(scanner.fault("no name")) };
                scanner.colon()?;
                entries.push((key, read(scanner, depth + 1)?));
                more = scanner.next(b'}')?;
            }
            Ok(Json::Object(entries))
        }
        _ => scalar(scanner.value(depth)?),
    }
}

/// A value that is neither a list nor an object, from its text.
fn scalar(text: &str) -> Result<Json, String> {
    match serde_json::from_str(text) {
        Ok(Value::Bool(flag)) => Ok(Json::Bool(flag)),
        Ok(Value::Number(number)) => Ok(Json::Number(number)),
        Ok(Value::String(text)) => Ok(Json::Text(text)),
        Ok(_) => Ok(Json::Null),
        Err(error) if text.starts_with('"') => Err(format!("not valid: {error}")),
        // What only Python writes: no number that anything can be made of.
        Err(_) => Ok(Json::Text(text.into())),
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
            assert!(Json::parse(open.repeat(100_000).as_bytes()).unwrap_err().contains("within each other"));
        }
    }

    #[test]
    fn what_editors_and_python_write_is_read() {
        let entries = Json::parse("\u{FEFF}{\"a\": NaN, \"b\":[-Infinity , 1e999,true,null], \"c\":{}}".as_bytes());
        let text = |text: &str| Json::Text(text.into());
        let list = Json::List(vec![text("-Infinity"), text("1e999"), Json::Bool(true), Json::Null]);
        let expected = vec![("a".into(), text("NaN")), ("b".into(), list), ("c".into(), Json::Object(Vec::new()))];
        assert_eq!(entries, Ok(Json::Object(expected)));
        for json in ["", "{", "[1", "[1,]", "{\"a\"}", "{\"a\":1,}", "{a:1}", "\"\\ud800\"", "nan", "1 2", "01"] {
            assert!(Json::parse(json.as_bytes()).is_err(), "{json}");
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
