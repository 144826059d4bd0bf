//! BEFT (arXiv 2509.15974): b' = b + β, a trained addition to the layer's bias; PEFT's `beft.Linear.merge`.

use super::add_bias;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use crate::error::Result;

/// PEFT's `BeftConfig`.
pub(super) const PEFT: Spelling = Spelling::new("BEFT", "beft_bias", read);

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let mut op = module.op(&add_bias::ADD_BIAS, "beft_bias:1o", &[])?;
    op = add_bias::add_bias(op.operands.remove(0), op.size('o'), 1.0);
    Ok(vec![ParameterUpdate::of("bias", op)])
}
