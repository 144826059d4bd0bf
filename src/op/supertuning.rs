//! Super-Tuning (arXiv 2607.09287): W' = W + Δ, which has values at few places, and, of "Supra", + scale · B@A; PEFT's
//! `SupertuningLayer.get_delta_weight`.

use super::dense::{Delta, Dense};
use super::matmul::Matmul;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::scatter::Scatter;
use super::{LayerShape, Method, Op, Place, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The values, their places, and a pair of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Supertuning {
    /// `supertuning_values` (count,).
    pub values: Operand,
    /// `supertuning_indices` (count,): output · inputs + input.
    pub indices: Operand,
    /// Of "Supra".
    pub product: Option<SupraProduct>,
}

wire!(Supertuning { values, indices, product });

/// A pair of factors beside the values.
#[derive(Debug, Clone, PartialEq)]
pub struct SupraProduct {
    /// `supertuning_lora_A` (rank, inputs).
    pub a: Operand,
    /// `supertuning_lora_B` (outputs, rank).
    pub b: Operand,
    /// Rank.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Alpha.
    pub alpha: f64,
}

wire!(SupraProduct { a, b, rank, inputs, outputs, alpha });

impl SupraProduct {
    /// α/r.
    fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Method for Supertuning {
    const NAME: &'static str = "supertuning";

    type Prepared = Dense;

    fn operands(&self) -> Vec<&Operand> {
        let product = self.product.iter().flat_map(|product| [&product.a, &product.b]);
        [&self.values, &self.indices].into_iter().chain(product).collect()
    }

    fn layer(&self) -> LayerShape {
        self.product.as_ref().map_or_else(LayerShape::default, |SupraProduct { outputs, inputs, .. }| {
            LayerShape::linear(*outputs, *inputs)
        })
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn scale(&self) -> Option<Scale> {
        let scale =
            |product: &SupraProduct| Scale { rank: product.rank, alpha: product.alpha, scale: product.scaling() };
        self.product.as_ref().map(scale)
    }

    fn packed_rank(&self) -> u64 {
        self.product.as_ref().map_or(0, |product| 2 * product.rank) // in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let values = self.values.values(&operands[0], adapter)?;
        let elements = (place.of as u64).saturating_mul(place.cols as u64);
        let places = self.indices.indices(&operands[1], elements, adapter)?;
        let product = match &self.product {
            None => None,
            Some(product) => {
                let (a, b) = (product.a.values(&operands[2], adapter)?, product.b.values(&operands[3], adapter)?);
                Some(Matmul::new(b, a, product.rank as usize, product.scaling()))
            }
        };
        let entry = |(at, value)| ((at / place.cols as u64) as usize, (at % place.cols as u64) as usize, value);
        let values = Scatter::new(places.into_iter().zip(values).map(entry), place);
        Ok(Dense::new(Supra { values, product }, place, false))
    }
}

/// Both parts in memory.
pub(crate) struct Supra {
    values: Scatter,
    product: Option<Matmul>,
}

impl Delta for Supra {
    fn bytes(&self) -> u64 {
        self.values.bytes() + self.product.as_ref().map_or(0, Matmul::bytes)
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        match &self.product {
            Some(product) => product.output(output, first, out),
            None => out.fill(0.0),
        }
        self.values.add(output, first, out);
    }
}

/// PEFT's `SupertuningConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "SUPERTUNING"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["supertuning_values", "supertuning_indices", "supertuning_lora_A", "supertuning_lora_B"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("lora_alpha", Field::Read),
            ("save_precomputed_indices", Field::Read),
            ("sparsity", Field::Training),
            ("select_top", Field::Training),
            ("lora_dropout", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        if config.flag("save_precomputed_indices", true)? {
            return Ok(());
        }
        let reason = "the places are those of the largest values of the base, and ties among these have no order";
        let fix = "save the adapter with save_precomputed_indices=True, or merge it with PEFT";
        Err(config.refuse("save_precomputed_indices", reason).fix(fix))
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (values, [count]) = module.operand::<1>("supertuning_values")?;
        let (indices, _) = module.indices::<1>("supertuning_indices")?;
        module.expect_shape("supertuning_indices", &[count])?;
        let rank = config.whole("r", 0)?;
        let product = if rank == 0 {
            None
        } else {
            let (a, [_, inputs]) = module.operand::<2>("supertuning_lora_A")?;
            let (b, [outputs, _]) = module.operand::<2>("supertuning_lora_B")?;
            module.expect_shape("supertuning_lora_A", &[rank, inputs])?;
            module.expect_shape("supertuning_lora_B", &[outputs, rank])?;
            let alpha = match config.alpha() {
                Some(alpha) => alpha,
                None => config.number("lora_alpha", 2.0 * rank as f64)?,
            };
            Some(SupraProduct { a, b, rank, inputs, outputs, alpha })
        };
        Ok(ParameterUpdate::weight(Op::Supertuning(Supertuning { values, indices, product })))
    }
}
