//! Updates that turn rows or groups of rows, of any sizes.

use lorafold::encoding::Operand;
use lorafold::op::{BOFT, HRA, OFT, Op, ROAD, Sizes};

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
            let operands = vec![operand(blocks * (block * (block - 1) / 2))];
            let mut sizes = vec![('n', blocks), ('b', block), ('s', shared.into())];
            let series = [('p', source.below(8)), ('h', source.flag().into())];
            if !source.flag() {
                sizes.extend(series);
            }
            let numbers = if source.flag() { vec![0.1] } else { Vec::new() };
            sizes.push(('e', source.flag().into()));
            Op { operands, sizes: Sizes::of(&sizes), numbers, ..Op::new(&OFT) }
        }
        1 => {
            let blocks = cols / block;
            let factors = if block.is_multiple_of(2) { 1 + u64::from(blocks.trailing_zeros()) } else { 1 };
            let operands = vec![operand(factors * blocks * block * block), operand(rows)];
            Op { operands, sizes: Sizes::of(&[('f', factors), ('n', blocks), ('b', block)]), ..Op::new(&BOFT) }
        }
        2 => {
            let rank = 1 + block % 9;
            let operands = vec![operand(cols * rank)];
            let sizes = Sizes::of(&[('i', cols), ('r', rank), ('g', source.flag().into())]);
            Op { operands, sizes, ..Op::new(&HRA) }
        }
        _ => {
            let variant = [1, 2, 4][(rows / block % 3) as usize];
            // Groups are even: where the divisor is not, what they would be is refused.
            let group = if block.is_multiple_of(2) { block } else { 2 * block };
            let count = match variant {
                1 => rows / 2,
                2 => rows,
                _ => 2 * rows,
            };
            let operands = vec![operand(count), operand(count)];
            Op { operands, sizes: Sizes::of(&[('v', variant), ('g', group)]), ..Op::new(&ROAD) }
        }
    })
}

/// Some number that divides `length`.
fn divisor(source: &mut Source, length: u64) -> u64 {
    let all: Vec<u64> = (1..=length).filter(|side| length.is_multiple_of(*side)).collect();
    source.pick(&all)
}
