//! One run of elements: read the base's, add the deltas, round once.

use crate::dtype::Float;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, try_buffer};
use crate::kernel::{Factors, Layout, NonFinite, Tally, fold_in_place, fold_into};
use crate::plan::{FactorSpec, MergeSpec, Term};

/// Computes merged elements, one block after another, and keeps the packed factors of the latest tensor.
#[derive(Default)]
pub struct Folder {
    packed: Option<(String, Factors)>,
    base: Vec<u8>,
    merged: Vec<u8>,
    allow_nonfinite: bool,
}

impl Folder {
    /// A folder that takes an element which leaves the finite range for an error, unless `allow_nonfinite`.
    pub fn new(allow_nonfinite: bool) -> Folder {
        Folder { allow_nonfinite, ..Folder::default() }
    }

    /// The bytes of elements `first .. first + count` of the output tensor that `spec` describes.
    ///
    /// # Errors
    /// `non-finite` for a factor or a sum that is NaN or infinite, `limit-exceeded` where memory does not suffice, and
    /// whatever reading gives.
    pub async fn fold(
        &mut self,
        inputs: &impl Inputs,
        spec: &MergeSpec,
        first: u64,
        count: u64,
        tally: Option<&mut Tally>,
    ) -> Result<&[u8]> {
        self.pack(inputs, spec).await?;
        let width = spec.from.bytes() as u64;
        resize(&mut self.base, &spec.tensor, count * width)?;
        inputs.read(spec.input, spec.start + first * width, &mut self.base).await?;
        let Some((_, factors)) = &self.packed else {
            return Err(Error::LimitExceeded {
                subject: spec.tensor.clone(),
                reason: "its factors are not packed".into(),
            });
        };
        let (result, merged) = if spec.from == spec.to {
            (fold_in_place(factors, first, spec.from, &mut self.base, tally), &self.base)
        } else {
            resize(&mut self.merged, &spec.tensor, count * spec.to.bytes() as u64)?;
            (fold_into(factors, first, spec.from, &self.base, spec.to, &mut self.merged, tally), &self.merged)
        };
        match result {
            Err(NonFinite { element }) if !self.allow_nonfinite => Err(Error::NonFinite {
                tensor: spec.tensor.clone(),
                element,
                adapter: None,
                reason: format!("a finite value of the base becomes infinite or NaN in {}", spec.to.dtype().name()),
            }),
            _ => Ok(merged),
        }
    }

    /// Bytes of an input as they are, in the same buffer.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice, and whatever reading gives.
    pub async fn copy(&mut self, inputs: &impl Inputs, input: usize, start: u64, bytes: u64) -> Result<&[u8]> {
        resize(&mut self.base, "a copied block", bytes)?;
        inputs.read(input, start, &mut self.base).await?;
        Ok(&self.base)
    }

    /// Have the factors of `spec` packed: rows × Σ ranks and Σ ranks × columns.
    async fn pack(&mut self, inputs: &impl Inputs, spec: &MergeSpec) -> Result<()> {
        if self.packed.as_ref().is_some_and(|(tensor, _)| *tensor == spec.tensor) {
            return Ok(());
        }
        self.packed = None;
        let size = |value: u64| {
            usize::try_from(value).map_err(|_| Error::LimitExceeded {
                subject: spec.tensor.clone(),
                reason: format!("a side of {value} elements is too long for this machine"),
            })
        };
        let mut factors = Factors::try_new(size(spec.rows)?, size(spec.cols)?, size(spec.rank())?)?;
        let mut k0 = 0;
        for term in &spec.terms {
            let rank = size(term.rank)?;
            pack_term(&mut factors, inputs, spec, term, k0, rank).await?;
            k0 += rank;
        }
        self.packed = Some((spec.tensor.clone(), factors));
        Ok(())
    }
}

/// Pack one adapter's pair. W stored (out, in) takes B as rows and A as columns; stored (in, out) it takes Aᵀ and Bᵀ.
/// The scale goes onto B in f64, with one rounding.
async fn pack_term(
    factors: &mut Factors,
    inputs: &impl Inputs,
    spec: &MergeSpec,
    term: &Term,
    k0: usize,
    rank: usize,
) -> Result<()> {
    let coefficient = term.weight * term.scale;
    let bytes = read_factor(inputs, &term.a).await?;
    let found = if spec.transposed {
        factors.pack_left(k0, rank, Layout::Transposed, &bytes, term.a.float, 1.0)
    } else {
        factors.pack_right(k0, rank, Layout::AsIs, &bytes, term.a.float, 1.0)
    };
    found.map_err(|at| non_finite(term, &term.a, at.index))?;
    let bytes = read_factor(inputs, &term.b).await?;
    let found = if spec.transposed {
        factors.pack_right(k0, rank, Layout::Transposed, &bytes, term.b.float, coefficient)
    } else {
        factors.pack_left(k0, rank, Layout::AsIs, &bytes, term.b.float, coefficient)
    };
    found.map_err(|at| non_finite(term, &term.b, at.index))
}

async fn read_factor(inputs: &impl Inputs, factor: &FactorSpec) -> Result<Vec<u8>> {
    let mut bytes = try_buffer(&factor.key, factor.bytes)?;
    inputs.read(factor.input, factor.start, &mut bytes).await?;
    Ok(bytes)
}

fn non_finite(term: &Term, factor: &FactorSpec, element: u64) -> Error {
    Error::NonFinite {
        tensor: factor.key.clone(),
        element,
        adapter: Some(term.adapter.clone()),
        reason: match factor.float {
            Float::F64 => "NaN, infinite, or beyond f32 once scaled".into(),
            _ => "NaN or infinite (or becomes so once scaled)".into(),
        },
    }
}

/// Grow or shrink without ever reserving more than is needed.
fn resize(buffer: &mut Vec<u8>, subject: &str, bytes: u64) -> Result<()> {
    let fail = || Error::LimitExceeded {
        subject: subject.into(),
        reason: format!("{bytes} bytes of memory are not to be had"),
    };
    let length = usize::try_from(bytes).map_err(|_| fail())?;
    if length > buffer.capacity() {
        *buffer = Vec::new();
        buffer.try_reserve_exact(length).map_err(|_| fail())?;
    }
    buffer.resize(length, 0);
    Ok(())
}
