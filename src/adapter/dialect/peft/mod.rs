//! PEFT: `adapter_config.json`, and keys such as `base_model.model.….lora_A.weight`.
//!
//! LoRA and its variants are read in `lora.rs`. Every other method says in its own file how it is spelt (`op/peft.rs`), and is read in
//! `methods.rs`.

mod foreign;
mod lora;
mod methods;
mod parameters;
mod refused;
mod whole;

use serde_json::Value;

use super::{AdapterFiles, Dialect, Mismatch, Updates};
use crate::adapter::fields::{FieldReader, entries};
use crate::adapter::pattern::PatternBudget;
use crate::container::Header;
use crate::error::{Error, ErrorKind, Result};
use crate::op::METHODS;

/// HuggingFace PEFT.
pub(super) struct Peft;

impl Dialect for Peft {
    fn recognises(&self, files: &AdapterFiles) -> bool {
        files.config.is_some()
    }

    fn read(&self, files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates> {
        let saved = match (&header, files.config) {
            (Ok(header), None) => saved_by_diffusers(files, header)?,
            _ => None,
        };
        let files =
            &AdapterFiles { config: saved.as_ref().map(|json| (METADATA, json.as_slice())).or(files.config), ..*files };
        let Some((file, json)) = files.config else { return lora::read(files, &[], header, budget) };
        let fields = entries(file, json)?;
        let peft_type = fields.iter().rev().find(|(name, _)| name == "peft_type").and_then(|(_, value)| value.as_str());
        let Some(peft_type) = peft_type else { return Err(foreign::error(file, &fields)) };
        if peft_type == "LORA" {
            return lora::read(files, &fields, header, budget);
        }
        let reader = FieldReader { file, adapter: files.adapter };
        let mut spellings = METHODS.iter().flat_map(|method| method.spellings);
        match spellings.find(|spelling| spelling.peft_type == peft_type) {
            Some(spelling) => methods::read(spelling, files, &reader, &fields, header, budget),
            None => Err(refused::error(&reader, peft_type)),
        }
    }
}

/// The entry of a header in which diffusers keeps the configuration.
const METADATA: &str = "lora_adapter_metadata";

/// The configuration that diffusers keeps in the header. A pipeline's header has one for each part, with the part's name before each field
/// (`unet.r`).
fn saved_by_diffusers(files: &AdapterFiles, header: &Header) -> Result<Option<Vec<u8>>> {
    let Some((_, json)) = header.metadata().find(|(key, _)| *key == METADATA) else { return Ok(None) };
    let fields = entries(METADATA, json.as_bytes())?;
    let mut parts = fields.iter().filter_map(|(name, _)| name.strip_suffix("peft_type")?.strip_suffix('.'));
    let Some(part) = parts.next() else { return Ok(Some(json.into())) };
    if let Some(other) = parts.next() {
        let reason =
            format!("it has adapters of several parts of a pipeline ({part}, {other}), each with a base of its own");
        return Err(Error::unsupported(files.file, reason)
            .kind(ErrorKind::NotImplemented)
            .file(files.file)
            .fix("save each part's adapter by itself (save_lora_adapter), and merge it into the part's folder"));
    }
    let field =
        |(name, value): &(String, Value)| Some((name.strip_prefix(part)?.strip_prefix('.')?.into(), value.clone()));
    let fields: serde_json::Map<String, Value> = fields.iter().filter_map(field).collect();
    Ok(Some(Value::from(fields).to_string().into_bytes()))
}

/// A pattern that matches no module is a mistake in the configuration: it had no effect in training.
fn unmatched_pattern(adapter: &str, field: &str, key: &str) -> Mismatch {
    let reason = format!("{field}: {key:?} matches none of the adapter's modules");
    let error = Error::bad_config("adapter_config.json", reason).in_adapter(adapter);
    let error = error.kind(ErrorKind::UnmatchedPattern).field(field).found(key);
    Mismatch { error: error.fix("correct it, or remove it"), code: "unmatched-pattern" }
}
