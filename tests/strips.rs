//! Blocks that are computed strip by strip, in every bit those that are computed tile by tile: as they are where statistics look at every element.

use crate::model::{Memory, Model, Random, add_folder, block_on, encode, file, with};
use lorafold::engine::{FactJob, FactSum, Merger};
use lorafold::kernel::Statistics;
use lorafold::plan::{AdapterOptions, PlanOptions, Program};
use lorafold::tensor::Dtype;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Wider than a strip, and than the columns that go by together; of rows that are no fours; and smaller than one.
const SHAPES: [(u64, u64); 3] = [(43, 700), (9, 33), (6, 5000)];

/// Weights of type `float`, and two adapters, the second of which leaves the last weight alone. Values are of many magnitudes.
fn model(float: Dtype, seed: u64) -> Model {
    let mut random = Random(seed);
    let mut inputs = Memory::default();
    let mut values = |count: u64, scale: f32| -> Vec<f32> {
        (0..count).map(|at| random.unit() * scale * if at % 11 == 0 { 1e-4 } else { 1.0 }).collect()
    };
    let weight = |(number, &(rows, cols)): (usize, &(u64, u64))| {
        (format!("layers.{number}.proj.weight"), float, vec![rows, cols], encode(float, &values(rows * cols, 0.5)))
    };
    let weights: Vec<_> = SHAPES.iter().enumerate().map(weight).collect();
    let base = add_folder(&mut inputs, "base", [("model.safetensors".into(), file(&weights))].into());
    let mut adapters = Vec::new();
    for (number, rank) in [70u64, 3].into_iter().enumerate() {
        let mut tensors = Vec::new();
        for (layer, &(rows, cols)) in SHAPES.iter().enumerate().take(3 - number) {
            for (half, rows, cols) in [("A", rank, cols), ("B", rows, rank)] {
                let name = format!("base_model.model.layers.{layer}.proj.lora_{half}.weight");
                tensors.push((name, Dtype::F32, vec![rows, cols], encode(Dtype::F32, &values(rows * cols, 0.05))));
            }
        }
        let config = format!(r#"{{"peft_type":"LORA","r":{rank},"lora_alpha":{rank},"target_modules":["proj"]}}"#);
        let files =
            [("adapter_config.json".into(), config.into_bytes()), ("adapter_model.safetensors".into(), file(&tensors))];
        let weight = with(|options: &mut AdapterOptions| options.weight = Some([0.7, -1.25][number]));
        adapters.push((add_folder(&mut inputs, &format!("adapter-{number}"), files.into()), weight));
    }
    Model { inputs, base, adapters }
}

/// All bytes of a program, in blocks of so many elements; `tiles`: with statistics of every element.
fn bytes(program: &Program, inputs: &Memory, step: u64, tiles: bool) -> Vec<u8> {
    let mut merger = Merger::new(false, 0);
    merger.load(0, program.clone());
    let mut facts = FactSum::of(program);
    while !facts.is_done() {
        for FactJob { first, count, .. } in facts.jobs(program) {
            facts.add(program, &block_on(merger.gather(0, first..first + count, inputs)).unwrap());
        }
        merger.learn(0, &facts.to_bytes()).unwrap();
    }
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < program.elements() {
        let elements = program.footprint(at..(at + step).min(program.elements()));
        at = elements.end;
        let mut statistics = Statistics::default();
        let every = tiles.then_some(&mut statistics);
        bytes.extend_from_slice(block_on(merger.compute(0, elements, inputs, every)).unwrap());
    }
    bytes
}

fn check(float: Dtype, change: impl Fn(&mut PlanOptions)) {
    let mut model = model(float, 7);
    let method = with(|options: &mut PlanOptions| change(options)).method;
    if matches!(method.as_deref(), Some("sce" | "model_stock")) {
        model.adapters.iter_mut().for_each(|(_, options)| options.weight = None);
    }
    for dtype in ["keep", "float16", "bfloat16", "float32"] {
        let options = with(|options: &mut PlanOptions| {
            options.dtype = Some(dtype.into());
            change(options);
        });
        let plan = model.plan(&options).unwrap();
        let programs: Vec<_> = (0..).map_while(|number| plan.program(number)).collect();
        assert_eq!(programs.len(), SHAPES.len());
        for program in programs {
            let expected = bytes(&program, &model.inputs, u64::MAX, true);
            for step in [u64::MAX, 997, 4096] {
                let found = bytes(&program, &model.inputs, step, false);
                assert!(found == expected, "{float:?} to {dtype}, {} in steps of {step}: {options:?}", program.tensor);
            }
        }
    }
}

const FLOATS: [Dtype; 3] = [Dtype::BF16, Dtype::F16, Dtype::F32];

#[test]
fn rules_give_the_same_bits() {
    for float in FLOATS {
        for method in ["ties", "magnitude_prune", "dare_linear", "dare_ties", "breadcrumbs", "sce", "model_stock"] {
            check(float, |options| {
                options.method = Some(method.into());
                options.density = (method != "model_stock").then_some(0.3);
                options.seed = if method.starts_with("dare") { 5 } else { 0 };
            });
        }
    }
}

#[test]
fn stochastic_rounding_gives_the_same_bits() {
    for float in FLOATS {
        check(float, |options| (options.rounding, options.seed) = (Some("stochastic".into()), 9));
    }
    check(Dtype::BF16, |options| {
        options.method = Some("dare_ties".into());
        options.density = Some(0.5);
        options.rounding = Some("stochastic".into());
    });
}
