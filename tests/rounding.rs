//! Stochastic rounding: the bytes that a second implementation gives, whatever the blocks, threads and ranges, and what of a small delta it keeps.

use crate::model::{self, Model, Random, block_on, check_ranges, read_file, with};
use lorafold::engine::Merger;
use lorafold::kernel::Statistics;
use lorafold::plan::{MergePlan, PlanOptions};
use lorafold::tensor::Dtype;
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn stochastic(dtype: &str, seed: u64) -> PlanOptions {
    with(|options: &mut PlanOptions| {
        options.dtype = Some(dtype.into());
        options.rounding = Some("stochastic".into());
        options.seed = seed;
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sha256 of everything that 24 random models give: recorded natively, checked on every engine.
const EVERYWHERE: &str = "4af5c0b2f3d205111945a3f0eccfd81c1690809a4aae27d6cd981976a7c25727";

#[test]
fn the_bytes_are_the_same_on_every_engine() {
    let mut all = Vec::new();
    for seed in 0..24 {
        let model = Model::random(seed);
        let dtype = ["keep", "float32", "float16", "bfloat16"][seed as usize % 4];
        let plan = model.plan(&stochastic(dtype, seed)).unwrap();
        for file in 0..plan.files.len() {
            all.extend(read_file(&plan, &model.inputs, file, 1 << 20).unwrap());
        }
    }
    assert_eq!(sha256(&all), EVERYWHERE);
}

#[test]
fn any_range_is_the_same_range_of_the_whole() {
    for seed in 100..140 {
        let model = Model::random(seed);
        let mut random = Random(seed);
        let dtype = ["keep", "float16", "bfloat16"][random.below(3) as usize];
        let plan = model.plan(&stochastic(dtype, seed)).unwrap();
        for file in 0..plan.files.len() {
            let whole = read_file(&plan, &model.inputs, file, 1 << 20).unwrap();
            check_ranges(&plan, &model.inputs, file, &whole, 300, &mut random, &format!("seed {seed} file {file}"));
        }
    }
}

#[test]
fn a_seed_makes_a_difference_where_something_is_rounded_and_nowhere_else() {
    let mut rounded = 0;
    for seed in 0..40 {
        let model = Model::random(seed);
        let [nearest, one, other] = [
            with(|options: &mut PlanOptions| options.dtype = Some("bfloat16".into())),
            stochastic("bfloat16", 1),
            stochastic("bfloat16", 2),
        ]
        .map(|options| model.plan(&options).unwrap());
        for number in 0..one.tensor_count() {
            let bytes = |plan: &MergePlan| {
                let program = plan.program(number)?;
                Some(model::compute(&program, &model.inputs, 1 << 20).unwrap())
            };
            let [nearest, one_bytes, other] = [&nearest, &one, &other].map(bytes);
            let is_merged = !one.tensor(number).updates.is_empty();
            let long = nearest.as_ref().is_some_and(|bytes| bytes.len() > 200);
            // Two roundings of the same values.
            let differ = one_bytes != nearest && one_bytes != other;
            assert!(is_merged || one_bytes == nearest && other == nearest, "model {seed} tensor {number}");
            assert!(!is_merged || !long || differ, "model {seed} tensor {number}");
            rounded += usize::from(differ);
        }
    }
    assert!(rounded > 20, "only {rounded} tensors were rounded");
}

/// What a merge of one tensor did: its bytes, and the share of the delta that is in them.
fn merged(model: &Model, options: &PlanOptions) -> (Vec<u8>, f64) {
    let plan = model.plan(options).unwrap();
    let program = plan.program(0).unwrap().into_owned();
    let (mut merger, mut statistics) = (Merger::new(false, 0), Statistics::default());
    let elements = 0..program.elements();
    merger.load(0, program);
    let bytes = block_on(merger.compute(0, elements, &model.inputs, Some(&mut statistics))).unwrap().to_vec();
    (bytes, statistics.kept / statistics.delta_sq)
}

/// W has a deviation of s = 0.02 and the delta one of d = 10⁻⁴ s, so the steps of bfloat16, at most 2⁻⁷|W|, are far wider than most deltas. An element
/// goes up with p = |Δ|/step, so its part of ⟨out − W, Δ⟩ has a variance of at most Δ²|Δ|·step. Over n normal elements the share that is kept has
/// one of 1.6 d³ · 2⁻⁷ 0.8 s / (n d⁴), which is 100/n: a deviation of 0.02 for each seed, and of 0.007 for their mean. The same for float16, whose
/// steps are 2⁻³ times those.
#[test]
fn a_delta_below_the_steps_of_the_type_is_kept_on_average() {
    const SEEDS: u64 = 8;
    for (float, relative) in [(Dtype::BF16, 1e-4), (Dtype::F16, 1e-4 / 8.0)] {
        let model = Model::with_delta(7, float, &[(512, 512)], relative);
        let (_, nearest) = merged(&model, &PlanOptions::default());
        assert!(nearest < 0.25, "{float:?}: {nearest}");
        let kept: Vec<f64> = (0..SEEDS).map(|seed| merged(&model, &stochastic("keep", seed)).1).collect();
        let mean = kept.iter().sum::<f64>() / SEEDS as f64;
        assert!((mean - 1.0).abs() < 0.03, "{float:?}: {kept:?}");
    }
}

#[test]
fn what_nearest_does_not_make_infinite_stays_finite() {
    let options = |rounding: &str| {
        with(|options: &mut PlanOptions| {
            options.dtype = Some("float16".into());
            options.rounding = Some(rounding.into());
        })
    };
    // Within half a step of 65504 to both sides, and beyond.
    for (value, is_error) in [(65510.0, false), (65519.0, false), (65520.0, true), (1e9, true)] {
        let model = Model::with_delta(3, Dtype::F32, &[(1, 1)], 0.0).with_weight(value);
        for seed in 0..20 {
            let found = ["nearest", "stochastic"].map(|rounding| {
                let mut options = options(rounding);
                options.seed = seed;
                let plan = model.plan(&options).unwrap();
                let mut merger = Merger::new(false, 0);
                merger.load(0, plan.program(0).unwrap().into_owned());
                block_on(merger.compute(0, 0..1, &model.inputs, None))
                    .map(<[u8]>::to_vec)
                    .map_err(|error| error.to_string())
            });
            assert_eq!(found[0], found[1], "{value}");
            assert_eq!(found[0].is_err(), is_error, "{value}");
        }
    }
}

#[test]
fn the_recipe_says_it() {
    let model = Model::random(3);
    let recipe = model.plan(&stochastic("bfloat16", 12)).unwrap().recipe;
    assert_eq!((recipe.rounding.as_str(), recipe.seed), ("stochastic", Some(12)));
    let nearest = model.plan(&PlanOptions::default()).unwrap().recipe;
    assert_eq!((nearest.rounding.as_str(), nearest.seed), ("nearest", None));
    let plan = model.plan(&stochastic("float32", 12)).unwrap();
    let all_hold = (0..plan.tensor_count()).all(|number| plan.tensor(number).from != Dtype::F64);
    assert_eq!(plan.findings.iter().any(|finding| finding.code == "nothing-rounded"), all_hold);
}

#[cfg(not(target_arch = "wasm32"))]
mod natively {
    use std::collections::BTreeMap;

    use super::*;
    use crate::folders::{Scratch, cases, files};
    use lorafold::{AdapterFolder, Merge};
    use safetensors::SafeTensors;
    use serde_json::Value;

    /// The bytes of every tensor of a folder, by name.
    fn tensors(folder: &std::path::Path) -> BTreeMap<String, Vec<u8>> {
        let bytes = &files(folder)["model.safetensors"];
        let parsed = SafeTensors::deserialize(bytes).unwrap();
        parsed.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
    }

    #[test]
    fn each_tensor_is_what_the_second_implementation_makes() {
        let scratch = Scratch::new("rounding-fixtures");
        let made: Value = serde_json::from_str(include_str!("fixtures/rounding.json")).unwrap();
        let rows = made["merges"].as_array().unwrap();
        assert!(rows.len() > 50);
        let mut merged = BTreeMap::new();
        for row in rows {
            let (case, dtype, seed) = (row["case"].as_str().unwrap(), row["dtype"].as_str().unwrap(), &row["seed"]);
            let merged = merged.entry((case, dtype, seed.as_u64().unwrap())).or_insert_with(|| {
                let case = cases::cases().into_iter().find(|found| found.name == case).unwrap();
                let dtype = match dtype {
                    "BF16" => "bf16",
                    "F16" => "f16",
                    "F32" => "f32",
                    other => other,
                };
                let mut merge = Merge::builder().base(case.base).dtype(dtype).rounding("stochastic");
                for (path, weight) in case.adapters {
                    merge = merge.adapter(AdapterFolder::new(path).weight(weight));
                }
                let out = scratch.join(&format!("{}-{dtype}-{seed}", case.name));
                merge.seed(seed.as_u64().unwrap()).block_bytes(100).threads(3).plan().unwrap().run(&out).unwrap();
                tensors(&out)
            });
            assert_eq!(sha256(&merged[row["tensor"].as_str().unwrap()]), row["sha256"].as_str().unwrap(), "{row}");
        }
    }
}
