//! LN tuning (arXiv 2312.11420): norms, or other layers, were trained as a whole and replace those of the base; PEFT's `LNTuningLayer.merge`.

use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::replace::replace;
use crate::error::Result;

/// PEFT's `LNTuningConfig`.
pub(super) const PEFT: Spelling = Spelling::new("LN_TUNING", "ln_tuning_layers.weight ln_tuning_layers.bias", read);

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let mut updates = Vec::new();
    for (name, parameter) in [("ln_tuning_layers.weight", "weight"), ("ln_tuning_layers.bias", "bias")] {
        let Some(tensor) = module.find(name) else { continue };
        let op = replace(&module.floats(tensor)?, &tensor.shape)?;
        updates.push(ParameterUpdate::of(parameter, op));
    }
    Ok(updates)
}
