//! A fine-tuned model against the base: every tensor of either has its partner, or is named.

use super::adapter::Adapter;
use super::tied::is_vocabulary;
use super::tuned::{Other, is_computed};
use crate::adapter::dialect::ModuleUpdate;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, try_buffer};
use crate::order::sort;
use crate::tensor::Float;

/// Most names that a finding lists.
const LISTED: usize = 8;

/// What the user can do about a model that lacks a tensor, or has one too many.
pub(super) const RIGHT_MODEL: &str =
    "check that it is a fine-tune of this base, or allow such tensors to stay the base's (allowUnmatched)";

/// Two tensors that are no floating-point numbers, and should be the same.
#[derive(Debug)]
pub(crate) struct Pair {
    adapter: String,
    model: Other,
    base: Other,
}

/// The error that a model has nothing to do with the base.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn unrelated(adapter: &Adapter, example: &str) -> Error {
    let first = adapter.updates.first().map_or("nothing", |update| &update.key);
    let reason = format!(
        "this is a whole model, not an adapter, and none of its tensors ({first}, …) is one of the base's ({example}, …)"
    );
    Error::wrong_input(adapter.name.clone(), reason)
        .kind(ErrorKind::BaseAsAdapter)
        .found("a model of another kind")
        .expected("an adapter, or a fine-tune of the base")
        .fix(adapter.right_base())
}

/// What is said of an output layer that the base does not have, where nothing says that the model's is tied.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn head_left_out(adapter: &Adapter) -> Finding {
    let message = "the base has no output layer of its own, so the model's is taken for its embedding, and left out";
    Finding::warning("head-left-out", Some(&adapter.name), message.into())
}

/// The tensors of the base that a model lacks, which must be given: an error for the first that has been trained, or where the user allows it a
/// finding for each. `has` says which it has.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn missing(
    adapter: &Adapter,
    lacking: &[&TensorInfo],
    allow: bool,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let mut kept = Vec::new();
    for info in lacking {
        if Float::of(info.dtype).is_none() || is_computed(info.name, info.shape) {
            kept.push(info.name);
            continue;
        }
        let reason = "the model has no such tensor, and the base has";
        let error = Error::unmatched_key(adapter.name.clone(), info.name, reason).expected(info.name).fix(RIGHT_MODEL);
        if !allow {
            return Err(error);
        }
        let finding = Finding::warning("missing-tensor", Some(&adapter.name), error.to_string());
        findings.push(Finding { tensor: Some(info.name.into()), ..finding });
    }
    let what = "that the model lacks, which are computed or no floating-point numbers: they stay";
    findings.extend(listed("kept-tensors", adapter, &kept, what));
    Ok(())
}

/// Find the partner, among those of the `base` in order, of each tensor of a model that is no floating-point numbers. `place` gives the number that it has
/// in the base. The numbers that have one, in order.
///
/// # Errors
/// `unsupported` where the base has floating-point numbers there.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn pair(
    adapter: &Adapter,
    infos: &[TensorInfo],
    base: &[Other],
    place: &dyn Fn(&str) -> Option<usize>,
    pairs: &mut Vec<Pair>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<usize>> {
    let (mut taken, mut more, mut different) = (Vec::new(), Vec::new(), Vec::new());
    let others = adapter.tuned.iter().flat_map(|tuned| &tuned.others);
    for other in others {
        let Some(number) = place(&other.name) else {
            more.push(other.name.as_str());
            continue;
        };
        taken.push(number);
        let info = infos[number];
        if Float::of(info.dtype).is_some() {
            let (found, expected) = (other.dtype.to_string(), info.dtype.to_string());
            let reason =
                format!("the model stores it as {found}, the base as {expected}: the difference needs numbers");
            return Err(Error::unsupported(info.name, reason)
                .adapter(adapter.name.clone())
                .tensor(info.name)
                .kind(ErrorKind::QuantisedBase)
                .found(found)
                .expected(expected)
                .fix("give the model that is not quantised"));
        }
        let ours = base.binary_search_by(|one| one.name.as_str().cmp(info.name)).ok().map(|at| &base[at]);
        match ours.filter(|ours| ours.dtype == other.dtype && ours.shape == other.shape) {
            Some(ours) => pairs.push(Pair { adapter: adapter.name.clone(), model: other.clone(), base: ours.clone() }),
            None => different.push(info.name),
        }
    }
    let what = "that are no floating-point numbers and that the base lacks: left out";
    findings.extend(listed("left-out-tensors", adapter, &more, what));
    findings.extend(listed(DIFFER, adapter, &different, DIFFERENT));
    sort(&mut taken);
    Ok(taken)
}

/// The code of the finding that tensors differ, and no difference of them can be merged.
const DIFFER: &str = "other-tensors-differ";
const DIFFERENT: &str = "that are no floating-point numbers and differ from the model's: the base's stay";

fn listed(code: &'static str, adapter: &Adapter, names: &[&str], what: &str) -> Option<Finding> {
    let first = *names.first()?;
    let message = format!("{} tensors ({}) {what}", names.len(), list(names));
    let finding = Finding::warning(code, Some(&adapter.name), message);
    Some(Finding { tensor: Some(first.into()), ..finding })
}

/// Some names, for a sentence.
pub(super) fn list(names: &[&str]) -> String {
    let more = if names.len() > LISTED { ", …" } else { "" };
    names.iter().copied().take(LISTED).collect::<Vec<_>>().join(", ") + more
}

/// Bytes of tensors that are compared, and at a time.
const COMPARED: u64 = 8 << 20;
const STEP: u64 = 64 << 10;

/// Compare the bytes of what should be the same.
///
/// # Errors
/// Those of reading.
pub(super) async fn compare(inputs: &impl Inputs, pairs: &[Pair], findings: &mut Vec<Finding>) -> Result<()> {
    let (mut left, mut unread) = (COMPARED, 0);
    let (mut ours, mut theirs) = (try_buffer("a comparison", STEP)?, try_buffer("a comparison", STEP)?);
    for Pair { adapter, model, base } in pairs {
        if model.at.bytes > left {
            unread += 1;
            continue;
        }
        left -= model.at.bytes;
        let (mut at, mut same) = (0, true);
        while same && at < model.at.bytes {
            let step = STEP.min(model.at.bytes - at) as usize;
            inputs.read(base.at.input, base.at.start + at, &mut ours[..step]).await?;
            inputs.read(model.at.input, model.at.start + at, &mut theirs[..step]).await?;
            same = ours[..step] == theirs[..step];
            at += step as u64;
        }
        if !same {
            let finding = Finding::warning(DIFFER, Some(adapter), format!("{} is one of those {DIFFERENT}", base.name));
            findings.push(Finding { tensor: Some(base.name.clone()), ..finding });
        }
    }
    if unread > 0 {
        let message = format!(
            "{unread} tensors that are no floating-point numbers are too large to be compared: the base's stay"
        );
        findings.push(Finding::warning("other-tensors-unread", None, message));
    }
    Ok(())
}

/// How many rows, the first ones, a model's vocabulary and the base's have in common, where the two have other sizes.
///
/// # Errors
/// `shape-mismatch` unless `intersect`.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn common_rows(
    adapter: &Adapter,
    update: &ModuleUpdate,
    name: &str,
    shape: &[u64],
    intersect: bool,
) -> Result<Option<u64>> {
    let Some(replace) = update.op.replacement.as_ref() else { return Ok(None) };
    let (&[ours, ref sides @ ..], &[theirs, ref others @ ..]) = (shape, replace.shape.as_slice()) else {
        return Ok(None);
    };
    if ours == theirs || sides != others || !is_vocabulary(name) || ours == 0 || theirs == 0 {
        return Ok(None);
    }
    if intersect {
        return Ok(Some(ours.min(theirs)));
    }
    let reason = format!("the model's vocabulary has {theirs} rows, the base's {ours}");
    Err(Error::shape_mismatch(adapter.name.clone(), name, reason)
        .kind(ErrorKind::OtherShape)
        .found(theirs.to_string())
        .expected(ours.to_string())
        .fix("merge the rows that both have (vocabulary: \"intersect\", --vocabulary intersect), or resize the base first"))
}

/// What is said of a vocabulary of which only common rows are merged.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn intersected(adapter: &Adapter, name: &str, ours: u64, update: &ModuleUpdate) -> Finding {
    let theirs = update.op.replacement.as_ref().and_then(|replace| replace.shape.first().copied()).unwrap_or(0);
    let (common, rest) = match ours < theirs {
        true => (ours, "the model's other rows are left out"),
        false => (theirs, "the other rows stay the base's"),
    };
    let message =
        format!("of the {ours} rows of the base and {theirs} of the model the first {common} are merged; {rest}");
    Finding { tensor: Some(name.into()), ..Finding::warning("vocabulary-intersected", Some(&adapter.name), message) }
}
