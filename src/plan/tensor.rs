//! What a plan says of one tensor.

use serde::Serialize;

use crate::tensor::{Dtype, Float};

/// One factor: where its bytes are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FactorSpec {
    /// Key in the adapter file.
    pub key: String,
    /// Number of the file among all inputs.
    pub input: usize,
    /// First byte in the file.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Element type.
    pub float: Float,
}

/// One adapter's delta on one tensor: `weight · scale · B @ A`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Term {
    /// The adapter's name.
    pub adapter: String,
    /// `lora_A`, shape (rank, inputs).
    pub a: FactorSpec,
    /// `lora_B`, shape (outputs, rank).
    pub b: FactorSpec,
    /// Rank of this pair.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r or α/√r.
    pub scale: f64,
    /// The user's weight.
    pub weight: f64,
}

/// Everything needed to compute any elements of one output tensor: a worker needs no more than this and the inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MergeSpec {
    /// The tensor's name.
    pub tensor: String,
    /// Number of the file among all inputs: the base's, or an adapter's that brings its own weight.
    pub input: usize,
    /// The tensor's first byte in that file.
    pub start: u64,
    /// Rows as stored.
    pub rows: u64,
    /// Columns as stored.
    pub cols: u64,
    /// Element type in the base.
    pub from: Float,
    /// Element type in the output.
    pub to: Float,
    /// The base stores (inputs, outputs), as GPT-2's Conv1D does: the delta is added transposed.
    pub transposed: bool,
    /// The deltas, in the order of the adapters; none when the tensor only changes its type.
    pub terms: Vec<Term>,
}

impl MergeSpec {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.rows * self.cols
    }

    /// Sum of the ranks.
    pub fn rank(&self) -> u64 {
        self.terms.iter().map(|term| term.rank).sum()
    }
}

/// One tensor of the output.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedTensor {
    /// Name.
    pub name: String,
    /// Shape, as in the base.
    pub shape: Vec<u64>,
    /// Type in the base.
    pub from: Dtype,
    /// Type in the output.
    pub to: Dtype,
    /// Number of the base file among all inputs.
    pub input: usize,
    /// First byte in that file.
    pub start: u64,
    /// Size in the base.
    pub bytes_in: u64,
    /// Size in the output.
    pub bytes_out: u64,
    /// How it is computed; `None` when its bytes are the base's.
    pub merge: Option<MergeSpec>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[test]
    fn a_scale_reaches_a_worker_with_every_bit() {
        let factor = || FactorSpec { key: "k".into(), input: 0, start: 0, bytes: 0, float: Float::F32 };
        for rank in 1..500u64 {
            let scale = 32.0 / (rank as f64).sqrt();
            let term =
                Term { adapter: "a".into(), a: factor(), b: factor(), rank, alpha: 32.0, scale, weight: -0.1 / scale };
            let fields = Json::parse(&serde_json::to_vec(&term).unwrap()).unwrap().entries().unwrap();
            for (name, sent) in [("alpha", term.alpha), ("scale", term.scale), ("weight", term.weight)] {
                let Some((_, Json::Number(came))) = fields.iter().find(|(key, _)| key == name) else {
                    panic!("no {name}")
                };
                assert_eq!(came.as_f64().map(f64::to_bits), Some(sent.to_bits()), "{name} at rank {rank}");
            }
        }
    }
}
