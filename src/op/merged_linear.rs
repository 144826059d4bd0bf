//! LoRA on some parts of a layer that computes several outputs side by side, such as query, key and value: `MergedLinear` of `loralib`, which
//! PEFT had until 0.3 (`enable_lora`), in its `forward`. B is a convolution of one element in groups: group g has ranks of its own, and makes
//! rows of its own; the rows of all groups, in order, are those of the enabled parts.

use super::factored::Factored;
use super::numbers::Numbers;
use super::{LayerShape, LowRank, Scale};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::wire::wire;

/// Factors of the enabled parts.
#[derive(Debug, Clone, PartialEq)]
pub struct MergedLinear {
    /// `lora_A`, shape (r · enabled parts, inputs).
    pub a: Operand,
    /// `lora_B`, shape (rows of the enabled parts, ranks of a group, 1).
    pub b: Operand,
    /// `enable_lora`: which parts of the output have a delta.
    pub enabled: Vec<bool>,
    /// Rows of `lora_A`.
    pub rank: u64,
    /// Columns of `lora_B`.
    pub rank_of_group: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of each part of the layer's output.
    pub part: u64,
    /// Alpha after override.
    pub alpha: f64,
    /// α/r.
    pub scale: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(MergedLinear { a, b, enabled, rank, rank_of_group, inputs, part, alpha, scale, transposed });

impl MergedLinear {
    /// The pair `factors`, taken as stored. `rank_of_group` are the columns of `lora_B`.
    ///
    /// # Errors
    /// `shape-mismatch` where the parts do not fit the factors.
    pub(crate) fn of(factors: LowRank, rank_of_group: u64, enabled: Vec<bool>) -> Result<MergedLinear> {
        let LowRank { a, b, rank, layer, alpha, scale, transposed } = factors;
        let (inputs, rows) = (layer.inputs.unwrap_or(0), layer.outputs.unwrap_or(0));
        let parts = enabled.iter().filter(|enabled| **enabled).count() as u64;
        let part = rows.checked_div(parts).unwrap_or(0);
        let fits = parts > 0 && rows.is_multiple_of(parts) && rank_of_group > 0 && rank.is_multiple_of(rank_of_group);
        if !fits || !rows.is_multiple_of(rank / rank_of_group) || part.checked_mul(enabled.len() as u64).is_none() {
            let reason = format!(
                "its {rows} rows of rank {rank_of_group} are not those of {parts} parts of rank {rank} together"
            );
            return Err(Error::shape_mismatch("", b.key, reason).field("enable_lora"));
        }
        Ok(MergedLinear { a, b, enabled, rank, rank_of_group, inputs, part, alpha, scale, transposed })
    }
}

impl Factored for MergedLinear {
    const NAME: &'static str = "merged-linear";

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.part * self.enabled.len() as u64, self.inputs)
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scale })
    }

    fn rank(&self) -> u64 {
        self.rank
    }

    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]) {
        let [all_a, all_b] = values else { return };
        let row = all_a.every(1, k * a.len());
        a.iter_mut().zip(row).for_each(|(a, value)| *a = value);
        let (ranks, part) = (self.rank_of_group as usize, self.part as usize);
        let groups = self.rank as usize / ranks;
        let parts = b.chunks_exact_mut(part).zip(&self.enabled).filter(|(_, enabled)| **enabled);
        let rows = part * self.enabled.iter().filter(|enabled| **enabled).count() / groups;
        let column = all_b.every(ranks, k / ranks * rows * ranks + k % ranks);
        let places = parts.flat_map(|(part, _)| part).skip(k / ranks * rows).take(rows);
        places.zip(column).for_each(|(b, value)| *b = self.scale * value);
    }
}
