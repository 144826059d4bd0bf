//! The leading right singular vectors of a matrix W that is nowhere as a whole: only products of WᵀW with a block of vectors are asked for, one
//! in each round.
//!
//! Block Lanczos from a random start (Golub, Underwood 1977), each block made orthogonal to all before it, twice; when the basis is full, it is
//! replaced by its best Ritz vectors (thick restart: Wu, Simon, SIAM J. Matrix Anal. 22, 2000). The block is wider than the number of vectors,
//! so that vectors with one singular value are all found. It ends when the residuals show that W V Vᵀ, V the vectors, is exact to about
//! [`EXACT`] of the length of W. What f64 cannot tell apart is an error, and never a guess.
//!
//! Squaring W costs nothing here: f64 has twice the digits of the f32 in which PEFT decomposes.

use super::matrix::{Matrix, add_multiple, dot, turned, zeros};
use super::symmetric::{Symmetric, symmetric};
use crate::error::Result;
use crate::tensor::philox::random_block;

/// What W V Vᵀ may be off by, of the length of W as far as that is known (both by Frobenius): an eighth of what rounding to f32 moves.
const EXACT: f64 = 1.0 / (1u64 << 27) as f64;

/// What is no longer there after rounding, of the largest eigenvalue of WᵀW. The square of what f32 resolves.
const NOISE: f64 = 1.0 / (1u64 << 46) as f64;

/// Rounds at most. 25 to 50 are usual.
const ROUNDS: usize = 400;

/// Vectors of the basis, at least, before it is restarted; and blocks of it.
const BASIS: usize = 256;
const BLOCKS: usize = 6;

/// Blocks after which it is looked whether the vectors are found.
const UNSEEN: usize = 3;

/// The start's own key.
const KEY: u64 = 0x6c65_6164_696e_6773;

/// Vectors of a block for `wanted` vectors of `length` values each: at least eight more, in fours because the products are.
pub(crate) fn width(wanted: u64, length: u64) -> u64 {
    wanted.saturating_add((wanted / 8).max(8)).div_ceil(4).saturating_mul(4).min(length)
}

/// The block that the first round multiplies, (length, width) row by row.
pub(crate) fn start(block: &mut [f64]) {
    draw(0, block);
}

fn draw(first: u64, values: &mut [f64]) {
    for (block, values) in values.chunks_mut(4).enumerate() {
        for (value, number) in values.iter_mut().zip(random_block(first + block as u64, KEY)) {
            *value = f64::from(number as i32) / (1u64 << 31) as f64;
        }
    }
}

/// What a round has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Round {
    /// Another block must be multiplied.
    Another,
    /// The vectors.
    Found,
    /// Which vectors they are cannot be told: the singular values to both sides of the edge are too near one another.
    Unclear,
    /// A value of W is NaN or infinite, or too large to be squared.
    NotFinite,
}

/// The search under way.
#[derive(Debug)]
pub(crate) struct Leading {
    wanted: usize,
    width: usize,
    /// Vectors that the basis has room for.
    most: usize,
    /// Orthonormal. The latest block are its last columns.
    basis: Matrix,
    latest: usize,
    /// basisᵀ @ WᵀW @ basis, column by column in a square of `most`, as far as it is known: without the latest block until that is multiplied.
    projected: Vec<f64>,
    /// The longest column of a product.
    longest: f64,
    rounds: usize,
    /// Rounds since it was looked whether the vectors are found.
    unseen: usize,
    /// Blocks of random numbers that were used.
    drawn: u64,
}

/// What is left of a product when the basis is taken out.
struct Rest {
    /// The next block, orthonormal.
    block: Matrix,
    /// block @ triangle is what is left.
    triangle: Matrix,
    /// What was taken out, (basis, columns of the product).
    part: Matrix,
}

impl Leading {
    /// A search for `wanted` vectors of `length` values. It will take (`most` + 3 · `width`) · `length` numbers, `most` being 256 or six widths.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn new(wanted: usize, length: usize) -> Result<Leading> {
        let width = width(wanted as u64, length as u64) as usize;
        let most = BASIS.max(width.saturating_mul(BLOCKS));
        // A little more, and nothing is ever restarted.
        let most = if length <= most.saturating_add(width) { length } else { most };
        Ok(Leading {
            wanted: wanted.min(length),
            width,
            most,
            basis: Matrix { rows: length, cols: 0, values: Vec::new() },
            latest: 0,
            projected: zeros(most.checked_mul(most))?,
            longest: 0.0,
            rounds: 0,
            unseen: 0,
            drawn: (length as u64).saturating_mul(width as u64),
        })
    }

    /// Take WᵀW @ block, (length, width) row by row, and put into `block` what comes next: the block of the next round, or the vectors, one in each
    /// of the first columns, and zeros behind them.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub(crate) fn next(&mut self, products: &[f64], block: &mut [f64]) -> Result<Round> {
        self.rounds += 1;
        if !products.iter().all(|value| value.is_finite()) {
            return Ok(Round::NotFinite);
        }
        let length = self.basis.rows;
        // Of the first round nothing but the direction counts.
        let taken = if self.rounds == 1 { self.width } else { self.latest };
        let product = Matrix { rows: length, cols: self.width, values: turned(products, length, self.width)? };
        let product = product.truncated(taken);
        self.longest = product.columns().map(|column| dot(column, column).sqrt()).fold(self.longest, f64::max);
        if !self.longest.is_finite() {
            return Ok(Round::NotFinite);
        }
        let rest = self.rest(product)?;
        if self.rounds == 1 {
            // The random block was no unit vectors.
            self.longest = 0.0;
        }
        self.project(&rest.part);
        self.unseen += 1;
        let known = self.basis.cols;
        let is_full = known + self.width > self.most;
        if known > 0 && (is_full || self.unseen >= UNSEEN) {
            self.unseen = 0;
            let Some(ritz) = symmetric(self.square(known)?)? else { return Ok(Round::NotFinite) };
            match self.verdict(&ritz, &rest.triangle) {
                Round::Another if known == length => return Ok(Round::Unclear),
                Round::Another => {}
                Round::Found => {
                    self.turn(&ritz, self.wanted)?;
                    self.write(0..self.wanted, block);
                    return Ok(Round::Found);
                }
                other => return Ok(other),
            }
            if is_full && known < length && known + rest.block.cols > self.most {
                self.restart(&ritz)?;
            }
        }
        if self.rounds >= ROUNDS {
            return Ok(Round::Unclear);
        }
        self.extend(rest.block)?;
        self.write(self.basis.cols - self.latest..self.basis.cols, block);
        Ok(Round::Another)
    }

    /// Take the basis out of a product, twice, and make an orthonormal block of what is left.
    fn rest(&mut self, mut product: Matrix) -> Result<Rest> {
        let (known, length) = (self.basis.cols, self.basis.rows);
        let wanted = self.width.min(length - known);
        let least = NOISE * self.longest;
        let mut part = Matrix::zeros(known, product.cols)?;
        self.remove(&mut product, &mut part);
        let mut triangle = orthonormal(&mut product, least, wanted)?;
        // Rounding has left a part of the basis in short columns.
        let mut again = Matrix::zeros(known, product.cols)?;
        self.remove(&mut product, &mut again);
        let second = orthonormal(&mut product, 0.5, wanted)?;
        add_product(&mut part, &again, &triangle);
        triangle = second.times(&triangle)?;
        // Where there are fewer directions than columns, others take their place.
        let mut block = product;
        for _ in block.cols..wanted {
            let mut column = zeros(Some(length))?;
            draw(self.drawn, &mut column);
            self.drawn += length.div_ceil(4) as u64;
            for _ in 0..2 {
                for other in self.basis.columns().chain(block.columns()) {
                    let share = dot(other, &column);
                    add_multiple(&mut column, -share, other);
                }
                let norm = dot(&column, &column).sqrt();
                column.iter_mut().for_each(|value| *value /= norm);
            }
            block.values.extend(column);
            block.cols += 1;
        }
        let mut tall = Matrix::zeros(block.cols, triangle.cols)?;
        for (to, from) in tall.values.chunks_exact_mut(block.cols.max(1)).zip(triangle.columns()) {
            to[..from.len()].copy_from_slice(from);
        }
        Ok(Rest { block, triangle: tall, part })
    }

    /// Take the basis out of the columns, and add what was taken to `part`.
    fn remove(&self, columns: &mut Matrix, part: &mut Matrix) {
        let (known, length) = (self.basis.cols, self.basis.rows);
        for (number, vector) in self.basis.columns().enumerate() {
            for (column, part) in columns.values.chunks_exact_mut(length).zip(part.values.chunks_exact_mut(known)) {
                let share = dot(vector, column);
                add_multiple(column, -share, vector);
                part[number] += share;
            }
        }
    }

    /// Take what the latest block's product has of the basis.
    fn project(&mut self, part: &Matrix) {
        let first = self.basis.cols - self.latest;
        for (column, values) in part.columns().enumerate().take(self.latest) {
            for (row, value) in values.iter().enumerate() {
                self.projected[(first + column) * self.most + row] = *value;
                self.projected[row * self.most + first + column] = *value;
            }
        }
    }

    /// The first `cols` rows and columns of what is known.
    fn square(&self, cols: usize) -> Result<Matrix> {
        let mut square = Matrix::zeros(cols, cols)?;
        for (to, from) in square.values.chunks_exact_mut(cols).zip(self.projected.chunks_exact(self.most)) {
            to.copy_from_slice(&from[..cols]);
        }
        Ok(square)
    }

    /// Whether the first Ritz vectors are the vectors.
    fn verdict(&self, ritz: &Symmetric, triangle: &Matrix) -> Round {
        let Symmetric { values, vectors } = ritz;
        let first = self.basis.cols - self.latest;
        let noise = NOISE * values.first().copied().unwrap_or(0.0);
        // The part of WᵀW @ v that no vector of the basis has.
        let residual = |at: usize| {
            let mut rest = vec![0.0; triangle.rows];
            let shares = vectors.col(at)[first..].iter();
            triangle.columns().zip(shares).for_each(|(column, share)| add_multiple(&mut rest, *share, column));
            dot(&rest, &rest).sqrt().max(noise)
        };
        // The nearest value that does not belong to the vectors: it may be as much larger as its own residual is long.
        let (edge, mut settled) = match values.get(self.wanted) {
            Some(value) => (value + residual(self.wanted), residual(self.wanted) <= 4.0 * noise),
            None => (0.0, true),
        };
        let mut off = 0.0;
        for (at, value) in values.iter().enumerate().take(self.wanted).take_while(|(_, value)| **value > noise) {
            let (residual, gap) = (residual(at), value - edge);
            settled &= residual <= 4.0 * noise;
            // How far it is turned towards the others.
            let angle = if gap > residual { residual / gap } else { 1.0 };
            off += value * angle * angle;
        }
        let length: f64 = values.iter().sum();
        match off <= EXACT * EXACT * length {
            true => Round::Found,
            false if settled => Round::Unclear,
            false => Round::Another,
        }
    }

    /// Replace the basis by its first `count` Ritz vectors.
    fn turn(&mut self, ritz: &Symmetric, count: usize) -> Result<()> {
        let (length, known) = (self.basis.rows, self.basis.cols);
        let mut row = zeros(Some(known))?;
        for at in 0..length {
            row.iter_mut().zip(self.basis.values[at..].iter().step_by(length)).for_each(|(to, from)| *to = *from);
            for (column, vector) in ritz.vectors.columns().enumerate().take(count) {
                self.basis.values[column * length + at] = dot(vector, &row);
            }
        }
        self.basis.cols = count;
        self.basis.values.truncate(count * length);
        Ok(())
    }

    /// Go on with the best Ritz vectors: so many that little is forgotten, and so few that several blocks have room.
    fn restart(&mut self, ritz: &Symmetric) -> Result<()> {
        let kept = (self.most / 2).max(self.wanted + 8);
        self.turn(ritz, kept)?;
        self.projected.fill(0.0);
        (0..kept).for_each(|at| self.projected[at * self.most + at] = ritz.values[at]);
        Ok(())
    }

    fn extend(&mut self, block: Matrix) -> Result<()> {
        let basis = &mut self.basis;
        // As many as there will be: the memory is asked for once.
        if basis.values.capacity() == 0 {
            let mut values = zeros(self.most.checked_mul(basis.rows))?;
            values.clear();
            basis.values = values;
        }
        basis.values.extend_from_slice(&block.values);
        basis.cols += block.cols;
        self.latest = block.cols;
        Ok(())
    }

    /// Some columns of the basis, (length, width) row by row.
    fn write(&self, columns: std::ops::Range<usize>, block: &mut [f64]) {
        block.fill(0.0);
        for (to, column) in columns.enumerate() {
            let places = block.iter_mut().skip(to).step_by(self.width);
            places.zip(self.basis.col(column)).for_each(|(place, value)| *place = *value);
        }
    }
}

/// Make the columns orthonormal, leaving out those of which no more than `least` is left, and all beyond `most`; and give the triangle that makes of
/// them what they were.
fn orthonormal(matrix: &mut Matrix, least: f64, most: usize) -> Result<Matrix> {
    let (length, cols) = (matrix.rows, matrix.cols);
    let mut triangle = Matrix::zeros(cols.min(most), cols)?;
    let mut kept = 0;
    for col in 0..cols {
        let (before, after) = matrix.values.split_at_mut(col * length);
        let column = &mut after[..length];
        for _ in 0..2 {
            for (number, other) in before.chunks_exact(length).take(kept).enumerate() {
                let share = dot(other, column);
                add_multiple(column, -share, other);
                triangle.col_mut(col)[number] += share;
            }
        }
        let norm = dot(column, column).sqrt();
        if norm <= least || kept == most {
            continue;
        }
        triangle.col_mut(col)[kept] = norm;
        column.iter_mut().for_each(|value| *value /= norm);
        matrix.values.copy_within(col * length..(col + 1) * length, kept * length);
        kept += 1;
    }
    matrix.cols = kept;
    matrix.values.truncate(kept * length);
    // Rows that no column was kept for are zeros.
    let mut short = Matrix::zeros(kept, cols)?;
    for (to, from) in short.values.chunks_exact_mut(kept.max(1)).zip(triangle.columns()) {
        to.copy_from_slice(&from[..kept]);
    }
    Ok(short)
}

/// to += one @ other.
fn add_product(to: &mut Matrix, one: &Matrix, other: &Matrix) {
    for (col, factors) in other.columns().enumerate().take(to.cols) {
        let to = to.col_mut(col);
        one.columns().zip(factors).for_each(|(column, factor)| add_multiple(to, *factor, column));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::Random;
    use crate::linear::gram::add_gram;
    use crate::linear::qr::qr;
    use crate::linear::svd::{Svd, svd};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// What the search says of a matrix, with the vectors as (cols, width) row by row, and the number of rounds.
    fn search(matrix: &Matrix, rank: usize) -> (Round, Vec<f64>, usize, usize) {
        let rows = turned(&matrix.values, matrix.cols, matrix.rows).unwrap();
        let cols = matrix.cols;
        let width = width(rank as u64, cols as u64) as usize;
        let mut search = Leading::new(rank, cols).unwrap();
        let mut block = vec![0.0; cols * width];
        start(&mut block);
        for rounds in 1.. {
            let mut products = vec![0.0; cols * width];
            add_gram(&rows, cols, &block, width, &mut products);
            match search.next(&products, &mut block).unwrap() {
                Round::Another => {}
                round => return (round, block, width, rounds),
            }
        }
        unreachable!()
    }

    fn length(matrix: &Matrix) -> f64 {
        dot(&matrix.values, &matrix.values).sqrt()
    }

    /// How far the leading part by the search is from that of the decomposition by Jacobi, of the matrix' length.
    fn off(matrix: &Matrix, rank: usize) -> (f64, usize) {
        let (round, block, width, rounds) = search(matrix, rank);
        assert_eq!(round, Round::Found, "{} × {}, rank {rank}", matrix.rows, matrix.cols);
        let vectors: Vec<f64> = block.chunks_exact(width).flat_map(|row| row[..rank].to_vec()).collect();
        assert!(block.chunks_exact(width).all(|row| row[rank..].iter().all(|value| *value == 0.0)));
        let vectors = Matrix { rows: matrix.cols, cols: rank, values: turned(&vectors, matrix.cols, rank).unwrap() };
        let mut difference = matrix.times(&vectors).unwrap().times(&vectors.transposed().unwrap()).unwrap();
        let Svd { u, values, v } = svd(matrix.clone()).unwrap();
        let (mut left, right) = (u.truncated(rank), v.truncated(rank));
        left.scale_columns(&values[..left.cols]);
        let leading = left.times(&right.transposed().unwrap()).unwrap();
        difference.values.iter_mut().zip(&leading.values).for_each(|(one, other)| *one -= other);
        (length(&difference) / length(matrix).max(1e-300), rounds)
    }

    fn basis(rows: usize, cols: usize, random: &mut Random) -> Matrix {
        let values = (0..rows * cols).map(|_| random.unit()).collect();
        qr(Matrix { rows, cols, values }).unwrap().q
    }

    /// A matrix with these singular values.
    fn of_values(rows: usize, cols: usize, values: &[f64], random: &mut Random) -> Matrix {
        let (mut left, right) = (basis(rows, values.len(), random), basis(cols, values.len(), random));
        left.scale_columns(values);
        left.times(&right.transposed().unwrap()).unwrap()
    }

    const SIDES: [(usize, usize, usize); 8] =
        [(1, 1, 1), (16, 16, 3), (5, 40, 5), (40, 5, 2), (60, 60, 60), (200, 100, 16), (100, 200, 16), (80, 160, 4)];

    #[test]
    fn flat_spectra() {
        let mut random = Random(21);
        for (rows, cols, rank) in SIDES {
            let values = (0..rows * cols).map(|_| random.unit()).collect();
            let (off, _) = off(&Matrix { rows, cols, values }, rank);
            assert!(off < 1e-8, "{rows} × {cols}, rank {rank}: {off}");
        }
    }

    #[test]
    fn spectra_of_every_kind() {
        let mut random = Random(22);
        for (rows, cols) in [(100, 70), (60, 90)] {
            let most = rows.min(cols);
            let kinds: [(&str, &dyn Fn(usize) -> f64); 7] = [
                ("falling", &|at| 0.8f64.powi(at as i32)),
                ("slowly falling", &|at| 1.0 / (at + 1) as f64),
                ("in clusters of four, and the edge between two", &|at| 1.0 - (at / 4) as f64 * 1e-3),
                ("of eight that are equal, and others", &|at| if at < 8 { 5.0 } else { 1.0 + 1.0 / (at + 2) as f64 }),
                ("of small rank", &|at| if at < 5 { 3.0 - at as f64 } else { 0.0 }),
                ("of the rank", &|at| if at < 8 { 1.0 } else { 0.0 }),
                ("with one that is far larger", &|at| if at == 0 { 1e3 } else { 2.0 - at as f64 / most as f64 }),
            ];
            for (name, value) in kinds {
                let values: Vec<f64> = (0..most).map(value).collect();
                let (off, rounds) = off(&of_values(rows, cols, &values, &mut random), 8);
                assert!(off < 1.5e-8, "{name}, {rows} × {cols}: {off}");
                assert!(rounds < 100, "{name}: {rounds}");
            }
        }
    }

    /// More columns than the basis has room for, and singular values of which each is near the next.
    #[test]
    fn a_basis_that_is_full_is_restarted() {
        let mut random = Random(24);
        let (rows, cols, rank) = (300, 290, 5);
        let values: Vec<f64> = (0..cols).map(|at| 1.0 - at as f64 * 1e-3).collect();
        let (mut left, right) = (basis(rows, cols, &mut random), basis(cols, cols, &mut random));
        left.scale_columns(&values);
        let (round, block, width, rounds) = search(&left.times(&right.transposed().unwrap()).unwrap(), rank);
        assert_eq!(round, Round::Found);
        assert!(Leading::new(rank, cols).unwrap().most < cols && rounds * width > cols, "{rounds}");
        // No found vector has a part of a later one.
        for other in right.columns().skip(rank) {
            for at in 0..rank {
                let part: f64 = block.iter().skip(at).step_by(width).zip(other).map(|(one, other)| one * other).sum();
                assert!(part.abs() < 1e-7, "{part}");
            }
        }
    }

    #[test]
    fn zeros_have_no_leading_part() {
        assert_eq!(off(&Matrix::zeros(50, 40).unwrap(), 4).0, 0.0);
    }

    #[test]
    fn an_edge_that_cannot_be_seen_is_no_guess() {
        let mut random = Random(23);
        let mut unit = Matrix::zeros(30, 30).unwrap();
        (0..30).for_each(|at| unit.values[at * 31] = 1.0);
        assert_eq!(search(&unit, 4).0, Round::Unclear);
        for (rows, cols) in [(64, 40), (300, 300)] {
            for apart in [0.0, 1e-12, 1e-9] {
                let value = |at: usize| match at {
                    0..4 => 3.0 - at as f64 * 0.1,
                    4 => 2.7 - apart,
                    _ => 2.0 / (at as f64).sqrt(),
                };
                let values: Vec<f64> = (0..40).map(value).collect();
                let matrix = of_values(rows, cols, &values, &mut random);
                assert_eq!(search(&matrix, 4).0, Round::Unclear, "{rows} × {cols}, {apart}");
                // To both sides of them the edge is clear.
                assert_eq!([search(&matrix, 3).0, search(&matrix, 5).0], [Round::Found; 2]);
            }
        }
    }

    #[test]
    fn what_is_no_number_is_said() {
        let mut matrix = Matrix { rows: 9, cols: 7, values: vec![1.0; 63] };
        for value in [f64::NAN, f64::INFINITY, 1e200] {
            matrix.values[5] = value;
            assert_eq!(search(&matrix, 2).0, Round::NotFinite);
        }
    }
}
