//! The base's config.json: what a plan reads in it, and the few things a merge must change.

use serde_json::{Map, Value};

use super::matching::Model;
use crate::dtype::Float;
use crate::error::{Error, Result};

/// config.json, parsed.
pub(crate) struct Config(Map<String, Value>);

impl Config {
    pub(crate) fn parse(json: &[u8]) -> Result<Config> {
        serde_json::from_slice(json)
            .map(Config)
            .map_err(|e| Error::BadConfig { file: "config.json".into(), reason: format!("not valid: {e}") })
    }

    pub(crate) fn model(&self) -> Model {
        Model {
            model_type: self.0.get("model_type").and_then(Value::as_str).map(Into::into),
            tied: self.0.get("tie_word_embeddings").and_then(Value::as_bool),
        }
    }

    /// The text for the output, or `None` when the base's can stay as it is.
    pub(crate) fn rewritten(mut self, dtype: Option<Float>, untie: bool) -> Option<Vec<u8>> {
        let before = self.0.clone();
        if let Some(dtype) = dtype {
            set_dtype(&mut self.0, torch_name(dtype));
        }
        if untie {
            self.0.insert("tie_word_embeddings".into(), Value::Bool(false));
        }
        (self.0 != before).then(|| format!("{:#}\n", Value::Object(self.0)).into_bytes())
    }
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
    fn only_what_the_merge_demands_changes() {
        let json = br#"{"b":1,"torch_dtype":"bfloat16","text_config":{"dtype":"bfloat16"},"tie_word_embeddings":true}"#;
        let config = || Config::parse(json).unwrap();
        assert_eq!(config().rewritten(None, false), None);
        assert_eq!(config().rewritten(Some(Float::Bf16), false), None);
        let text = String::from_utf8(config().rewritten(Some(Float::F32), true).unwrap()).unwrap();
        let expected = "{\n  \"b\": 1,\n  \"torch_dtype\": \"float32\",\n  \"text_config\": {\n    \"dtype\": \"float32\"\n  },\n  \
                        \"tie_word_embeddings\": false\n}\n";
        assert_eq!(text, expected);
    }
}
