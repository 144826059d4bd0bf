//! The seams of the middle, each with the hardest case it must carry: a part of a fused tensor whose rows stand in another order, a
//! tensor that the base has not, an encoding whose side tensors are in another file, and facts that only some updates need.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

use crate::model::{self, Memory, Model, Random, add_folder, block_on, encode, file, read, read_file, with};
use lorafold::combine::Combine;
use lorafold::container::Header;
use lorafold::encoding::{Nested, Nf4, Operand, Plain, Stored};
use lorafold::engine::Merger;
use lorafold::inputs::Span;
use lorafold::op::{DORA, LORA, LayerShape, Op, RowOrder, Sizes};
use lorafold::plan::{AdapterOptions, PlanOptions, Program, Region, Update};
use lorafold::tensor::{Dtype, Float, Rounding};
use safetensors::SafeTensors;

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

/// Random factors of `rank` as an input, and the update that adds their product to `region`.
fn low_rank(
    random: &mut Random,
    inputs: &mut Memory,
    rank: u64,
    region: Region,
    cols: u64,
) -> (Update, Vec<f32>, Vec<f32>) {
    let rows = region.rows.end - region.rows.start;
    let mut values = |count: u64| (0..count).map(|_| random.unit()).collect::<Vec<f32>>();
    let (a, b) = (values(rank * cols), values(rows * rank));
    let input = inputs.0.len();
    inputs.0.push(encode(Dtype::F32, &a));
    inputs.0.push(encode(Dtype::F32, &b));
    let operand = |key: &str, input: usize, values: &[f32]| {
        Operand::whole(key, Span { input, start: 0, bytes: 4 * values.len() as u64 }, Dtype::F32)
    };
    let op = Op {
        operands: vec![operand("a", input, &a), operand("b", input + 1, &b)],
        sizes: Sizes::of(&[('r', rank)]),
        layer: LayerShape::linear(rows, cols),
        ..Op::new(&LORA)
    };
    (Update { adapter: "adapter".into(), weight: 0.5, region, op: op.scaled(rank, rank as f64, 1.0) }, a, b)
}

/// Blocks of a program, in runs of random length that begin and end where it allows.
fn compute(program: &Program, inputs: &Memory, random: &mut Random, statistics: bool) -> Vec<u8> {
    let mut merger = Merger::new(false, 0);
    merger.load(0, program.clone());
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < program.elements() {
        let wanted: Range<u64> = at..(at + 1 + random.below(program.elements())).min(program.elements());
        let elements = program.footprint(wanted);
        assert_eq!(elements.start, at);
        let mut found = statistics.then(Default::default);
        bytes.extend_from_slice(block_on(merger.compute(0, elements.clone(), inputs, found.as_mut())).unwrap());
        at = elements.end;
    }
    bytes
}

#[test]
fn an_update_of_a_part_with_its_halves_swapped() {
    let mut random = Random(1);
    let (rows, cols, rank) = (12u64, 9u64, 3u64);
    let mut base: Vec<f32> = (0..rows * cols).map(|_| random.unit()).collect();
    // What nothing changes keeps its bits, minus zero included.
    base[0] = -0.0;
    base[(rows * cols) as usize - 1] = -0.0;
    let mut inputs = Memory(vec![encode(Dtype::F32, &base)]);
    let swapped = Region { rows: 2..10, order: RowOrder::SwapHalves };
    let (one, a, b) = low_rank(&mut random, &mut inputs, rank, swapped, cols);
    let (other, c, d) = low_rank(&mut random, &mut inputs, rank, Region { rows: 4..7, order: RowOrder::AsIs }, cols);
    let program = Program {
        tensor: "qkv".into(),
        rows,
        cols,
        source: Stored::Plain(Plain { float: Float::F32, input: 0, start: 0 }),
        updates: vec![one, other],
        combine: Combine::Linear,
        to: Float::F32,
        rounding: Rounding::Nearest,
    };
    let product = |a: &[f32], b: &[f32], row: u64, col: u64| {
        let step = |sum: f32, k: u64| sum + 0.5 * b[(row * rank + k) as usize] * a[(k * cols + col) as usize];
        (0..rank).fold(0.0, step)
    };
    let expected = |row: u64, col: u64| {
        let mut value = base[(row * cols + col) as usize];
        if (2..10).contains(&row) {
            value += product(&a, &b, (row - 2 + 4) % 8, col);
        }
        if (4..7).contains(&row) {
            value += product(&c, &d, row - 4, col);
        }
        value
    };
    let whole = compute(&program, &inputs, &mut random, false);
    for (index, value) in floats(&whole).into_iter().enumerate() {
        let (row, col) = (index as u64 / cols, index as u64 % cols);
        let expected = expected(row, col);
        if (2..10).contains(&row) {
            assert!((value - expected).abs() < 1e-5, "{row}, {col}: {value}, not {expected}");
        } else {
            assert_eq!(value.to_bits(), expected.to_bits(), "{row}, {col}");
        }
    }
    for seed in 0..20 {
        assert_eq!(compute(&program, &inputs, &mut Random(seed), seed % 2 == 0), whole, "seed {seed}");
    }
}

/// DoRA of rows needs no fact of the weight, DoRA of columns does: plans never have both on one weight, programs may.
#[test]
fn an_update_without_facts_beside_one_with_facts() {
    let mut random = Random(5);
    let (side, rank) = (37u64, 3u64);
    let base: Vec<f32> = (0..side * side).map(|_| random.unit()).collect();
    let mut inputs = Memory(vec![encode(Dtype::F32, &base)]);
    let mut dora = |transposed: bool| {
        let (mut update, ..) = low_rank(&mut random, &mut inputs, rank, Region::all(side), side);
        let lengths: Vec<f32> = (0..side).map(|_| 2.0 + random.unit()).collect();
        inputs.0.push(encode(Dtype::F32, &lengths));
        let at = Span { input: inputs.0.len() - 1, start: 0, bytes: 4 * side };
        update.op.operands.push(Operand::whole("m", at, Dtype::F32));
        update.op = Op { method: &DORA, transposed, ..update.op };
        update
    };
    let updates = [dora(false), dora(true), dora(false)];
    let merged = |updates: &[Update], block: u64| {
        let program = Program {
            tensor: "t".into(),
            rows: side,
            cols: side,
            source: Stored::Plain(Plain { float: Float::F32, input: 0, start: 0 }),
            updates: updates.to_vec(),
            combine: Combine::Linear,
            to: Float::F32,
            rounding: Rounding::Nearest,
        };
        floats(&model::compute(&program, &inputs, block).unwrap())
    };
    let alone: Vec<Vec<f32>> =
        updates.iter().map(|update| merged(std::slice::from_ref(update), u64::MAX / 8)).collect();
    let all = merged(&updates, u64::MAX / 8);
    assert_eq!(merged(&updates, 200), all);
    for (element, &value) in base.iter().enumerate() {
        let expected = value + alone.iter().map(|merged| merged[element] - value).sum::<f32>();
        assert!((all[element] - expected).abs() < 1e-5, "element {element}: {} for {expected}", all[element]);
    }
}

#[test]
fn nf4_with_double_quantisation_from_two_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nf4-double-quant");
    let mut inputs = Memory::default();
    let mut headers = Vec::new();
    for name in ["codes.safetensors", "side.safetensors"] {
        let bytes = fs::read(format!("{folder}/{name}")).unwrap();
        let json = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        headers.push(Header::parse(name, &bytes[8..8 + json], bytes.len() as u64).unwrap());
        inputs.0.push(bytes);
    }
    let span = |input: usize, name: &str| {
        let header: &Header = &headers[input];
        let info = header.tensor(header.find(name).unwrap());
        Span { input, start: header.data_start + info.start, bytes: info.bytes() }
    };
    let side = |name: &str| Operand::whole(name, span(1, name), Dtype::F32);
    let state = span(1, "l.weight.quant_state.bitsandbytes__nf4");
    let state = &inputs.0[1][state.start as usize..(state.start + state.bytes) as usize];
    let state: serde_json::Value = serde_json::from_slice(state).unwrap();
    let (rows, cols) = (24, 1024);
    let nf4 = Nf4 {
        key: "l.weight".into(),
        codes: span(0, "l.weight"),
        absmax: span(1, "l.weight.absmax"),
        nested: Some(Nested {
            absmax: side("l.weight.nested_absmax"),
            map: side("l.weight.nested_quant_map"),
            offset: state["nested_offset"].as_f64().unwrap() as f32,
        }),
    };
    let mut program = Program {
        tensor: "l.weight".into(),
        rows,
        cols,
        source: Stored::Nf4(nf4),
        updates: Vec::new(),
        combine: Combine::Linear,
        to: Float::F32,
        rounding: Rounding::Nearest,
    };
    let expected = fs::read(format!("{folder}/expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let expected = floats(expected.tensor("expected").unwrap().data());
    for seed in 0..10 {
        assert_eq!(floats(&compute(&program, &inputs, &mut Random(seed), false)), expected, "seed {seed}");
    }
    // An update is added to what is decoded, in f32, and rounded once.
    let mut random = Random(5);
    let (update, a, b) = low_rank(&mut random, &mut inputs, 2, Region::all(rows), cols);
    program.updates.push(update);
    program.to = Float::F16;
    let merged = compute(&program, &inputs, &mut random, true);
    for (index, value) in merged.as_chunks().0.iter().enumerate() {
        let (row, col) = (index / cols as usize, index % cols as usize);
        let delta = 0.5 * b[row * 2] * a[col] + 0.5 * b[row * 2 + 1] * a[cols as usize + col];
        assert_eq!(half::f16::from_le_bytes(*value), half::f16::from_f32(expected[index] + delta), "{row}, {col}");
    }
}

/// A base whose output layer is its embedding, and an adapter of the output layer alone.
fn tied_model(random: &mut Random, tie: bool) -> Model {
    let (vocabulary, width, rank) = (11u64, 6u64, 2u64);
    let mut values = |count: u64| (0..count).map(|_| random.unit()).collect::<Vec<f32>>();
    let mut tensor = |name: &str, shape: Vec<u64>| {
        let values = values(shape.iter().product());
        (name.to_string(), Dtype::F32, shape, encode(Dtype::F32, &values))
    };
    let mut inputs = Memory::default();
    let base = BTreeMap::from([
        ("config.json".to_string(), format!(r#"{{"model_type": "llama", "tie_word_embeddings": {tie}}}"#).into_bytes()),
        (
            "model.safetensors".to_string(),
            file(&[
                tensor("model.embed_tokens.weight", vec![vocabulary, width]),
                tensor("model.norm.weight", vec![width]),
            ]),
        ),
    ]);
    let key = |half: &str| format!("base_model.model.lm_head.lora_{half}.weight");
    let adapter = BTreeMap::from([
        (
            "adapter_config.json".to_string(),
            br#"{"peft_type":"LORA","r":2,"lora_alpha":2,"target_modules":["lm_head"]}"#.to_vec(),
        ),
        (
            "adapter_model.safetensors".to_string(),
            file(&[tensor(&key("A"), vec![rank, width]), tensor(&key("B"), vec![vocabulary, rank])]),
        ),
    ]);
    let base = add_folder(&mut inputs, "base", base);
    let adapter = add_folder(&mut inputs, "adapter", adapter);
    Model { inputs, base, adapters: vec![(adapter, AdapterOptions::default())] }
}

#[test]
fn a_tied_output_layer_gets_a_tensor_of_its_own() {
    let mut random = Random(3);
    let model = tied_model(&mut random, true);
    for dtype in ["keep", "float16"] {
        let plan = model.plan(&with(|options: &mut PlanOptions| options.dtype = Some(dtype.into()))).unwrap();
        let number = plan.files.iter().position(|file| file.name == "model.safetensors").unwrap();
        let whole = read_file(&plan, &model.inputs, number, 1 << 20).unwrap();
        let tensors = SafeTensors::deserialize(&whole).unwrap();
        let head = tensors.tensor("lm_head.weight").unwrap();
        let embedding = tensors.tensor("model.embed_tokens.weight").unwrap();
        assert_eq!(head.shape(), embedding.shape());
        assert_ne!(head.data(), embedding.data());
        for _ in 0..20 {
            let start = random.below(whole.len() as u64);
            let end = start + random.below(whole.len() as u64 - start + 1);
            let part = read(&plan, &model.inputs, number, start..end, 1 + random.below(100)).unwrap();
            assert_eq!(part, whole[start as usize..end as usize]);
        }
        let config = plan.files.iter().position(|file| file.name == "config.json").unwrap();
        let config = String::from_utf8(read_file(&plan, &model.inputs, config, 1 << 20).unwrap()).unwrap();
        assert!(config.contains(r#""tie_word_embeddings": false"#), "{config}");
        if dtype == "keep" {
            let [a, b] = [0, 1].map(|half| floats_of(&model, half));
            let base = floats(embedding.data());
            for (index, value) in floats(head.data()).into_iter().enumerate() {
                let (row, col) = (index / 6, index % 6);
                let delta = b[row * 2] * a[col] + b[row * 2 + 1] * a[6 + col];
                assert!((value - base[index] - delta).abs() < 1e-6, "{row}, {col}");
            }
        }
    }
}

/// Factor A or B of the model's adapter.
fn floats_of(model: &Model, half: usize) -> Vec<f32> {
    let (adapter, _) = &model.adapters[0];
    let weights = adapter.files.iter().position(|file| file.name.ends_with(".safetensors")).unwrap();
    let bytes = &model.inputs.0[adapter.first_input + weights];
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let name = format!("base_model.model.lm_head.lora_{}.weight", ["A", "B"][half]);
    floats(tensors.tensor(&name).unwrap().data())
}

#[test]
fn a_body_without_an_output_layer_gets_none() {
    let error = tied_model(&mut Random(4), false).plan(&PlanOptions::default()).unwrap_err();
    assert_eq!(error.code(), "unmatched-key");
}
