//! LoHa (FedPara, arXiv 2108.06098): W' = W + scale · (w1_a@w1_b) ∘ (w2_a@w2_b); PEFT's `LoHaLayer.get_delta_weight`. A convolution is
//! a matrix of outputs × (inputs · kernel), or each pair of factors has a core of its own (`use_effective_conv2d`, PEFT's `HadaWeightCP`).

use super::dense::{Delta, added};
use super::matmul::Matmul;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::unpacked::{dense_factors, zeros};
use super::{Given, LayerShape, Method, Op, Prepared, Unpacked, straight};
use crate::error::Result;
use crate::kernel::{Two, each_two};

/// `hada_w1_a` (outputs, rank), `hada_w1_b` (rank, columns), and likewise `hada_w2_a`, `hada_w2_b`. With cores, `hada_t1` and `hada_t2` (rank,
/// rank, kernel), the first of a pair is (rank, outputs), and the second (rank, inputs).
pub(super) static LOHA: Method = Method {
    vanishes: true,
    packed: 4,
    unpack: Some(unpack),
    fit: straight,
    spellings: &[PEFT],
    ..Method::new("loha", prepare)
};

fn prepare(given: &Given) -> Result<Prepared> {
    added(read_products(given)?, given)
}

fn read_products(given: &Given) -> Result<Hadamard> {
    let product = |number: usize, scale: f64| -> Result<Matmul> {
        let (a, b) = (given.values(2 * number)?, given.values(2 * number + 1)?);
        let core = if given.bytes.len() > 4 { Some(given.values(4 + number)?) } else { None };
        Ok(Matmul::of(a, b, core, given.size('r'), scale))
    };
    Ok(Hadamard { first: product(0, given.op.scaling())?, second: product(1, 1.0)? })
}

/// A product of elements of two products is one product, of the square of the rank: its factors are all products of a column (a row) of the one and
/// one of the other (Khatri and Rao).
fn unpack(given: &Given) -> Result<Unpacked> {
    let products = read_products(given)?;
    let (rank, outputs, columns) = (given.size('r'), given.place.of, given.place.cols);
    let Some(square) = rank.checked_mul(rank).filter(|square| *square < outputs.min(columns)) else {
        return dense_factors(given, &products);
    };
    let ((left, right), (other_left, other_right)) = (products.first.factors(), products.second.factors());
    let (mut a, mut b) = (zeros(given, columns.checked_mul(square))?, zeros(given, outputs.checked_mul(square))?);
    for (k, out) in a.chunks_exact_mut(columns).enumerate() {
        let (one, other) = (&right[k / rank * columns..], &other_right[k % rank * columns..]);
        out.iter_mut().zip(one.iter().zip(other)).for_each(|(out, (one, other))| *out = one * other);
    }
    for (output, out) in b.chunks_exact_mut(square).enumerate() {
        let (one, other) = (&left[output * rank..], &other_left[output * rank..]);
        out.iter_mut().enumerate().for_each(|(k, out)| *out = one[k / rank] * other[k % rank]);
    }
    Ok(Unpacked { a, b, rank: square, scale: given.op.scaling() })
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
    let columns = module.product(&op, "hada_w1_b", "chl")?;
    // A core whose last side is 1 may be of a convolution in one dimension.
    let layer = match op.size('l') {
        0 | 1 => LayerShape::flattened(op.size('o'), columns),
        last => LayerShape::convolution(op.size('o'), op.size('c'), &[op.size('h'), last]),
    };
    ParameterUpdate::weight(Op { layer, ..op.scaled(rank, alpha, alpha / rank as f64) })
}
