//! The base's config.json: what a plan reads from it, and the few things that a merge must change.

use serde_json::Value;

use super::Model;
use crate::error::{Error, Result};
use crate::json::document::{Document, Node, Object};
use crate::tensor::Float;

/// What a merge changes in config.json.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConfigChanges {
    /// The type of the floating-point tensors, if the user chose one.
    pub(crate) dtype: Option<Float>,
    /// The output layer is no longer tied to the embedding.
    pub(crate) untie: bool,
    /// The number of tokens, if it has changed.
    pub(crate) vocabulary: Option<u64>,
    /// The number of labels of a classifier whose head the adapter brings.
    pub(crate) labels: Option<u64>,
    /// The weights are not quantised, whatever the file says.
    pub(crate) plain: bool,
    /// The layers, if they are not the base's.
    pub(crate) layers: Option<Layers>,
}

/// The layers of a model that repeats those of its base.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layers {
    /// How many layers the base has.
    pub(crate) of: usize,
    /// The base's layer that each one copies.
    pub(crate) sources: Vec<usize>,
}

/// The field that says how the weights are quantised.
const QUANTISATION: &str = "quantization_config";

/// config.json, parsed.
#[derive(Default)]
pub(crate) struct Config(Document);

impl Config {
    pub(crate) fn parse(json: &[u8]) -> Result<Config> {
        let bad = |reason: String| Error::bad_config("config.json", reason);
        let text = std::str::from_utf8(json).map_err(|e| bad(format!("not valid: {e}")))?;
        Document::parse(text).map(Config).map_err(bad)
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.0.root().get(name)?.value()
    }

    /// The field that ties the output layer to the embedding.
    pub(crate) const TIED: &str = "tie_word_embeddings";

    pub(crate) fn model(&self) -> Model {
        let mut parts = Vec::new();
        add_parts(self.0.root(), &mut parts);
        let values = |field| parts.iter().filter_map(move |part| part.get(field)?.value());
        let types = values("model_type").filter_map(|value| value.as_str().map(String::from)).collect();
        let says = |field| values(field).any(|value| value == Value::Bool(true));
        let tied = if says(Self::TIED) { Some(true) } else { self.get(Self::TIED).and_then(|value| value.as_bool()) };
        let quantised = parts.iter().find_map(|part| part.get(QUANTISATION)?.object()).map(|quantisation| {
            let method = quantisation.get("quant_method").and_then(Node::value);
            method.as_ref().and_then(Value::as_str).unwrap_or(QUANTISATION).into()
        });
        Model { tied, encoder_decoder: says("is_encoder_decoder"), types, quantised }
    }

    /// The text for the output, or `None` when the base's can stay as it is.
    pub(crate) fn rewritten(mut self, changes: &ConfigChanges) -> Option<Vec<u8>> {
        let before = self.0.to_string();
        if let Some(dtype) = changes.dtype {
            set_dtype(self.0.root_mut(), &torch_name(dtype).into());
        }
        if changes.untie {
            untie_parts(self.0.root_mut(), true);
        }
        if let Some(tokens) = changes.vocabulary {
            set_vocabulary(self.0.root_mut(), tokens);
        }
        if let Some(labels) = changes.labels {
            set_labels(self.0.root_mut(), labels);
        }
        if changes.plain {
            remove_quantisation(self.0.root_mut());
        }
        if let Some(layers) = &changes.layers {
            set_layers(self.0.root_mut(), layers);
        }
        let after = self.0.to_string();
        (after != before).then(|| after.into_bytes())
    }
}

/// The configurations of a model and of its parts (`text_config`, `decoder`), the model's first.
fn add_parts<'a>(config: &'a Object, parts: &mut Vec<&'a Object>) {
    parts.push(config);
    for part in config.members().filter_map(|(_, value)| value.object()) {
        add_parts(part, parts);
    }
}

/// Set the type. transformers writes it as `torch_dtype` (v4) or `dtype` (v5), also in the configurations of sub-models.
fn set_dtype(config: &mut Object, name: &Value) {
    for key in ["torch_dtype", "dtype"] {
        if config.get(key).and_then(Node::value).is_some_and(|value| value.is_string()) {
            config.set(key, name);
        }
    }
    for (_, part) in config.objects_mut() {
        set_dtype(part, name);
    }
}

/// Set the number of labels. transformers counts the entries of `id2label`, and assumes two if it is absent. Names that are there stay if their
/// number is right.
fn set_labels(config: &mut Object, labels: u64) {
    let known =
        config.get("id2label").and_then(Node::value).and_then(|names| names.as_object().map(|names| names.len()));
    if known.unwrap_or(2) as u64 == labels {
        return;
    }
    let name = |label: u64| format!("LABEL_{label}");
    let names: serde_json::Map<String, Value> =
        (0..labels).map(|label| (label.to_string(), name(label).into())).collect();
    let numbers: serde_json::Map<String, Value> = (0..labels).map(|label| (name(label), label.into())).collect();
    config.set("id2label", &names.into());
    config.set("label2id", &numbers.into());
}

/// Set the number of tokens. A model of several parts has it in the language model's configuration, and sometimes at the top as well.
fn set_vocabulary(config: &mut Object, tokens: u64) {
    if config.get("vocab_size").is_some() {
        config.set("vocab_size", &tokens.into());
    }
    for (name, part) in config.objects_mut() {
        if name == "text_config" {
            set_vocabulary(part, tokens);
        }
    }
}

fn remove_quantisation(config: &mut Object) {
    if config.get(QUANTISATION).is_some_and(|value| value.object().is_some()) {
        config.remove(QUANTISATION);
    }
    config.objects_mut().for_each(|(_, part)| remove_quantisation(part));
}

/// Fields that count the layers.
const COUNTS: [&str; 3] = ["num_hidden_layers", "n_layer", "num_layers"];
/// A list with as many entries as the model has layers says something about each layer. Shorter lists than this may mean something else, such as
/// tokens.
const SHORT: usize = 8;

/// Set the number of layers, and the lists that say something about each.
fn set_layers(config: &mut Object, layers: &Layers) {
    let names: Vec<String> = config.members().map(|(name, _)| name.into_owned()).collect();
    for name in names {
        let Some(value) = config.get(&name).and_then(Node::value) else { continue };
        if COUNTS.contains(&name.as_str()) && value.as_u64() == Some(layers.of as u64) {
            config.set(&name, &layers.sources.len().into());
        }
        let Value::Array(list) = value else { continue };
        if list.len() == layers.of && (list.len() > SHORT || name.split('_').any(|word| word.starts_with("layer"))) {
            let copies = layers.sources.iter().filter_map(|&source| list.get(source).cloned());
            config.set(&name, &Value::Array(copies.collect()));
        }
    }
    for (name, part) in config.objects_mut() {
        if name == "text_config" {
            set_layers(part, layers);
        }
    }
}

/// Untie the output layer. transformers 4 follows the language model's own configuration, and ties the layer if that says nothing.
fn untie_parts(config: &mut Object, has_head: bool) {
    if has_head || config.get(Config::TIED).is_some() {
        config.set(Config::TIED, &Value::Bool(false));
    }
    for (name, part) in config.objects_mut() {
        untie_parts(part, name == "text_config");
    }
}

/// The name of a type in torch, and in the options of a merge.
pub(crate) fn torch_name(dtype: Float) -> &'static str {
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

    fn rewritten(json: &str, dtype: Option<Float>, untie: bool) -> Option<String> {
        let changes = ConfigChanges { dtype, untie, ..ConfigChanges::default() };
        let text = Config::parse(json.as_bytes()).unwrap().rewritten(&changes)?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn pythons_floats_are_read_and_kept() {
        let json = r#"{"model_type":"mamba2","limit":[0.0,Infinity,-Infinity,NaN],"say \"NaN\\":"-Infinity","dtype":"float32"}"#;
        assert_eq!(Config::parse(json.as_bytes()).unwrap().model().types, ["mamba2"]);
        assert_eq!(rewritten(json, Some(Float::F16), false).unwrap(), json.replace("float32", "float16"));
        for json in [
            "{\"a\":+1234567890123456789}",
            "{\"a\":Infinit}",
            "{\"a",
            "\"\\",
            "{\"a\":NaN1}",
            "[]",
            "{\"a\":\"\u{FFFF}}",
        ] {
            assert_eq!(Config::parse(json.as_bytes()).err().map(|e| e.code()), Some("bad-config"), "{json}");
        }
    }

    #[test]
    fn labels_are_named_anew_where_their_number_changes() {
        let labels = |json: &str, labels| {
            let changes = ConfigChanges { labels: Some(labels), ..ConfigChanges::default() };
            Config::parse(json.as_bytes()).unwrap().rewritten(&changes).map(|text| String::from_utf8(text).unwrap())
        };
        assert_eq!(labels(r#"{"a":1}"#, 2), None);
        assert_eq!(labels(r#"{"id2label":{"0":"x","1":"y","2":"z"}}"#, 3), None);
        let named: Value = serde_json::from_str(&labels(r#"{"id2label":{"0":"x"}}"#, 2).unwrap()).unwrap();
        assert_eq!(named["id2label"]["1"], "LABEL_1");
        assert_eq!(named["label2id"]["LABEL_0"], 0);
    }

    #[test]
    fn what_is_not_changed_stays_as_it_is_written() {
        let json = "\u{FEFF}{\n\t\"numbers\": [-123456789012345678901234567890, 1.25e2, 11.313708498984761],\r\n  \"a\": \"\u{FFFF}b\u{FFFF}\",\
                    \"\\u0064type\" : \"float32\" }";
        assert_eq!(rewritten(json, Some(Float::F16), false).unwrap(), json.replace("float32", "float16"));
    }

    #[test]
    fn parts_have_types_too() {
        let json = br#"{"decoder":{"model_type":"gpt2"},"encoder":{"model_type":"vit"},"model_type":"vision-encoder-decoder"}"#;
        assert_eq!(Config::parse(json).unwrap().model().types, ["vision-encoder-decoder", "gpt2", "vit"]);
    }

    #[test]
    fn only_what_the_merge_demands_changes() {
        let json = r#"{
    "b": 1,
    "torch_dtype": "bfloat16", "dtype": null,
    "text_config": {
        "dtype": "bfloat16"
    },
    "vision_config": { "depth": 2, "torch_dtype": "float64" },
    "tie_word_embeddings": true
}
"#;
        assert_eq!(rewritten(json, None, false), None);
        assert_eq!(rewritten(&json.replace("float64", "bfloat16"), Some(Float::Bf16), false), None);
        let expected = r#"{
    "b": 1,
    "torch_dtype": "float32", "dtype": null,
    "text_config": {
        "dtype": "float32",
        "tie_word_embeddings": false
    },
    "vision_config": { "depth": 2, "torch_dtype": "float32" },
    "tie_word_embeddings": false
}
"#;
        assert_eq!(rewritten(json, Some(Float::F32), true).unwrap(), expected);
        assert_eq!(rewritten(expected, Some(Float::F32), true), None);
    }
}
