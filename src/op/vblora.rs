//! VB-LoRA (arXiv 2405.15179): W' = W + B@A, where the factors are cut into pieces of one length, and each piece is a mixture of the few
//! vectors of a shared bank that have the largest logits; PEFT's `vblora.Linear._get_lora_matrices`.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{AdapterTensor, Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Op};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::tensor::Dtype;
use crate::wire::{wire, wire_enum};

/// Which vectors make the pieces of both factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Vblora {
    /// `vblora_vector_bank`, shape (vectors, length).
    pub bank: Operand,
    /// Of A: shape (rank, inputs / length, …).
    pub a: Mixture,
    /// Of B: shape (outputs / length, rank, …).
    pub b: Mixture,
    /// How many vectors make a piece.
    pub topk: u64,
    /// Vectors in the bank.
    pub vectors: u64,
    /// Numbers of each.
    pub length: u64,
    /// Rank of the factors.
    pub rank: u64,
    /// Width of the layer's input.
    pub inputs: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Vblora { bank, a, b, topk, vectors, length, rank, inputs, outputs, transposed });

/// What says which vectors make each piece of a factor.
#[derive(Debug, Clone, PartialEq)]
pub enum Mixture {
    /// `vblora_logits_…`: a logit for each vector of the bank.
    Logits(Operand),
    /// `…_topk_indices`, which vectors, and `…_topk_weights`, how much of all but the last of them (`save_only_topk_weights`).
    Chosen(Operand, Operand),
}

wire_enum!(Mixture { Logits(logits), Chosen(indices, weights) });

impl Mixture {
    fn operands(&self) -> Vec<&Operand> {
        match self {
            Mixture::Logits(logits) => vec![logits],
            Mixture::Chosen(indices, weights) => vec![indices, weights],
        }
    }
}

impl Factored for Vblora {
    const NAME: &'static str = "vblora";

    fn operands(&self) -> Vec<&Operand> {
        [&self.bank].into_iter().chain(self.a.operands()).chain(self.b.operands()).collect()
    }

    fn layer(&self) -> LayerShape {
        LayerShape::linear(self.outputs, self.inputs)
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn rank(&self) -> u64 {
        self.rank
    }

    fn check(&self, values: &[Numbers], adapter: &str) -> Result<()> {
        let mut values = values.iter().skip(1);
        for mixture in [&self.a, &self.b] {
            let values: Vec<&Numbers> = values.by_ref().take(mixture.operands().len()).collect();
            let (Mixture::Chosen(operand, _), [indices, _]) = (mixture, values.as_slice()) else { continue };
            if let Some(index) = indices.every(1, 0).find(|index| !(0.0..self.vectors as f64).contains(index)) {
                let reason = format!("it names vector {index}, and the bank has {}", self.vectors);
                let error = Error::shape_mismatch(adapter, operand.key.clone(), reason);
                return Err(error.found(index.to_string()).expected(format!("0 to {}", self.vectors - 1)));
            }
        }
        Ok(())
    }

    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]) {
        let [bank, of_factors @ ..] = values else { return };
        let (of_a, of_b) = of_factors.split_at(self.a.operands().len());
        let (rank, length) = (self.rank as usize, self.length as usize);
        let pieces = a.len() / length;
        for (piece, values) in a.chunks_exact_mut(length).enumerate() {
            self.mix(bank, of_a, k * pieces + piece, values);
        }
        for (piece, values) in b.chunks_exact_mut(length).enumerate() {
            self.mix(bank, of_b, piece * rank + k, values);
        }
    }
}

impl Vblora {
    /// Piece number `piece` of a factor, into `out`.
    fn mix(&self, bank: &Numbers, of_factor: &[Numbers], piece: usize, out: &mut [f64]) {
        let (topk, vectors) = (self.topk as usize, self.vectors as usize);
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
}

/// The vectors with the `topk` largest of `count` logits from number `start` on, and the softmax of these. Of equal logits the first counts.
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
pub(super) struct Peft;

/// The names of what says how a factor is mixed.
const OF_A: [&str; 3] = ["vblora_logits_A", "vblora_logits_A_topk_indices", "vblora_logits_A_topk_weights"];
const OF_B: [&str; 3] = ["vblora_logits_B", "vblora_logits_B_topk_indices", "vblora_logits_B_topk_weights"];

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "VBLORA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &[OF_A[0], OF_A[1], OF_A[2], OF_B[0], OF_B[1], OF_B[2]]
    }

    fn shared(&self) -> &'static [&'static str] {
        &["vblora_vector_bank"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("topk", Field::Read),
            ("num_vectors", Field::Read),
            ("vector_length", Field::Read),
            ("save_only_topk_weights", Field::Read),
            ("vblora_dropout", Field::Training),
            ("init_vector_bank_bound", Field::Training),
            ("init_logits_std", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        let (topk, vectors) = (config.whole("topk", 2)?, config.whole("num_vectors", 256)?);
        if topk == 0 || topk > vectors { Err(config.wrong("topk", "a number from 1 to num_vectors")) } else { Ok(()) }
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (rank, topk) = (config.whole("r", 4)?, config.whole("topk", 2)?);
        let (vectors, length) = (config.whole("num_vectors", 256)?, config.whole("vector_length", 256)?);
        module.expect_shape("vblora_vector_bank", &[vectors, length])?;
        let (bank, _) = module.operand::<2>("vblora_vector_bank")?;
        let is_chosen = config.flag("save_only_topk_weights", false)?;
        let sizes = Sizes { topk, vectors, is_chosen };
        let (a, [rank_a, across]) = sizes.mixture(module, OF_A)?;
        let (b, [down, rank_b]) = sizes.mixture(module, OF_B)?;
        for (found, name) in [(rank_a, &OF_A), (rank_b, &OF_B)] {
            if found != rank {
                let tensor = module.tensor(name[usize::from(is_chosen)])?;
                return Err(module.misshapen(tensor, &format!("one of rank {rank}")));
            }
        }
        let sides = across.checked_mul(length).zip(down.checked_mul(length));
        let Some((inputs, outputs)) = sides else { return Err(config.wrong("vector_length", "a length of vectors")) };
        let op = Vblora { bank, a, b, topk, vectors, length, rank, inputs, outputs, transposed: false };
        Ok(ParameterUpdate::weight(Op::Vblora(op)))
    }
}

/// What the configuration says of mixtures.
struct Sizes {
    topk: u64,
    vectors: u64,
    is_chosen: bool,
}

impl Sizes {
    /// What says how a factor is mixed, and how many pieces it has along each side.
    fn mixture(&self, module: &ModuleTensors, names: [&str; 3]) -> Result<(Mixture, [u64; 2])> {
        let [logits, indices, weights] = names;
        if !self.is_chosen {
            let (operand, [rows, cols, _]) = module.operand::<3>(logits)?;
            module.expect_shape(logits, &[rows, cols, self.vectors])?;
            return Ok((Mixture::Logits(operand), [rows, cols]));
        }
        let found = module.tensor(indices)?;
        let [rows, cols, _] = module.shape::<3>(found)?;
        module.expect_shape(indices, &[rows, cols, self.topk])?;
        // With one vector to a piece no weight is saved.
        let tensor = module.tensor(weights)?;
        module.expect_shape(weights, &[rows, cols, self.topk - 1])?;
        Ok((Mixture::Chosen(whole(module, found)?, module.floats(tensor)?), [rows, cols]))
    }
}

/// A tensor of whole numbers as an operand.
fn whole(module: &ModuleTensors, tensor: &AdapterTensor) -> Result<Operand> {
    match tensor.dtype {
        Dtype::U8 | Dtype::I16 | Dtype::I32 | Dtype::I64 => Ok(Operand::whole(&tensor.key, tensor.at, tensor.dtype)),
        other => Err(Error::unsupported(tensor.key.clone(), format!("it is stored as {other}, not as whole numbers"))
            .adapter(module.adapter)
            .tensor(tensor.key.clone())
            .found(other.to_string())
            .expected("U8, I16, I32 or I64")),
    }
}
