//! The low-rank factors of one tensor, packed for the tile.

use super::isa::{PANEL, ROWS};
use crate::tensor::Float;
use crate::{Error, Result};

/// One position of the rank for the `ROWS` rows of a left panel.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct LeftGroup([f32; ROWS]);

/// One position of the rank for the `PANEL` columns of a right panel: one cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct RightGroup([f32; PANEL]);

/// Left (rows × rank) and right (rank × cols) factors of one tensor's delta, in f32, the ranks of all adapters one after the other.
///
/// Both are stored in panels, of `ROWS` rows and of `PANEL` columns, rank position by rank position, zeros at the edges: the tile
/// reads both from beginning to end.
pub struct Factors {
    rows: usize,
    cols: usize,
    rank: usize,
    left: Vec<LeftGroup>,
    right: Vec<RightGroup>,
}

/// How a given factor is laid out, row-major in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FactorLayout {
    /// Left: rows × rank; right: rank × cols.
    AsIs,
    /// Left: rank × rows; right: cols × rank.
    Transposed,
}

/// A factor's value that is infinite or NaN, or becomes so when scaled and rounded to f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonFiniteAt {
    /// Which value, counted in the bytes that were given.
    pub index: u64,
}

impl Factors {
    /// Factors of the delta of a rows × cols tensor, all zero.
    ///
    /// # Errors
    /// [`Error::LimitExceeded`] where there is not enough memory.
    pub fn try_new(rows: usize, cols: usize, rank: usize) -> Result<Self> {
        let left = zeros(rows.div_ceil(ROWS), rank, LeftGroup([0.0; ROWS]));
        let right = zeros(cols.div_ceil(PANEL), rank, RightGroup([0.0; PANEL]));
        let (Some(left), Some(right)) = (left, right) else {
            return Err(Error::limit_exceeded(
                format!("factors of rank {rank} for a {rows} × {cols} tensor"),
                format!("no memory for {} bytes", Self::bytes_needed(rows, cols, rank)),
            ));
        };
        Ok(Factors { rows, cols, rank, left, right })
    }

    /// No factors: a fold with them only changes the type of `elements` elements.
    pub fn none(elements: usize) -> Self {
        Factors { rows: 1, cols: elements, rank: 0, left: Vec::new(), right: Vec::new() }
    }

    /// The bytes that [`try_new`](Self::try_new) would allocate.
    pub fn bytes_needed(rows: usize, cols: usize, rank: usize) -> u64 {
        let padded = |length: usize, to: usize| (length.div_ceil(to) as u64).saturating_mul(to as u64);
        let values = padded(rows, ROWS).saturating_add(padded(cols, PANEL)).saturating_mul(rank as u64);
        values.saturating_mul(size_of::<f32>() as u64)
    }

    /// The bytes that are allocated.
    pub fn bytes(&self) -> u64 {
        Self::bytes_needed(self.rows, self.cols, self.rank)
    }

    /// Rows of the tensor.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the tensor.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Sum of the adapters' ranks.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// Packs an adapter's left factor, rows × `r` (or its transpose), into the rank positions `k0..k0 + r`.
    ///
    /// `bytes` are little-endian elements of type `float`, of any alignment. Each value is multiplied by `scale` in f64, then rounded to f32.
    ///
    /// # Errors
    /// The first value that is not finite; the factor is then partly packed.
    ///
    /// # Panics
    /// If `bytes` is not rows × `r` elements long, or `k0 + r` exceeds the rank.
    pub fn pack_left(
        &mut self,
        k0: usize,
        r: usize,
        layout: FactorLayout,
        bytes: &[u8],
        float: Float,
        scale: f64,
    ) -> std::result::Result<(), NonFiniteAt> {
        let (rows, rank) = (self.rows, self.rank);
        assert!(k0 + r <= rank, "rank positions {k0}..{k0}+{r} of {rank}");
        let left = &mut self.left;
        let mut put = |row: usize, k: usize, value| left[row / ROWS * rank + k0 + k].0[row % ROWS] = value;
        match layout {
            FactorLayout::AsIs => unpack(bytes, float, scale, rows, r, put),
            FactorLayout::Transposed => unpack(bytes, float, scale, r, rows, |k, row, value| put(row, k, value)),
        }
    }

    /// Packs an adapter's right factor, `r` × cols (or its transpose), into the rank positions `k0..k0 + r`.
    ///
    /// Everything else is as in [`pack_left`](Self::pack_left).
    ///
    /// # Errors
    /// The first value that is not finite; the factor is then partly packed.
    ///
    /// # Panics
    /// If `bytes` is not `r` × cols elements long, or `k0 + r` exceeds the rank.
    pub fn pack_right(
        &mut self,
        k0: usize,
        r: usize,
        layout: FactorLayout,
        bytes: &[u8],
        float: Float,
        scale: f64,
    ) -> std::result::Result<(), NonFiniteAt> {
        let (cols, rank) = (self.cols, self.rank);
        assert!(k0 + r <= rank, "rank positions {k0}..{k0}+{r} of {rank}");
        let right = &mut self.right;
        let mut put = |k: usize, col: usize, value| right[col / PANEL * rank + k0 + k].0[col % PANEL] = value;
        match layout {
            FactorLayout::AsIs => unpack(bytes, float, scale, r, cols, put),
            FactorLayout::Transposed => unpack(bytes, float, scale, cols, r, |col, k, value| put(k, col, value)),
        }
    }

    /// The left panel that holds `row`.
    pub(super) fn left_panel(&self, row: usize) -> *const f32 {
        let start = row / ROWS * self.rank;
        self.left[start..start + self.rank].as_ptr().cast()
    }

    /// The right panels, one after the other.
    pub(super) fn right_panels(&self) -> *const f32 {
        self.right.as_ptr().cast()
    }
}

/// `panels * rank` groups, or nothing where memory is short.
fn zeros<Group: Copy>(panels: usize, rank: usize, zero: Group) -> Option<Vec<Group>> {
    let groups = panels.checked_mul(rank)?;
    let mut vec = Vec::new();
    vec.try_reserve_exact(groups).ok()?;
    vec.resize(groups, zero);
    Some(vec)
}

/// Hands the scaled values of a row-major matrix to `put`, with their row and column.
fn unpack(
    bytes: &[u8],
    float: Float,
    scale: f64,
    rows: usize,
    cols: usize,
    put: impl FnMut(usize, usize, f32),
) -> std::result::Result<(), NonFiniteAt> {
    let length = (rows as u64).saturating_mul(cols as u64).saturating_mul(float.bytes() as u64);
    assert_eq!(bytes.len() as u64, length, "bytes of a {rows} × {cols} factor in {float:?}");
    if length == 0 {
        return Ok(());
    }
    // One loop for each type, with the type known inside.
    match float {
        Float::F16 => unpack_as(bytes, Float::F16.bytes(), |one| Float::F16.read(one), scale, cols, put),
        Float::Bf16 => unpack_as(bytes, Float::Bf16.bytes(), |one| Float::Bf16.read(one), scale, cols, put),
        Float::F32 => unpack_as(bytes, Float::F32.bytes(), |one| Float::F32.read(one), scale, cols, put),
        Float::F64 => unpack_as(bytes, Float::F64.bytes(), |one| Float::F64.read(one), scale, cols, put),
    }
}

#[inline(always)]
fn unpack_as(
    bytes: &[u8],
    width: usize,
    read: impl Fn(&[u8]) -> f64,
    scale: f64,
    cols: usize,
    mut put: impl FnMut(usize, usize, f32),
) -> std::result::Result<(), NonFiniteAt> {
    for (row, elements) in bytes.chunks_exact(cols * width).enumerate() {
        for (col, element) in elements.chunks_exact(width).enumerate() {
            let value = (read(element) * scale) as f32;
            if !value.is_finite() {
                return Err(NonFiniteAt { index: (row * cols + col) as u64 });
            }
            put(row, col, value);
        }
    }
    Ok(())
}
