//! `adapter_config.json` as other tools write it.

use serde_json::Value;

use crate::error::{Error, ErrorKind};

/// Other tools: fields of which one shows that the file is theirs, what the adapter is, and what helps.
const TOOLS: [(&[&str], &str, &str); 3] = [
    (
        &["fine_tune_type", "lora_parameters", "lora_layers"],
        "this is an adapter of MLX (mlx-lm), which cannot be merged yet",
        "merge it on the machine that has MLX: mlx_lm.fuse --model BASE --adapter-path ADAPTER --save-path OUT, with --dequantize where the base is quantised",
    ),
    (
        &["model_class", "config_id", "hidden_size"],
        "this is an adapter of AdapterHub (adapter-transformers, adapters): most of these are modules between layers, which cannot become part of a weight",
        "load it with the library adapters: model.load_adapter(ADAPTER); if it is LoRA, model.merge_adapter(NAME) merges it",
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
