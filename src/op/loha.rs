//! LoHa (FedPara, arXiv 2108.06098): W' = W + scale · (w1_a@w1_b) ∘ (w2_a@w2_b); PEFT's `LoHaLayer.get_delta_weight`. A convolution is
//! a matrix of outputs × (inputs · kernel), or each pair of factors has a core of its own (`use_effective_conv2d`, PEFT's `HadaWeightCP`).

use super::dense::{Delta, added};
use super::matmul::Matmul;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::{Given, LayerShape, Method, Op, Prepared, straight};
use crate::error::Result;
use crate::kernel::{Two, each_two};

/// `hada_w1_a` (outputs, rank), `hada_w1_b` (rank, columns), and likewise `hada_w2_a`, `hada_w2_b`. With cores, `hada_t1` and `hada_t2` (rank,
/// rank, kernel), the first of a pair is (rank, outputs), and the second (rank, inputs).
pub(super) static LOHA: Method =
    Method { vanishes: true, packed: 4, fit: straight, spellings: &[PEFT], ..Method::new("loha", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let product = |number: usize, scale: f64| -> Result<Matmul> {
        let (a, b) = (given.values(2 * number)?, given.values(2 * number + 1)?);
        let core = if given.bytes.len() > 4 { Some(given.values(4 + number)?) } else { None };
        Ok(Matmul::of(a, b, core, given.size('r'), scale))
    };
    added(Hadamard { first: product(0, given.op.scaling())?, second: product(1, 1.0)? }, given)
}

/// Both products in memory.
struct Hadamard {
    first: Matmul,
    second: Matmul,
}

impl Delta for Hadamard {
    fn bytes(&self) -> u64 {
        self.first.bytes() + self.second.bytes()
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let mut factors = vec![0.0; out.len()];
        self.first.output(output, first, out);
        self.second.output(output, first, &mut factors);
        each_two(out, &factors, Two::times);
    }
}

/// PEFT's `LoHaConfig`.
const PEFT: Spelling = Spelling {
    reads: "r alpha rank_pattern alpha_pattern",
    training: "rank_dropout module_dropout use_effective_conv2d",
    ..Spelling::new("LOHA", "hada_w1_a hada_w1_b hada_w2_a hada_w2_b hada_t1 hada_t2", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let (rank, alpha) = rank_and_alpha(config, module.module, "alpha", (8, 8.0))?;
    let has_cores = module.find("hada_t1").is_some() || module.find("hada_t2").is_some();
    let tensors = match has_cores {
        false => "hada_w1_a:or hada_w1_b:rc hada_w2_a:or hada_w2_b:rc",
        true => "hada_w1_a:ro hada_w1_b:rc hada_w2_a:ro hada_w2_b:rc hada_t1:rrhl hada_t2:rrhl",
    };
    let op = module.op(&LOHA, tensors, &[('r', rank)])?;
    let layer = LayerShape::flattened(op.size('o'), module.product(&op, "hada_w1_b", "chl")?);
    ParameterUpdate::weight(Op { layer, ..op.scaled(rank, alpha, alpha / rank as f64) })
}
