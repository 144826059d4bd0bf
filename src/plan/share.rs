//! What an update covers of a stack of matrices, or of a tensor that is a part of one in memory.

use super::program::{COMMON_ROWS, Region, Update};
use crate::adapter::stack::Share;
use crate::model::orientation::Fit;
use crate::op::{LayerShape, Op, RowOrder};

/// How a stack of matrices would have to be stored for the factors of each to fit, if it has one of so many equal parts of their rows.
pub(super) fn stack_fit(layer: &LayerShape, shape: &[u64], experts: u64, parts: u64) -> Fit {
    match *shape {
        [count, rows, ref rest @ ..] if count == experts => {
            layer.fit(&[&[rows.saturating_mul(parts)][..], rest].concat())
        }
        _ => Fit::Neither,
    }
}

impl Share {
    /// The tensor that the update is for, written as a shape.
    pub(super) fn layer(&self, op: &Op) -> String {
        let layer = op.layer.to_string();
        match self {
            Share::All { experts, .. } => format!("{experts} experts of {layer}"),
            _ => layer,
        }
    }

    /// How a tensor of this shape would have to be stored for the update to fit. Nothing else has to be looked up.
    pub(super) fn fit(&self, op: &Op, shape: &[u64]) -> Fit {
        let (fit, in_out) = match *self {
            Share::Matrix { transposed } => {
                let fit = op.fit(shape);
                let wrong = if transposed { Fit::Straight } else { Fit::Transposed };
                (if fit == wrong { Fit::Neither } else { fit }, transposed)
            }
            Share::All { experts, part: (_, parts), in_out, .. } => {
                (stack_fit(&op.layer, shape, experts, parts), in_out)
            }
            // Whole models have matrices one by one as (out, in).
            Share::One { in_out: true, .. } if op.is_task_vector() => (Fit::Neither, false),
            Share::One { expert, part: (_, parts), in_out } => match *shape {
                [experts, rows, cols] if expert < experts && rows.is_multiple_of(parts) => {
                    (op.fit(&[rows / parts, cols]), in_out && parts == 1)
                }
                _ => (Fit::Neither, false),
            },
        };
        match fit {
            Fit::Straight => Fit::Certain { transposed: false },
            // If a matrix is stored (in, out), its parts are columns.
            Fit::Transposed if matches!(self, Share::One { part: (_, 2..), .. }) => Fit::Neither,
            Fit::Transposed => Fit::Certain { transposed: true },
            Fit::Either => Fit::Certain { transposed: in_out },
            fit => fit,
        }
    }

    /// Whether the update is of a stack.
    pub(super) fn is_of_stack(&self) -> bool {
        !matches!(self, Share::Matrix { .. })
    }

    /// `update`, which is of a stack of this shape, as one update for each matrix.
    pub(super) fn updates(&self, update: Update, shape: &[u64]) -> Vec<Update> {
        let rows = shape.get(1).copied().unwrap_or(1);
        let region = |start: u64, rows: u64| Region { rows: start..start + rows, order: RowOrder::AsIs };
        match *self {
            Share::All { experts, packing, part, order, .. } => {
                let one = |expert: u64| Update {
                    region: Region { order, ..region(expert * rows, rows) },
                    op: update.op.of_expert(expert, experts, packing, part),
                    adapter: update.adapter.clone(),
                    weight: update.weight,
                };
                (0..experts).map(one).collect()
            }
            Share::One { expert, part: (number, parts), .. } => {
                let part = rows / parts;
                // Values of a whole model are not the whole tensor's.
                let op = match update.op.is_task_vector() {
                    true => update.op.clone().with(COMMON_ROWS, part),
                    false => update.op.clone(),
                };
                vec![Update { region: region(expert * rows + number * part, part), op, ..update }]
            }
            Share::Matrix { .. } => vec![update],
        }
    }
}
