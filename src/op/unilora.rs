//! Uni-LoRA (arXiv 2506.00799): W' = W + B@A, where the elements of A and B come from one vector that all layers share, each times a scale; PEFT's
//! `unilora.Linear.get_delta_weight`.

use super::dense::added;
use super::matmul::Matmul;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Given, Method, Prepared, Unpacked};
use crate::error::Result;

/// `unilora_theta_d` (`n`,), and for each element of a pair of factors its place in that vector: `unilora_indices_A` and `unilora_scales_A` (rank, inputs),
/// `unilora_indices_B` and `unilora_scales_B` (outputs, rank).
pub(super) static UNILORA: Method =
    Method { packed: 2, unpack: Some(unpack), spellings: &[PEFT], ..Method::new("unilora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let Unpacked { a, b, rank, scale } = unpack(given)?;
    added(Matmul::new(b, a, rank, scale), given)
}

fn unpack(given: &Given) -> Result<Unpacked> {
    let vector = given.values(0)?;
    let factor = |first: usize| -> Result<Vec<f64>> {
        let (indices, scales) = (given.indices(first, vector.len() as u64)?, given.values(first + 1)?);
        Ok(indices.iter().zip(scales).map(|(index, scale)| vector[*index] * scale).collect())
    };
    Ok(Unpacked { a: factor(1)?, b: factor(3)?, rank: given.size('r'), scale: 1.0 })
}

/// PEFT's `UniLoraConfig`.
const PEFT: Spelling = Spelling {
    shared: "unilora_theta_d",
    reads: "r save_indices",
    training: "theta_d_length proj_seed init_theta_d_bound unilora_dropout",
    check,
    ..Spelling::new("UNILORA", "unilora_indices_A unilora_indices_B unilora_scales_A unilora_scales_B", read)
};

fn check(config: &mut dyn Settings) -> Result<()> {
    if config.flag("save_indices", false)? {
        return Ok(());
    }
    let reason =
        "the file does not say which layers it changes, and NumPy's generator decides where their elements are";
    let fix = "save the adapter with save_indices=True, or merge it with PEFT";
    Err(config.refuse("save_indices", reason).fix(fix))
}

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let tensors =
        "unilora_theta_d:n unilora_indices_A#:ri unilora_scales_A:ri unilora_indices_B#:or unilora_scales_B:or";
    ParameterUpdate::weight(module.op(&UNILORA, tensors, &[('r', config.whole("r", 4)?)])?)
}
