//! Methods: prepared and applied through the engine, on tensors of any shape, in blocks of any size.

use lorafold::combine::Combine;
use lorafold::encoding::{Operand, Plain, Stored};
use lorafold::inputs::Span;
use lorafold::op::{
    ADALORA, DEFT, DELORA, DORA, FOURIERFT, GLORA_BIAS, HIRA, IA3, LORA, OLORA, Op, PISSA, Replace, RowOrder, Sizes,
    TASK_VECTOR,
};
use lorafold::plan::{Program, Region, Update};
use lorafold::tensor::{Float, Rounding};

use super::source::Source;
use super::turning::turning;
use crate::model::{Memory, compute};

pub const FLOATS: [Float; 4] = [Float::F32, Float::F16, Float::Bf16, Float::F64];

/// The input decides a program: shapes, types, updates, their regions and their numbers. The bytes do not depend on how it is cut into
/// blocks.
pub fn op(input: &[u8]) {
    let mut source = Source(input);
    let mut inputs = Memory::default();
    let (rows, cols) = (source.below(70), source.below(70));
    let (from, to) = (source.pick(&FLOATS), source.pick(&FLOATS));
    let weight = stored(&mut source, &mut inputs, from, rows * cols);
    let updates = (0..1 + source.below(3)).map(|_| update(&mut source, &mut inputs, rows, cols)).collect();
    let program = Program {
        tensor: "t".into(),
        rows,
        cols,
        source: Stored::Plain(Plain { float: from, input: weight.input, start: 0 }),
        updates,
        combine: Combine::Linear,
        to,
        rounding: if source.flag() { Rounding::Stochastic(source.below(9)) } else { Rounding::Nearest },
    };
    let blocks = [source.below(300), source.below(20_000)];
    let whole = compute(&program, &inputs, u64::MAX / 64);
    for block in blocks {
        assert!(compute(&program, &inputs, block) == whole, "block {block} of {program:?}");
    }
}

fn update(source: &mut Source, inputs: &mut Memory, rows: u64, cols: u64) -> Update {
    let start = if source.flag() { source.below(rows + 1) } else { 0 };
    let end = if source.flag() { start + source.below(rows - start + 1) } else { rows };
    let transposed = source.flag();
    let (inner, outer) = if transposed { (end - start, cols) } else { (cols, end - start) };
    let (rank, float) = (1 + source.below(20), source.pick(&FLOATS));
    let mut operand = |elements: u64| {
        let at = stored(source, inputs, float, elements);
        Operand::whole("k", at, float.dtype())
    };
    let (a, b, magnitude) = (operand(rank * inner), operand(outer * rank), operand(outer));
    let (of_rank, of_inputs, one) = (operand(rank), operand(inner), operand(1));
    let scale: f64 = source.pick(&[1.0, 2.0, 1e-3, 0.0, 1e30, -0.7]);
    let turned = if source.flag() { turning(source, inputs, end - start, cols) } else { None };
    let (method, operands) = match source.below(11) {
        0 | 1 => (&LORA, vec![a, b]),
        2 => (&DORA, vec![a, b, magnitude.clone()]),
        3 => (&HIRA, vec![a, b]),
        4 => (&DEFT, vec![b]),
        5 => (&IA3, vec![]),
        6 => (&ADALORA, vec![a, b, of_rank]),
        7 => (&DELORA, vec![a, b, one, of_inputs.clone()]),
        8 => (&OLORA, vec![a, b]),
        9 => (&PISSA, vec![a, b]),
        _ => (&FOURIERFT, vec![magnitude.clone()]),
    };
    let sizes = Sizes::of(&[('r', rank), ('i', inner), ('o', outer), ('s', scale.to_bits())]);
    let mut op = Op { operands, sizes, numbers: vec![scale], transposed, ..Op::new(method) };
    if *method == DEFT {
        let is_qr = source.flag() && rank <= outer;
        op = op.with('q', is_qr.into());
    } else {
        op = op.scaled(rank, 1.0, scale);
    }
    if *method == IA3 {
        let is_of_inputs = source.flag();
        op.operands.push(if is_of_inputs { of_inputs } else { magnitude });
        op = op.with('f', is_of_inputs.into());
    }
    let mut op = turned.unwrap_or(op);
    let rows = start..end;
    let mut order = source.pick(&[RowOrder::AsIs, RowOrder::SwapHalves, RowOrder::Alternating]);
    let beside = source.below(8);
    if beside < 2 {
        // Of each element one of another tensor, or a row.
        let each = if beside == 0 { 1 } else { 1 + source.below(9) };
        let input = stored(source, inputs, float, (end - start) * cols * each).input;
        let tensor = Plain { float, input, start: 0 };
        op = if beside == 0 {
            let replacement = Some(Replace { key: "k".into(), shape: vec![end - start, cols], stored: tensor });
            Op { replacement, ..Op::new(&TASK_VECTOR) }
        } else {
            let factor = Operand::whole("k", stored(source, inputs, float, each), float.dtype());
            let sizes = Sizes::of(&[('i', each)]);
            Op { operands: vec![factor], sizes, weight: Some(tensor), ..Op::new(&GLORA_BIAS) }
        };
        order = RowOrder::AsIs;
    }
    let weight = source.pick(&[1.0, 0.5, -1.0, 0.0, 1e-30]);
    Update { adapter: "a".into(), weight, region: Region { rows, order }, op }
}

/// A new input with `elements` numbers.
pub fn stored(source: &mut Source, inputs: &mut Memory, float: Float, elements: u64) -> Span {
    let bytes = source.fill(elements as usize * float.bytes());
    inputs.0.push(bytes);
    Span { input: inputs.0.len() - 1, start: 0, bytes: elements * float.bytes() as u64 }
}
