//! PEFT: `adapter_config.json`, and keys such as `base_model.model.….lora_A.weight`.
//!
//! LoRA and its variants are read in `lora.rs`. Every other method says in its own file how it is spelt (`op/peft.rs`), and is read in
//! `methods.rs`.

mod lora;
mod methods;
mod parameters;
mod refused;
mod whole;

use super::{AdapterFiles, Dialect, Mismatch, Updates};
use crate::adapter::fields::{FieldReader, entries};
use crate::adapter::pattern::PatternBudget;
use crate::container::Header;
use crate::error::{Error, ErrorKind, Result};
use crate::op::PEFT;

/// HuggingFace PEFT.
pub(super) struct Peft;

impl Dialect for Peft {
    fn recognises(&self, files: &AdapterFiles) -> bool {
        files.config.is_some()
    }

    fn read(&self, files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates> {
        let Some((file, json)) = files.config else { return lora::read(files, &[], header, budget) };
        let fields = entries(file, json)?;
        let peft_type = fields.iter().rev().find(|(name, _)| name == "peft_type").and_then(|(_, value)| value.as_str());
        let Some(peft_type) = peft_type else {
            let reason = "it has no peft_type: this is not the configuration of a PEFT adapter";
            return Err(Error::bad_config(file, reason).field("peft_type").expected("LORA"));
        };
        if peft_type == "LORA" {
            return lora::read(files, &fields, header, budget);
        }
        let reader = FieldReader { file, adapter: files.adapter };
        match PEFT.iter().copied().flatten().find(|method| method.peft_type() == peft_type) {
            Some(method) => methods::read(*method, files, &reader, &fields, header, budget),
            None => Err(refused::error(&reader, peft_type)),
        }
    }
}

/// A pattern that matches no module is a mistake in the configuration: PEFT trained without it.
fn unmatched_pattern(adapter: &str, field: &str, key: &str) -> Mismatch {
    let reason = format!("{field}: {key:?} matches none of the adapter's modules");
    let error = Error::bad_config("adapter_config.json", reason).in_adapter(adapter);
    let error = error.kind(ErrorKind::UnmatchedPattern).field(field).found(key);
    Mismatch { error: error.fix("correct it, or remove it"), code: "unmatched-pattern" }
}
