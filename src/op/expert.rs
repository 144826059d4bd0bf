//! The factors of one expert, in a pair of tensors with the factors of all: PEFT's `ParamWrapper.get_delta_weight`.

use super::{Op, Sizes};
use crate::encoding::Columns;
use crate::inputs::Span;

/// How the columns of `lora_B` are ordered if it has those of all experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Packing {
    /// By rank position, with the columns of all experts for each position: PEFT's order.
    #[default]
    RankMajor,
    /// By expert, like the rows of `lora_A`: the order that Unsloth used until September 2026.
    ExpertMajor,
}

impl Op {
    /// The same with factors of this rank.
    pub(crate) fn of_rank(self, rank: u64, alpha: f64, scale: f64) -> Op {
        Op { sizes: Sizes::of(&[('r', rank)]), ..self }.scaled(rank, alpha, scale)
    }

    /// The factors of one of `experts`. The tensors, of shapes (experts · rank, inputs) and (outputs, experts · rank), have those of all:
    /// `lora_A` expert by expert, `lora_B` as `packing` says. The factors are for part `part.0` of `part.1` equal parts of the rows of the
    /// expert's matrix: of its outputs, or of its inputs if it is stored (in, out). A plan checks all these sizes.
    pub(crate) fn of_expert(&self, expert: u64, experts: u64, packing: Packing, part: (u64, u64)) -> Op {
        let mut one = self.clone();
        let ([a, b, ..], Some(outputs), Some(inputs)) =
            (one.operands.as_mut_slice(), &mut one.layer.outputs, &mut one.layer.inputs)
        else {
            return one;
        };
        let (rank, number, parts) = (self.size('r'), part.0, part.1.max(1));
        let bytes = |dtype: crate::tensor::Dtype, elements: u64| elements * dtype.bitsize() as u64 / 8;
        let of_a = bytes(a.dtype, rank * *inputs);
        a.at = Span { start: a.at.start + expert * of_a, bytes: of_a, ..a.at };
        if experts > 1 {
            let (first, step) = match packing {
                Packing::RankMajor => (expert, experts),
                Packing::ExpertMajor => (expert * rank, 1),
            };
            b.columns = Some(Box::new(Columns { of: rank * experts, first, step, count: rank }));
        }
        if self.transposed {
            let of = *inputs;
            *inputs /= parts;
            if parts > 1 {
                a.columns = Some(Box::new(Columns { of, first: number * *inputs, step: 1, count: *inputs }));
            }
        } else {
            *outputs /= parts;
            let of_b = bytes(b.dtype, rank * experts * *outputs);
            b.at = Span { start: b.at.start + number * of_b, bytes: of_b, ..b.at };
        }
        one
    }
}
