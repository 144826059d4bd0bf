//! BD-LoRA: LoRA one of whose factors has blocks on the diagonal and zeros elsewhere, of which the file has the blocks
//! alone; PEFT's `BdLoraLinearVariant._get_bdlora_delta_weight`.

use super::factored::Factored;
use super::numbers::Numbers;
use super::{LayerShape, LowRank, Scale};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::wire::{wire, wire_enum};

/// A pair of factors, one of them in blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct BdLora {
    /// `lora_A`, shape (rank, inputs), or (rank, inputs / blocks).
    pub a: Operand,
    /// `lora_B`, shape (outputs, rank), or (outputs, rank / blocks).
    pub b: Operand,
    /// Which of them is in blocks.
    pub side: Side,
    /// How many blocks.
    pub blocks: u64,
    /// Rank of the pair.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(BdLora { a, b, side, blocks, rank, inputs, outputs, alpha, scale, transposed });

/// A factor of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `lora_A`.
    A,
    /// `lora_B`.
    B,
}

wire_enum!(Side { A, B });

impl BdLora {
    /// The pair `factors`, taken as stored, with `side` in so many blocks. `rank_of_b` are the columns of `lora_B` as stored.
    ///
    /// # Errors
    /// `shape-mismatch` where the blocks do not fit the factors.
    pub(crate) fn of(factors: LowRank, rank_of_b: u64, side: Side, blocks: u64) -> Result<BdLora> {
        let LowRank { a, b, rank, layer, alpha, scale, transposed } = factors;
        let (inputs, outputs) = (layer.inputs.unwrap_or(0), layer.outputs.unwrap_or(0));
        let fits = match side {
            Side::A => rank_of_b == rank,
            Side::B => rank_of_b.checked_mul(blocks) == Some(rank) && outputs.is_multiple_of(blocks),
        };
        let inputs = if side == Side::A { inputs.checked_mul(blocks) } else { Some(inputs) };
        match inputs {
            Some(inputs) if fits && blocks > 0 && rank.is_multiple_of(blocks) && layer.kernel.is_empty() => {
                Ok(BdLora { a, b, side, blocks, rank, inputs, outputs, alpha, scale, transposed })
            }
            _ => {
                let (key, name) = if side == Side::A { (a.key, "lora_A") } else { (b.key, "lora_B") };
                let reason = format!("{name} is not stored in the {blocks} blocks that use_bdlora says");
                Err(Error::shape_mismatch("", key, reason).field("use_bdlora"))
            }
        }
    }
}

impl Factored for BdLora {
    const NAME: &'static str = "bd-lora";

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.outputs, self.inputs)
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
        let (rank, blocks) = (self.rank as usize, self.blocks as usize);
        // Which block the rank position is in, and which of its ranks it is.
        let (block, within) = (k / (rank / blocks), k % (rank / blocks));
        let (a, b, first, step, column) = match self.side {
            Side::A => {
                let width = a.len() / blocks;
                (&mut a[block * width..][..width], b, 0, rank, k)
            }
            Side::B => {
                let height = b.len() / blocks;
                (a, &mut b[block * height..][..height], block * height, rank / blocks, within)
            }
        };
        let row = all_a.every(1, k * a.len());
        a.iter_mut().zip(row).for_each(|(a, value)| *a = value);
        let column = all_b.every(step, first * step + column);
        b.iter_mut().zip(column).for_each(|(b, value)| *b = self.scale * value);
    }
}
