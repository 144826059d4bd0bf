//! SHiRA (arXiv 2406.13175): W' = W + Δ, where Δ has values at few places; PEFT's `ShiraLayer.get_delta_weight`.

use super::dense::added;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::scatter::Scatter;
use super::{Given, Method, Prepared, straight};
use crate::error::Result;

/// `shira_weight` (`n`,), and `shira_indices` (2, `n`): outputs, then inputs.
pub(super) static SHIRA: Method = Method { fit: straight, spellings: &[PEFT], ..Method::new("shira", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (values, place) = (given.values(0)?, given.place);
    let [outputs, inputs] = given.index_pairs(1, [place.of, place.cols])?;
    let places = outputs.into_iter().zip(inputs).zip(values);
    added(Scatter::new(places.map(|((output, input), value)| (output, input, value)), place), given)
}

/// PEFT's `ShiraConfig`. The places are in the file, however they were chosen.
const PEFT: Spelling =
    Spelling { training: "r mask_type random_seed", ..Spelling::new("SHIRA", "shira_weight shira_indices", read) };

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    ParameterUpdate::weight(module.op(&SHIRA, "shira_weight:n shira_indices#:2n", &[])?)
}
