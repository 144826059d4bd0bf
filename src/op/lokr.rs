//! LoKr (LyCORIS, arXiv 2309.14859): W' = W + scale · w1 ⊗ w2, where each of w1 and w2 is stored whole or as a product; PEFT's
//! `LoKrLayer.get_delta_weight`.
//!
//! With w1 (l, m) and w2 (k, n), output i·k + p and input j·n + q have w1[i, j] · w2[p, q]. The kernel of a convolution is the innermost
//! part of w2's columns, and so of the weight's.

use super::dense::{Delta, added};
use super::matmul::{Matmul, Matrix};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::unpacked::{dense_factors, zeros};
use super::{Given, LayerShape, Method, Op, Prepared, Unpacked, straight};
use crate::error::Result;
use crate::kernel::{Two, each_two};

/// w1 (`l`, `m`), which has `f` operands, then w2 (`k`, `c` columns, kernel included). Each is the whole matrix; or a left (rows, rank) and a right
/// (rank, cols) factor; or a left (rank, rows), a right (rank, inputs) and a core (rank, rank, kernel). If w2 is whole, the layer has the kernel
/// of its convolution.
pub(super) static LOKR: Method =
    Method { vanishes: true, unpack: Some(unpack), fit: straight, spellings: &[PEFT], ..Method::new("lokr", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let [first, second] = matrices(given)?;
    added(kronecker(given, &first, second), given)
}

/// w1 and w2.
fn matrices(given: &Given) -> Result<[Matrix; 2]> {
    let matrix = |first: usize, count: usize, cols: usize| -> Result<Matrix> {
        Ok(match count {
            1 => Matrix::Whole(given.values(first)?, cols),
            _ => {
                let core = if count > 2 { Some(given.values(first + 2)?) } else { None };
                Matrix::Product(Matmul::of(given.values(first)?, given.values(first + 1)?, core, given.size('r'), 1.0))
            }
        })
    };
    let count = given.size('f');
    let second = matrix(count, given.bytes.len().saturating_sub(count), given.size('c'))?;
    Ok([matrix(0, count, given.size('m'))?, second])
}

/// The product of two factors each is one of two factors: (U₁V₁) ⊗ (U₂V₂) = (U₁ ⊗ U₂)(V₁ ⊗ V₂). A whole matrix has an identity on its shorter
/// side.
fn unpack(given: &Given) -> Result<Unpacked> {
    let [first, second] = matrices(given)?;
    if line(given).is_some() {
        return dense_factors(given, &kronecker(given, &first, second));
    }
    let [(left, right, one), (other_left, other_right, other)] =
        [factors(given, first, given.size('l'))?, factors(given, second, given.size('k'))?];
    let (outputs, columns) = (given.place.of, given.place.cols);
    let rank = one.saturating_mul(other);
    let (mut a, mut b) = (zeros(given, columns.checked_mul(rank))?, zeros(given, outputs.checked_mul(rank))?);
    let (width, height) = (other_right.len() / other.max(1), other_left.len() / other.max(1));
    for (k, row) in a.chunks_exact_mut(columns).enumerate() {
        let inner = &other_right[k % other * width..][..width];
        for (out, factor) in row.chunks_exact_mut(width).zip(&right[k / other * (columns / width)..]) {
            out.iter_mut().zip(inner).for_each(|(out, value)| *out = factor * value);
        }
    }
    for (output, row) in b.chunks_exact_mut(rank).enumerate() {
        let (outer, inner) = (&left[output / height * one..], &other_left[output % height * other..]);
        row.iter_mut().enumerate().for_each(|(k, out)| *out = outer[k / other] * inner[k % other]);
    }
    Ok(Unpacked { a, b, rank, scale: given.op.scaling() })
}

/// The factors of a matrix with so many rows, (rows, rank) and (rank, cols), of the least rank that its shape and its own factors allow.
fn factors(given: &Given, matrix: Matrix, rows: usize) -> Result<(Vec<f64>, Vec<f64>, usize)> {
    let cols = matrix.cols();
    let whole = match matrix {
        Matrix::Product(product) if product.rank() < rows.min(cols) => {
            let rank = product.rank();
            let (left, right) = product.factors();
            return Ok((left, right, rank));
        }
        Matrix::Whole(values, _) => values,
        matrix => {
            let mut values = zeros(given, rows.checked_mul(cols))?;
            values.chunks_exact_mut(cols.max(1)).enumerate().for_each(|(row, values)| matrix.row(row, 0, values));
            values
        }
    };
    let side = rows.min(cols);
    let mut identity = zeros(given, side.checked_mul(side))?;
    identity.iter_mut().step_by(side + 1).for_each(|value| *value = 1.0);
    Ok(if cols <= rows { (whole, identity, side) } else { (identity, whole, side) })
}

fn kronecker(given: &Given, first: &Matrix, second: Matrix) -> Kronecker {
    let cols = given.size('m');
    let mut whole = vec![0.0; given.size('l') * cols];
    for (number, row) in whole.chunks_exact_mut(cols).enumerate() {
        first.row(number, 0, row);
        row.iter_mut().for_each(|value| *value *= given.op.scaling());
    }
    let (rows, second_rows) = (given.size('l'), given.size('k'));
    Kronecker { first: whole, rows, cols, second, second_rows, line: line(given) }
}

/// For a convolution in one dimension whose w2 is whole: the length of its kernel.
fn line(given: &Given) -> Option<usize> {
    match *given.op.layer.kernel {
        [length] => Some(length as usize),
        _ => None,
    }
}

/// Both matrices in memory.
struct Kronecker {
    /// scale · w1, row by row.
    first: Vec<f64>,
    rows: usize,
    cols: usize,
    second: Matrix,
    second_rows: usize,
    /// For a convolution in one dimension whose w2 is whole: the length of its kernel.
    line: Option<usize>,
}

impl Delta for Kronecker {
    fn bytes(&self) -> u64 {
        size_of_val(self.first.as_slice()) as u64 + self.second.bytes()
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        if let Some(length) = self.line {
            return self.output_of_line(length, output, first, out);
        }
        let (i, p) = (output / self.second_rows, output % self.second_rows);
        let mut row = vec![0.0; self.second.cols()];
        self.second.row(p, 0, &mut row);
        let factors = &self.first[i * self.cols..(i + 1) * self.cols];
        let (mut at, mut col) = (0, first);
        while at < out.len() {
            let (j, q) = (col / row.len(), col % row.len());
            let count = (row.len() - q).min(out.len() - at);
            let factor = Two::splat(factors[j]);
            each_two(&mut out[at..at + count], &row[q..q + count], |_, value| factor.times(value));
            (at, col) = (at + count, col + count);
        }
    }
}

impl Kronecker {
    /// What PEFT computes from a w2 of shape (k, n, length), also in its forward pass: `torch.kron` takes w1 as (1, l, m), and only then is the
    /// product, (k, l·n, m·length), given the shape of the weight.
    fn output_of_line(&self, length: usize, output: usize, first: usize, out: &mut [f64]) {
        let inputs = self.second.cols() / length;
        let (block, run) = (self.rows * inputs * self.cols * length, self.cols * length);
        let width = self.cols * self.second.cols();
        let mut row = vec![0.0; self.second.cols()];
        let mut held = None;
        for (at, out) in (output * width + first..).zip(out) {
            let (p, rest) = (at / block, at % block);
            let (outer, inner) = (rest / run, rest % run);
            if held != Some(p) {
                self.second.row(p, 0, &mut row);
                held = Some(p);
            }
            let factor = self.first[outer / inputs * self.cols + inner / length];
            *out = factor * row[outer % inputs * length + inner % length];
        }
    }
}

/// PEFT's `LoKrConfig`. The shapes of the two factors tell how a weight is divided between them.
const PEFT: Spelling = Spelling {
    reads: "r alpha rank_pattern alpha_pattern",
    training: "rank_dropout rank_dropout_scale module_dropout decompose_both decompose_factor use_effective_conv2d",
    ..Spelling::new("LOKR", "lokr_w1 lokr_w1_a lokr_w1_b lokr_w2 lokr_w2_a lokr_w2_b lokr_t2", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let (rank, alpha) = rank_and_alpha(config, module.module, "alpha", (8, 8.0))?;
    if rank == 0 {
        return Err(config.wrong("r", "a whole number above 0"));
    }
    let first = if module.find("lokr_w1").is_some() { "lokr_w1:lm" } else { "lokr_w1_a:lr lokr_w1_b:rm" };
    let mut op = module.op(&LOKR, first, &[('r', rank)])?;
    let count = op.operands.len() as u64;
    let whole = module.find("lokr_w2");
    let second: &[&str] = match whole {
        Some(tensor) => match tensor.shape.len() {
            2 => &["lokr_w2:kn"],
            3 => &["lokr_w2:knh"],
            4 => &["lokr_w2:knhw"],
            _ => return Err(module.misshapen(tensor, "two to four dimensions")),
        },
        None if module.find("lokr_t2").is_some() => &["lokr_w2_a:rk", "lokr_w2_b:rn", "lokr_t2:rrhw"],
        None => &["lokr_w2_a:kr", "lokr_w2_b:rn"],
    };
    for tensor in second {
        module.add(&mut op, tensor)?;
    }
    let name = if whole.is_some() { "lokr_w2" } else { "lokr_w2_b" };
    let cols = module.product(&op, name, "nhw")?;
    let core = [op.size('h'), op.size('w')];
    let kernel: &[u64] = match whole {
        Some(tensor) => tensor.shape.get(2..).unwrap_or_default(),
        // A core whose last side is 1 may be of a convolution in one dimension.
        None if core[1] > 1 => &core,
        None => &[],
    };
    let (outputs, columns) = (op.size('l').saturating_mul(op.size('k')), op.size('m').saturating_mul(cols));
    let layer = match kernel {
        [] => LayerShape::flattened(outputs, columns),
        _ => LayerShape::convolution(outputs, op.size('m').saturating_mul(op.size('n')), kernel),
    };
    ParameterUpdate::weight(Op { layer, ..op }.with('f', count).with('c', cols).scaled(
        rank,
        alpha,
        alpha / rank as f64,
    ))
}
