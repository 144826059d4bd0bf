//! Taking adapters out of a merged model: M − Σ weight·Δ where Δ does not depend on the weights it is added to, and the inverse of a method that
//! multiplies, where there is one.

use std::collections::HashMap;

use super::change::Change;
use super::program::{COMMON_ROWS, Update};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::{DEFT, Inverse, OLORA, Op, TASK_VECTOR};

/// Methods whose delta does not depend on the weight: it is subtracted.
const ADDITIVE: &[&str] = &[
    "lora",
    "bd-lora",
    "merged-linear",
    "lora-bias",
    "loha",
    "lokr",
    "vera",
    "adalora",
    "randlora",
    "vblora",
    "delora",
    "gralora",
    "c3a",
    "miss",
    "shira",
    "supertuning",
    "unilora",
    "fourierft",
    "waveft",
];

/// Methods that give the inverse of what they do: linear maps of the weight, and what is added to them.
const INVERTED: &[&str] = &["oft", "boft", "hra", "road", "ia3", "hira", "glora", "miss-bat", "deft", "olora"];

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
        let tensor = names.get(tensor).copied().unwrap_or("lm_head.weight");
        models(&mut change.updates, tensor)?;
        for update in &mut change.updates {
            let name = update.op.method.name;
            if ADDITIVE.contains(&name) || *update.op.method == TASK_VECTOR {
                continue;
            }
            let is_lost = is_lost(&update.op);
            if !alone || update.weight != -1.0 || is_lost || !INVERTED.contains(&name) {
                return Err(refused(update, tensor, alone, is_lost));
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

/// Whether a part of the weight was projected away: by DEFT's orthonormal factor, and by OLoRA's where s = 1.
fn is_lost(op: &Op) -> bool {
    *op.method == OLORA && op.scaling() == 1.0 || *op.method == DEFT && op.size('q') == 1
}

/// Whole models among the adapters of a tensor: M = W + Σ w_j·(M_j − W) + Σ w_i·Δ_i, so that with s = Σ w_j
/// W = M − Σ w_j/(1 − s)·(M_j − M) − Σ w_i/(1 − s)·Δ_i. The weights come as −w.
///
/// # Errors
/// `unsupported` where s is 1, or others change more rows than a model does.
fn models(updates: &mut [Update], tensor: &str) -> Result<()> {
    let is_model = |update: &&Update| *update.op.method == TASK_VECTOR;
    let Some(first) = updates.iter().find(is_model) else { return Ok(()) };
    let left = 1.0 + updates.iter().filter(is_model).map(|update| update.weight).sum::<f64>();
    let is_apart =
        |update: &Update| update.region != first.region || update.op.size(COMMON_ROWS) != first.op.size(COMMON_ROWS);
    let refused = |reason: &str| Err(refusal(first, tensor, format!("a whole model cannot be taken back: {reason}")));
    if left.abs() < 1e-6 {
        return refused("at a weight of 1 nothing of the base is left in the merged model");
    }
    if updates.len() > 1 && updates.iter().any(is_apart) {
        return refused("it has other rows in common with the base than the adapters beside it");
    }
    updates.iter_mut().for_each(|update| update.weight /= left);
    Ok(())
}

fn refused(update: &Update, tensor: &str, alone: bool, is_lost: bool) -> Error {
    let method = update.op.method.name;
    let reason = match method {
        "dora" => {
            "DoRA gave every output a length of its own (its magnitude), so the merged model tells each output up to a factor only, and no file of the \
             adapter has the length that W + ΔW had"
        }
        "peanut" => "its delta is what a network makes of the weight itself: no formula gives that weight back",
        "olora" if is_lost => "with alpha = r it has replaced a part of the weight, which is not in the merged model",
        "deft" if is_lost => "it has replaced a part of the weight, which is not in the merged model",
        _ if !INVERTED.contains(&method) => {
            "its delta depends on the weight that it was added to, which is not in the merged model"
        }
        _ if !alone => "it was merged with other adapters: only alone does what multiplies have an inverse",
        _ => "only at weight 1 does what multiplies have an inverse",
    };
    refusal(update, tensor, format!("{method} cannot be taken back: {reason}"))
}

fn refusal(update: &Update, tensor: &str, reason: String) -> Error {
    Error::unsupported(tensor, reason)
        .kind(ErrorKind::NotImplemented)
        .adapter(update.adapter.clone())
        .tensor(tensor)
        .fix("use the base itself")
}
