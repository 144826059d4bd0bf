//! One factor in panels, as the tile reads it, and the values it is made from.

use super::isa::{PANEL, ROWS};
use crate::tensor::Float;

/// One position of the rank, for all rows or columns of a panel.
pub(super) trait Group: Copy {
    const LANES: usize;
    const ZERO: Self;
    fn lanes(&self) -> &[f32];
    fn lanes_mut(&mut self) -> &mut [f32];
}

/// One position of the rank for the `ROWS` rows of a left panel.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct LeftGroup([f32; ROWS]);

/// One position of the rank for the `PANEL` columns of a right panel: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct RightGroup([f32; PANEL]);

impl Group for LeftGroup {
    const LANES: usize = ROWS;
    const ZERO: Self = LeftGroup([0.0; ROWS]);

    fn lanes(&self) -> &[f32] {
        &self.0
    }

    fn lanes_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Group for RightGroup {
    const LANES: usize = PANEL;
    const ZERO: Self = RightGroup([0.0; PANEL]);

    fn lanes(&self) -> &[f32] {
        &self.0
    }

    fn lanes_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

/// A factor of `length` rows (the left one) or columns (the right one): panel by panel, in each one rank position by rank position, zeros at
/// the edge.
pub(super) struct Panels<G> {
    length: usize,
    rank: usize,
    groups: Vec<G>,
}

impl<G: Group> Panels<G> {
    /// All zero; nothing where memory is short.
    pub(super) fn try_new(length: usize, rank: usize) -> Option<Self> {
        let groups = zeros(length.div_ceil(G::LANES).checked_mul(rank)?, G::ZERO)?;
        Some(Panels { length, rank, groups })
    }

    /// Of rank 0.
    pub(super) fn none(length: usize) -> Self {
        Panels { length, rank: 0, groups: Vec::new() }
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    pub(super) fn rank(&self) -> usize {
        self.rank
    }

    pub(super) fn put(&mut self, index: usize, k: usize, value: f32) {
        self.groups[index / G::LANES * self.rank + k].lanes_mut()[index % G::LANES] = value;
    }

    /// All values at the rank position `k`.
    pub(super) fn values_mut(&mut self, k: usize) -> impl Iterator<Item = &mut f32> {
        self.groups.iter_mut().skip(k).step_by(self.rank.max(1)).flat_map(|group| group.lanes_mut())
    }

    /// The largest magnitude at the rank position `k`.
    pub(super) fn largest(&self, k: usize) -> f64 {
        let values = self.groups.iter().skip(k).step_by(self.rank.max(1)).flat_map(|group| group.lanes());
        values.fold(0.0f32, |largest, value| largest.max(value.abs())).into()
    }

    /// The panel that holds `index`: `rank` groups.
    pub(super) fn panel(&self, index: usize) -> *const f32 {
        let start = index / G::LANES * self.rank;
        self.groups[start..start + self.rank].as_ptr().cast()
    }

    /// The panels, one after the other.
    pub(super) fn all(&self) -> *const f32 {
        self.groups.as_ptr().cast()
    }
}

/// `count` values, or nothing where memory is short.
pub(super) fn zeros<T: Copy>(count: usize, zero: T) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(count).ok()?;
    vec.resize(count, zero);
    Some(vec)
}

/// Hands the scaled values of a row-major matrix to `take`, with their row and column, until it fails.
///
/// # Panics
/// If `bytes` is not rows × cols elements long.
pub(super) fn unpack<E>(
    bytes: &[u8],
    float: Float,
    scale: f64,
    (rows, cols): (usize, usize),
    take: impl FnMut(usize, usize, f64) -> Result<(), E>,
) -> Result<(), E> {
    let length = (rows as u64).saturating_mul(cols as u64).saturating_mul(float.bytes() as u64);
    assert_eq!(bytes.len() as u64, length, "bytes of a {rows} × {cols} factor in {float:?}");
    if length == 0 {
        return Ok(());
    }
    // One loop for each type, with the type known inside.
    match float {
        Float::F16 => unpack_as(bytes, Float::F16.bytes(), |one| Float::F16.read(one), scale, cols, take),
        Float::Bf16 => unpack_as(bytes, Float::Bf16.bytes(), |one| Float::Bf16.read(one), scale, cols, take),
        Float::F32 => unpack_as(bytes, Float::F32.bytes(), |one| Float::F32.read(one), scale, cols, take),
        Float::F64 => unpack_as(bytes, Float::F64.bytes(), |one| Float::F64.read(one), scale, cols, take),
    }
}

#[inline(always)]
fn unpack_as<E>(
    bytes: &[u8],
    width: usize,
    read: impl Fn(&[u8]) -> f64,
    scale: f64,
    cols: usize,
    mut take: impl FnMut(usize, usize, f64) -> Result<(), E>,
) -> Result<(), E> {
    for (row, elements) in bytes.chunks_exact(cols * width).enumerate() {
        for (col, element) in elements.chunks_exact(width).enumerate() {
            take(row, col, read(element) * scale)?;
        }
    }
    Ok(())
}
