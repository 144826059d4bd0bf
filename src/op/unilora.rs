//! Uni-LoRA (arXiv 2506.00799): W' = W + B@A, whose elements are those of one vector that all layers share, each times a scale; PEFT's
//! `unilora.Linear.get_delta_weight`.

use super::dense::Dense;
use super::matmul::Matmul;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::wire;

/// The vector, and where each element of a pair of factors is in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unilora {
    /// `unilora_theta_d` (length,).
    pub vector: Operand,
    /// Its length.
    pub length: u64,
    /// `unilora_indices_A` and `unilora_scales_A` (rank, inputs).
    pub a: [Operand; 2],
    /// `unilora_indices_B` and `unilora_scales_B` (outputs, rank).
    pub b: [Operand; 2],
    /// Rank.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Unilora { vector, length, a, b, rank, inputs, outputs, transposed });

impl Method for Unilora {
    const NAME: &'static str = "unilora";

    type Prepared = Dense;

    fn operands(&self) -> Vec<&Operand> {
        [&self.vector].into_iter().chain(&self.a).chain(&self.b).collect()
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.outputs, self.inputs)
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn packed_rank(&self) -> u64 {
        2 * self.rank // in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let vector = self.vector.values(&operands[0], adapter)?;
        let factor = |[indices, scales]: &[Operand; 2], bytes: &[Vec<u8>]| -> Result<Vec<f64>> {
            let indices = indices.indices(&bytes[0], vector.len() as u64, adapter)?;
            let scales = scales.values(&bytes[1], adapter)?;
            Ok(indices.iter().zip(scales).map(|(index, scale)| vector[*index as usize] * scale).collect())
        };
        let (a, b) = (factor(&self.a, &operands[1..3])?, factor(&self.b, &operands[3..5])?);
        Ok(Dense::new(Matmul::new(b, a, self.rank as usize, 1.0), place, self.transposed))
    }
}

/// PEFT's `UniLoraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "UNILORA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["unilora_indices_A", "unilora_indices_B", "unilora_scales_A", "unilora_scales_B"]
    }

    fn shared(&self) -> &'static [&'static str] {
        &["unilora_theta_d"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("save_indices", Field::Read),
            ("theta_d_length", Field::Training),
            ("proj_seed", Field::Training),
            ("init_theta_d_bound", Field::Training),
            ("unilora_dropout", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        if config.flag("save_indices", false)? {
            return Ok(());
        }
        let reason =
            "the file does not say which layers it changes, and NumPy's generator decides where their elements are";
        let fix = "save the adapter with save_indices=True, or merge it with PEFT";
        Err(config.refuse("save_indices", reason).fix(fix))
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let rank = config.whole("r", 4)?;
        let (vector, [length]) = module.operand::<1>("unilora_theta_d")?;
        let (indices_a, [_, inputs]) = module.indices::<2>("unilora_indices_A")?;
        let (indices_b, [outputs, _]) = module.indices::<2>("unilora_indices_B")?;
        for name in ["unilora_indices_A", "unilora_scales_A"] {
            module.expect_shape(name, &[rank, inputs])?;
        }
        for name in ["unilora_indices_B", "unilora_scales_B"] {
            module.expect_shape(name, &[outputs, rank])?;
        }
        let a = [indices_a, module.operand::<2>("unilora_scales_A")?.0];
        let b = [indices_b, module.operand::<2>("unilora_scales_B")?.0];
        let op = Op::Unilora(Unilora { vector, length, a, b, rank, inputs, outputs, transposed: false });
        Ok(ParameterUpdate::weight(op))
    }
}
