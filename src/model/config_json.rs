//! The base's config.json: what a plan reads in it, and the few things a merge must change.

use serde_json::{Map, Value};

use super::Model;
use crate::error::{Error, Result};
use crate::json::{self, Json};
use crate::tensor::Float;

/// config.json, parsed.
#[derive(Default)]
pub(crate) struct Config(Map<String, Value>);

/// What Python's `json` writes for floats that JSON does not have (`"time_step_limit": [0.0, Infinity]` of Mamba models),
/// the longest first.
const PYTHON_FLOATS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// Characters of the longest integers that surely fit into 64 bits.
const LONGEST: usize = 18;

impl Config {
    pub(crate) fn parse(json: &[u8]) -> Result<Config> {
        let bad = |reason: String| Error::bad_config("config.json", reason);
        let text = std::str::from_utf8(json).map_err(|e| bad(format!("not valid: {e}")))?;
        match Json::parse(quoted(text).as_bytes()).map_err(bad)?.into() {
            Value::Object(fields) => Ok(Config(fields)),
            _ => Err(bad("not an object".into())),
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The field that ties the output layer to the embedding.
    pub(crate) const TIED: &str = "tie_word_embeddings";

    pub(crate) fn model(&self) -> Model {
        let mut parts = Vec::new();
        add_parts(&self.0, &mut parts);
        let types: Vec<String> =
            parts.iter().filter_map(|part| part.get("model_type")?.as_str()).map(String::from).collect();
        let says = |field: &str| parts.iter().any(|part| part.get(field) == Some(&Value::Bool(true)));
        let tied = if says(Self::TIED) { Some(true) } else { self.0.get(Self::TIED).and_then(Value::as_bool) };
        Model { tied, encoder_decoder: says("is_encoder_decoder"), types }
    }

    /// The text for the output, or `None` when the base's can stay as it is.
    pub(crate) fn rewritten(mut self, dtype: Option<Float>, untie: bool) -> Option<Vec<u8>> {
        let before = self.0.clone();
        if let Some(dtype) = dtype {
            set_dtype(&mut self.0, torch_name(dtype));
        }
        if untie {
            untie_parts(&mut self.0, true);
        }
        (self.0 != before).then(|| unquoted(json::pretty(&Value::Object(self.0))))
    }
}

/// The configurations of a model and of its parts (`text_config`, `decoder`), the model's first.
fn add_parts<'a>(config: &'a Map<String, Value>, parts: &mut Vec<&'a Map<String, Value>>) {
    parts.push(config);
    for part in config.values() {
        if let Value::Object(part) = part {
            add_parts(part, parts);
        }
    }
}

/// What a string begins with that stands for what follows: a character that is none.
const STAND_IN: char = '\u{FFFF}';

/// What outside of strings a `Value` cannot hold, replaced by strings: Python's floats, and its integers of any length.
fn quoted(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let float = PYTHON_FLOATS.iter().find(|float| rest.starts_with(**float)).map_or(0, |float| float.len());
        let number = rest.bytes().take_while(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)).count();
        let is_long = number > LONGEST
            && (first == '-' || first.is_ascii_digit())
            && rest.bytes().take(number).skip(1).all(|byte| byte.is_ascii_digit());
        let length = match first {
            '"' => string_length(rest),
            _ => float.max(number).max(first.len_utf8()),
        };
        let (token, behind) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if float > 0 || is_long {
            text.extend(['"', STAND_IN]);
            text = text + token + "\"";
        } else {
            text.push_str(token);
        }
        rest = behind;
    }
    text
}

/// Bytes of the string that `json` begins with, both quotes included; all of it when the string has no end.
fn string_length(json: &str) -> usize {
    let mut escaped = true;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn unquoted(json: Vec<u8>) -> Vec<u8> {
    // It comes from serde_json, which writes UTF-8.
    let text = String::from_utf8(json).unwrap_or_default();
    let mut parts = text.split(STAND_IN);
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        // The quotes around it.
        plain.pop();
        let (token, rest) = part.split_once('"').unwrap_or_default();
        plain = plain + token + rest;
    }
    plain.into_bytes()
}

/// transformers writes the type as `torch_dtype` (v4) or `dtype` (v5), also inside the configurations of sub-models.
fn set_dtype(object: &mut Map<String, Value>, name: &str) {
    for (key, value) in object {
        match value {
            Value::String(text) if key == "dtype" || key == "torch_dtype" => *text = name.into(),
            Value::Object(inner) => set_dtype(inner, name),
            _ => {}
        }
    }
}

/// transformers 4 goes by what the language model's own configuration says, and ties where that says nothing.
fn untie_parts(object: &mut Map<String, Value>, has_head: bool) {
    if has_head || object.contains_key(Config::TIED) {
        object.insert(Config::TIED.into(), Value::Bool(false));
    }
    for (key, value) in object {
        if let Value::Object(part) = value {
            untie_parts(part, key == "text_config");
        }
    }
}

fn torch_name(dtype: Float) -> &'static str {
    match dtype {
        Float::F16 => "float16",
        Float::Bf16 => "bfloat16",
        Float::F32 => "float32",
        Float::F64 => "float64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pythons_floats_are_read_and_written_back() {
        let json = r#"{"model_type":"mamba2","limit":[0.0,Infinity,-Infinity,NaN],"say \"NaN\\":"-Infinity","dtype":"float32"}"#;
        let config = || Config::parse(json.as_bytes()).unwrap();
        assert_eq!(config().model().types, ["mamba2"]);
        let text = String::from_utf8(config().rewritten(Some(Float::F16), false).unwrap()).unwrap();
        let expected = json.replace("float32", "float16");
        assert_eq!(text.split_whitespace().collect::<String>(), expected.split_whitespace().collect::<String>());
        let json = r#"{"long":[-123456789012345678901234567890,1000000000000000019884624838656,1.25e2,-12345678901234567890.5],"dtype":"float32"}"#;
        let text =
            String::from_utf8(Config::parse(json.as_bytes()).unwrap().rewritten(Some(Float::F16), false).unwrap())
                .unwrap();
        for number in [
            "-123456789012345678901234567890,",
            "1000000000000000019884624838656,",
            "125.0,",
            "-1.2345678901234567e+19\n",
        ] {
            assert!(text.contains(number), "{text}");
        }
        for json in [
            "{\"a\":+1234567890123456789}",
            "{\"a\":12345678901234567-89}",
            "{\"a\":Infinit}",
            "{\"a",
            "\"\\",
            "{\"a\":--Infinity}",
            "{\"a\":NaN1}",
        ] {
            assert_eq!(Config::parse(json.as_bytes()).err().map(|e| e.code()), Some("bad-config"), "{json}");
        }
    }

    #[test]
    fn parts_have_types_too() {
        let json = br#"{"decoder":{"model_type":"gpt2"},"encoder":{"model_type":"vit"},"model_type":"vision-encoder-decoder"}"#;
        assert_eq!(Config::parse(json).unwrap().model().types, ["vision-encoder-decoder", "gpt2", "vit"]);
    }

    #[test]
    fn numbers_keep_their_last_digit() {
        let json = br#"{"a":11.313708498984761,"dtype":"float32"}"#;
        let text = String::from_utf8(Config::parse(json).unwrap().rewritten(Some(Float::F16), false).unwrap()).unwrap();
        assert!(text.contains("11.313708498984761"), "{text}");
    }

    #[test]
    fn only_what_the_merge_demands_changes() {
        let json = br#"{"b":1,"torch_dtype":"bfloat16","text_config":{"dtype":"bfloat16"},"vision_config":{"depth":2},"tie_word_embeddings":true}"#;
        let config = || Config::parse(json).unwrap();
        assert_eq!(config().rewritten(None, false), None);
        assert_eq!(config().rewritten(Some(Float::Bf16), false), None);
        let text = String::from_utf8(config().rewritten(Some(Float::F32), true).unwrap()).unwrap();
        let expected = "{\n  \"b\": 1,\n  \"torch_dtype\": \"float32\",\n  \"text_config\": {\n    \"dtype\": \"float32\",\n    \
                        \"tie_word_embeddings\": false\n  },\n  \"vision_config\": {\n    \"depth\": 2\n  },\n  \"tie_word_embeddings\": false\n}\n";
        assert_eq!(text, expected);
    }
}
