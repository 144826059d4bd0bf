//! GraLoRA (arXiv 2505.20355): the weight is cut into k × k blocks, and each gets a product of rank r/k of its own; PEFT's
//! `gralora.Linear.get_delta_weight`. Block (j, n), of the outputs j and the inputs n, adds scale · B_j[n]ᵀ@A_n[j]ᵀ, where B_j[n] are the rank
//! positions number n, r/k of them, of B_j, and A_n[j] those number j of A_n. A hybrid adapter adds an ordinary product with the same scale.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Op, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::wire;

/// The factors of all blocks, and those of the whole weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Gralora {
    /// `gralora_A`, shape (blocks, inputs / blocks, rank).
    pub a: Operand,
    /// `gralora_B`, shape (blocks, rank, outputs / blocks).
    pub b: Operand,
    /// `gralora_A_general.weight`, shape (hybrid rank, inputs), and `gralora_B_general.weight`, (outputs, hybrid rank).
    pub general: Option<[Operand; 2]>,
    /// Blocks along each side.
    pub blocks: u64,
    /// Rank of the blocks of a row, or of a column, together.
    pub rank: u64,
    /// Rank of the ordinary product.
    pub hybrid: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha after override.
    pub alpha: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Gralora { a, b, general, blocks, rank, hybrid, inputs, outputs, alpha, transposed });

impl Gralora {
    /// α/(r + hybrid r).
    fn scaling(&self) -> f64 {
        self.alpha / (self.rank + self.hybrid) as f64
    }
}

impl Factored for Gralora {
    const NAME: &'static str = "gralora";

    fn operands(&self) -> Vec<&Operand> {
        [&self.a, &self.b].into_iter().chain(self.general.iter().flatten()).collect()
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
        Some(Scale { rank: self.rank + self.hybrid, alpha: self.alpha, scale: self.scaling() })
    }

    /// Those of all blocks side by side, each with zeros outside of its block.
    fn rank(&self) -> u64 {
        self.blocks * self.rank + self.hybrid
    }

    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]) {
        let [all_a, all_b, general @ ..] = values else { return };
        let (blocks, rank, scale) = (self.blocks as usize, self.rank as usize, self.scaling());
        match (k.checked_sub(blocks * rank), general) {
            (None, _) => {
                let (of_inputs, position) = (k / rank, k % rank);
                let each = rank / blocks;
                let (of_outputs, within) = (position / each, position % each);
                let (width, height) = (a.len() / blocks, b.len() / blocks);
                let column = all_a.every(rank, of_inputs * width * rank + position);
                a[of_inputs * width..][..width].iter_mut().zip(column).for_each(|(a, value)| *a = value);
                let row = all_b.every(1, (of_outputs * rank + of_inputs * each + within) * height);
                b[of_outputs * height..][..height].iter_mut().zip(row).for_each(|(b, value)| *b = scale * value);
            }
            (Some(k), [whole_a, whole_b]) => {
                let row = whole_a.every(1, k * a.len());
                a.iter_mut().zip(row).for_each(|(a, value)| *a = value);
                let column = whole_b.every(self.hybrid as usize, k);
                b.iter_mut().zip(column).for_each(|(b, value)| *b = scale * value);
            }
            _ => {}
        }
    }
}

/// PEFT's `GraloraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "GRALORA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["gralora_A", "gralora_B", "gralora_A_general", "gralora_B_general"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("alpha", Field::Read),
            ("gralora_k", Field::Read),
            ("hybrid_r", Field::Read),
            ("gralora_dropout", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        let (rank, blocks) = (config.whole("r", 32)?, config.whole("gralora_k", 2)?);
        if blocks == 0 || rank == 0 || rank % blocks != 0 {
            return Err(config.wrong("gralora_k", "a number above 0 that divides r"));
        }
        Ok(())
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (rank, blocks, hybrid) =
            (config.whole("r", 32)?, config.whole("gralora_k", 2)?, config.whole("hybrid_r", 0)?);
        let alpha = match config.alpha() {
            Some(alpha) => alpha,
            None => config.number("alpha", 64.0)?,
        };
        let (a, [_, width, _]) = module.operand::<3>("gralora_A")?;
        let (b, [_, _, height]) = module.operand::<3>("gralora_B")?;
        module.expect_shape("gralora_A", &[blocks, width, rank])?;
        module.expect_shape("gralora_B", &[blocks, rank, height])?;
        // The tensors have as many numbers and more.
        let (inputs, outputs) = (blocks * width, blocks * height);
        let general = if hybrid > 0 {
            module.expect_shape("gralora_A_general", &[hybrid, inputs])?;
            module.expect_shape("gralora_B_general", &[outputs, hybrid])?;
            Some([module.operand::<2>("gralora_A_general")?.0, module.operand::<2>("gralora_B_general")?.0])
        } else {
            None
        };
        let op = Gralora { a, b, general, blocks, rank, hybrid, inputs, outputs, alpha, transposed: false };
        Ok(ParameterUpdate::weight(Op::Gralora(op)))
    }
}
