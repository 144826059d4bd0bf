//! `adapter_config.json`: the fields that change the mathematics of a merge.
//!
//! The fields are PEFT's (`LoraConfig`). A field that changes the result and is not implemented is refused by name. So is an
//! unknown field, unless its value is empty: a merge is right or it does not happen.

use serde_json::Value;

use super::blocks::Blocks;
use super::fields::{FieldReader, entries, says_nothing};
use super::pattern::PatternTable;
use crate::error::{Error, ErrorKind, Result};
use crate::json::text;

/// What a merge needs of a LoRA configuration.
#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// Rank where no pattern says otherwise.
    pub r: u64,
    /// Numerator of the scale where no pattern says otherwise.
    pub alpha: f64,
    /// Scale by α/√r (rsLoRA, arXiv 2312.03732) instead of α/r.
    pub rslora: bool,
    /// DoRA: every output has a trained magnitude.
    pub dora: bool,
    /// What the file says about the orientation of the base's weights. It is a hint, because PEFT decides by layer class.
    pub fan_in_fan_out: bool,
    /// Ranks by module, first match wins.
    pub rank_pattern: PatternTable<f64>,
    /// Alphas by module, first match wins.
    pub alpha_pattern: PatternTable<f64>,
    /// The suffixes in `target_modules`, if that is a list.
    pub target_modules: Vec<String>,
    /// The ends of the paths of bare parameters that have factors (`ParamWrapper`).
    pub target_parameters: Vec<String>,
    /// The version of PEFT that wrote it, from 0.18 on.
    pub peft_version: Option<String>,
    /// `trainable_token_indices`: the end of an embedding's path (empty for any), and its trained rows.
    pub tokens: Vec<(String, Vec<u64>)>,
    /// Which factors are stored in blocks.
    pub blocks: Blocks,
    /// What training began from.
    pub start: Start,
    /// `layer_replication`: ranges of the base's layers, each with its first layer and the one after its last.
    pub replication: Vec<[u64; 2]>,
    /// `base_model_name_or_path`, for the report.
    pub base_name: Option<String>,
}

/// What the training of an adapter began from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The base as it is.
    Base,
    /// OLoRA: the base minus the product of its QR factorisation's first factors.
    Olora,
    /// PiSSA: the base minus its largest singular values and their vectors.
    Pissa,
}

/// Fields that do not change the numbers of a merge from files.
const NEUTRAL: &[&str] = &[
    "auto_mapping",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_bias",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "merge_weights",
    "modules_to_save",
    "monteclora_config",
    "peft_type",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
    "velora_config",
];

/// Fields that change the numbers and are not implemented: what they mean, and what helps.
const REFUSED: &[(&str, &str, &str)] = &[
    ("use_qalora", "QA-LoRA pools the inputs in groups, for a GPTQ base that nothing is merged into", BESIDE),
    ("alora_invocation_tokens", "aLoRA acts only after the tokens that invoke it, and cannot be merged at all", BESIDE),
    (
        "arrow_config",
        "Arrow chooses between adapters for every token, and cannot be merged at all",
        "merge the adapters that it chooses between, each by itself",
    ),
    ("kasa_config", "KaSA trains against a base without its smallest singular directions", WITH_PEFT),
];

const WITH_PEFT: &str = "merge this adapter with PEFT";
const BESIDE: &str = "load the adapter beside its base";

/// Values of `init_lora_weights` that leave the base as it was.
const PLAIN_INITS: &[&str] = &["gaussian", "orthogonal", "eva", "mica"];

impl AdapterConfig {
    /// Parse the configuration called `file` of the adapter called `adapter`.
    ///
    /// # Errors
    /// `bad-config` when it is not valid, `unsupported` for a field that changes the result and is not implemented,
    /// `limit-exceeded` for regular expressions that are too long together.
    pub fn parse(file: &str, adapter: &str, json: &[u8]) -> Result<AdapterConfig> {
        let (reader, fields) = (FieldReader { file, adapter }, entries(file, json)?);
        match fields.iter().find(|(name, _)| name == "peft_type").and_then(|(_, value)| value.as_str()) {
            Some("LORA") => AdapterConfig::read(&reader, &fields, false),
            Some(other) => {
                let reason = format!("it is the configuration of {other:?}, not of \"LORA\"");
                Err(Error::unsupported(file, reason).adapter(adapter).field("peft_type").found(other).expected("LORA"))
            }
            None => {
                let reason = "it has no peft_type: this is not the configuration of a PEFT adapter";
                Err(Error::bad_config(file, reason).field("peft_type").expected("LORA"))
            }
        }
    }

    /// The same, of the fields of a configuration whose `peft_type` is LORA. A `residual` base is one that the adapter's initialisation has already
    /// changed, so nothing more is done for it.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub(crate) fn read(reader: &FieldReader, fields: &[(String, Value)], residual: bool) -> Result<AdapterConfig> {
        let mut config = AdapterConfig::plain(8, 8.0);
        for (name, value) in fields {
            match name.as_str() {
                "r" => config.r = reader.rank(name, value)?,
                "lora_alpha" => config.alpha = reader.number(name, value)?,
                "use_rslora" => config.rslora = reader.flag(name, value)?,
                "use_dora" => config.dora = reader.flag(name, value)?,
                "fan_in_fan_out" => config.fan_in_fan_out = reader.flag(name, value)?,
                "rank_pattern" => {
                    let rank = |reader: &FieldReader, name: &str, value: &Value| Ok(reader.rank(name, value)? as f64);
                    config.rank_pattern = reader.patterns("rank_pattern", value, rank)?
                }
                "alpha_pattern" => {
                    config.alpha_pattern = reader.patterns("alpha_pattern", value, FieldReader::number)?
                }
                "target_parameters" => config.target_parameters = reader.texts(name, value)?,
                "peft_version" => config.peft_version = value.as_str().map(Into::into),
                "target_modules" => config.target_modules = target_list(value),
                "base_model_name_or_path" => config.base_name = value.as_str().map(Into::into),
                "bias" if matches!(value.as_str(), Some("none" | "all" | "lora_only")) || value.is_null() => {}
                "bias" => return reader.bad("bias", value, "none, all or lora_only"),
                "trainable_token_indices" => config.tokens = reader.tokens(name, value)?,
                "layer_replication" => config.replication = reader.ranges(name, value)?,
                "use_bdlora" => config.blocks.read_diagonal(reader, value)?,
                "enable_lora" => config.blocks.read_enabled(reader, value)?,
                "init_lora_weights" if residual => {}
                "init_lora_weights" => config.start = start(reader, value)?,
                neutral if NEUTRAL.contains(&neutral) => {}
                _ if says_nothing(value) => {}
                refused => {
                    return Err(match REFUSED.iter().find(|row| row.0 == refused) {
                        Some((_, meaning, WITH_PEFT)) => reader.not_yet(refused, value, meaning),
                        // PEFT cannot merge it, either.
                        Some((_, meaning, fix)) => reader.refuse(refused, value, meaning).fix(*fix),
                        None => reader
                            .refuse(refused, value, "an unknown field, which may change the result")
                            .kind(ErrorKind::UnknownField)
                            .fix("update lorafold; or remove the field, if you know that it changes nothing"),
                    });
                }
            }
        }
        Ok(config)
    }

    /// A configuration that only says rank and alpha, for an adapter file that comes without one.
    pub fn plain(r: u64, alpha: f64) -> AdapterConfig {
        AdapterConfig {
            r,
            alpha,
            rslora: false,
            dora: false,
            fan_in_fan_out: false,
            rank_pattern: PatternTable::default(),
            alpha_pattern: PatternTable::default(),
            target_modules: Vec::new(),
            target_parameters: Vec::new(),
            peft_version: None,
            tokens: Vec::new(),
            blocks: Blocks::default(),
            start: Start::Base,
            replication: Vec::new(),
            base_name: None,
        }
    }

    /// Scale of a delta of rank `r`: α/r, or α/√r with rsLoRA.
    pub fn scale(&self, alpha: f64, r: u64) -> f64 {
        if self.rslora { alpha / (r as f64).sqrt() } else { alpha / r as f64 }
    }
}

fn target_list(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(Into::into)).collect()
}

/// What the training of an adapter with this initialisation began from. Some change the base, so that merging into the original would be wrong. That of
/// OLoRA and of PiSSA can be computed again. The others depend on random numbers, on data or on a quantisation.
fn start(reader: &FieldReader, value: &Value) -> Result<Start> {
    let init = match value {
        Value::Bool(_) | Value::Null => return Ok(Start::Base),
        Value::String(init) if PLAIN_INITS.contains(&init.as_str()) => return Ok(Start::Base),
        Value::String(init) if init.eq_ignore_ascii_case("olora") => return Ok(Start::Olora),
        Value::String(init) if init == "pissa" => return Ok(Start::Pissa),
        Value::String(init) => init.as_str(),
        _ => "",
    };
    let (reason, fix) = match init {
        niter if niter.starts_with("pissa") => (
            "trains against the base without what PEFT's randomised decomposition found in it, with random numbers that nobody knows",
            "merge into the base that was saved without it, with the option residualBase; or convert the adapter with PEFT: save_pretrained(path_initial_model_for_weight_conversion=…)",
        ),
        "loftq" => (
            "trains against a base that LoftQ has quantised",
            "merge into the base that LoftQ made, not quantised, with the option residualBase",
        ),
        _ => (
            "trains against a changed base that cannot be made again",
            "merge into the base that was saved with it, with the option residualBase",
        ),
    };
    Err(reader.refuse("init_lora_weights", value, &format!("{} {reason}", text(value))).fix(fix))
}

#[cfg(test)]
mod tests {
    use super::super::pattern::PatternBudget;
    use super::super::{ModuleSettings, SettingsLookup};
    use super::*;

    fn parse(json: &str) -> Result<AdapterConfig> {
        AdapterConfig::parse("adapter_config.json", "a", json.as_bytes())
    }

    fn find(config: &AdapterConfig, module: &str) -> ModuleSettings {
        SettingsLookup::new(config).find(module, &mut PatternBudget::default()).unwrap()
    }

    #[test]
    fn scales() {
        let config =
            parse(r#"{"peft_type":"LORA","r":16,"lora_alpha":32,"use_rslora":true,"alpha_pattern":{"q_proj":8}}"#)
                .unwrap();
        for (module, scale) in [("x.q_proj", 2.0), ("x.k_proj", 8.0)] {
            let settings = find(&config, module);
            assert_eq!(config.scale(settings.alpha, settings.rank), scale, "{module}");
        }
    }

    #[test]
    fn the_first_pattern_wins() {
        let config = parse(r#"{"peft_type":"LORA","r":4,"rank_pattern":{"layers.0.q":2,"q":3}}"#).unwrap();
        assert_eq!(["layers.0.q", "layers.1.q", "k"].map(|module| find(&config, module).rank), [2, 3, 4]);
    }

    #[test]
    fn regular_expressions_have_a_limit_and_names_have_none() {
        let table = |key: &dyn Fn(usize) -> String| {
            let rows: Vec<String> = (0..1000).map(|row| format!(r#""{}":1"#, key(row))).collect();
            parse(&format!(r#"{{"peft_type":"LORA","alpha_pattern":{{{}}}}}"#, rows.join(",")))
        };
        let long = "a.".repeat(300);
        assert!(table(&|row| format!("{long}{row}")).is_ok());
        let error = table(&|row| format!("{long}*{row}")).unwrap_err();
        assert_eq!(
            (error.code(), error.facts().field.as_deref()),
            ("limit-exceeded", Some("alpha_pattern")),
            "{error}"
        );
    }

    /// The fields of `LoraConfig` in PEFT 0.21.2.
    const PEFT_FIELDS: [&str; 42] = [
        "task_type",
        "peft_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
        "r",
        "target_modules",
        "exclude_modules",
        "lora_alpha",
        "lora_dropout",
        "fan_in_fan_out",
        "bias",
        "use_rslora",
        "modules_to_save",
        "init_lora_weights",
        "layers_to_transform",
        "layers_pattern",
        "rank_pattern",
        "alpha_pattern",
        "megatron_config",
        "megatron_core",
        "trainable_token_indices",
        "loftq_config",
        "eva_config",
        "corda_config",
        "lora_ga_config",
        "use_dora",
        "velora_config",
        "alora_invocation_tokens",
        "use_qalora",
        "qalora_group_size",
        "monteclora_config",
        "layer_replication",
        "runtime_config",
        "lora_bias",
        "target_parameters",
        "use_bdlora",
        "arrow_config",
        "kasa_config",
        "ensure_weight_tying",
    ];

    #[test]
    fn every_field_of_peft_is_known() {
        for field in PEFT_FIELDS.into_iter().filter(|field| *field != "peft_type") {
            match parse(&format!(r#"{{"peft_type":"LORA","{field}":{{"x":1}}}}"#)) {
                Ok(_) => {}
                Err(error) => assert!(!error.to_string().contains("unknown field"), "{error}"),
            }
        }
        let error = parse(r#"{"peft_type":"LORA","field_of_tomorrow":{"x":1}}"#).unwrap_err();
        assert!(error.to_string().contains("field_of_tomorrow: an unknown field"), "{error}");
    }

    #[test]
    fn what_changes_the_result_is_refused_by_name() {
        for field in [r#""init_lora_weights":"corda""#, r#""something_new":3"#, r#""rank_pattern":{"(a":2}"#] {
            let error = parse(&format!(r#"{{"peft_type":"LORA",{field}}}"#)).unwrap_err();
            assert_eq!(error.code(), "unsupported", "{field}");
            let name = field.split('"').nth(1).unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
        for (field, reason, fix) in [
            (r#""init_lora_weights":"pissa_niter_4""#, "randomised", "convert the adapter"),
            (r#""init_lora_weights":"corda""#, "cannot be made again", "saved with it"),
            (r#""init_lora_weights":"loftq""#, "LoftQ has quantised", "that LoftQ made"),
            (r#""kasa_config":{"x":1}"#, "KaSA", "with PEFT"),
            (r#""arrow_config":{"x":1}"#, "every token", "each by itself"),
            (r#""alora_invocation_tokens":[1]"#, "after the tokens", "beside its base"),
            (r#""use_qalora":true"#, "GPTQ", "beside its base"),
        ] {
            let error = parse(&format!(r#"{{"peft_type":"LORA",{field}}}"#)).unwrap_err();
            let sentence = error.to_string();
            assert!(sentence.contains(reason) && sentence.contains(fix), "{sentence}");
            // This kind says that PEFT can merge it, and shows how.
            let is_for_peft = error.facts().kind == Some(ErrorKind::NotImplemented);
            assert_eq!(is_for_peft, fix == "with PEFT", "{sentence}");
        }
        for (init, from) in [("pissa", Start::Pissa), ("OLoRA", Start::Olora), ("gaussian", Start::Base)] {
            let json = format!(r#"{{"peft_type":"LORA","init_lora_weights":"{init}"}}"#);
            assert_eq!(parse(&json).unwrap().start, from);
        }
        assert_eq!(parse(r#"{"peft_type":"LOHA"}"#).unwrap_err().code(), "unsupported");
        for json in [
            "",
            "[]",
            "{}",
            r#"{"peft_type":"LORA","r":0}"#,
            r#"{"peft_type":"LORA","r":"8"}"#,
            r#"{"peft_type":"LORA","lora_alpha":null}"#,
            r#"{"peft_type":"LORA","peft_type":"LORA"}"#,
        ] {
            assert_eq!(parse(json).unwrap_err().code(), "bad-config", "{json}");
        }
    }
}
