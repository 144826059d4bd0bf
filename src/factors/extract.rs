//! The difference of two weights as factors: D = M − W, row by row, both read anew in every pass.

use super::combine::keep as keep_of;
use super::keep::Keep;
use super::layer::Layer;
use super::low_rank::LowRank;
use super::matrix::Matrix;
use super::plan::Outcome;
use super::sketch::{ROWS_TOGETHER, Rows, sketch, start_key};
use super::svd::Svd;
use crate::encoding::Plain;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span, resize};
use crate::kernel::{Real, row_squares};
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
    const ROW: u64 = 1 << 18;
    let (mut total, mut at, mut values) = (0.0, 0, Vec::new());
    while at < elements {
        let cols = ROW.min(elements - at) as usize;
        let shifted = |plain: Plain| Plain { start: plain.start + at * plain.float.bytes() as u64, ..plain };
        let mut part = Difference::new(name, (1, cols), shifted(base), shifted(tuned), inputs);
        part.before = at;
        total += if part.is_narrow() {
            part.squares::<f32>(&mut values).await?
        } else {
            part.squares::<f64>(&mut Vec::new()).await?
        };
        at += cols as u64;
        if at.is_multiple_of(PAUSE as u64) {
            inputs.pause().await?;
        }
    }
    Ok(total.sqrt())
}

/// Bytes of each weight that are read at a time, at least as many as are multiplied at a time.
const READ: usize = 1 << 20;

/// Elements between two pauses, which take some milliseconds in browsers: about ten of work.
const PAUSE: usize = 1 << 22;

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
    /// Elements that were read since the last pause.
    since_pause: usize,
}

impl<'a, I: Inputs> Difference<'a, I> {
    fn new(name: &'a str, sides: (usize, usize), base: Plain, tuned: Plain, inputs: &'a I) -> Difference<'a, I> {
        let bytes = [Vec::new(), Vec::new()];
        Difference { name, sides, base, tuned, inputs, before: 0, held: (0, 0), bytes, since_pause: 0 }
    }

    /// The sum of the squares of a difference of one row. `values` is room for it.
    async fn squares<R: Real>(&mut self, values: &mut Vec<R>) -> Result<f64> {
        let cols = self.sides.1;
        values.resize(cols, R::ZERO);
        self.read(0, 1, cols, values).await?;
        let mut sum = [0.0];
        row_squares(values, cols, &mut sum);
        Ok(sum[0])
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
        self.since_pause += some * cols;
        if self.since_pause < PAUSE {
            return Ok(());
        }
        self.since_pause = 0;
        self.inputs.pause().await
    }
}

impl<I: Inputs> Rows for Difference<'_, I> {
    fn sides(&self) -> (usize, usize) {
        self.sides
    }

    fn is_narrow(&self) -> bool {
        self.base.float != Float::F64 && self.tuned.float != Float::F64
    }

    async fn read<R: Real>(&mut self, first: usize, count: usize, stride: usize, out: &mut [R]) -> Result<()> {
        let (start, some) = self.held;
        if first < start || first + count > start + some {
            self.hold(first, count).await?;
        }
        let cols = self.sides.1;
        let [base, tuned] = &self.bytes;
        let (base_is, tuned_is) = (self.base.float, self.tuned.float);
        for (row, out) in (first..first + count).zip(out.chunks_mut(stride)) {
            let of_row = |float: Float, bytes: &'_ [u8]| {
                let bytes_of_row = cols * float.bytes();
                let start = (row - self.held.0) * bytes_of_row;
                start.min(bytes.len())..(start + bytes_of_row).min(bytes.len())
            };
            let (base, tuned) = (&base[of_row(base_is, base)], &tuned[of_row(tuned_is, tuned)]);
            let out = &mut out[..cols];
            if !R::subtract((tuned_is, tuned), (base_is, base), out) {
                let at = out.iter().position(|value| !value.is_finite()).unwrap_or(0);
                let element = self.before + (row * cols + at) as u64;
                let reason = "the difference of the two models is NaN or infinite there";
                return Err(Error::non_finite(self.name, element, reason));
            }
        }
        Ok(())
    }
}
