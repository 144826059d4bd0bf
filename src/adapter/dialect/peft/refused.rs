//! Methods of PEFT that cannot be merged, each with the reason and with what would help.

use serde_json::Value;

use crate::adapter::fields::FieldReader;
use crate::error::{Error, ErrorKind};

/// Methods that no merge into weights can express.
const NO_WEIGHTS: &[(&str, &str)] = &[
    ("PROMPT_TUNING", "prompt tuning trains tokens that stand before the input; it changes no weight of the base"),
    (
        "MULTITASK_PROMPT_TUNING",
        "multitask prompt tuning trains tokens that stand before the input; it changes no weight of the base",
    ),
    ("P_TUNING", "p-tuning trains an encoder of prompt tokens; it changes no weight of the base"),
    (
        "PREFIX_TUNING",
        "prefix tuning trains keys and values that every layer sees before the input; it changes no weight of the base",
    ),
    ("ADAPTION_PROMPT", "adaption prompt adds attention to trained tokens; it changes no weight of the base"),
    ("CPT", "CPT trains tokens that stand before the input; it changes no weight of the base"),
    ("CARTRIDGE", "a cartridge is a trained cache of keys and values; it changes no weight of the base"),
    ("XLORA", "X-LoRA weighs its adapters anew for every token"),
    ("POLY", "Poly routes between its modules by task"),
    ("LILY", "Lily routes between shared factors for every input"),
    ("SHADOW", "Shadow runs beside the base; it changes no weight of the base"),
];

/// Methods that only PEFT can merge. Most leave out of their files what PEFT computes anew from the base, and nothing else computes the same bits.
const WITH_PEFT: &[(&str, &str)] = &[
    (
        "TINYLORA",
        "TinyLoRA's factors are the singular vectors of the base's weights; the adapter has only what is multiplied with them",
    ),
    ("PSOFT", "PSOFT turns the leading singular vectors of the base's weights; the adapter has only the rotation"),
    (
        "OSF",
        "OSF replaces the lower singular vectors of the base's weights, and the adapter does not have those that must be taken away",
    ),
    ("FROD", "FRoD's left factors are solutions for the base's weights; the adapter does not have them"),
    ("ADAMSS", "AdaMSS clusters the singular vectors of the base's weights; the adapter does not have the clusters"),
];

/// The error for a `peft_type` that is not merged.
pub(super) fn error(reader: &FieldReader, peft_type: &str) -> Error {
    let row = |table: &'static [(&str, &str)]| table.iter().find(|(name, _)| *name == peft_type);
    if let Some((name, meaning)) = row(WITH_PEFT) {
        return reader
            .refuse(
                "peft_type",
                &Value::String((*name).into()),
                &format!("{meaning}, so it cannot be merged from files"),
            )
            .kind(ErrorKind::NotImplemented)
            .fix("merge this adapter with PEFT, on the machine that has the base")
            .found(peft_type);
    }
    match row(NO_WEIGHTS) {
        Some((name, meaning)) => reader
            .refuse("peft_type", &Value::String((*name).into()), &format!("{meaning}, so it cannot be merged at all"))
            .fix("load the adapter beside its base"),
        None => {
            let reason = format!("{peft_type:?} adapters cannot be merged yet");
            reader
                .refuse("peft_type", &Value::Null, &reason)
                .kind(ErrorKind::NotImplemented)
                .fix("merge this adapter with PEFT")
        }
    }
    .found(peft_type)
}
