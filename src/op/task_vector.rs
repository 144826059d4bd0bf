//! A whole fine-tuned model in place of an adapter: its delta is a task vector, Δ = M − W (Ilharco et al., arXiv 2212.04089), so that alone at
//! weight 1 it gives W' = M.
//!
//! M is read block by block beside the base, as a parameter is that an adapter brings.

use super::{Given, Method, Op, Prepared, replace};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;

/// No operands, but what is read beside the weight.
pub static TASK_VECTOR: Method = Method { fit, ..Method::new("task-vector", prepare) };

/// The update that leads from a weight to `values`, the same weight of a fine-tuned model.
///
/// # Errors
/// `internal` for values of a type that was not checked.
pub(crate) fn task_vector(values: &Operand, shape: &[u64]) -> Result<Op> {
    Ok(Op { method: &TASK_VECTOR, ..replace::replace(values, shape)? })
}

fn fit(op: &Op, shape: &[u64]) -> Fit {
    replace::fit(op, shape)
}

fn prepare(given: &Given) -> Result<Prepared> {
    replace::prepare(given)
}
