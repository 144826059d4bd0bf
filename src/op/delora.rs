//! DeLoRA (arXiv 2503.18225): W' = W + B@(λ/(r · ‖A_i‖ · ‖B_i‖) ∘ A) ∘ w, where ‖A_i‖ and ‖B_i‖ are the norms of a row of A and of a column
//! of B, and w the norms of the columns of W before training; PEFT's `DeloraLayer._compute_delta`.

use super::factored::product;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::unpacked::product_factors;
use super::{Given, Method, Prepared};
use crate::error::Result;

/// Norms below this count as this.
const SHORTEST: f64 = 1e-4;

/// `delora_A` (rank, inputs) and `delora_B` (outputs, rank), whose norms do not matter; `delora_lambda` (1,), the norm of their product;
/// and `delora_w_norm` (inputs,).
pub static DELORA: Method =
    Method { packed: 1, unpack: Some(product_factors), spellings: &[PEFT], ..Method::new("delora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let rank = given.size('r');
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [all_a, all_b, lambda, norms] = values.as_slice() else { return };
        all_a.fill(1, k * a.len(), 1.0, a);
        all_b.fill(rank, k, 1.0, b);
        let scale = lambda.get(0) / rank as f64 / (length(a) * length(b));
        norms.multiply(0, a);
        b.iter_mut().for_each(|b| *b *= scale);
    })
}

/// The norm of a vector.
fn length(vector: &[f64]) -> f64 {
    vector.iter().map(|value| value * value).sum::<f64>().sqrt().max(SHORTEST)
}

/// PEFT's `DeloraConfig`.
const PEFT: Spelling = Spelling {
    reads: "r rank_pattern",
    training: "delora_lambda lambda_pattern module_dropout",
    ..Spelling::new("DELORA", "delora_A delora_B delora_lambda delora_w_norm", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    // DeLoRA has no alpha.
    let (rank, _) = rank_and_alpha(config, module.module, "", (8, 0.0))?;
    let tensors = "delora_A:ri delora_B:or delora_lambda:1 delora_w_norm:i";
    ParameterUpdate::weight(module.op(&DELORA, tensors, &[('r', rank)])?)
}
