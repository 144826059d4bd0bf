//! Updates of biases that are computed from the layer's weight: which tensor of the base that is.

use std::collections::HashMap;

use super::change::Change;
use super::open::{Base, Shard};
use super::program::Update;
use super::refusals::NOT_QUANTISED;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::order::sort;
use crate::tensor::Float;

/// Find the weight for every update in `changes` that needs one: the base's own, or the one that an adapter brings in its place.
///
/// # Errors
/// `unmatched-key` if the layer has no weight, `shape-mismatch` if it is of another layer, `unsupported` if it is quantised.
pub(super) fn find(base: &Base, changes: &mut HashMap<usize, Change>) -> Result<()> {
    let mut biases: Vec<usize> = Vec::new();
    for (&number, change) in changes.iter() {
        if change.updates.iter().any(|update| update.op.needs_weight()) {
            biases.push(number);
        }
    }
    if biases.is_empty() { Ok(()) } else { find_of(biases, base, changes) }
}

/// A weight of the base.
struct Weight {
    shape: Vec<u64>,
    /// Where it is, if it is of a floating-point type.
    stored: Option<Plain>,
}

#[inline(never)] // In the WebAssembly it is in the second half.
fn find_of(mut biases: Vec<usize>, base: &Base, changes: &mut HashMap<usize, Change>) -> Result<()> {
    sort(&mut biases);
    let (mut names, mut weights) = (Vec::new(), HashMap::new());
    for Shard { input, header, .. } in &base.shards {
        for info in header.iter() {
            if let Some(layer) = info.name.strip_suffix("weight") {
                let own = Float::of(info.dtype).map(|float| Plain {
                    float,
                    input: *input,
                    start: header.data_start + info.start,
                });
                let brought = changes.get(&names.len()).and_then(|change| change.base);
                weights.insert(layer, Weight { shape: info.shape.into(), stored: brought.or(own) });
            }
            names.push(info.name);
        }
    }
    for number in biases {
        // An update of a bias is of a tensor that the base has.
        let (Some(name), Some(change)) = (names.get(number), changes.get_mut(&number)) else { continue };
        let layer = name.strip_suffix("bias").unwrap_or(name);
        for update in change.updates.iter_mut().filter(|update| update.op.needs_weight()) {
            update.op.weight = Some(weight_for(update, layer, weights.get(layer))?);
        }
    }
    Ok(())
}

fn weight_for(update: &Update, layer: &str, weight: Option<&Weight>) -> Result<Plain> {
    let Update { adapter, region, op, .. } = update;
    let (name, key) = (format!("{layer}weight"), op.operands.last().map_or("", |operand| operand.key.as_str()));
    let Some(Weight { shape, stored }) = weight else {
        let reason = format!("it makes a part of the layer's bias of the layer's weight, and the base has no {name}");
        return Err(Error::unmatched_key(adapter.clone(), key, reason).expected(name));
    };
    let expected = [region.rows.end - region.rows.start, op.size('i')];
    if *shape != expected {
        let (found, expected) = (format!("{shape:?}"), format!("{expected:?}"));
        let reason = format!("the base has {found}, the adapter was trained on {expected}");
        let error = Error::shape_mismatch(adapter.clone(), name, reason).kind(ErrorKind::OtherShape);
        return Err(error.found(found).expected(expected));
    }
    stored.ok_or_else(|| {
        Error::unsupported(
            name.clone(),
            "a part of the layer's bias is made of it, and it is no floating-point numbers",
        )
        .kind(ErrorKind::QuantisedBase)
        .adapter(adapter.clone())
        .tensor(name)
        .fix(NOT_QUANTISED)
    })
}
