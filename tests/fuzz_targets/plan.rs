//! Whole plans: a base and an adapter of any bytes.

use std::collections::BTreeMap;

use lorafold::Listing;
use lorafold::plan::{AdapterOptions, PlanOptions};
use lorafold::tensor::Dtype;

use super::source::Source;
use crate::model::{Memory, Model, add_folder, file, read_file, with};

/// The input decides a base of some layers, an adapter for them, options, and then changes bytes of any file. It is a plan or an error;
/// where it is a plan, all of its bytes are the same however they are cut into blocks.
pub fn plan(input: &[u8]) {
    let mut source = Source(input);
    let mut inputs = Memory::default();
    let layers: Vec<[u64; 2]> = (0..source.below(4)).map(|_| [source.below(12), source.below(12)]).collect();
    let base = base(&mut source, &mut inputs, &layers);
    let adapter = adapter(&mut source, &mut inputs, &layers);
    let options = with(|options: &mut PlanOptions| {
        options.dtype = source.pick(&[None, Some("keep"), Some("float16"), Some("f32")]).map(Into::into);
        options.max_shard_size = source.flag().then(|| source.below(500));
        options.allow_unmatched = source.flag();
        let pattern = source.text();
        options.only = std::str::from_utf8(pattern).ok().filter(|pattern| !pattern.is_empty()).map(Into::into);
    });
    let asked = with(|options: &mut AdapterOptions| {
        options.weight = source.pick(&[None, Some(0.5), Some(0.0), Some(-1.0)]);
        options.alpha = source.pick(&[None, Some(4.0)]);
    });
    let blocks = [1 << 20, 1 + source.below(200)];
    while !source.0.is_empty() {
        let number = source.below(inputs.0.len() as u64) as usize;
        let (at, byte) = (source.below(4096) as usize, source.byte());
        if let Some(old) = inputs.0[number].get_mut(at) {
            *old = byte;
        }
    }
    let model = Model { inputs, base, adapters: vec![(adapter, asked)] };
    let Ok(plan) = model.plan(&options) else { return };
    let _ = (plan.report(&BTreeMap::new()), plan.identity(), plan.etags());
    for number in 0..plan.files.len() {
        let [whole, blocks] = blocks.map(|block| read_file(&plan, &model.inputs, number, block));
        match (whole, blocks) {
            (Ok(whole), Ok(blocks)) => assert!(whole == blocks && whole.len() as u64 == plan.files[number].size),
            (Err(whole), Err(blocks)) => assert_eq!(whole.code(), blocks.code()),
            (whole, blocks) => panic!("{:?} and {:?}", whole.err(), blocks.err()),
        }
    }
}

fn base(source: &mut Source, inputs: &mut Memory, layers: &[[u64; 2]]) -> Listing {
    let float = source.pick(&[Dtype::BF16, Dtype::F32, Dtype::F16, Dtype::F64, Dtype::U8]);
    let mut tensors = Vec::new();
    for (number, shape) in layers.iter().enumerate() {
        let bytes = source.fill((shape[0] * shape[1]) as usize * float.bitsize() / 8);
        tensors.push((format!("layers.{number}.proj.weight"), float, shape.to_vec(), bytes));
    }
    tensors.push(("norm.weight".into(), Dtype::F32, vec![2], source.fill(8)));
    let config = text(source, br#"{"model_type":"llama","torch_dtype":"bfloat16","tie_word_embeddings":true}"#);
    let files = BTreeMap::from([("config.json".into(), config), ("model.safetensors".into(), file(&tensors))]);
    add_folder(inputs, "base", files)
}

fn adapter(source: &mut Source, inputs: &mut Memory, layers: &[[u64; 2]]) -> Listing {
    let (rank, dora, float) = (1 + source.below(5), source.flag(), source.pick(&[Dtype::F32, Dtype::BF16, Dtype::F16]));
    let mut tensors = Vec::new();
    for (number, &[out, inner]) in layers.iter().enumerate() {
        let mut add = |name: &str, shape: Vec<u64>| {
            let bytes = source.fill(shape.iter().product::<u64>() as usize * float.bitsize() / 8);
            tensors.push((format!("base_model.model.layers.{number}.proj.{name}"), float, shape, bytes));
        };
        add("lora_A.weight", vec![rank, inner]);
        add("lora_B.weight", vec![out, rank]);
        if dora {
            add("lora_magnitude_vector", vec![out]);
        }
    }
    let usual =
        format!(r#"{{"peft_type":"LORA","r":{rank},"lora_alpha":3,"use_dora":{dora},"target_modules":["proj"]}}"#);
    let config = text(source, usual.as_bytes());
    let files =
        BTreeMap::from([("adapter_config.json".into(), config), ("adapter_model.safetensors".into(), file(&tensors))]);
    add_folder(inputs, "adapter", files)
}

/// A text of the input, or the usual one where it has none.
fn text(source: &mut Source, usual: &[u8]) -> Vec<u8> {
    let text = source.text();
    if text.is_empty() { usual.to_vec() } else { text.to_vec() }
}
