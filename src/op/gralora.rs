//! GraLoRA (arXiv 2505.20355): the weight is cut into k × k blocks, and each gets a product of rank r/k of its own; PEFT's
//! `gralora.Linear.get_delta_weight`. Block (j, n), with the outputs j and the inputs n, adds scale · B_j[n]ᵀ@A_n[j]ᵀ. B_j[n] is the n-th group
//! of r/k rank positions of B_j, A_n[j] the j-th group of A_n. A hybrid adapter also adds an ordinary product with the same scale.

use super::factored::product;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, alpha};
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::Result;

/// `gralora_A` (`n` blocks, inputs / blocks, rank) and `gralora_B` (blocks, rank, outputs / blocks); in a hybrid adapter also
/// `gralora_A_general` (hybrid rank `h`, inputs) and `gralora_B_general` (outputs, hybrid rank). The scale is α/(r + hybrid r). The rank positions
/// are those of all blocks side by side, each with zeros outside its block.
pub(super) static GRALORA: Method =
    Method { packed: 1, unpack: Some(product_factors), spellings: &[PEFT], ..Method::new("gralora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (blocks, rank, hybrid, scale) = (given.size('n'), given.size('r'), given.size('h'), given.op.scaling());
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [all_a, all_b, general @ ..] = values.as_slice() else { return };
        if let (Some(k), [whole_a, whole_b]) = (k.checked_sub(blocks * rank), general) {
            whole_a.fill(1, k * a.len(), 1.0, a);
            whole_b.fill(hybrid, k, scale, b);
            return;
        }
        let (of_inputs, position, each) = (k / rank, k % rank, rank / blocks);
        let (of_outputs, within) = (position / each, position % each);
        let (width, height) = (a.len() / blocks, b.len() / blocks);
        all_a.fill(rank, of_inputs * width * rank + position, 1.0, &mut a[of_inputs * width..][..width]);
        let row = (of_outputs * rank + of_inputs * each + within) * height;
        all_b.fill(1, row, scale, &mut b[of_outputs * height..][..height]);
    })
}

/// PEFT's `GraloraConfig`.
const PEFT: Spelling = Spelling {
    reads: "r alpha gralora_k hybrid_r",
    training: "gralora_dropout",
    check,
    ..Spelling::new("GRALORA", "gralora_A gralora_B gralora_A_general gralora_B_general", read)
};

fn check(config: &mut dyn Settings) -> Result<()> {
    let (rank, blocks) = (config.whole("r", 32)?, config.whole("gralora_k", 2)?);
    if blocks == 0 || rank == 0 || rank % blocks != 0 {
        return Err(config.wrong("gralora_k", "a number above 0 that divides r"));
    }
    Ok(())
}

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let (rank, blocks, hybrid) = (config.whole("r", 32)?, config.whole("gralora_k", 2)?, config.whole("hybrid_r", 0)?);
    let alpha = alpha(config, "alpha", 64.0)?;
    let known = [('r', rank), ('n', blocks), ('h', hybrid)];
    let op = module.op(&GRALORA, "gralora_A:nwr gralora_B:nrv", &known)?;
    // The tensors have as many numbers and more.
    let (inputs, outputs) = (blocks * op.size('w'), blocks * op.size('v'));
    let mut op = op.with('i', inputs).with('o', outputs).with('p', blocks * rank + hybrid);
    if hybrid > 0 {
        module.add(&mut op, "gralora_A_general:hi")?;
        module.add(&mut op, "gralora_B_general:oh")?;
    }
    let all = rank + hybrid;
    ParameterUpdate::weight(Op { layer: LayerShape::linear(outputs, inputs), ..op }.scaled(
        all,
        alpha,
        alpha / all as f64,
    ))
}
