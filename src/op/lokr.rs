//! LoKr (LyCORIS, arXiv 2309.14859): W' = W + scale · w1 ⊗ w2, each of both whole or a product; PEFT's `LoKrLayer.get_delta_weight`.
//!
//! With w1 (l, m) and w2 (k, n), output i·k + p and input j·n + q have w1[i, j] · w2[p, q]. The kernel of a convolution is the innermost
//! part of w2's columns, and so of the weight's.

use super::dense::{Delta, Dense};
use super::matmul::{Matmul, Matrix};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling, rank_and_alpha};
use super::{LayerShape, Method, Op, Place, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// A Kronecker product and its scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Lokr {
    /// `lokr_w1`.
    pub first: KroneckerFactor,
    /// `lokr_w2`.
    pub second: KroneckerFactor,
    /// The sides of a convolution's kernel, where a whole second factor tells them.
    pub kernel: Vec<u64>,
    /// Rank after patterns.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
}

wire!(Lokr { first, second, kernel, rank, alpha });

/// One of the two matrices.
#[derive(Debug, Clone, PartialEq)]
pub struct KroneckerFactor {
    /// The whole matrix; or a left (rows, rank) and a right (rank, cols) factor; or a left (rank, rows), a right (rank, inputs) and a core
    /// (rank, rank, kernel).
    pub operands: Vec<Operand>,
    /// Rows.
    pub rows: u64,
    /// Columns, kernel included.
    pub cols: u64,
}

wire!(KroneckerFactor { operands, rows, cols });

impl KroneckerFactor {
    /// The matrix, from the values of its operands.
    fn matrix(&self, values: &mut impl Iterator<Item = Vec<f64>>, rank: usize) -> Matrix {
        let mut next = || values.next().unwrap_or_default();
        match self.operands.len() {
            1 => Matrix::Whole(next(), self.cols as usize),
            2 => Matrix::Product(Matmul::new(next(), next(), rank, 1.0)),
            _ => {
                let (a, b, core) = (next(), next(), next());
                Matrix::Product(Matmul::of_core(&core, &a, &b, rank, 1.0))
            }
        }
    }

    /// Outputs and columns of the weight.
    fn times(&self, other: &KroneckerFactor) -> (u64, u64) {
        (self.rows.saturating_mul(other.rows), self.cols.saturating_mul(other.cols))
    }
}

impl Lokr {
    /// α/r.
    fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Method for Lokr {
    const NAME: &'static str = "lokr";

    type Prepared = Dense;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        self.first.operands.iter().chain(&self.second.operands).collect()
    }

    fn layer(&self) -> LayerShape {
        let (outputs, columns) = self.first.times(&self.second);
        if self.kernel.is_empty() {
            return LayerShape::flattened(outputs, columns);
        }
        LayerShape::convolution(outputs, columns / self.kernel.iter().product::<u64>().max(1), &self.kernel)
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scaling() })
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let values = self.operands().into_iter().zip(operands).map(|(operand, bytes)| operand.values(bytes, adapter));
        let mut values = values.collect::<Result<Vec<_>>>()?.into_iter();
        let rank = self.rank as usize;
        let first = self.first.matrix(&mut values, rank);
        let second = self.second.matrix(&mut values, rank);
        let (rows, cols) = (self.first.rows as usize, self.first.cols as usize);
        let mut whole = vec![0.0; rows * cols];
        for (number, row) in whole.chunks_exact_mut(cols).enumerate() {
            first.row(number, 0, row);
            row.iter_mut().for_each(|value| *value *= self.scaling());
        }
        let line = match *self.kernel {
            [length] => Some(length as usize),
            _ => None,
        };
        Ok(Dense::new(
            Kronecker { first: whole, rows, cols, second, second_rows: self.second.rows as usize, line },
            place,
            false,
        ))
    }
}

/// Both matrices in memory.
pub(crate) struct Kronecker {
    /// scale · w1, row by row.
    first: Vec<f64>,
    rows: usize,
    cols: usize,
    second: Matrix,
    second_rows: usize,
    /// The length of the kernel of a convolution in one dimension whose w2 is whole.
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
            for (out, value) in out[at..at + count].iter_mut().zip(&row[q..]) {
                *out = factors[j] * value;
            }
            (at, col) = (at + count, col + count);
        }
    }
}

impl Kronecker {
    /// What PEFT computes of a w2 with three sides (k, n, length), in its forward pass too: `torch.kron` takes w1 as (1, l, m), and the
    /// product, (k, l·n, m·length), is only then given the shape of the weight.
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

/// PEFT's `LoKrConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "LOKR"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"]
    }

    /// How a weight is cut into its two factors, their shapes tell.
    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("alpha", Field::Read),
            ("rank_pattern", Field::Read),
            ("alpha_pattern", Field::Read),
            ("rank_dropout", Field::Training),
            ("rank_dropout_scale", Field::Training),
            ("module_dropout", Field::Training),
            ("decompose_both", Field::Training),
            ("decompose_factor", Field::Training),
            ("use_effective_conv2d", Field::Training),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (rank, alpha) = rank_and_alpha(config, module.module, "alpha", (8, 8.0))?;
        if rank == 0 {
            return Err(config.wrong("r", "a whole number above 0"));
        }
        let first = match module.find("lokr_w1") {
            Some(_) => {
                let (operand, [rows, cols]) = module.operand::<2>("lokr_w1")?;
                KroneckerFactor { operands: vec![operand], rows, cols }
            }
            None => product(module, ["lokr_w1_a", "lokr_w1_b"], rank)?,
        };
        let mut kernel = Vec::new();
        let second = match (module.find("lokr_w2"), module.find("lokr_t2")) {
            (Some(tensor), _) => {
                let operand = module.floats(tensor)?;
                let [rows, inputs, sides @ ..] = tensor.shape.as_slice() else {
                    return Err(module.misshapen(tensor, "two to four sides"));
                };
                if tensor.shape.contains(&0) || sides.len() > 2 {
                    return Err(module.misshapen(tensor, "two to four sides, none of them 0"));
                }
                kernel = sides.into();
                let size = module.elements("lokr_w2", sides)?;
                KroneckerFactor {
                    operands: vec![operand],
                    rows: *rows,
                    cols: module.elements("lokr_w2", &[*inputs, size])?,
                }
            }
            (None, Some(_)) => {
                let (left, [_, rows]) = module.operand::<2>("lokr_w2_a")?;
                let (right, [_, inputs]) = module.operand::<2>("lokr_w2_b")?;
                let (core, [_, _, height, length]) = module.operand::<4>("lokr_t2")?;
                module.expect_shape("lokr_w2_a", &[rank, rows])?;
                module.expect_shape("lokr_w2_b", &[rank, inputs])?;
                module.expect_shape("lokr_t2", &[rank, rank, height, length])?;
                let cols = module.elements("lokr_t2", &[inputs, height, length])?;
                KroneckerFactor { operands: vec![left, right, core], rows, cols }
            }
            (None, None) => product(module, ["lokr_w2_a", "lokr_w2_b"], rank)?,
        };
        Ok(ParameterUpdate::weight(Op::Lokr(Lokr { first, second, kernel, rank, alpha })))
    }
}

/// A matrix of two factors.
fn product(module: &ModuleTensors, [a, b]: [&str; 2], rank: u64) -> Result<KroneckerFactor> {
    let (left, [rows, _]) = module.operand::<2>(a)?;
    let (right, [_, cols]) = module.operand::<2>(b)?;
    module.expect_shape(a, &[rows, rank])?;
    module.expect_shape(b, &[rank, cols])?;
    Ok(KroneckerFactor { operands: vec![left, right], rows, cols })
}
