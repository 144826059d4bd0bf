//! Weights beside an adapter's own: trainers save them outside of PEFT, and merging the adapter does not include them.

use crate::adapter::dialect::Mismatch;
use crate::error::{Error, ErrorKind};
use crate::findings::Finding;
use crate::inputs::Listing;

/// The code of the finding, if the user allows weights beside the adapter that change the model. Otherwise they are an error.
pub(super) const CODE: &str = "unmerged-weights";

/// How the names of weights that change the model begin: the projector of LLaVA and its relatives, LongLoRA's embeddings and norms, vLLM's rows
/// for new tokens, and single layers.
const OF_THE_MODEL: [&str; 9] = [
    "non_lora_",
    "new_embeddings",
    "trainable_params",
    "extra_embeddings",
    "mm_projector",
    "multi_modal_projector",
    "embed_tokens",
    "lm_head",
    "learned_embeds",
];
/// How the names of a training's state begin, and of the adapter itself in another form.
const OF_THE_TRAINING: [&str; 8] =
    ["adapter_", "training_args", "optimizer", "scheduler", "scaler", "rng_state", "random_states", "._"];
const ENDINGS: [&str; 5] = [".safetensors", ".bin", ".pt", ".pth", ".ckpt"];

/// Note which weights are in an adapter's folder beside `chosen`: as mismatches if they change the model, else as a finding.
pub(super) fn note(folder: &Listing, chosen: &[&str], mismatches: &mut Vec<Mismatch>, findings: &mut Vec<Finding>) {
    let begins = |name: &str, all: &[&str]| all.iter().any(|start| name.starts_with(start));
    let names = folder.files.iter().map(|file| &file.name);
    let is_weights = |name: &&String| ENDINGS.iter().any(|end| name.ends_with(end)) && !chosen.contains(&name.as_str());
    let mut others: Vec<&str> = Vec::new();
    for name in names.filter(is_weights).filter(|name| !begins(name, &OF_THE_TRAINING)) {
        if !begins(name, &OF_THE_MODEL) {
            others.push(name);
            continue;
        }
        let reason = "these trained weights beside the adapter are not merged, and without them the model is not the one that was trained";
        let error = Error::unsupported(name.clone(), reason).kind(ErrorKind::NotImplemented).file(name.clone());
        let error = error.fix("merge where it was trained, or allow it: --allow-unmerged, allowUnmerged: true");
        mismatches.push(Mismatch { error: error.in_adapter(&folder.name), code: CODE });
    }
    if !others.is_empty() {
        let message = format!("not merged, beside the adapter: {}", others.join(", "));
        findings.push(Finding::warning("beside-adapter", Some(&folder.name), message));
    }
}
