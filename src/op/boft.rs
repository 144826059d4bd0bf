//! BOFT (arXiv 2311.06243): the layer's input is rotated by butterfly factors, and every output has a scale; PEFT's
//! `BOFTLayer.get_delta_weight`: W' = s · (F_{N−1}·…·F_0·Wᵀ)ᵀ, F = P · (blocks along the diagonal) · Pᵀ with a permutation P.

use super::inverse::no_inverse;
use super::method::Needs;
use super::orthogonal::{SPARES, cayley, transpose, try_zeros};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::turn::{Blocks, RowMap, fit_columns, turned};
use super::{Given, Inverse, Method, Prepared};
use crate::error::Result;
use crate::kernel::STRIP;

/// `boft_R`, shape (`f` factors, `n` blocks, block, block), of which only the skew-symmetric part of each block is used; and `boft_s`, a number
/// for each output.
pub static BOFT: Method =
    Method { needs: Needs::Rows, fit: fit_columns, spellings: &[PEFT], ..Method::new("boft", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (values, scales) = (given.values(0)?, given.values(1)?);
    let (key, count, side) = (given.key(), given.size('n'), given.size('b'));
    let (square, back) = (side * side, Inverse::of(given));
    let mut spare = try_zeros(key, square.checked_mul(SPARES))?;
    let mut factors = Vec::new();
    for (number, stored) in values.chunks_exact((count * square).max(1)).enumerate() {
        let mut blocks = Blocks::try_new(key, count, side)?;
        let all = blocks.values.chunks_exact_mut(square.max(1));
        for (block, stored) in all.zip(stored.chunks_exact(square.max(1))) {
            block.copy_from_slice(stored);
            transpose(block, side);
            block.iter_mut().zip(stored).for_each(|(back, value)| *back = 0.5 * (value - *back));
            cayley(block, side, &mut spare);
            // A row of the weight is multiplied by the factor's transpose, which the factor takes back.
            if !back {
                transpose(block, side);
            }
        }
        // The first factor (and so an only one) takes the inputs in their own order.
        let order = if number == 0 { Vec::new() } else { butterfly(count * side, side, number) };
        factors.push((order, blocks));
    }
    let mut scales: Vec<f64> = given.place.sources().filter_map(|row| scales.get(row).copied()).collect();
    if back {
        factors.reverse();
        if let Some(row) = scales.iter().position(|&scale| scale == 0.0) {
            return Err(no_inverse(
                given,
                row,
                "the scale of this output is 0: what it was is not in the merged model",
            ));
        }
        scales.iter_mut().for_each(|scale| *scale = 1.0 / *scale);
    }
    turned(Butterflies { factors }, scales)
}

/// Which input is at each place of factor `number`. Every run of `side` · 2^`number` inputs is cut into pieces of half a block, and the
/// even pieces come before the odd ones; PEFT's `block_butterfly_perm`.
fn butterfly(inputs: usize, side: usize, number: usize) -> Vec<usize> {
    let (piece, run) = (side / 2, side << number);
    let half = run / 2;
    let source = |at: usize| {
        let (start, within) = (at / run * run, at % run);
        let (odd, place) = (within / half, within % half);
        start + (2 * (place / piece) + odd) * piece + place % piece
    };
    (0..inputs).map(source).collect()
}

/// The factors, each with the order in which it takes the inputs (empty for their own order).
struct Butterflies {
    factors: Vec<(Vec<usize>, Blocks)>,
}

impl RowMap for Butterflies {
    fn bytes(&self) -> u64 {
        self.factors.iter().map(|(order, blocks)| size_of_val(order.as_slice()) as u64 + blocks.bytes()).sum()
    }

    fn map(&self, rows: &mut Vec<f64>, spare: &mut Vec<f64>, cols: usize) {
        for (order, blocks) in &self.factors {
            if order.is_empty() {
                blocks.map(rows, spare, cols);
                continue;
            }
            // Row t of P has its 1 in column order[t]: x·P moves value t to place order[t], and y·Pᵀ takes it from there.
            for row in (0..STRIP).map(|row| row * cols) {
                order.iter().enumerate().for_each(|(at, &to)| spare[row + to] = rows[row + at]);
            }
            std::mem::swap(rows, spare);
            blocks.map(rows, spare, cols);
            for row in (0..STRIP).map(|row| row * cols) {
                order.iter().enumerate().for_each(|(at, &to)| spare[row + at] = rows[row + to]);
            }
            std::mem::swap(rows, spare);
        }
    }
}

/// PEFT's `BOFTConfig`. The file decides how many factors there are: without its CUDA extension, PEFT makes one, whatever the
/// configuration says.
const PEFT: Spelling = Spelling {
    training: "boft_block_size boft_block_num boft_n_butterfly_factor boft_dropout",
    ..Spelling::new("BOFT", "boft_R boft_s", read)
};

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let mut op = module.op(&BOFT, "boft_R:fnbw boft_s:xy", &[])?;
    let [factors, blocks, block] = ['f', 'n', 'b'].map(|letter| op.size(letter));
    let sides = [op.size('x'), op.size('y')];
    if !sides.contains(&1) {
        return Err(module.misshapen(module.tensor("boft_s")?, "(outputs, 1), or (1, outputs) of a convolution"));
    }
    let runs = u32::try_from(factors - 1).ok().and_then(|last| 2u64.checked_pow(last));
    let butterflies = factors == 1 || block % 2 == 0 && runs.is_some_and(|runs| blocks % runs == 0);
    op.layer.outputs = Some(sides[0].max(sides[1]));
    op.layer.inputs = blocks.checked_mul(block);
    if block != op.size('w') || op.layer.inputs.is_none() || !butterflies {
        let expected =
            "(N, blocks, n, n), with n even and the number of blocks a multiple of 2^(N − 1) where N is more than 1";
        return Err(module.misshapen(module.tensor("boft_R")?, expected));
    }
    ParameterUpdate::weight(op)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_pieces_come_before_odd_ones() {
        // PEFT's block_butterfly_perm(16, 2, 2, 1): two runs of 8, in pieces of 2.
        let run = [0, 1, 4, 5, 2, 3, 6, 7];
        let two: Vec<usize> = run.iter().copied().chain(run.iter().map(|at| at + 8)).collect();
        assert_eq!(butterfly(16, 4, 1), two);
        // block_butterfly_perm(16, 1, 2, 2)
        assert_eq!(butterfly(16, 4, 2), [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15]);
    }
}
