//! VeRA (arXiv 2310.11454): W' = W + (λ_b ∘ B)@(λ_d ∘ A), where all modules share A and B, cut to each module's size; PEFT's
//! `VeraLayer.get_delta_weight`. PVeRA draws λ_d ∘ A at random in training, and its merge takes the mean, which is the first half of both; PEFT's
//! `PveraLayer.get_delta_weight`.

use super::factored::product;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::{self, Fit};

/// `vera_lambda_d` (rank,), or `pvera_lambda_d` (2 · rank,), `vera_lambda_b` (outputs,), the first rows of `vera_A`, (rank, `m`), and those of
/// `vera_B`, (outputs, rank). The projections are for at most `m` inputs.
pub(super) static VERA: Method = Method {
    vanishes: true,
    packed: 1,
    unpack: Some(product_factors),
    fit,
    spellings: &[PEFT, PROBABILISTIC],
    ..Method::new("vera", prepare)
};

fn fit(op: &Op, shape: &[u64]) -> Fit {
    let fits = |outputs: u64, inputs: u64| outputs == op.size('o') && inputs <= op.size('m');
    match *shape {
        [rows, cols] => orientation::fit(fits(rows, cols), fits(cols, rows)),
        _ => Fit::Neither,
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [lambda_d, lambda_b, shared_a, shared_b] = values.as_slice() else { return };
        shared_a.fill(1, k * given.size('m'), lambda_d.get(k), a);
        shared_b.fill(given.size('r'), k, 1.0, b);
        lambda_b.multiply(0, b);
    })
}

/// Read an update of `tensors`. λ_d and A have `halves` times the rank.
fn read(module: &ModuleTensors, config: &mut dyn Settings, tensors: &str, halves: u64) -> Result<Vec<ParameterUpdate>> {
    let mut op = module.op(&VERA, tensors, &[])?;
    let (outputs, rank, rows, widest) = (op.size('o'), op.size('r'), op.size('l'), op.size('w'));
    let said = config.whole("r", 256)?;
    let misshapen = |number: usize, expected: String| {
        let name = tensors.split([' ', ':']).step_by(2).nth(number).unwrap_or("");
        Ok(module.misshapen(module.tensor(name)?, &expected))
    };
    if rank != said || widest < outputs {
        return Err(misshapen(3, format!("[{outputs} or more, {said}]"))?);
    }
    if rank.checked_mul(halves) != Some(rows) {
        return Err(misshapen(2, format!("[{halves} · {rank}, inputs]"))?);
    }
    if op.size('d') != rows {
        return Err(misshapen(0, format!("[{rows}]"))?);
    }
    if let [lambda_d, _, a, b] = op.operands.as_mut_slice() {
        first(lambda_d, rank, rows);
        first(a, rank, rows);
        first(b, outputs, widest);
    }
    op.layer = LayerShape { outputs: Some(outputs), ..LayerShape::default() };
    ParameterUpdate::weight(op)
}

/// Keep the first `rows` of an operand's rows.
fn first(operand: &mut Operand, rows: u64, of: u64) {
    operand.at.bytes = operand.at.bytes / of * rows;
}

/// If the file does not have the projections, PEFT makes them with torch's generator, in the size of the largest adapted layer.
pub(super) fn check_projections(config: &mut dyn Settings) -> Result<()> {
    if config.flag("save_projection", true)? {
        return Ok(());
    }
    let meaning = "the shared projections are not in the file, and PEFT makes them again from torch's random numbers";
    let fix = "merge this adapter with PEFT, with the version and kind of machine that trained it";
    Err(config.refuse("save_projection", meaning).fix(fix))
}

/// PEFT's `VeraConfig`.
const PEFT: Spelling = Spelling {
    shared: "vera_A vera_B",
    reads: "r save_projection",
    training: "projection_prng_key vera_dropout d_initial",
    check: check_projections,
    ..Spelling::new("VERA", "vera_lambda_d vera_lambda_b", |module, config| {
        read(module, config, "vera_lambda_d:d vera_lambda_b:o vera_A:lm vera_B:wr", 1)
    })
};

/// PEFT's `PveraConfig`.
const PROBABILISTIC: Spelling = Spelling {
    shared: "pvera_A pvera_B",
    reads: "r save_projection",
    training: "projection_prng_key pvera_dropout d_initial generator_seed",
    refused: &[(
        "sample_at_inference",
        "it draws its delta at random for every input, and a merge can only take the mean",
    )],
    check: check_projections,
    ..Spelling::new("PVERA", "pvera_lambda_d pvera_lambda_b", |module, config| {
        read(module, config, "pvera_lambda_d:d pvera_lambda_b:o pvera_A:lm pvera_B:wr", 2)
    })
};
