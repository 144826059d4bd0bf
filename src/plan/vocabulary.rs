//! Embeddings and output layers whose vocabulary was resized before training. PEFT saves them whole, in their new size.

use std::collections::HashMap;

use super::adapter::Adapter;
use super::change::Change;
use super::refusals::two_bases;
use super::tied::is_vocabulary;
use crate::adapter::dialect::ModuleUpdate;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::json;

/// The shapes of tensors that adapters bring in another size than the base has, by the tensor's number.
#[derive(Debug, Default)]
pub(crate) struct Resized(HashMap<usize, Vec<u64>>);

impl Resized {
    /// Note what an update brings in place of the base's tensor.
    ///
    /// # Errors
    /// `shape-mismatch` for another shape, unless only the size of the vocabulary differs; `unsupported` if two adapters resize it.
    pub(crate) fn note(
        &mut self,
        adapter: &Adapter,
        weight: f64,
        update: &ModuleUpdate,
        tensor: usize,
        info: &TensorInfo,
    ) -> Result<()> {
        let Some((key, shape)) = update.brought().filter(|(_, shape)| *shape != info.shape) else { return Ok(()) };
        let resized = matches!((shape, info.shape), ([now, sides @ ..], [_, old @ ..]) if sides == old && *now > 0);
        if !resized || !is_vocabulary(info.name) {
            let (trained, found) = (format!("{shape:?}"), format!("{:?}", info.shape));
            let reason = format!("it was trained on a weight of {trained}, the base's has {found}");
            return Err(Error::shape_mismatch(adapter.name.clone(), key, reason)
                .kind(ErrorKind::OtherShape)
                .expected(trained)
                .found(found)
                .fix(adapter.right_base()));
        }
        if weight != 1.0 {
            let weight = json::number(weight);
            let reason = format!("the adapter resizes the vocabulary, which cannot be done with weight {weight}");
            return Err(Error::unsupported(info.name, reason).adapter(adapter.name.clone()).fix("use a weight of 1"));
        }
        match self.0.insert(tensor, shape.to_vec()) {
            Some(other) if other != shape => Err(two_bases(adapter, info.name, key)),
            _ => Ok(()),
        }
    }

    /// The shape that a tensor has in the output.
    pub(crate) fn shape<'a>(&'a self, tensor: usize, info: &TensorInfo<'a>) -> &'a [u64] {
        self.0.get(&tensor).map_or(info.shape, Vec::as_slice)
    }

    /// The shape of a tensor that is resized.
    pub(crate) fn get(&self, tensor: usize) -> Option<Vec<u64>> {
        self.0.get(&tensor).cloned()
    }

    /// Check that embedding and output layer have the same vocabulary.
    ///
    /// # Errors
    /// `shape-mismatch` if only one of them is resized.
    pub(crate) fn check(&self, infos: &[TensorInfo], changes: &HashMap<usize, Change>) -> Result<()> {
        let first = self.0.iter().filter(|(tensor, _)| changes.contains_key(tensor)).min_by_key(|(tensor, _)| **tensor);
        let Some((&first, shape)) = first else {
            return Ok(());
        };
        let (old, new) = (infos[first].shape.first(), shape.first());
        let left = infos.iter().enumerate().find(|(number, info)| {
            let other = changes.get(number).and(self.0.get(number)).map_or(info.shape, Vec::as_slice);
            is_vocabulary(info.name) && info.shape.first() == old && other.first() != new
        });
        let Some((_, left)) = left else { return Ok(()) };
        let adapter = changes[&first].updates.first().map(|update| update.adapter.clone()).unwrap_or_default();
        let reason = format!(
            "the adapter brings {} with {} rows, and not this tensor, which the base has with {}",
            infos[first].name,
            new.copied().unwrap_or(0),
            old.copied().unwrap_or(0)
        );
        Err(Error::shape_mismatch(adapter, left.name, reason)
            .kind(ErrorKind::OtherShape)
            .fix("save the adapter with save_embedding_layers=True, or resize the base first"))
    }
}
