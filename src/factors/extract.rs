//! The difference of two weights as factors: D = M − W, row by row, both read anew in every pass.

use super::combine::keep as keep_of;
use super::keep::Keep;
use super::layer::Layer;
use super::low_rank::LowRank;
use super::matrix::{Matrix, dot, zeros};
use super::plan::Outcome;
use super::sketch::{ROWS_TOGETHER, Rows, sketch, start_key};
use super::svd::Svd;
use crate::encoding::Plain;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span, resize};
use crate::tensor::{Dtype, Float};

/// The factors of a layer whose weight was `base` and is `tuned`; and whether both are stored (inputs, outputs).
pub(crate) async fn extracted(
    module: &str,
    layer: &Layer,
    (base, tuned, transposed): (Plain, Plain, bool),
    keep: Keep,
    seed: u64,
    inputs: &impl Inputs,
) -> Result<(LowRank, Outcome)> {
    let (outputs, columns) = layer.sides().ok_or_else(|| {
        Error::limit_exceeded(module, "its weight has more elements than there is memory").tensor(module)
    })?;
    let (rows, cols) = if transposed { (columns, outputs) } else { (outputs, columns) };
    let mut difference = Difference::new(module, (rows, cols), base, tuned, inputs);
    let found = sketch(&mut difference, keep, start_key(seed, module)).await?;
    if found.total == 0.0 {
        let (left, right) = (Matrix::zeros(outputs, 0)?, Matrix::zeros(columns, 0)?);
        return Ok((LowRank { left, right }, Outcome { norm: Some(0.0), ..Outcome::NOTHING }));
    }
    let Svd { u, values, v } = found.svd;
    let svd = if transposed { Svd { u: v, values, v: u } } else { Svd { u, values, v } };
    Ok(keep_of(svd, found.total, keep))
}

/// The Frobenius norm of the difference of two tensors of the same shape, with so many elements. Those of other types than lorafold computes with
/// are compared as bytes: then it is the square root of how many differ.
pub(crate) async fn difference(
    name: &str,
    elements: u64,
    base: Plain,
    (dtype, at): (Dtype, Span),
    inputs: &impl Inputs,
) -> Result<f64> {
    let Some(float) = Float::of(dtype) else { return Err(Error::internal(format!("{name} is of type {dtype}"))) };
    let tuned = Plain { float, input: at.input, start: at.start };
    // As rows of a size that is read well; the last one may be shorter.
    const ROW: u64 = 4096;
    let mut total = 0.0;
    let mut at = 0;
    while at < elements {
        let step = (ROW * ROWS_TOGETHER as u64).min(elements - at);
        let width = |plain: Plain| plain.float.bytes() as u64;
        let shifted = |plain: Plain| Plain { start: plain.start + at * width(plain), ..plain };
        let cols = usize::try_from(step).unwrap_or(usize::MAX);
        let mut part = Difference::new(name, (1, cols), shifted(base), shifted(tuned), inputs);
        part.before = at;
        let mut values = zeros(Some(cols))?;
        part.read(0, 1, &mut values).await?;
        total += dot(&values, &values);
        at += step;
    }
    Ok(total.sqrt())
}

/// Bytes of each weight that are read at a time, at least as many as are multiplied at a time.
const READ: usize = 1 << 20;

/// tuned − base.
struct Difference<'a, I> {
    name: &'a str,
    sides: (usize, usize),
    base: Plain,
    tuned: Plain,
    inputs: &'a I,
    /// Elements of the tensor before the first row.
    before: u64,
    /// The rows whose bytes are here: the first, and how many.
    held: (usize, usize),
    bytes: [Vec<u8>; 2],
    values: Vec<f64>,
}

impl<'a, I: Inputs> Difference<'a, I> {
    fn new(name: &'a str, sides: (usize, usize), base: Plain, tuned: Plain, inputs: &'a I) -> Difference<'a, I> {
        let (held, bytes, values) = ((0, 0), [Vec::new(), Vec::new()], Vec::new());
        Difference { name, sides, base, tuned, inputs, before: 0, held, bytes, values }
    }

    /// Read the rows from `first` on, `count` of them or more.
    async fn hold(&mut self, first: usize, count: usize) -> Result<()> {
        let (rows, cols) = self.sides;
        let of_read = READ / (cols.max(1) * 4).max(1) / ROWS_TOGETHER * ROWS_TOGETHER;
        let some = of_read.max(count).min(rows - first);
        for (plain, bytes) in [self.base, self.tuned].into_iter().zip(&mut self.bytes) {
            let width = (cols * plain.float.bytes()) as u64;
            resize(bytes, self.name, some as u64 * width)?;
            self.inputs.read(plain.input, plain.start + first as u64 * width, bytes).await?;
        }
        self.held = (first, some);
        self.inputs.pause().await
    }
}

impl<I: Inputs> Rows for Difference<'_, I> {
    fn sides(&self) -> (usize, usize) {
        self.sides
    }

    async fn read(&mut self, first: usize, count: usize, out: &mut [f64]) -> Result<()> {
        let (start, some) = self.held;
        if first < start || first + count > start + some {
            self.hold(first, count).await?;
        }
        let (cols, skipped) = (self.sides.1, first - self.held.0);
        self.values.resize(out.len(), 0.0);
        let [base, tuned] = &self.bytes;
        let part = |plain: Plain, bytes: &'_ [u8]| {
            let width = plain.float.bytes();
            let start = skipped * cols * width;
            start..(start + out.len() * width).min(bytes.len())
        };
        let ranges = [part(self.base, base), part(self.tuned, tuned)];
        self.base.float.read_all(&base[ranges[0].clone()], &mut self.values);
        self.tuned.float.read_all(&tuned[ranges[1].clone()], out);
        for (element, (out, base)) in out.iter_mut().zip(&self.values).enumerate() {
            *out -= base;
            if !out.is_finite() {
                let element = self.before + (first * cols + element) as u64;
                let reason = "the difference of the two models is NaN or infinite there";
                return Err(Error::non_finite(self.name, element, reason));
            }
        }
        Ok(())
    }
}
