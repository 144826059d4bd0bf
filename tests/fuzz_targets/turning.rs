//! Updates that turn rows or groups of rows, of any sizes.

use lorafold::encoding::Operand;
use lorafold::op::{Boft, Hra, Oft, Op, Road, Rotation, Variant};

use super::op::{FLOATS, stored};
use super::source::Source;
use crate::model::Memory;

/// An update of `rows` × `cols` elements: of rows by OFT, BOFT or HRA, of groups of rows by RoAd. None where there are no elements.
pub fn turning(source: &mut Source, inputs: &mut Memory, rows: u64, cols: u64) -> Option<Op> {
    if rows == 0 || cols == 0 {
        return None;
    }
    let float = source.pick(&FLOATS);
    let kind = source.below(4);
    let block = divisor(source, if kind == 3 { rows } else { cols });
    let mut operand = |elements: u64| {
        let at = stored(source, inputs, float, elements);
        Operand::whole("k", at, float.dtype())
    };
    Some(match kind {
        0 => {
            let shared = cols.is_multiple_of(2);
            let blocks = if shared { 1 } else { cols / block };
            let upper = operand(blocks * (block * (block - 1) / 2));
            let series = Rotation::Series { powers: source.below(8), halved: source.flag() };
            let rotation = if source.flag() { Rotation::Cayley } else { series };
            let radius = source.flag().then_some(0.1);
            Op::Oft(Oft { upper, blocks, block, shared, rotation, radius, embedding: source.flag() })
        }
        1 => {
            let blocks = cols / block;
            let factors = if block.is_multiple_of(2) { 1 + u64::from(blocks.trailing_zeros()) } else { 1 };
            let (rotations, scales) = (operand(factors * blocks * block * block), operand(rows));
            Op::Boft(Boft { rotations, scales, factors, blocks, block, outputs: rows })
        }
        2 => {
            let rank = 1 + block % 9;
            let normals = operand(cols * rank);
            Op::Hra(Hra { normals, inputs: cols, rank, orthogonal: source.flag() })
        }
        _ => {
            let variant = [Variant::One, Variant::Two, Variant::Four][(rows / block % 3) as usize];
            // Groups are even: where the divisor is not, what they would be is refused.
            let group = if block.is_multiple_of(2) { block } else { 2 * block };
            let count = match variant {
                Variant::One => rows / 2,
                Variant::Two => rows,
                Variant::Four => 2 * rows,
            };
            let (angles, lengths) = (operand(count), operand(count));
            Op::Road(Road { angles, lengths, variant, group, outputs: rows, bias: false })
        }
    })
}

/// Some number that divides `length`.
fn divisor(source: &mut Source, length: u64) -> u64 {
    let all: Vec<u64> = (1..=length).filter(|side| length.is_multiple_of(*side)).collect();
    source.pick(&all)
}
