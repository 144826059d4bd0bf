//! RandLoRA (arXiv 2502.00987): W' = W + scale · a sum of products of projections that all modules share, weighted by λ and γ; PEFT's
//! `RandLoraLayer.get_scaled_bases` and `get_delta_weight`.
//!
//! Let s be the shorter side of the weight and l the longer one, and n the number of bases. Rank position p of the one factor is
//! λ\[k, b\] · A\[k\] ∘ γ\[b\] with k = p / n and b = p mod n; of the other, B\[:, b, k\] with b = p / r and k = p mod r. The two count
//! in different ways, as in PEFT, both in training and in its merge.

use super::factored::product;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, alpha};
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::Result;
use crate::model::orientation::{self, Fit};

/// `randlora_lambda` (rank, `b` bases), `randlora_gamma` (bases, `s`, the shorter side of the weight), `randlora_A` (rank, 1, `x`), and
/// `randlora_B` (`y`, `c`, rank): `x`, `y` and `c` are the dimensions and bases of the projections. The scale is α/r.
pub(super) static RANDLORA: Method =
    Method { packed: 1, unpack: Some(product_factors), fit, spellings: &[PEFT], ..Method::new("randlora", prepare) };

/// A weight that is not square gets the same delta either way round.
fn fit(op: &Op, shape: &[u64]) -> Fit {
    match *shape {
        [rows, cols] => {
            let fits = rows.min(cols) == op.size('s') && rows.max(cols) <= op.size('y');
            orientation::fit(fits, fits)
        }
        _ => Fit::Neither,
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let [rank, bases, shared_bases, side] = ['r', 'b', 'c', 's'].map(|letter| given.size(letter));
    let values = given.numbers()?;
    product(given, &mut |p, a, b| {
        let [lambda, gamma, shared_a, shared_b] = values.as_slice() else { return };
        let (short, long) = if a.len() == side { (a, b) } else { (b, a) };
        let weight = given.op.scaling() * lambda.get(p);
        let (k, base) = (p / bases, p % bases);
        shared_a.fill(1, k * given.size('x'), weight, short);
        gamma.multiply(base * side, short);
        // The projections may have more bases than the module. The extra ones are left out before B is counted through.
        let (base, k) = (p / rank, p % rank);
        shared_b.fill(shared_bases * rank, base * rank + k, 1.0, long);
    })
}

/// PEFT's `RandLoraConfig`. PEFT saves the projections once for every module.
const PEFT: Spelling = Spelling {
    shared: "randlora_A randlora_B",
    reads: "r randlora_alpha save_projection",
    training: "projection_prng_key sparse very_sparse randlora_dropout",
    check: super::vera::check_projections,
    ..Spelling::new("RANDLORA", "randlora_lambda randlora_gamma randlora_A randlora_B", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let (rank, alpha) = (config.whole("r", 32)?, alpha(config, "randlora_alpha", 640.0)?);
    let tensors = "randlora_lambda:rb randlora_gamma:bs randlora_A:r1x randlora_B:ycr";
    let op = module.op(&RANDLORA, tensors, &[('r', rank)])?;
    let [bases, short, wide, long, all] = ['b', 's', 'x', 'y', 'c'].map(|letter| op.size(letter));
    if bases != short.div_ceil(rank) {
        let expected = format!("[r, {short} / r], and r is {rank}");
        return Err(module.misshapen(module.tensor("randlora_lambda")?, &expected));
    }
    module.expect_shape("randlora_A", &[rank, 1, wide.max(short)])?;
    module.expect_shape("randlora_B", &[long.max(short), all.max(bases), rank])?;
    // The adapter does not tell which side is the shorter one.
    let layer = LayerShape { inputs: Some(short), ..LayerShape::default() };
    ParameterUpdate::weight(Op { layer, ..op.with('p', rank * bases) }.scaled(rank, alpha, alpha / rank as f64))
}
