//! From what the adapters do to the base to the tensors of the output and their programs.

use std::collections::HashMap;

use super::adapter::Adapter;
use super::change::Change;
use super::open::{Base, Shard};
use super::options::CheckedOptions;
use super::program::{Program, Update};
use super::tensors::{Added, Tensors};
use super::tied::TiedHead;
use crate::combine::Combine;
use crate::container::TensorInfo;
use crate::encoding::{Plain, Stored};
use crate::error::Result;
use crate::tensor::{Float, Rounding};

/// Every tensor of the output, with how it is computed where something changes it.
///
/// # Errors
/// `unsupported` where a method cannot combine what the adapters do to a tensor.
pub(super) fn plan_tensors(
    base: &Base,
    head: Option<&TiedHead>,
    mut changes: HashMap<usize, Change>,
    added: Vec<(String, Update)>,
    asked: &Asked,
) -> Result<Tensors> {
    let mut tensors = Tensors::default();
    tensors.reserve(base.shards.iter().map(|file| file.header.len()).sum(), changes.len());
    let plain = |shard: usize, info: &TensorInfo| {
        let Shard { input, header, .. } = &base.shards[shard];
        Float::of(info.dtype).map(|float| Plain { float, input: *input, start: header.data_start + info.start })
    };
    let to = |info: &TensorInfo| {
        Float::of(info.dtype).map_or(info.dtype, |from| asked.options.dtype.unwrap_or(from).dtype())
    };
    let resized = |info: &TensorInfo, plain: Plain, shape: &[u64]| Added {
        name: info.name.into(),
        shape: shape.into(),
        dtype: info.dtype,
        input: plain.input,
        start: plain.start,
    };
    for (shard, file) in base.shards.iter().enumerate() {
        for (index, info) in file.header.iter().enumerate() {
            match (changes.remove(&tensors.len()), plain(shard, &info)) {
                (Some(Change { shape: Some(shape), updates, base, .. }), Some(plain)) => {
                    let program = program(&info, &shape, base.unwrap_or(plain), plain.float, updates, asked)?;
                    tensors.push_added(shard, resized(&info, plain, &shape), to(&info), Some(program));
                }
                (Some(mut change), Some(plain)) => {
                    let source = change.base.unwrap_or(plain);
                    let stack = change.rows_of_stack(info.shape);
                    let shape = stack.as_ref().map_or(info.shape, |shape| shape.as_slice());
                    let program = program(&info, shape, source, plain.float, change.updates, asked)?;
                    tensors.push_base(shard, index, to(&info), Some(program));
                }
                _ => tensors.push_base(shard, index, to(&info), None),
            }
        }
    }
    // A tied output layer gets a tensor of its own once something changes it.
    if let (Some(head), Some(change)) = (head, changes.remove(&tensors.len())) {
        let info = head.info(base);
        if let Some(plain) = plain(head.shard, &info) {
            let shape = change.shape.as_deref().unwrap_or(info.shape);
            let source = change.base.unwrap_or(plain);
            let added = resized(&info, plain, shape);
            let program = program(&info, shape, source, plain.float, change.updates, asked)?;
            tensors.push_added(head.shard, added, to(&info), Some(program));
        }
    }
    // A tensor that only an adapter has gets the model's type.
    let Some(last) = base.shards.len().checked_sub(1) else { return Ok(tensors) };
    let model = base.shards.iter().flat_map(|shard| shard.header.iter()).find_map(|info| Float::of(info.dtype));
    for (name, update) in added {
        let Some(replace) = update.op.replacement.clone() else { continue };
        let (plain, float) = (replace.stored, model.unwrap_or(replace.stored.float));
        let info = TensorInfo { name: &name, dtype: plain.float.dtype(), shape: &replace.shape, start: 0, end: 0 };
        let program = program(&info, info.shape, plain, float, vec![update], asked)?;
        let to = program.to.dtype();
        tensors.push_added(last, resized(&info, plain, info.shape), to, Some(program));
    }
    Ok(tensors)
}

/// What decides how updates become one.
pub(super) struct Asked<'a> {
    pub(super) options: &'a CheckedOptions,
    pub(super) adapters: &'a [Adapter],
}

/// How a tensor is computed. `source` is the weight that is read: the base's, of type `float`, or the one that an adapter brings instead.
fn program(
    info: &TensorInfo,
    shape: &[u64],
    source: Plain,
    float: Float,
    mut updates: Vec<Update>,
    Asked { options, adapters }: &Asked,
) -> Result<Program> {
    // A convolution's kernels are part of its columns; a vector is a column.
    let (rows, cols) = match shape {
        [] => (1, 1),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    };
    let combine = match &options.rules {
        Some(rules) => rules.combine(info.name, rows.saturating_mul(cols), &mut updates, adapters)?,
        None => Combine::Linear,
    };
    let (tensor, source, to) = (info.name.into(), Stored::Plain(source), options.dtype.unwrap_or(float));
    Ok(Program { tensor, rows, cols, source, updates, combine, to, rounding: Rounding::Nearest })
}
