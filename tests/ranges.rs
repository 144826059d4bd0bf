//! A merged model is a function from byte ranges to byte ranges: any range, any block size and any number of threads
//! give the same bytes, natively and in wasm.

use crate::model::{Model, Random, check_ranges, read_file, with};
use lorafold::plan::PlanOptions;
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn options(dtype: &str) -> PlanOptions {
    with(|options: &mut PlanOptions| options.dtype = Some(dtype.into()))
}

/// The sha256 of everything that 24 random models give: recorded natively, checked on every engine.
const EVERYWHERE: &str = "3f442c83934c32379a69a4e602bd5e32c9f83da5cf5a7051b27ae3561fbb3d22";

#[test]
fn the_bytes_are_the_same_on_every_engine() {
    let mut hash = Sha256::new();
    for seed in 0..24 {
        let model = Model::random(seed);
        let dtype = ["keep", "float32", "float16", "bfloat16"][seed as usize % 4];
        let plan = model.plan(&options(dtype)).unwrap();
        for file in 0..plan.files.len() {
            hash.update(read_file(&plan, &model.inputs, file, 1 << 20).unwrap());
        }
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, EVERYWHERE);
}

#[test]
fn any_range_is_the_same_range_of_the_whole() {
    for seed in 100..140 {
        let model = Model::random(seed);
        let mut random = Random(seed);
        let dtype = ["keep", "float32", "bfloat16"][random.below(3) as usize];
        let plan = model.plan(&options(dtype)).unwrap();
        for file in 0..plan.files.len() {
            let whole = read_file(&plan, &model.inputs, file, 1 << 20).unwrap();
            assert_eq!(whole.len() as u64, plan.files[file].size);
            check_ranges(&plan, &model.inputs, file, &whole, 300, &mut random, &format!("seed {seed} file {file}"));
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn shards_of_another_size_hold_the_same_tensors() {
    for seed in 200..220 {
        let model = Model::random(seed);
        let whole = model.plan(&PlanOptions::default()).unwrap();
        let max = 300;
        let split = model.plan(&with(|options: &mut PlanOptions| options.max_shard_size = Some(max))).unwrap();
        assert_eq!(tensors_of(&whole, &model), tensors_of(&split, &model), "seed {seed}");
    }
}

/// Every tensor of an output by name, read by the format's own crate.
#[cfg(not(target_arch = "wasm32"))]
fn tensors_of(plan: &lorafold::plan::MergePlan, model: &Model) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut tensors = std::collections::BTreeMap::new();
    for (number, file) in plan.files.iter().enumerate().filter(|(_, file)| file.name.ends_with(".safetensors")) {
        let bytes = read_file(plan, &model.inputs, number, 4096).unwrap();
        let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (name, view) in parsed.tensors() {
            assert!(tensors.insert(name.clone(), view.data().to_vec()).is_none(), "{name} twice in {}", file.name);
        }
    }
    tensors
}
