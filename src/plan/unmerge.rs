//! Taking adapters out of a merged model: M − Σ weight·Δ where Δ does not depend on the weights it is added to, and the inverse of a method that
//! multiplies, where there is one.

use std::collections::HashMap;

use super::change::Change;
use super::program::Update;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::{HRA, IA3, Inverse, ROAD};

/// Methods whose delta does not depend on the weight: it is subtracted.
const ADDITIVE: &[&str] = &[
    "lora",
    "bd-lora",
    "merged-linear",
    "add-bias",
    "loha",
    "lokr",
    "vera",
    "adalora",
    "randlora",
    "vblora",
    "gralora",
    "c3a",
    "shira",
    "unilora",
    "fourierft",
    "waveft",
];

/// Turn the updates of a merge with the negative weights into those that take it back. `names` are those of the tensors.
///
/// # Errors
/// `unsupported` for a method whose merge cannot be taken back.
// A function of its own, so that it is in the second half of the module.
#[inline(never)]
pub(super) fn undo(
    changes: &mut HashMap<usize, Change>,
    added: &mut Vec<(String, Update)>,
    names: &[&str],
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut kept = Vec::new();
    let mut numbers: Vec<usize> = changes.keys().copied().collect();
    crate::order::sort(&mut numbers);
    for tensor in numbers {
        let Some(change) = changes.get_mut(&tensor) else { continue };
        let before = change.updates.len();
        change.updates.retain(|update| !update.op.brings_values());
        if change.updates.len() < before || change.base.is_some() {
            kept.push(names.get(tensor).copied().unwrap_or("lm_head.weight").to_string());
        }
        // What the merged model has is what counts.
        (change.base, change.shape) = (None, None);
        let alone = change.updates.len() == 1;
        for update in &mut change.updates {
            let name = update.op.method.name;
            if ADDITIVE.contains(&name) {
                continue;
            }
            let tensor = names.get(tensor).copied().unwrap_or_default();
            if !alone || update.weight != -1.0 || ![&IA3, &HRA, &ROAD].contains(&update.op.method) {
                return Err(refused(update, tensor, alone));
            }
            update.weight = 1.0;
            update.op.sizes.get_or(Inverse::LETTER, 1);
        }
    }
    changes.retain(|_, change| !change.updates.is_empty());
    kept.extend(added.drain(..).map(|(name, _)| name));
    crate::order::sort(&mut kept);
    if let Some(first) = kept.first() {
        let message = format!(
            "{} tensors stay as they are ({first}, …): an adapter put its own values there, and the base's are not in the merged model",
            kept.len()
        );
        findings.push(Finding { tensor: Some(first.clone()), ..Finding::warning("not-unmerged", None, message) });
    }
    Ok(())
}

fn refused(update: &Update, tensor: &str, alone: bool) -> Error {
    let method = update.op.method.name;
    let reason = match method {
        "dora" => {
            "DoRA gave every output a length of its own, and the one that it had before is not in the merged model"
        }
        "ia3" | "hra" | "road" if !alone => {
            "it was merged with other adapters: only alone does what multiplies have an inverse"
        }
        "ia3" | "hra" | "road" => "only at weight 1 does what multiplies have an inverse",
        _ => "its delta depends on the weight that it was added to, which is not in the merged model",
    };
    Error::unsupported(tensor, format!("{method} cannot be taken back: {reason}"))
        .kind(ErrorKind::NotImplemented)
        .adapter(update.adapter.clone())
        .tensor(tensor)
        .fix("use the base itself")
}
