//! Super-Tuning (arXiv 2607.09287): W' = W + Δ, where Δ has values at few places; the form "Supra" also adds scale · B@A; PEFT's
//! `SupertuningLayer.get_delta_weight`.

use super::dense::{Delta, added};
use super::matmul::Matmul;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, alpha};
use super::scatter::Scatter;
use super::{Given, Method, Prepared, straight};
use crate::error::Result;

/// `supertuning_values` (`n`,), and `supertuning_indices` (`n`,): output · inputs + input. "Supra" also has `supertuning_lora_A` (rank, inputs)
/// and `supertuning_lora_B` (outputs, rank), whose scale is α/r.
pub(super) static SUPERTUNING: Method =
    Method { packed: 2, fit: straight, spellings: &[PEFT], ..Method::new("supertuning", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (values, place) = (given.values(0)?, given.place);
    let elements = (place.of as u64).saturating_mul(place.cols as u64);
    let places = given.indices(1, elements)?;
    let product = if given.bytes.len() < 3 {
        None
    } else {
        Some(Matmul::new(given.values(3)?, given.values(2)?, given.size('r'), given.op.scaling()))
    };
    let entries = places.into_iter().zip(values).map(|(at, value)| (at / place.cols, at % place.cols, value));
    added(Supra { values: Scatter::new(entries, place), product }, given)
}

/// Both parts in memory.
struct Supra {
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
const PEFT: Spelling = Spelling {
    reads: "r lora_alpha save_precomputed_indices",
    training: "sparsity select_top lora_dropout",
    check,
    ..Spelling::new("SUPERTUNING", "supertuning_values supertuning_indices supertuning_lora_A supertuning_lora_B", read)
};

fn check(config: &mut dyn Settings) -> Result<()> {
    if config.flag("save_precomputed_indices", true)? {
        return Ok(());
    }
    let reason = "the places are those of the largest values of the base, and ties among these have no order";
    let fix = "save the adapter with save_precomputed_indices=True, or merge it with PEFT";
    Err(config.refuse("save_precomputed_indices", reason).fix(fix))
}

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let rank = config.whole("r", 0)?;
    if rank == 0 {
        return ParameterUpdate::weight(module.op(&SUPERTUNING, "supertuning_values:n supertuning_indices#:n", &[])?);
    }
    let tensors = "supertuning_values:n supertuning_indices#:n supertuning_lora_A:ri supertuning_lora_B:or";
    let op = module.op(&SUPERTUNING, tensors, &[('r', rank)])?;
    let alpha = alpha(config, "lora_alpha", 2.0 * rank as f64)?;
    ParameterUpdate::weight(op.scaled(rank, alpha, alpha / rank as f64))
}
