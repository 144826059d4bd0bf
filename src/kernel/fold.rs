//! From a range of elements to tiles.

use std::ops::Range;

use super::factors::Factors;
use super::isa::{Kernel, PANEL, ROWS, Strip};
use super::statistics::Statistics;
use crate::tensor::Float;

/// A finite element of the base that became infinite or NaN in the output type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonFinite {
    /// The first such element, row-major in the tensor.
    pub element: u64,
}

/// Folds the elements of W from `first` on (row-major, any range) in place: W + L·R, rounded once to `float`.
///
/// `bytes` are little-endian elements of type `float`, of any alignment. The result does not depend on how a tensor is split into ranges.
///
/// # Errors
/// [`NonFinite`] where a finite element became infinite or NaN. The whole range is folded all the same. Elements that were
/// so before are no error.
///
/// # Panics
/// If `bytes` is not a whole number of elements, or reaches beyond the tensor.
pub fn fold_in_place(
    factors: &Factors,
    first: u64,
    float: Float,
    bytes: &mut [u8],
    statistics: Option<&mut Statistics>,
) -> Result<(), NonFinite> {
    let kernel = Kernel::detect(float, float, statistics.is_some());
    fold_in_place_with(kernel, factors, first, float, bytes, statistics)
}

/// [`fold_in_place`] from `src`, elements of type `from`, to `dst`, elements of type `to`.
///
/// # Errors
/// As [`fold_in_place`].
///
/// # Panics
/// As [`fold_in_place`], or if `src` and `dst` are not equally many elements.
pub fn fold_into(
    factors: &Factors,
    first: u64,
    from: Float,
    src: &[u8],
    to: Float,
    dst: &mut [u8],
    statistics: Option<&mut Statistics>,
) -> Result<(), NonFinite> {
    let kernel = Kernel::detect(from, to, statistics.is_some());
    fold_into_with(kernel, factors, first, from, src, to, dst, statistics)
}

/// [`fold_in_place`] with a given kernel for that type.
pub(super) fn fold_in_place_with(
    kernel: Kernel,
    factors: &Factors,
    first: u64,
    float: Float,
    bytes: &mut [u8],
    statistics: Option<&mut Statistics>,
) -> Result<(), NonFinite> {
    let count = elements(factors, first, float, bytes);
    let out = bytes.as_mut_ptr();
    let mut fold = Fold::new(kernel, factors, first, (float, out), (float, out), statistics.is_some());
    // SAFETY: both pointers are the start of the same `count` elements, which lie within the tensor.
    unsafe { fold.range(count) };
    fold.finish(statistics)
}

/// [`fold_into`] with a given kernel for those types.
#[allow(clippy::too_many_arguments, reason = "those of fold_into and one more")]
pub(super) fn fold_into_with(
    kernel: Kernel,
    factors: &Factors,
    first: u64,
    from: Float,
    src: &[u8],
    to: Float,
    dst: &mut [u8],
    statistics: Option<&mut Statistics>,
) -> Result<(), NonFinite> {
    let count = elements(factors, first, from, src);
    assert_eq!(count, elements(factors, first, to, dst), "elements of source and destination");
    let mut fold =
        Fold::new(kernel, factors, first, (from, src.as_ptr()), (to, dst.as_mut_ptr()), statistics.is_some());
    // SAFETY: the pointers are the starts of `count` elements each, which lie within the tensor, in different slices.
    unsafe { fold.range(count) };
    fold.finish(statistics)
}

/// How many elements `bytes` holds; checks that they lie within the tensor.
fn elements(factors: &Factors, first: u64, float: Float, bytes: &[u8]) -> usize {
    assert!(bytes.len().is_multiple_of(float.bytes()), "{} bytes of {float:?}", bytes.len());
    let count = bytes.len() / float.bytes();
    let end = (factors.rows() as u64).saturating_mul(factors.cols() as u64);
    assert!(first.checked_add(count as u64).is_some_and(|last| last <= end), "elements {first} + {count} of {end}");
    count
}

/// What stays of the right factor in the second-level cache while the rows go by.
const BLOCK_BYTES: usize = 256 << 10;

/// One call's work.
struct Fold<'a> {
    kernel: Kernel,
    factors: &'a Factors,
    /// The element that `base` and `out` point to.
    first: u64,
    from: Float,
    base: *const u8,
    to: Float,
    out: *mut u8,
    statistics: Option<Statistics>,
    non_finite: Option<u64>,
}

impl<'a> Fold<'a> {
    fn new(
        kernel: Kernel,
        factors: &'a Factors,
        first: u64,
        (from, base): (Float, *const u8),
        (to, out): (Float, *mut u8),
        statistics: bool,
    ) -> Self {
        Fold {
            kernel,
            factors,
            first,
            from,
            base,
            to,
            out,
            statistics: statistics.then(Statistics::default),
            non_finite: None,
        }
    }

    fn finish(self, statistics: Option<&mut Statistics>) -> Result<(), NonFinite> {
        if let (Some(total), Some(part)) = (statistics, self.statistics) {
            total.absorb(&part);
        }
        match self.non_finite {
            Some(element) => Err(NonFinite { element }),
            None => Ok(()),
        }
    }

    /// Folds `count` elements: the end of a row, whole rows, the beginning of a row.
    ///
    /// # Safety
    /// `base` and `out` point to `count` elements each, the same or without overlap, and `first + count` is within the tensor.
    unsafe fn range(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let cols = self.factors.cols();
        let place = |element: u64| ((element / cols as u64) as usize, (element % cols as u64) as usize);
        let (mut row, col) = place(self.first);
        let (end_row, end_col) = place(self.first + count as u64);
        // SAFETY: the caller's promise; the rectangles are disjoint parts of the range.
        unsafe {
            if row == end_row {
                return self.rectangle(row..row + 1, col..end_col);
            }
            if col > 0 {
                self.rectangle(row..row + 1, col..cols);
                row += 1;
            }
            self.rectangle(row..end_row, 0..cols);
            self.rectangle(end_row..end_row + 1, 0..end_col);
        }
    }

    /// Folds a rectangle, in blocks of columns.
    ///
    /// # Safety
    /// The rectangle is part of the range.
    unsafe fn rectangle(&mut self, rows: Range<usize>, cols: Range<usize>) {
        if rows.is_empty() || cols.is_empty() {
            return;
        }
        let panels = BLOCK_BYTES / (PANEL * size_of::<f32>() * self.factors.rank().max(1));
        let width = panels.clamp(1, 256) * PANEL;
        let mut col = cols.start;
        while col < cols.end {
            let end = cols.end.min((col / width + 1) * width);
            let mut row = rows.start;
            while row < rows.end {
                let end_row = rows.end.min((row / ROWS + 1) * ROWS);
                // SAFETY: part of the rectangle.
                unsafe { self.panel(row..end_row, col..end) };
                row = end_row;
            }
            col = end;
        }
    }

    /// Folds rows of one left panel: whole tiles by the kernel, the rest one by one.
    ///
    /// # Safety
    /// These elements are part of the range, the rows within one left panel.
    unsafe fn panel(&mut self, rows: Range<usize>, cols: Range<usize>) {
        let width = self.kernel.columns;
        let start = cols.start.next_multiple_of(width);
        let end = cols.end / width * width;
        // SAFETY: the caller's promise: all are parts of the given elements.
        unsafe {
            if rows.len() == ROWS && start < end && self.kernel.strip.is_some() {
                self.one_by_one(rows.clone(), cols.start..start);
                self.strip(rows.start, start..end);
                self.one_by_one(rows, end..cols.end);
            } else {
                self.one_by_one(rows, cols);
            }
        }
    }

    /// Folds whole tiles; those with infinities or NaNs one by one.
    ///
    /// # Safety
    /// These elements are part of the range; `row` is the first of a left panel, the columns are multiples of the kernel's.
    unsafe fn strip(&mut self, row: usize, cols: Range<usize>) {
        let Some(strip) = self.kernel.strip else { return };
        let width = self.kernel.columns;
        let mut unused = Statistics::default();
        let mut column = cols.start;
        while column < cols.end {
            let offset = self.offset(row, column);
            let work = Strip {
                left: self.factors.left_panel(row),
                right: self.factors.right_panels(),
                rank: self.factors.rank(),
                column,
                tiles: (cols.end - column) / width,
                base: self.base.wrapping_add(offset * self.from.bytes()),
                base_stride: self.factors.cols() * self.from.bytes(),
                out: self.out.wrapping_add(offset * self.to.bytes()),
                out_stride: self.factors.cols() * self.to.bytes(),
            };
            // SAFETY: the kernel was made for this CPU and these types; the rest is the caller's promise.
            unsafe {
                column += width * strip(&work, self.statistics.as_mut().unwrap_or(&mut unused));
                if column < cols.end {
                    self.one_by_one(row..row + ROWS, column..column + width);
                    column += width;
                }
            }
        }
    }

    /// Folds elements with scalar arithmetic, the product still by the kernel: edges, infinities, NaNs, and f64.
    ///
    /// # Safety
    /// These elements are part of the range, the rows within one left panel.
    #[cold]
    unsafe fn one_by_one(&mut self, rows: Range<usize>, cols: Range<usize>) {
        let width = self.kernel.columns;
        let rank = self.factors.rank();
        let left = self.factors.left_panel(rows.start);
        let mut delta = [0.0f32; ROWS * PANEL];
        let mut column = cols.start;
        while column < cols.end {
            let tile = column / width * width;
            let end = cols.end.min(tile + width);
            let right = self.factors.right_panels().wrapping_add(tile / PANEL * PANEL * rank + tile % PANEL);
            // SAFETY: the kernel was made for this CPU; the panels are `rank` long; a tile is at most ROWS × PANEL.
            unsafe { (self.kernel.product)(left, right, rank, delta.as_mut_ptr()) };
            for row in rows.clone() {
                for col in column..end {
                    // SAFETY: the caller's promise.
                    unsafe { self.element(row, col, delta[row % ROWS * width + col - tile]) };
                }
            }
            column = end;
        }
    }

    /// Folds one element.
    ///
    /// # Safety
    /// It is part of the range.
    unsafe fn element(&mut self, row: usize, col: usize, delta: f32) {
        let offset = self.offset(row, col);
        let mut bytes = [0; 8];
        // SAFETY: the element is within the range that `base` covers.
        unsafe {
            let base = self.base.add(offset * self.from.bytes());
            base.copy_to_nonoverlapping(bytes.as_mut_ptr(), self.from.bytes());
        }
        let base = self.from.read(&bytes);
        let sum = match self.from {
            Float::F64 => base + f64::from(delta),
            _ => (base as f32 + delta).into(),
        };
        self.to.write(sum, &mut bytes);
        let out = self.to.read(&bytes);
        if base.is_finite() && !out.is_finite() {
            let element = self.first + offset as u64;
            self.non_finite = Some(self.non_finite.map_or(element, |first| first.min(element)));
        }
        if let Some(statistics) = &mut self.statistics {
            let mut unmerged = [0; 8];
            self.to.write(base, &mut unmerged);
            let width = self.to.bytes();
            statistics.add(base, delta, out, bytes[..width] != unmerged[..width]);
        }
        // SAFETY: the element is within the range that `out` covers.
        unsafe {
            let out = self.out.add(offset * self.to.bytes());
            out.copy_from_nonoverlapping(bytes.as_ptr(), self.to.bytes());
        }
    }

    /// Elements from the start of the range.
    fn offset(&self, row: usize, col: usize) -> usize {
        (row as u64 * self.factors.cols() as u64 + col as u64 - self.first) as usize
    }
}
