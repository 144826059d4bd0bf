//! Divides a range of elements into tiles.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::factors::Factors;
use super::isa::{Kernel, PANEL, ROWS, Strip, StripFn};
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
/// [`NonFinite`] if a finite element became infinite or NaN. The whole range is folded in any case. Elements that were
/// infinite or NaN before are no error.
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
    // SAFETY: both pointers are the start of `bytes`, which is `count` elements long; `elements` has checked that they lie within the tensor.
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
    // SAFETY: the pointers are the starts of `src` and `dst`, `count` elements each, which cannot overlap as one is borrowed mutably;
    // `elements` has checked that they lie within the tensor.
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

/// Bytes of the right factor that stay in the second-level cache while the rows are folded.
const BLOCK_BYTES: usize = 256 << 10;

/// Most columns of a block, and elements of a row if the length of rows may be chosen.
const BLOCK_COLS: usize = 256 * PANEL;

/// Columns of the scratch tiles on which parts of tiles are folded.
const SCRATCH_COLS: usize = 8 * PANEL;

/// Bytes of the scratch tiles, of elements no longer than f32.
const SCRATCH_BYTES: usize = ROWS * SCRATCH_COLS * size_of::<f32>();

/// One call's work.
struct Fold<'a> {
    kernel: Kernel,
    factors: &'a Factors,
    /// The element of the tensor that `base` and `out` point to.
    first: u64,
    /// Elements of a row. At rank 0 rows make no difference, so this is a number that is fast; otherwise it is the tensor's.
    cols: usize,
    /// The same element as `first`, counted in those rows.
    start: u64,
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
            cols: factors.cols(),
            start: first,
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
        if self.factors.rank() == 0 {
            self.cols = (count / ROWS / PANEL * PANEL).clamp(PANEL, BLOCK_COLS);
            self.start = 0;
        }
        let cols = self.cols;
        let place = |element: u64| ((element / cols as u64) as usize, (element % cols as u64) as usize);
        let (mut row, col) = place(self.start);
        let (end_row, end_col) = place(self.start + count as u64);
        // SAFETY: the end of the first row, the whole rows and the start of the last one lie between `start` and `start + count`, and are disjoint.
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
        let width = (panels.max(1) * PANEL).min(BLOCK_COLS);
        let mut col = cols.start;
        while col < cols.end {
            let end = cols.end.min((col / width + 1) * width);
            let mut row = rows.start;
            while row < rows.end {
                let end_row = rows.end.min((row / ROWS + 1) * ROWS);
                // SAFETY: both ranges are cut to the rectangle's, and the rows to one panel.
                unsafe { self.panel(row..end_row, col..end) };
                row = end_row;
            }
            col = end;
        }
    }

    /// Folds rows of one left panel: whole tiles in place, parts of tiles on scratch tiles.
    ///
    /// # Safety
    /// These elements are part of the range, the rows within one left panel.
    unsafe fn panel(&mut self, rows: Range<usize>, cols: Range<usize>) {
        let width = self.kernel.columns;
        let whole = cols.start.next_multiple_of(width)..cols.end / width * width;
        let all_rows = rows.len() == ROWS;
        // SAFETY: all are parts of the given elements, which are part of the range, and `whole` is whole columns of tiles.
        unsafe {
            match self.kernel.strip {
                None => self.one_by_one(rows, cols),
                // A strip's statistics count all columns of its tiles.
                Some(strip) if self.statistics.is_some() => {
                    let (start, end) = if whole.is_empty() { (cols.end, cols.end) } else { (whole.start, whole.end) };
                    self.one_by_one(rows.clone(), cols.start..start);
                    if all_rows {
                        self.strip(strip, rows.start, start..end);
                    } else {
                        self.parts(strip, rows.clone(), start..end);
                    }
                    self.one_by_one(rows, end..cols.end);
                }
                Some(strip) if all_rows && !whole.is_empty() => {
                    self.parts(strip, rows.clone(), cols.start..whole.start);
                    self.strip(strip, rows.start, whole.clone());
                    self.parts(strip, rows, whole.end..cols.end);
                }
                Some(strip) => self.parts(strip, rows, cols),
            }
        }
    }

    /// Folds whole tiles. Tiles with infinities or NaNs are folded element by element.
    ///
    /// # Safety
    /// These elements are part of the range; `row` is the first of a left panel, the columns are multiples of the kernel's.
    unsafe fn strip(&mut self, strip: StripFn, row: usize, cols: Range<usize>) {
        let width = self.kernel.columns;
        let mut column = cols.start;
        while column < cols.end {
            let offset = self.offset(row, column);
            // SAFETY: the elements from `offset` on, `ROWS` rows of them, are part of the range that both pointers cover.
            unsafe {
                let base = self.base.add(offset * self.from.bytes());
                let out = self.out.add(offset * self.to.bytes());
                let tiles = (cols.end - column) / width;
                column += width * self.tiles(strip, 0..ROWS, row, column, tiles, (base, self.cols), (out, self.cols));
                if column < cols.end {
                    self.one_by_one(row..row + ROWS, column..column + width);
                    column += width;
                }
            }
        }
    }

    /// Folds parts of tiles (some of a panel's rows, some of a tile's columns): copies them to whole tiles and back. What the other
    /// elements of those tiles hold does not matter.
    ///
    /// # Safety
    /// These elements are part of the range, the rows within one left panel.
    unsafe fn parts(&mut self, strip: StripFn, rows: Range<usize>, cols: Range<usize>) {
        if cols.is_empty() {
            return;
        }
        let width = self.kernel.columns;
        let panel = rows.start / ROWS * ROWS;
        let counted = rows.start - panel..rows.end - panel;
        let (from, to) = (self.from.bytes(), self.to.bytes());
        let mut base = [0u8; SCRATCH_BYTES];
        let mut out = MaybeUninit::<[u8; SCRATCH_BYTES]>::uninit();
        let (base, out) = (base.as_mut_ptr(), out.as_mut_ptr().cast::<u8>());
        let mut column = cols.start;
        while column < cols.end {
            let tile = column / width * width;
            let end = cols.end.min(tile + SCRATCH_COLS);
            let tiles = (end - tile).div_ceil(width);
            let scratch = |row: usize| row % ROWS * SCRATCH_COLS + column - tile;
            // SAFETY: `column..end` lies within `SCRATCH_COLS` columns from `tile` on, so each row's copy stays within its row of the
            // scratch tiles; in the tensor it is part of the range. Both strips of memory are this function's own. All columns up to
            // `folded` are of tiles that the kernel has written.
            unsafe {
                for row in rows.clone() {
                    let source = self.base.add(self.offset(row, column) * from);
                    base.add(scratch(row) * from).copy_from_nonoverlapping(source, (end - column) * from);
                }
                let (source, target) = ((base.cast_const(), SCRATCH_COLS), (out, SCRATCH_COLS));
                let done = self.tiles(strip, counted.clone(), panel, tile, tiles, source, target);
                let folded = end.min(tile + done * width).max(column);
                for row in rows.clone() {
                    let target = self.out.add(self.offset(row, column) * to);
                    target.copy_from_nonoverlapping(out.add(scratch(row) * to), (folded - column) * to);
                }
                column = folded;
                if done < tiles {
                    let next = end.min((column / width + 1) * width);
                    self.one_by_one(rows.clone(), column..next);
                    column = next;
                }
            }
        }
    }

    /// Lets the kernel fold tiles side by side, in memory whose rows have the given numbers of elements. Returns how many it folded.
    ///
    /// # Safety
    /// `base` and `out` point to the first element of `tiles` tiles, the same or without overlap; `row` is the first of a left panel,
    /// and `column` a multiple of the kernel's.
    #[allow(clippy::too_many_arguments, reason = "what a strip is made of")]
    unsafe fn tiles(
        &mut self,
        strip: StripFn,
        counted: Range<usize>,
        row: usize,
        column: usize,
        tiles: usize,
        (base, base_cols): (*const u8, usize),
        (out, out_cols): (*mut u8, usize),
    ) -> usize {
        let work = Strip {
            left: self.factors.left_panel(row),
            right: self.factors.right_panels(),
            rank: self.factors.rank(),
            column,
            tiles,
            counted,
            base,
            base_stride: base_cols * self.from.bytes(),
            out,
            out_stride: out_cols * self.to.bytes(),
        };
        let mut unused = Statistics::default();
        // SAFETY: `Kernel::detect` chose the kernel for this CPU (in tests, a check before) and these types; the panels are those of these rows and columns, `rank` long; base and
        // output hold the tiles.
        unsafe { strip(&work, self.statistics.as_mut().unwrap_or(&mut unused)) }
    }

    /// Folds elements with scalar arithmetic, the product still by the kernel: f64, infinities, NaNs, what
    /// overflows, and, with statistics, columns that are no whole tile.
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
            // SAFETY: `Kernel::detect` chose the kernel for this CPU (in tests, a check before). Both pointers are to `rank` groups, `right` to the tile's
            // first column in its panel; `delta` has room for the largest tile, `ROWS` × `PANEL`.
            unsafe { (self.kernel.product)(left, right, rank, delta.as_mut_ptr()) };
            for row in rows.clone() {
                for col in column..end {
                    // SAFETY: `row` and `col` are within the given ranges, which are part of the range.
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
        // SAFETY: the element is part of the range, so `base` covers it; `bytes` has room for the longest.
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
        // SAFETY: the element is part of the range, so `out` covers it.
        unsafe {
            let out = self.out.add(offset * self.to.bytes());
            out.copy_from_nonoverlapping(bytes.as_ptr(), self.to.bytes());
        }
    }

    /// Elements from the start of the range.
    fn offset(&self, row: usize, col: usize) -> usize {
        (row as u64 * self.cols as u64 + col as u64 - self.start) as usize
    }
}
