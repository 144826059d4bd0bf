//! DeLoRA (arXiv 2503.18225): W' = W + B@(λ/(r · ‖A_i‖ · ‖B_i‖) ∘ A) ∘ w, where ‖A_i‖ and ‖B_i‖ are the lengths of a row of A and of a column
//! of B, and w the lengths that the columns of W had before the training; PEFT's `DeloraLayer._compute_delta`.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::{LayerShape, Op};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::wire;

/// No length counts as less.
const SHORTEST: f64 = 1e-4;

/// Factors, whose lengths do not count, and the length of their product.
#[derive(Debug, Clone, PartialEq)]
pub struct Delora {
    /// `delora_A`, shape (rank, inputs).
    pub a: Operand,
    /// `delora_B`, shape (outputs, rank).
    pub b: Operand,
    /// `delora_lambda`, shape (1,).
    pub lambda: Operand,
    /// `delora_w_norm`, shape (inputs,).
    pub norms: Operand,
    /// Rank of the factors.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Delora { a, b, lambda, norms, rank, inputs, outputs, transposed });

impl Factored for Delora {
    const NAME: &'static str = "delora";

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b, &self.lambda, &self.norms]
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

    fn rank(&self) -> u64 {
        self.rank
    }

    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]) {
        let [all_a, all_b, lambda, norms] = values else { return };
        let row = all_a.every(1, k * self.inputs as usize);
        a.iter_mut().zip(row).for_each(|(a, value)| *a = value);
        let column = all_b.every(self.rank as usize, k);
        b.iter_mut().zip(column).for_each(|(b, value)| *b = value);
        let scale = lambda.get(0) / self.rank as f64 / (length(a) * length(b));
        a.iter_mut().zip(norms.every(1, 0)).for_each(|(a, norm)| *a *= norm);
        b.iter_mut().for_each(|b| *b *= scale);
    }
}

/// The length of a vector.
fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(SHORTEST)
}

/// PEFT's `DeloraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "DELORA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["delora_A", "delora_B", "delora_lambda", "delora_w_norm"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("rank_pattern", Field::Read),
            ("delora_lambda", Field::Training),
            ("lambda_pattern", Field::Training),
            ("module_dropout", Field::Training),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        // It has no alpha.
        let (rank, _) = rank_and_alpha(config, module.module, "", (8, 0.0))?;
        let (a, [_, inputs]) = module.operand::<2>("delora_A")?;
        let (b, [outputs, _]) = module.operand::<2>("delora_B")?;
        module.expect_shape("delora_A", &[rank, inputs])?;
        module.expect_shape("delora_B", &[outputs, rank])?;
        module.expect_shape("delora_lambda", &[1])?;
        module.expect_shape("delora_w_norm", &[inputs])?;
        let (lambda, _) = module.operand::<1>("delora_lambda")?;
        let (norms, _) = module.operand::<1>("delora_w_norm")?;
        let op = Delora { a, b, lambda, norms, rank, inputs, outputs, transposed: false };
        Ok(ParameterUpdate::weight(Op::Delora(op)))
    }
}
