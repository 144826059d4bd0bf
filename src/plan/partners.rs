//! Tensors of a fine-tuned model that the base has under another name: copies of one tensor, and matrices of experts, which one file stacks and the
//! other has one by one.

use std::borrow::Cow;
use std::collections::HashMap;

use super::adapter::Adapter;
use super::experts::Experts;
use super::task_vectors::{RIGHT_MODEL, list};
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::stack::Share;
use crate::container::TensorInfo;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::{Op, Replace};

/// Tensors that models keep as one in memory, by the ends of their names: a file may have some of them or all. Those of the last two are tied by the
/// configuration, the others always.
const COPIES: [&[&str]; 4] = [
    &["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"],
    &["cls.predictions.bias", "cls.predictions.decoder.bias"],
    &["lm_head.bias", "lm_head.decoder.bias"],
    &["embeddings.word_embeddings.weight", "cls.predictions.decoder.weight", "lm_head.decoder.weight"],
];

/// The updates of a model, each of a tensor that the base has, as far as copies and experts are concerned. `infos` are the base's tensors.
///
/// # Errors
/// `unmatched-key` where a stack of the base is not complete, unless the user allows it; `shape-mismatch` for a stack that cannot be taken apart.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn partners<'u>(
    adapter: &Adapter,
    updates: Cow<'u, [ModuleUpdate]>,
    infos: &[TensorInfo],
    experts: &mut Experts,
    allow: bool,
    findings: &mut Vec<Finding>,
) -> Result<Cow<'u, [ModuleUpdate]>> {
    let updates = copies(adapter, updates, infos, findings);
    let stacks = |update: &ModuleUpdate| experts.may_be_of_experts(update);
    if !updates.iter().any(stacks) {
        return Ok(updates);
    }
    let mut partners = Vec::with_capacity(updates.len());
    let mut counts: HashMap<String, (u64, u64)> = HashMap::new();
    for update in updates.iter() {
        if let Some(parts) = experts.matrices(update) {
            partners.extend(apart(adapter, update, parts)?);
            continue;
        }
        let update = experts.of_stack(update);
        if let Some(Share::One { part: (_, parts), .. }) = update.share {
            let name = update.tensor();
            let all = experts.in_stack(&update).saturating_mul(parts);
            counts.entry(name).or_insert((0, all)).0 += 1;
        }
        partners.push(update);
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, (found, all))| found < all).collect();
    crate::order::sort_by(&mut counts, |one, other| one.0.cmp(&other.0));
    for (name, (found, all)) in counts {
        let reason = format!("the model has {found} of the {all} matrices that the base stacks in this tensor");
        let error = Error::unmatched_key(adapter.name.clone(), name.clone(), reason).fix(RIGHT_MODEL);
        if !allow {
            return Err(error);
        }
        let finding = Finding::warning("missing-tensor", Some(&adapter.name), error.to_string());
        findings.push(Finding { tensor: Some(name), ..finding });
    }
    Ok(partners.into())
}

/// A stack's matrices, as the base has them.
fn apart(
    adapter: &Adapter,
    update: &ModuleUpdate,
    (leaves, matrix, experts): (&'static [&'static str], Vec<u64>, u64),
) -> Result<Vec<ModuleUpdate>> {
    let Some(replace) = &update.op.replacement else { return Err(Error::internal("a task vector has no values")) };
    let parts = leaves.len() as u64;
    let (rows, cols) = match *matrix {
        [rows, cols] => (rows, cols),
        _ => (0, 0),
    };
    let expected = [experts, rows.saturating_mul(parts), cols];
    if replace.shape != expected {
        let found = format!("{:?}", replace.shape);
        let what = match replace.shape.as_slice() {
            [_, one, other] if [*other, *one] == expected[1..] => " (its matrices are stored (in, out))",
            _ => "",
        };
        let reason = format!(
            "its shape is {found}{what}, and the base has {experts} experts with {parts} matrices of {matrix:?} each in its place"
        );
        return Err(Error::shape_mismatch(adapter.name.clone(), update.key.clone(), reason)
            .kind(ErrorKind::OtherShape)
            .found(found)
            .expected(format!("{expected:?}"))
            .fix("save both models with the same version of transformers"));
    }
    let bytes = rows * cols * replace.stored.float.bytes() as u64;
    let mut updates = Vec::new();
    for expert in 0..experts {
        for (number, leaf) in (0..).zip(leaves) {
            let start = replace.stored.start + (expert * parts + number) * bytes;
            let stored = Plain { start, ..replace.stored };
            let replacement = Some(Replace { key: replace.key.clone(), shape: matrix.clone(), stored });
            updates.push(ModuleUpdate {
                module: format!("{}.{expert}.{leaf}", update.module),
                parameter: "weight".into(),
                op: Op { replacement, layer: crate::op::LayerShape::linear(rows, cols), ..update.op.clone() },
                ..update.clone()
            });
        }
    }
    Ok(updates)
}

/// The same updates with the copies that the base has, and without those that it has not.
fn copies<'u>(
    adapter: &Adapter,
    updates: Cow<'u, [ModuleUpdate]>,
    infos: &[TensorInfo],
    findings: &mut Vec<Finding>,
) -> Cow<'u, [ModuleUpdate]> {
    let names: Vec<String> = updates.iter().map(ModuleUpdate::tensor).collect();
    let untied = adapter.tuned.as_ref().is_some_and(|tuned| tuned.tied == Some(false));
    let (mut left, mut more): (Vec<usize>, Vec<ModuleUpdate>) = (Vec::new(), Vec::new());
    for (number, group) in COPIES.iter().enumerate() {
        if untied && number + 1 == COPIES.len() {
            continue;
        }
        let only = |end: &str, all: &mut dyn Iterator<Item = &str>| {
            let is = |name: &str| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            let mut found = all.enumerate().filter(|(_, name)| is(name)).map(|(at, _)| at);
            (found.next(), found.next().is_some())
        };
        let ours: Vec<_> = group.iter().map(|end| only(end, &mut infos.iter().map(|info| info.name))).collect();
        let theirs: Vec<_> = group.iter().map(|end| only(end, &mut names.iter().map(String::as_str))).collect();
        let first = theirs.iter().find_map(|(at, _)| *at);
        // Where a model has several of one name nothing says which of them are copies of one another.
        let several = ours.iter().chain(&theirs).any(|(_, several)| *several);
        let (Some(first), false, true) = (first, several, ours.iter().any(|(at, _)| at.is_some())) else { continue };
        for ((ours, _), (theirs, _)) in ours.iter().zip(&theirs) {
            match (*ours, *theirs) {
                (None, Some(at)) => left.push(at),
                (Some(at), None) => {
                    let (module, parameter) = infos[at].name.rsplit_once('.').unwrap_or(("", infos[at].name));
                    let copy = updates[first].clone();
                    // It has the base's own name, which says nothing of where the rest is.
                    more.push(ModuleUpdate {
                        module: module.into(),
                        parameter: parameter.into(),
                        optional: true,
                        ..copy
                    });
                }
                _ => {}
            }
        }
    }
    if left.is_empty() && more.is_empty() {
        return updates;
    }
    let of_base: Vec<String> = more.iter().map(ModuleUpdate::tensor).collect();
    let told: Vec<&str> = left.iter().map(|at| names[*at].as_str()).chain(of_base.iter().map(String::as_str)).collect();
    let message =
        format!("only one of the two models has a copy of its own for {}: it is the same tensor", list(&told));
    findings.push(Finding::info("shared-copies", &adapter.name, message));
    let kept = updates.iter().enumerate().filter(|(at, _)| !left.contains(at)).map(|(_, update)| update.clone());
    kept.chain(more).collect::<Vec<_>>().into()
}
