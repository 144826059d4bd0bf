//! SHiRA (arXiv 2406.13175): W' = W + Δ, which has values at few places; PEFT's `ShiraLayer.get_delta_weight`.

use super::dense::Dense;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::scatter::Scatter;
use super::{LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The values and their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Shira {
    /// `shira_weight` (count,).
    pub values: Operand,
    /// `shira_indices` (2, count): outputs, then inputs.
    pub indices: Operand,
}

wire!(Shira { values, indices });

impl Method for Shira {
    const NAME: &'static str = "shira";

    type Prepared = Dense;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.values, &self.indices]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::default()
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let values = self.values.values(&operands[0], adapter)?;
        let (outputs, inputs) = operands[1].split_at(operands[1].len() / 2);
        let outputs = self.indices.indices(outputs, place.of as u64, adapter)?;
        let inputs = self.indices.indices(inputs, place.cols as u64, adapter)?;
        let places = outputs.into_iter().zip(inputs).zip(values);
        let entries = places.map(|((output, input), value)| (output as usize, input as usize, value));
        Ok(Dense::new(Scatter::new(entries, place), place, false))
    }
}

/// PEFT's `ShiraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "SHIRA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["shira_weight", "shira_indices"]
    }

    /// The places are in the file, however they were chosen.
    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("r", Field::Training), ("mask_type", Field::Training), ("random_seed", Field::Training)]
    }

    fn read(&self, module: &ModuleTensors, _config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (values, [count]) = module.operand::<1>("shira_weight")?;
        let (indices, _) = module.indices::<2>("shira_indices")?;
        module.expect_shape("shira_indices", &[2, count])?;
        Ok(ParameterUpdate::weight(Op::Shira(Shira { values, indices })))
    }
}
