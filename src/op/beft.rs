//! BEFT (arXiv 2509.15974): b' = b + β, a trained addition to the layer's bias; PEFT's `beft.Linear.merge`.

use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{AddBias, Op};
use crate::error::Result;

/// PEFT's `BeftConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "BEFT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["beft_bias"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[]
    }

    fn read(&self, module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (bias, [_, outputs]) = module.operand::<2>("beft_bias")?;
        module.expect_shape("beft_bias", &[1, outputs])?;
        let op = Op::AddBias(AddBias { bias, outputs, scale: 1.0 });
        Ok(vec![ParameterUpdate { parameter: "bias", optional: false, tied: false, op }])
    }
}
