//! One run of elements: read the base's, add the deltas, round once.

use super::factors::PackedFactors;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, try_buffer};
use crate::kernel::{NonFinite, Statistics, fold_in_place, fold_into};
use crate::plan::MergeSpec;

/// Computes merged elements, one block after another, and keeps the packed factors of the latest tensors.
pub struct Merger {
    packed: PackedFactors,
    base: Vec<u8>,
    merged: Vec<u8>,
    allow_nonfinite: bool,
}

impl Merger {
    /// A folder that takes an element which leaves the finite range for an error, unless `allow_nonfinite`, and keeps packed factors
    /// of at most `factor_bytes`, but always those of the latest tensor.
    pub fn new(allow_nonfinite: bool, factor_bytes: u64) -> Merger {
        Merger { packed: PackedFactors::new(factor_bytes), base: Vec::new(), merged: Vec::new(), allow_nonfinite }
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
        statistics: Option<&mut Statistics>,
    ) -> Result<&[u8]> {
        self.pack(inputs, spec).await?;
        let width = spec.from.bytes() as u64;
        resize(&mut self.base, &spec.tensor, count * width)?;
        inputs.read(spec.input, spec.start + first * width, &mut self.base).await?;
        self.fold_base(spec, first, count, statistics)
    }

    /// [`fold`](Self::fold) of elements that were read ahead: `base` fills them in.
    ///
    /// # Errors
    /// As `fold`, and whatever `base` gives.
    pub async fn fold_read(
        &mut self,
        inputs: &impl Inputs,
        spec: &MergeSpec,
        first: u64,
        count: u64,
        statistics: Option<&mut Statistics>,
        base: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<&[u8]> {
        self.pack(inputs, spec).await?;
        self.fold_filled(spec, first, count, statistics, base)
    }

    /// Have the factors of `spec` packed.
    async fn pack(&mut self, inputs: &impl Inputs, spec: &MergeSpec) -> Result<()> {
        if self.packed.holds(&spec.tensor) {
            return Ok(());
        }
        let mut packing = self.packed.pack(spec)?;
        for factor in packing.factors() {
            let mut bytes = try_buffer(&factor.key, factor.bytes)?;
            inputs.read(factor.input, factor.start, &mut bytes).await?;
            packing.add(&bytes)?;
        }
        self.packed.keep(packing);
        Ok(())
    }

    /// Whether [`fold_given`](Self::fold_given) needs no factors for this tensor.
    pub fn has_factors(&self, tensor: &str) -> bool {
        self.packed.holds(tensor)
    }

    /// [`fold`](Self::fold) for a driver that has read everything itself: `base` fills in the elements' bytes, `factor` those of the factor of
    /// that number (every term's A and B in turn), which is not asked where [`has_factors`](Self::has_factors). It never waits, so that
    /// one folder can serve many readers who wait for their own bytes.
    ///
    /// # Errors
    /// As `fold`, and whatever `base` and `factor` give.
    pub fn fold_given(
        &mut self,
        spec: &MergeSpec,
        first: u64,
        count: u64,
        mut factor: impl FnMut(usize, &mut [u8]) -> Result<()>,
        base: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<&[u8]> {
        if !self.packed.holds(&spec.tensor) {
            let mut packing = self.packed.pack(spec)?;
            for (number, wanted) in packing.factors().enumerate() {
                let mut bytes = try_buffer(&wanted.key, wanted.bytes)?;
                factor(number, &mut bytes)?;
                packing.add(&bytes)?;
            }
            self.packed.keep(packing);
        }
        self.fold_filled(spec, first, count, None, base)
    }

    /// Fold the elements that `base` fills in.
    fn fold_filled(
        &mut self,
        spec: &MergeSpec,
        first: u64,
        count: u64,
        statistics: Option<&mut Statistics>,
        base: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<&[u8]> {
        resize(&mut self.base, &spec.tensor, count * spec.from.bytes() as u64)?;
        base(&mut self.base)?;
        self.fold_base(spec, first, count, statistics)
    }

    /// Fold the elements that stand in `self.base`.
    fn fold_base(
        &mut self,
        spec: &MergeSpec,
        first: u64,
        count: u64,
        statistics: Option<&mut Statistics>,
    ) -> Result<&[u8]> {
        let factors = self.packed.get(&spec.tensor)?;
        let (result, merged) = if spec.from == spec.to {
            (fold_in_place(factors, first, spec.from, &mut self.base, statistics), &self.base)
        } else {
            resize(&mut self.merged, &spec.tensor, count * spec.to.bytes() as u64)?;
            (fold_into(factors, first, spec.from, &self.base, spec.to, &mut self.merged, statistics), &self.merged)
        };
        match result {
            Err(NonFinite { element }) if !self.allow_nonfinite => Err(Error::non_finite(
                spec.tensor.clone(),
                element,
                format!("a finite value of the base becomes infinite or NaN in {}", spec.to.dtype()),
            )),
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
}

/// Grow or shrink without ever reserving more than is needed.
fn resize(buffer: &mut Vec<u8>, subject: &str, bytes: u64) -> Result<()> {
    let fail = || Error::limit_exceeded(subject, format!("{bytes} bytes of memory are not to be had"));
    let length = usize::try_from(bytes).map_err(|_| fail())?;
    if length > buffer.capacity() {
        *buffer = Vec::new();
        buffer.try_reserve_exact(length).map_err(|_| fail())?;
    }
    buffer.resize(length, 0);
    Ok(())
}
