//! One factor in panels, as the tile reads it.

use super::isa::{PANEL, ROWS};

/// One position of the rank, for all rows or columns of a panel.
pub(super) trait Group: Copy {
    const LANES: usize;
    const ZERO: Self;
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
}

impl Group for RightGroup {
    const LANES: usize = PANEL;
    const ZERO: Self = RightGroup([0.0; PANEL]);
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

    /// The values, whichever side they are of.
    pub(super) fn lanes(&mut self) -> Lanes<'_> {
        let count = self.groups.len() * G::LANES;
        // SAFETY: a group is an array of `LANES` f32 whose size is a multiple of its alignment, so that groups one after the other are f32
        // without padding; the borrow is that of all of them.
        let values = unsafe { std::slice::from_raw_parts_mut(self.groups.as_mut_ptr().cast(), count) };
        Lanes { values, width: G::LANES, rank: self.rank, length: self.length }
    }

    /// The panel that holds `index`: `rank` groups.
    pub(super) fn panel(&self, index: usize) -> *const f32 {
        let start = index / G::LANES * self.rank;
        self.groups[start..start + self.rank].as_ptr().cast()
    }

    /// The values of row or column `index`, one for each rank position.
    pub(super) fn values(&mut self, index: usize) -> Vec<f32> {
        let lanes = self.lanes();
        let at = |k: usize| lanes.values.get(lanes.place(index, k)).copied().unwrap_or(0.0);
        (0..lanes.rank).map(at).collect()
    }

    /// The panels, one after the other.
    pub(super) fn all(&self) -> *const f32 {
        self.groups.as_ptr().cast()
    }
}

/// A factor's values: one type for both sides, so that what packs them is there once.
pub(super) struct Lanes<'a> {
    values: &'a mut [f32],
    /// Values of a group: a power of two.
    width: usize,
    pub(super) rank: usize,
    pub(super) length: usize,
}

impl Lanes<'_> {
    #[inline]
    pub(super) fn put(&mut self, index: usize, k: usize, value: f32) {
        let place = self.place(index, k);
        self.values[place] = value;
    }

    #[inline]
    fn place(&self, index: usize, k: usize) -> usize {
        let group = (index >> self.width.trailing_zeros()) * self.rank + k;
        group * self.width + (index & (self.width - 1))
    }

    /// All values at the rank position `k`.
    pub(super) fn at(&mut self, k: usize) -> impl Iterator<Item = &mut f32> {
        self.values.chunks_exact_mut(self.width).skip(k).step_by(self.rank.max(1)).flatten()
    }

    /// The largest magnitude at the rank position `k`.
    pub(super) fn largest(&mut self, k: usize) -> f64 {
        self.at(k).fold(0.0f32, |largest, value| largest.max(value.abs())).into()
    }
}

/// `count` values, or nothing where memory is short.
pub(super) fn zeros<T: Copy>(count: usize, zero: T) -> Option<Vec<T>> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(count).ok()?;
    vec.resize(count, zero);
    Some(vec)
}
