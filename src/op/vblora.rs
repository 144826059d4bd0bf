//! VB-LoRA (arXiv 2405.15179): W' = W + B@A. The factors are cut into pieces of one length, and each piece is a mixture of the few vectors of a
//! shared bank with the largest logits; PEFT's `vblora.Linear._get_lora_matrices`.

use super::factored::product;
use super::numbers::Numbers;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::unpacked::product_factors;
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::{Error, Result};

/// `vblora_vector_bank` (`v` vectors, `l`), and which `t` of its vectors make each piece of A (rank, inputs / length, …) and of B (outputs
/// / length, rank, …): `vblora_logits_…`, with a logit for each vector of the bank; or, with `save_only_topk_weights`, `…_topk_indices`, the
/// vectors, and `…_topk_weights`, the weights of all but the last of them.
pub(super) static VBLORA: Method =
    Method { packed: 1, unpack: Some(product_factors), spellings: &[PEFT], ..Method::new("vblora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let values = given.numbers()?;
    let [bank, of_factors @ ..] = values.as_slice() else { return Err(Error::internal("there is no bank")) };
    let (of_a, of_b) = of_factors.split_at(of_factors.len() / 2);
    for (number, factor) in [(1, of_a), (3, of_b)] {
        if let [_, _] = factor {
            given.indices(number, given.op.size('v'))?;
        }
    }
    let (rank, length) = (given.size('r'), given.size('l'));
    product(given, &mut |k, a, b| {
        let pieces = a.len() / length;
        for (piece, values) in a.chunks_exact_mut(length).enumerate() {
            mix(given, bank, of_a, k * pieces + piece, values);
        }
        for (piece, values) in b.chunks_exact_mut(length).enumerate() {
            mix(given, bank, of_b, piece * rank + k, values);
        }
    })
}

/// Piece number `piece` of a factor, into `out`.
fn mix(given: &Given, bank: &Numbers, of_factor: &[Numbers], piece: usize, out: &mut [f64]) {
    let (topk, vectors) = (given.size('t'), given.size('v'));
    let parts = match of_factor {
        [logits] => largest(logits, piece * vectors, vectors, topk),
        [indices, weights] => {
            let first = weights.every(1, piece * (topk - 1)).take(topk - 1);
            let last = 1.0 - first.clone().sum::<f64>();
            let indices = indices.every(1, piece * topk).map(|index| index as usize);
            indices.zip(first.chain([last])).collect()
        }
        _ => return,
    };
    for (vector, weight) in parts {
        let values = bank.every(1, vector * out.len());
        out.iter_mut().zip(values).for_each(|(out, value)| *out += weight * value);
    }
}

/// The vectors with the `topk` largest of `count` logits from number `start` on, and the softmax of these logits. Of equal logits the first is taken.
fn largest(logits: &Numbers, start: usize, count: usize, topk: usize) -> Vec<(usize, f64)> {
    let mut best: Vec<(usize, f64)> = Vec::with_capacity(topk + 1);
    for (vector, logit) in logits.every(1, start).take(count).enumerate() {
        let at = best.partition_point(|&(_, other)| other >= logit);
        if at < topk {
            best.insert(at, (vector, logit));
            best.truncate(topk);
        }
    }
    let top = best.first().map_or(0.0, |&(_, logit)| logit);
    best.iter_mut().for_each(|(_, weight)| *weight = libm::exp(*weight - top));
    let sum: f64 = best.iter().map(|(_, weight)| weight).sum();
    best.iter_mut().for_each(|(_, weight)| *weight /= sum);
    best
}

/// PEFT's `VBLoRAConfig`.
const PEFT: Spelling = Spelling {
    shared: "vblora_vector_bank",
    reads: "r topk num_vectors vector_length save_only_topk_weights",
    training: "vblora_dropout init_vector_bank_bound init_logits_std",
    check,
    ..Spelling::new(
        "VBLORA",
        "vblora_logits_A vblora_logits_A_topk_indices vblora_logits_A_topk_weights \
         vblora_logits_B vblora_logits_B_topk_indices vblora_logits_B_topk_weights",
        read,
    )
};

fn check(config: &mut dyn Settings) -> Result<()> {
    let (topk, vectors) = (config.whole("topk", 2)?, config.whole("num_vectors", 256)?);
    if topk == 0 || topk > vectors { Err(config.wrong("topk", "a number from 1 to num_vectors")) } else { Ok(()) }
}

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let (rank, topk) = (config.whole("r", 4)?, config.whole("topk", 2)?);
    let (vectors, length) = (config.whole("num_vectors", 256)?, config.whole("vector_length", 256)?);
    // With one vector for each piece, no weight is saved.
    let known = [('r', rank), ('t', topk), ('v', vectors), ('l', length), ('U', topk - 1)];
    let tensors = match config.flag("save_only_topk_weights", false)? {
        false => "vblora_vector_bank:vl vblora_logits_A:rcv vblora_logits_B:drv",
        true => {
            "vblora_vector_bank:vl vblora_logits_A_topk_indices#:rct vblora_logits_A_topk_weights:rcU \
             vblora_logits_B_topk_indices#:drt vblora_logits_B_topk_weights:drU"
        }
    };
    let op = module.op(&VBLORA, tensors, &known)?;
    let sides = op.size('c').checked_mul(length).zip(op.size('d').checked_mul(length));
    let Some((inputs, outputs)) = sides else { return Err(config.wrong("vector_length", "a length of vectors")) };
    ParameterUpdate::weight(Op { layer: LayerShape::linear(outputs, inputs), ..op })
}
