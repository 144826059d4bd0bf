//! The packed factors of the tensors at hand: made from the bytes of every term's A and B, kept while there is room.

use std::collections::VecDeque;

use crate::error::{Error, Result};
use crate::kernel::{FactorLayout, Factors, Unrepresentable};
use crate::plan::{FactorSpec, MergeSpec, Term};
use crate::tensor::Float;

/// Factors being packed, one after the other: rows × Σ ranks and Σ ranks × columns.
pub(super) struct Packing<'a> {
    spec: &'a MergeSpec,
    factors: Factors,
    /// Which factor is next, A and B of each term in turn, and where its ranks begin.
    next: usize,
    k0: usize,
}

impl<'a> Packing<'a> {
    /// Room for the factors of `spec`.
    fn begin(spec: &'a MergeSpec) -> Result<Packing<'a>> {
        let factors = Factors::try_new(size(spec, spec.rows)?, size(spec, spec.cols)?, size(spec, spec.rank())?)?;
        Ok(Packing { spec, factors, next: 0, k0: 0 })
    }

    /// Every factor that [`add`](Self::add) wants, in order.
    pub(super) fn factors(&self) -> impl Iterator<Item = &'a FactorSpec> + use<'a> {
        self.spec.terms.iter().flat_map(|term| [&term.a, &term.b])
    }

    /// Pack the next factor, all of whose bytes are given. W stored (out, in) takes B as rows and A as columns; stored (in, out) it takes Aᵀ and Bᵀ.
    /// The scale goes onto B in f64, with one rounding.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(term) = self.spec.terms.get(self.next / 2) else { return Ok(()) };
        let is_b = self.next % 2 == 1;
        let (factor, scale) = if is_b { (&term.b, term.weight * term.scale) } else { (&term.a, 1.0) };
        let rank = size(self.spec, term.rank)?;
        let layout = if self.spec.transposed { FactorLayout::Transposed } else { FactorLayout::AsIs };
        let found = if is_b == self.spec.transposed {
            self.factors.pack_right(self.k0, rank, layout, bytes, factor.float, scale)
        } else {
            self.factors.pack_left(self.k0, rank, layout, bytes, factor.float, scale)
        };
        found.map_err(|value| unrepresentable(term, factor, value))?;
        self.next += 1;
        if is_b {
            self.k0 += rank;
        }
        Ok(())
    }
}

fn size(spec: &MergeSpec, value: u64) -> Result<usize> {
    usize::try_from(value).map_err(|_| {
        Error::limit_exceeded(spec.tensor.clone(), format!("a side of {value} elements is too long for this machine"))
    })
}

fn unrepresentable(term: &Term, factor: &FactorSpec, value: Unrepresentable) -> Error {
    let reason = match (value, factor.float) {
        (Unrepresentable::Underflow { .. }, _) => {
            "with the other factor so far apart in size that f32 cannot hold both"
        }
        (_, Float::F64) => "NaN, infinite, or beyond f32 once scaled",
        _ => "NaN or infinite (or becomes so once scaled)",
    };
    Error::non_finite(factor.key.clone(), value.index(), reason).adapter(term.adapter.clone())
}

/// Packed factors by tensor, the latest used last.
pub(super) struct PackedFactors {
    tensors: VecDeque<(String, Factors)>,
    limit: u64,
}

impl PackedFactors {
    /// Room for `limit` bytes; the factors of one tensor are kept whatever their size.
    pub(super) fn new(limit: u64) -> PackedFactors {
        PackedFactors { tensors: VecDeque::new(), limit }
    }

    pub(super) fn holds(&self, tensor: &str) -> bool {
        self.tensors.iter().any(|(name, _)| name == tensor)
    }

    /// Begin to pack the factors of `spec`; the oldest give way before memory is asked for.
    pub(super) fn pack<'a>(&mut self, spec: &'a MergeSpec) -> Result<Packing<'a>> {
        let side = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        let wanted = Factors::bytes_needed(side(spec.rows), side(spec.cols), side(spec.rank()));
        let mut bytes: u64 = self.tensors.iter().map(|(_, factors)| factors.bytes()).sum();
        while bytes.saturating_add(wanted) > self.limit
            && let Some((_, oldest)) = self.tensors.pop_front()
        {
            bytes -= oldest.bytes();
        }
        Packing::begin(spec)
    }

    /// Keep what was packed, which must be every factor.
    pub(super) fn keep(&mut self, packing: Packing) {
        debug_assert_eq!(packing.next, 2 * packing.spec.terms.len());
        self.tensors.push_back((packing.spec.tensor.clone(), packing.factors));
    }

    /// The factors of a tensor, which are now the latest used.
    pub(super) fn get(&mut self, tensor: &str) -> Result<&Factors> {
        if let Some(at) = self.tensors.iter().position(|(name, _)| name == tensor)
            && let Some(entry) = self.tensors.remove(at)
        {
            self.tensors.push_back(entry);
        }
        match self.tensors.back() {
            Some((name, factors)) if name == tensor => Ok(factors),
            _ => Err(Error::bad_option("factors", format!("those of {tensor} are not there"))),
        }
    }
}
