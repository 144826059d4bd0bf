//! AdaLoRA (arXiv 2303.10512): W' = W + scale · B@(E ∘ A), with one number in E for each rank; PEFT's `SVDLinear.get_delta_weight` and
//! `SVDConv2d.get_delta_weight`.

use super::factored::product;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, alpha};
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::Result;

/// `lora_A` (rank, inputs · kernel), `lora_B` (outputs, rank) and `lora_E` (rank, 1), with the rank that is left after training. The scale is
/// α/(initial rank + 10⁻⁵).
pub static ADALORA: Method = Method {
    vanishes: true,
    packed: 1,
    unpack: Some(product_factors),
    spellings: &[PEFT],
    ..Method::new("adalora", prepare)
};

fn prepare(given: &Given) -> Result<Prepared> {
    let (rank, scale) = (given.size('r'), given.op.scaling());
    let values = given.numbers()?;
    product(given, &mut |k, a, b| {
        let [all_a, all_b, e] = values.as_slice() else { return };
        all_a.fill(1, k * a.len(), e.get(k), a);
        all_b.fill(rank, k, scale, b);
    })
}

/// PEFT's `AdaLoraConfig`.
const PEFT: Spelling = Spelling {
    reads: "init_r lora_alpha",
    // `rank_pattern`: which ranks training kept, by the names of tensors; the file has only those. From `r` on: fields that `AdaLoraConfig`
    // inherits from `LoraConfig` and does not read.
    training: "rank_pattern target_r tinit tfinal deltaT beta1 beta2 orth_reg_weight total_step r alpha_pattern use_rslora lora_bias \
               lora_dropout init_lora_weights ensure_weight_tying megatron_config megatron_core qalora_group_size runtime_config",
    refused: &[
        ("layer_replication", "the adapter repeats layers of the base"),
        ("target_parameters", "the adapter targets bare parameters"),
        ("trainable_token_indices", "the adapter replaces rows of the embedding"),
    ],
    ..Spelling::new("ADALORA", "lora_A lora_B lora_E", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    if module.tensor("lora_E")?.shape == [0, 1] {
        // Training left no rank to this module.
        return Ok(Vec::new());
    }
    let op = module.op(&ADALORA, "lora_A:ri lora_B:or lora_E:r1", &[])?;
    let (rank, inputs, initial) = (op.size('r'), op.size('i'), config.whole("init_r", 12)?);
    // There may be fewer only if the configuration says which ranks training kept.
    if rank > initial || rank < initial && !config.says("rank_pattern") {
        return Err(module.misshapen(module.tensor("lora_A")?, &format!("[{initial}, {inputs}]")));
    }
    let said = alpha(config, "lora_alpha", 8.0)?;
    // Both are as in training. PEFT keeps `ranknum`, too, when it drops ranks.
    let initial = initial as f64;
    let alpha = if said > 0.0 { said } else { initial };
    let layer = LayerShape::flattened(op.size('o'), inputs);
    ParameterUpdate::weight(Op { layer, ..op.scaled(rank, alpha, alpha / (initial + 1e-5)) })
}
