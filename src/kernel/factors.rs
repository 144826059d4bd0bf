//! The low-rank factors of one tensor, packed for the tile.

use super::isa::{PANEL, ROWS};
use super::panels::{Lanes, LeftGroup, Panels, RightGroup, zeros};
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Float;

/// Left (rows × rank) and right (rank × cols) factors of one tensor's delta, in f32, the ranks of all adapters one after the other.
///
/// # Balance
/// Where a scaled value is beyond the range of f32 though its products need not be (A of 1e30, a scale of 1e-36), the factor packed second
/// is multiplied by a power of two, rank position by rank position, and the first divided by it. Powers of two are exact: the
/// products keep their bits, and ordinary factors are left as they are.
///
/// A value below f32's normal range loses at most 2^-150 when it is rounded. That counts as harmless while the other factor's values at
/// its rank position are below 2^25: the delta then errs by less than 2^-125, about the least normal f32.
pub struct Factors {
    left: Panels<LeftGroup>,
    right: Panels<RightGroup>,
    positions: Vec<Position>,
}

/// What is known of a rank position while its factors are packed.
#[derive(Clone, Copy)]
struct Position {
    /// The largest magnitude of the factor at hand, scaled.
    largest: f64,
    /// What that factor is multiplied with, and the other one divided by.
    power: f64,
    /// The largest magnitude of the other factor, divided.
    others: f64,
    /// Whether a value of a factor packed before lost bits below the normal range.
    underflow: bool,
}

/// Where the other factor's values are this large, bits lost below the normal range count.
const LARGE: f64 = (1u64 << 25) as f64;

/// How a given factor is laid out, row-major in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FactorLayout {
    /// Left: rows × rank; right: rank × cols.
    AsIs,
    /// Left: rank × rows; right: cols × rank.
    Transposed,
}

/// A factor's value that f32 cannot represent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrepresentable {
    /// Infinite or NaN, or so once scaled and rounded to f32.
    NonFinite {
        /// Which value, counted in the bytes that were given.
        index: u64,
    },
    /// So small that f32 loses bits of it, or of a value of the factor packed before, and the other factor so large that they count.
    Underflow {
        /// Which value, counted in the bytes that were given.
        index: u64,
    },
}

impl Unrepresentable {
    /// Which value, counted in the bytes that were given.
    pub fn index(self) -> u64 {
        match self {
            Unrepresentable::NonFinite { index } | Unrepresentable::Underflow { index } => index,
        }
    }
}

impl Factors {
    /// Factors of the delta of a rows × cols tensor, all zero.
    ///
    /// # Errors
    /// `limit-exceeded` where there is not enough memory.
    pub fn try_new(rows: usize, cols: usize, rank: usize) -> Result<Self> {
        let positions = zeros(rank, Position { largest: 0.0, power: 1.0, others: 0.0, underflow: false });
        match (Panels::try_new(rows, rank), Panels::try_new(cols, rank), positions) {
            (Some(left), Some(right), Some(positions)) => Ok(Factors { left, right, positions }),
            _ => Err(Error::limit_exceeded(
                format!("factors of rank {rank} for a {rows} × {cols} tensor"),
                format!("there is not enough memory: {} bytes are needed", Self::bytes_needed(rows, cols, rank)),
            )
            .kind(ErrorKind::NoMemory)),
        }
    }

    /// No factors: a fold with them only changes the type of `elements` elements.
    pub fn none(elements: usize) -> Self {
        Factors { left: Panels::none(1), right: Panels::none(elements), positions: Vec::new() }
    }

    /// The bytes that [`try_new`](Self::try_new) would allocate.
    pub fn bytes_needed(rows: usize, cols: usize, rank: usize) -> u64 {
        let padded = |length: usize, to: usize| (length.div_ceil(to) as u64).saturating_mul(to as u64);
        let values = padded(rows, ROWS).saturating_add(padded(cols, PANEL));
        let position = values.saturating_mul(size_of::<f32>() as u64).saturating_add(size_of::<Position>() as u64);
        position.saturating_mul(rank as u64)
    }

    /// The bytes that are allocated.
    pub fn bytes(&self) -> u64 {
        Self::bytes_needed(self.rows(), self.cols(), self.rank())
    }

    /// Rows of the tensor.
    pub fn rows(&self) -> usize {
        self.left.length()
    }

    /// Columns of the tensor.
    pub fn cols(&self) -> usize {
        self.right.length()
    }

    /// Sum of the adapters' ranks.
    pub fn rank(&self) -> usize {
        self.left.rank()
    }

    /// Packs an adapter's left factor, rows × `r` (or its transpose), into the rank positions `k0..k0 + r`.
    ///
    /// `bytes` are little-endian elements of type `float`, of any alignment. Each value is multiplied by `scale` in f64, then rounded to f32.
    /// The factor that is scaled comes second, so that it can be [balanced](Self#balance) against the first.
    ///
    /// # Errors
    /// A value that f32 cannot represent; the factor is then partly packed.
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
    ) -> std::result::Result<(), Unrepresentable> {
        let given = Given { bytes, float, scale, rank_by_rank: layout == FactorLayout::Transposed };
        pack(self.left.lanes(), self.right.lanes(), &mut self.positions, (k0, r), &given)
    }

    /// Packs an adapter's right factor, `r` × cols (or its transpose), into the rank positions `k0..k0 + r`.
    ///
    /// Everything else is as in [`pack_left`](Self::pack_left).
    ///
    /// # Errors
    /// A value that f32 cannot represent; the factor is then partly packed.
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
    ) -> std::result::Result<(), Unrepresentable> {
        let given = Given { bytes, float, scale, rank_by_rank: layout == FactorLayout::AsIs };
        pack(self.right.lanes(), self.left.lanes(), &mut self.positions, (k0, r), &given)
    }

    /// Their values as they are packed: the left ones row by row, for each row those of all rank positions; the right ones so for each column.
    pub fn values(&mut self) -> [Vec<f32>; 2] {
        let (rows, cols) = (self.rows(), self.cols());
        [
            (0..rows).flat_map(|row| self.left.values(row)).collect(),
            (0..cols).flat_map(|col| self.right.values(col)).collect(),
        ]
    }

    /// The left panel that holds `row`: `rank` groups of `ROWS` values.
    pub(super) fn left_panel(&self, row: usize) -> *const f32 {
        self.left.panel(row)
    }

    /// The right panels, one after the other, each `rank` groups of `PANEL` values.
    pub(super) fn right_panels(&self) -> *const f32 {
        self.right.all()
    }
}

/// A factor as it was read.
struct Given<'a> {
    bytes: &'a [u8],
    float: Float,
    scale: f64,
    /// Whether its rows are rank positions, else its columns are.
    rank_by_rank: bool,
}

/// Elements that are decoded at a time.
const TOGETHER: usize = 512;

impl Given<'_> {
    /// Hands each scaled value to `take`, with its rank position and its row or column of the tensor, until it fails.
    ///
    /// # Panics
    /// If the bytes are not as many elements.
    fn values(
        &self,
        r: usize,
        length: usize,
        mut take: impl FnMut(usize, usize, f64) -> std::result::Result<(), Unrepresentable>,
    ) -> std::result::Result<(), Unrepresentable> {
        let Given { bytes, float, scale, rank_by_rank } = *self;
        let expected = (r as u64).saturating_mul(length as u64).saturating_mul(float.bytes() as u64);
        assert_eq!(bytes.len() as u64, expected, "bytes of a factor of rank {r} and length {length} in {float:?}");
        let cols = if rank_by_rank { length } else { r };
        let (mut row, mut col) = (0, 0);
        let mut values = [0.0; TOGETHER];
        for bytes in bytes.chunks(TOGETHER * float.bytes()) {
            let values = &mut values[..bytes.len() / float.bytes()];
            float.read_all(bytes, values);
            for &mut value in values {
                let (k, index) = if rank_by_rank { (row, col) } else { (col, row) };
                take(k, index, value * scale)?;
                col += 1;
                if col == cols {
                    (row, col) = (row + 1, 0);
                }
            }
        }
        Ok(())
    }

    /// Which value stands there.
    fn index(&self, r: usize, length: usize, k: usize, index: usize) -> u64 {
        if self.rank_by_rank { k as u64 * length as u64 + index as u64 } else { index as u64 * r as u64 + k as u64 }
    }
}

/// Packs a factor beside the other one, which may be packed already.
fn pack(
    mut own: Lanes,
    other: Lanes,
    positions: &mut [Position],
    (k0, r): (usize, usize),
    given: &Given,
) -> std::result::Result<(), Unrepresentable> {
    assert!(k0 + r <= own.rank, "rank positions {k0}..{k0}+{r} of {}", own.rank);
    let positions = &mut positions[k0..k0 + r];
    let mut ordinary = positions.iter().all(|position| !position.underflow);
    given.values(r, own.length, |k, index, value| {
        let packed = value as f32;
        ordinary &= packed.is_finite() && !underflows(value);
        own.put(index, k0 + k, packed);
        Ok(())
    })?;
    if ordinary { Ok(()) } else { balance(own, other, positions, k0, given) }
}

/// What goes through the values of a factor once more.
type Take<'a> = &'a mut dyn FnMut(usize, usize, f64) -> std::result::Result<(), Unrepresentable>;

/// Packs a factor with values beyond the normal range of f32.
#[cold]
fn balance(
    mut own: Lanes,
    mut other: Lanes,
    positions: &mut [Position],
    k0: usize,
    given: &Given,
) -> std::result::Result<(), Unrepresentable> {
    let (r, length) = (positions.len(), own.length);
    positions.iter_mut().for_each(|position| position.largest = 0.0);
    let measure: Take = &mut |k, index, value| {
        let index = given.index(r, length, k, index);
        if !value.is_finite() {
            return Err(Unrepresentable::NonFinite { index });
        }
        // What the factor before lost when it was packed cannot be had back.
        if positions[k].underflow && value.abs() >= LARGE {
            return Err(Unrepresentable::Underflow { index });
        }
        positions[k].largest = positions[k].largest.max(value.abs());
        Ok(())
    };
    given.values(r, length, measure)?;
    for (k, position) in positions.iter_mut().enumerate() {
        let others = other.largest(k0 + k);
        position.power = power_of_two(position.largest, others);
        position.others = others / position.power;
        position.underflow = false;
        if position.power != 1.0 {
            for value in other.at(k0 + k) {
                let divided = f64::from(*value) / position.power;
                position.underflow |= underflows(divided);
                *value = divided as f32;
            }
        }
    }
    let put: Take = &mut |k, index, value| {
        let Position { power, others, underflow, .. } = positions[k];
        let value = value * power;
        let packed = value as f32;
        let at = given.index(r, length, k, index);
        if !packed.is_finite() || !(others as f32).is_finite() {
            return Err(Unrepresentable::NonFinite { index: at });
        }
        if underflow && value.abs() >= LARGE || underflows(value) && others >= LARGE {
            return Err(Unrepresentable::Underflow { index: at });
        }
        positions[k].underflow |= underflows(value);
        own.put(index, k0 + k, packed);
        Ok(())
    };
    given.values(r, length, put)
}

/// What to multiply a factor with at a rank position, and to divide the other one by: 1 where both are ordinary.
fn power_of_two(own: f64, other: f64) -> f64 {
    let ordinary = (own as f32).is_finite() && other < LARGE;
    if ordinary || own == 0.0 || other == 0.0 {
        return 1.0;
    }
    let exponent = |value: f64| (value.to_bits() >> 52) as i64 - 1023;
    let half = (exponent(other) - exponent(own)).div_euclid(2);
    f64::from_bits(((1023 + half) as u64) << 52)
}

/// Whether a value loses bits in f32 because it is below the normal range.
fn underflows(value: f64) -> bool {
    value.abs() < f64::from(f32::MIN_POSITIVE) && f64::from(value as f32) != value
}
