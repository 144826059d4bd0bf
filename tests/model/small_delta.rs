//! Models whose deltas are as large beside the weights as a test wants.

use std::collections::BTreeMap;

use lorafold::plan::AdapterOptions;
use lorafold::tensor::Dtype;

use super::{Memory, Model, Random, add_folder, encode, file};

/// What the weights are like: as in transformers, near 0.02.
const DEVIATION: f32 = 0.02;

const RANK: u64 = 4;

/// About normal, with a deviation of 1: exact sums, so the same on every machine.
fn normal(random: &mut Random) -> f32 {
    (0..12).map(|_| random.unit()).sum::<f32>() / 2.0
}

impl Model {
    /// A base whose tensors `layers.N.proj.weight` are of these shapes and of type `float`, and one adapter: ‖ΔW‖ is about `relative` times ‖W‖.
    pub fn with_delta(seed: u64, float: Dtype, shapes: &[(u64, u64)], relative: f32) -> Model {
        let mut random = Random(seed);
        let mut values =
            |count: u64, deviation: f32| -> Vec<f32> { (0..count).map(|_| normal(&mut random) * deviation).collect() };
        let (mut base, mut adapter) = (Vec::new(), Vec::new());
        for (number, &(rows, cols)) in shapes.iter().enumerate() {
            let weight = encode(float, &values(rows * cols, DEVIATION));
            base.push((format!("layers.{number}.proj.weight"), float, vec![rows, cols], weight));
            // A product of r terms has a deviation of √r of theirs.
            let b = relative * DEVIATION / (RANK as f32).sqrt();
            for (half, shape, deviation) in [("A", vec![RANK, cols], 1.0), ("B", vec![rows, RANK], b)] {
                let name = format!("base_model.model.layers.{number}.proj.lora_{half}.weight");
                let factor = encode(Dtype::F32, &values(shape.iter().product(), deviation));
                adapter.push((name, Dtype::F32, shape, factor));
            }
        }
        let config = format!(r#"{{"peft_type":"LORA","r":{RANK},"lora_alpha":{RANK},"target_modules":["proj"]}}"#);
        let mut inputs = Memory::default();
        let base = [("config.json", br#"{"model_type":"llama"}"#.to_vec()), ("model.safetensors", file(&base))];
        let adapter = [("adapter_config.json", config.into_bytes()), ("adapter_model.safetensors", file(&adapter))];
        let mut add = |name: &str, files: [(&str, Vec<u8>); 2]| {
            let files = files.into_iter().map(|(name, bytes)| (name.to_string(), bytes));
            add_folder(&mut inputs, name, files.collect::<BTreeMap<_, _>>())
        };
        let (base, adapter) = (add("base", base), add("adapter", adapter));
        Model { inputs, base, adapters: vec![(adapter, AdapterOptions::default())] }
    }

    /// The same with this value in place of every weight of its first tensor, which is of type F32.
    pub fn with_weight(mut self, value: f32) -> Model {
        let model = &mut self.inputs.0[self.base.first_input + 1];
        let start = 8 + u64::from_le_bytes(*model.first_chunk().unwrap()) as usize;
        model[start..].chunks_exact_mut(4).for_each(|weight| weight.copy_from_slice(&value.to_le_bytes()));
        self
    }
}
