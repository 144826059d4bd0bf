//! What the adapters do to the tensors of the base.

use std::collections::HashMap;

use super::program::{COMMON_ROWS, Region, Update};
use super::task_vectors::Pair;
use crate::encoding::Plain;

/// What the adapters do to one tensor of the base.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// The new shape of the tensor, if it differs from the base's: that of an embedding whose vocabulary was resized.
    pub(crate) shape: Option<Vec<u64>>,
    /// The updates, in the order of the adapters.
    pub(crate) updates: Vec<Update>,
    /// For each update, whether an output layer that is tied to the tensor changes with it.
    pub(crate) follows: Vec<bool>,
    /// The weight that an adapter brings in place of the base's.
    pub(crate) base: Option<Plain>,
    /// Whether it is a stack, whose matrices are taken as one, row after row.
    pub(crate) stack: bool,
}

impl Change {
    /// The shape of a stack as its programs see it: the rows of all matrices, one after another. An update of the whole stack covers them all.
    pub(crate) fn rows_of_stack(&mut self, shape: &[u64]) -> Option<[u64; 2]> {
        let &[matrices, rows, cols] = shape else { return None };
        if !self.stack {
            return None;
        }
        let all = matrices * rows;
        for update in &mut self.updates {
            // A matrix of a whole model has its rows already.
            if !update.op.is_low_rank() && update.op.size(COMMON_ROWS) == 0 {
                update.region = Region::all(all);
            }
        }
        Some([all, cols])
    }
}

/// What the adapters do to the base.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By the number of the tensor, counted through all shards. A tied output layer has the number after the last.
    pub(crate) tensors: HashMap<usize, Change>,
    /// Parameters that the base does not have: their names and what they become.
    pub(crate) added: Vec<(String, Update)>,
    /// Of each adapter, the tensors that it would change, and does not because its modules were chosen so.
    pub(crate) left_out: Vec<Vec<String>>,
    /// What models and the base should have the same of.
    pub(crate) pairs: Vec<Pair>,
}
