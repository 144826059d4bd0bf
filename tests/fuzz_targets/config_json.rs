//! config.json, read and edited as text.

use lorafold::json::document::Document;
use serde_json::Value;

/// The input is a JSON text. It comes back byte for byte, an edit changes one field and no other, and what `serde_json` reads of it is read
/// here too.
pub fn config_json(json: &[u8]) {
    let Ok(text) = std::str::from_utf8(json) else { return };
    let mut document = match Document::parse(text) {
        Ok(document) => document,
        Err(reason) => {
            let theirs = serde_json::from_str::<serde_json::Map<String, Value>>(text);
            assert!(theirs.is_err() || reason.contains("deep"), "only serde_json reads it ({reason}): {text}");
            return;
        }
    };
    assert_eq!(document.to_string(), text);
    let before: Vec<_> = values(&document).into_iter().filter(|(name, _)| name != "dtype").collect();
    for value in [Value::from("float16"), Value::from(false)] {
        document.root_mut().set("dtype", &value);
        let edited = document.to_string();
        let again = Document::parse(&edited).expect("an edited document");
        assert_eq!(again.root().get("dtype").and_then(|node| node.value()), Some(value));
        let after: Vec<_> = values(&again).into_iter().filter(|(name, _)| name != "dtype").collect();
        assert_eq!(before, after);
    }
}

/// The fields of the root that have plain values.
fn values(document: &Document) -> Vec<(String, Option<Value>)> {
    document.root().members().map(|(name, node)| (name.into_owned(), node.value())).collect()
}
