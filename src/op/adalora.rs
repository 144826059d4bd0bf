//! AdaLoRA (arXiv 2303.10512): W' = W + scale · B@(E ∘ A), with one number in E for each rank; PEFT's `SVDLinear.get_delta_weight` and
//! `SVDConv2d.get_delta_weight`.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Op, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// Factors with a diagonal between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Adalora {
    /// `lora_A`, shape (rank, inputs); (rank, inputs · kernel) of a convolution.
    pub a: Operand,
    /// `lora_B`, shape (outputs, rank).
    pub b: Operand,
    /// `lora_E`, shape (rank, 1).
    pub e: Operand,
    /// The rank that training has left.
    pub rank: u64,
    /// Width of the layer's input, times the kernel of a convolution.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha after override.
    pub alpha: f64,
    /// α/(initial rank + 10⁻⁵).
    pub scale: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Adalora { a, b, e, rank, inputs, outputs, alpha, scale, transposed });

impl Factored for Adalora {
    const NAME: &'static str = "adalora";

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.a, &self.b, &self.e]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.outputs, self.inputs)
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        match *shape {
            [outputs, _, _, _] => {
                let inputs = shape[1..].iter().try_fold(1u64, |product, &side| product.checked_mul(side));
                let fits = outputs == self.outputs && inputs == Some(self.inputs);
                if fits { Fit::Certain { transposed: false } } else { Fit::Neither }
            }
            _ => self.layer().fit(shape),
        }
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
        let [all_a, all_b, e] = values else { return };
        let e = e.get(k);
        let row = all_a.every(1, k * self.inputs as usize);
        a.iter_mut().zip(row).for_each(|(a, value)| *a = e * value);
        let column = all_b.every(self.rank as usize, k);
        b.iter_mut().zip(column).for_each(|(b, value)| *b = self.scale * value);
    }
}

/// PEFT's `AdaLoraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "ADALORA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["lora_A", "lora_B", "lora_E"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("init_r", Field::Read),
            ("lora_alpha", Field::Read),
            // Which ranks training has kept, by the names of tensors: the file has only those.
            ("rank_pattern", Field::Training),
            ("target_r", Field::Training),
            ("tinit", Field::Training),
            ("tfinal", Field::Training),
            ("deltaT", Field::Training),
            ("beta1", Field::Training),
            ("beta2", Field::Training),
            ("orth_reg_weight", Field::Training),
            ("total_step", Field::Training),
            // What `AdaLoraConfig` has of `LoraConfig` and does not read.
            ("r", Field::Training),
            ("alpha_pattern", Field::Training),
            ("use_rslora", Field::Training),
            ("lora_bias", Field::Training),
            ("lora_dropout", Field::Training),
            ("init_lora_weights", Field::Training),
            ("ensure_weight_tying", Field::Training),
            ("megatron_config", Field::Training),
            ("megatron_core", Field::Training),
            ("qalora_group_size", Field::Training),
            ("runtime_config", Field::Training),
            ("layer_replication", Field::Refused("the adapter repeats layers of the base")),
            ("target_parameters", Field::Refused("the adapter targets bare parameters")),
            ("trainable_token_indices", Field::Refused("the adapter replaces rows of the embedding")),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let tensor = module.tensor("lora_E")?;
        if tensor.shape == [0, 1] {
            // Training has left no rank to this module.
            return Ok(Vec::new());
        }
        let (a, [rank, inputs]) = module.operand::<2>("lora_A")?;
        let (b, [outputs, _]) = module.operand::<2>("lora_B")?;
        let (e, _) = module.operand::<2>("lora_E")?;
        let initial = config.whole("init_r", 12)?;
        // Fewer only where training has said which it keeps.
        if rank > initial || rank < initial && !config.says("rank_pattern") {
            return Err(module.misshapen(module.tensor("lora_A")?, &format!("[{initial}, {inputs}]")));
        }
        module.expect_shape("lora_B", &[outputs, rank])?;
        module.expect_shape("lora_E", &[rank, 1])?;
        let said = match config.alpha() {
            Some(alpha) => alpha,
            None => config.number("lora_alpha", 8.0)?,
        };
        // Both are those of the training. PEFT keeps `ranknum` too when it drops ranks.
        let initial = initial as f64;
        let alpha = if said > 0.0 { said } else { initial };
        let scale = alpha / (initial + 1e-5);
        let op = Adalora { a, b, e, rank, inputs, outputs, alpha, scale, transposed: false };
        Ok(ParameterUpdate::weight(Op::Adalora(op)))
    }
}
