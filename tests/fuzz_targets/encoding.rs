//! Encodings: through the engine, in programs without updates.

use lorafold::combine::Combine;
use lorafold::encoding::{Nested, Nf4, Operand, Plain, Stored};
use lorafold::inputs::Span;
use lorafold::plan::Program;
use lorafold::tensor::{Float, Rounding};

use super::op::{FLOATS, stored};
use super::source::Source;
use crate::model::{Memory, compute};

/// The input decides what is stored and how. Numbers go to a wider type and back unchanged; NF4 decodes to the same numbers in blocks of
/// any size.
pub fn encoding(input: &[u8]) {
    let mut source = Source(input);
    if source.flag() { nf4(&mut source) } else { plain(&mut source) }
}

fn program(source: Stored, elements: u64, to: Float) -> Program {
    let (updates, combine, rounding) = (Vec::new(), Combine::Linear, Rounding::Nearest);
    Program { tensor: "t".into(), rows: 1, cols: elements, source, updates, combine, to, rounding }
}

fn plain(source: &mut Source) {
    let (elements, block) = (source.below(600), source.below(3000));
    for float in FLOATS {
        let bytes = source.fill(elements as usize * float.bytes());
        let stored = |input| Stored::Plain(Plain { float, input, start: 0 });
        let same = compute(&program(stored(0), elements, float), &Memory(vec![bytes.clone()]), block).unwrap();
        assert!(equal_but_nan(float, &bytes, &same), "{float:?} as it is");
        for wide in FLOATS.into_iter().filter(|&wide| holds(wide, float)) {
            let inputs = Memory(vec![bytes.clone()]);
            let widened = compute(&program(stored(0), elements, wide), &inputs, block).unwrap();
            let back = Stored::Plain(Plain { float: wide, input: 0, start: 0 });
            let back = compute(&program(back, elements, float), &Memory(vec![widened]), block).unwrap();
            assert!(equal_but_nan(float, &bytes, &back), "{float:?} by {wide:?}");
        }
    }
}

/// Whether every number of `float` is one of `wide`.
fn holds(wide: Float, float: Float) -> bool {
    matches!((wide, float), (Float::F64, _) | (Float::F32, Float::F16 | Float::Bf16))
}

fn equal_but_nan(float: Float, a: &[u8], b: &[u8]) -> bool {
    let pairs = a.chunks(float.bytes()).zip(b.chunks(float.bytes()));
    a.len() == b.len() && pairs.into_iter().all(|(a, b)| a == b || (float.read(a).is_nan() && float.read(b).is_nan()))
}

fn nf4(source: &mut Source) {
    let mut inputs = Memory::default();
    let elements = source.below(40_000);
    let codes = source.fill(elements.div_ceil(2) as usize);
    inputs.0.push(codes);
    let codes = Span { input: 0, start: 0, bytes: elements.div_ceil(2) };
    let blocks = elements.div_ceil(64);
    let f32s = |source: &mut Source, inputs: &mut Memory, count| Operand {
        key: "k".into(),
        at: stored(source, inputs, Float::F32, count),
        dtype: Float::F32.dtype(),
        columns: None,
    };
    let (absmax, nested) = if source.flag() {
        inputs.0.push(source.fill(blocks as usize));
        let scales = Span { input: 1, start: 0, bytes: blocks };
        let absmax = f32s(source, &mut inputs, blocks.div_ceil(256));
        let map = f32s(source, &mut inputs, 256);
        (scales, Some(Nested { absmax, map, offset: 0.25 }))
    } else {
        (stored(source, &mut inputs, Float::F32, blocks), None)
    };
    let nf4 = Stored::Nf4(Nf4 { key: "k".into(), codes, absmax, nested });
    let program = program(nf4, elements, source.pick(&FLOATS));
    let whole = compute(&program, &inputs, u64::MAX / 64);
    let block = source.below(10_000);
    assert!(compute(&program, &inputs, block) == whole, "block {block}");
}
