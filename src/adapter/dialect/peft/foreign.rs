//! Configurations of the same name that other tools write.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Tools by the fields of which one says that it is theirs: what the adapter is, and what helps.
const TOOLS: [(&[&str], &str, &str); 3] = [
    (
        &["fine_tune_type", "lora_parameters", "lora_layers"],
        "this is an adapter of MLX (mlx-lm), which cannot be merged yet",
        "merge it where MLX is: mlx_lm.fuse --model BASE --adapter-path ADAPTER --save-path OUT, with --dequantize where the base is quantised",
    ),
    (
        &["model_class", "config_id", "hidden_size"],
        "this is an adapter of AdapterHub (adapter-transformers, adapters): most are modules between layers, which no weight can take up",
        "load it with the library adapters: model.load_adapter(ADAPTER); one of LoRA it can merge: model.merge_adapter(NAME)",
    ),
    (
        &["lora_rank", "lora_dim", "network_dim", "network_module"],
        "this is not a configuration of PEFT, but of another trainer",
        "convert the adapter to PEFT with the trainer that made it",
    ),
];

/// The error for the configuration `file`, which has no `peft_type`.
pub(super) fn error(file: &str, fields: &[(String, Value)]) -> Error {
    let has = |wanted: &&str| fields.iter().any(|(name, _)| name == wanted);
    match TOOLS.iter().find(|(names, ..)| names.iter().any(has)) {
        Some((_, what, fix)) => Error::unsupported(file, *what).kind(ErrorKind::NotImplemented).file(file).fix(*fix),
        None => {
            let reason = "it has no peft_type: this is not the configuration of a PEFT adapter";
            Error::bad_config(file, reason).field("peft_type").expected("LORA")
        }
    }
}
