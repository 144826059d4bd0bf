//! LN tuning (arXiv 2312.11420): norms, or other layers, were trained as wholes and take the base's place; PEFT's `LNTuningLayer.merge`.

use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Op, Replace};
use crate::encoding::Plain;
use crate::error::Result;

/// PEFT's `LNTuningConfig`.
pub(super) struct Peft;

/// The names of a layer's parameters, and the parameters.
const PARAMETERS: [(&str, &str); 2] = [("ln_tuning_layers.weight", "weight"), ("ln_tuning_layers.bias", "bias")];

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "LN_TUNING"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &[PARAMETERS[0].0, PARAMETERS[1].0]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[]
    }

    fn read(&self, module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let mut updates = Vec::new();
        for (name, parameter) in PARAMETERS {
            let Some(tensor) = module.find(name) else { continue };
            let values = module.floats(tensor)?;
            let stored = Plain { float: values.float()?, input: values.at.input, start: values.at.start };
            let op = Op::Replace(Replace { key: values.key, shape: tensor.shape.clone(), stored });
            updates.push(ParameterUpdate { parameter, optional: false, tied: false, op });
        }
        Ok(updates)
    }
}
