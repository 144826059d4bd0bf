//! Factors on an adapter's delta in some of its tensors, and tensors that are left out: against merges of the whole adapter at the same weights.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use crate::model::{Memory, Model, Random, add_folder, check_ranges, encode, file, read_file, with};
use lorafold::Result;
use lorafold::error::ErrorKind;
use lorafold::plan::{AdapterOptions, MergePlan, ModuleWeight, PlanOptions};
use lorafold::tensor::Dtype;
use safetensors::SafeTensors;

/// Names of weights of 7 × 5, and adapters of all of them, each with its options.
fn model(names: &[&str], adapters: &[AdapterOptions]) -> Model {
    let mut random = Random(3);
    let mut values = |count: u64| (0..count).map(|_| random.unit()).collect::<Vec<f32>>();
    let mut tensors = Vec::new();
    let mut factors = Vec::new();
    for name in names {
        let weight = format!("{name}.weight");
        tensors.push((weight, Dtype::F32, vec![7, 5], encode(Dtype::F32, &values(35))));
        let mut factor = |half: &str, shape: [u64; 2]| {
            let name = format!("base_model.model.{name}.lora_{half}.weight");
            factors.push((name, Dtype::F32, shape.to_vec(), encode(Dtype::F32, &values(shape[0] * shape[1]))));
        };
        factor("A", [2, 5]);
        factor("B", [7, 2]);
    }
    let mut inputs = Memory::default();
    let base = BTreeMap::from([("model.safetensors".to_string(), file(&tensors))]);
    let base = add_folder(&mut inputs, "base", base);
    let config = br#"{"peft_type":"LORA","r":2,"lora_alpha":2}"#.to_vec();
    let files = BTreeMap::from([
        ("adapter_config.json".to_string(), config),
        ("adapter_model.safetensors".to_string(), file(&factors)),
    ]);
    let folder = |number| format!("adapter-{number}");
    let adapters = adapters.iter().enumerate();
    let adapters =
        adapters.map(|(number, options)| (add_folder(&mut inputs, &folder(number), files.clone()), options.clone()));
    let adapters = adapters.collect();
    Model { inputs, base, adapters }
}

const LAYERS: [&str; 6] = [
    "model.layers.0.self_attn.q_proj",
    "model.layers.0.mlp.up_proj",
    "model.layers.1.self_attn.q_proj",
    "model.layers.1.mlp.up_proj",
    "model.layers.12.self_attn.q_proj",
    "model.layers.12.mlp.up_proj",
];

const UNET: [&str; 6] = [
    "conv_in",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q",
    "up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_q",
    "up_blocks.3.attentions.2.transformer_blocks.0.attn1.to_q",
    "time_embedding.linear_1",
];

fn weights(plan: &MergePlan, model: &Model) -> BTreeMap<String, Vec<u8>> {
    let number = plan.files.iter().position(|file| file.name == "model.safetensors").unwrap();
    let bytes = read_file(plan, &model.inputs, number, 1 << 10).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn merge(names: &[&str], options: AdapterOptions) -> Result<(MergePlan, BTreeMap<String, Vec<u8>>)> {
    let model = model(names, &[options]);
    let plan = model.plan(&PlanOptions::default())?;
    let found = weights(&plan, &model);
    Ok((plan, found))
}

/// Check that each tensor is what the whole adapter gives at this weight; at 0 it is the base's.
fn check(names: &[&str], options: AdapterOptions, expected: &[f64]) -> MergePlan {
    let (plan, found) = merge(names, options).unwrap_or_else(|e| panic!("{e}"));
    for (name, &weight) in names.iter().zip(expected) {
        let at = with(|options: &mut AdapterOptions| options.weight = Some(weight));
        let (_, whole) = merge(names, at).unwrap();
        let name = format!("{name}.weight");
        assert_eq!(found[&name], whole[&name], "{name} at {weight}");
        let report = plan.report(&Default::default());
        let tensor = report.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let shown: Option<Vec<f64>> =
            tensor.adapters.as_ref().map(|adapters| adapters.iter().map(|adapter| adapter.weight).collect());
        assert_eq!(shown, (weight != 0.0).then(|| vec![weight]), "{name}");
        assert_eq!(report.adapters[0].left_out.contains(&name), weight == 0.0, "{name}");
    }
    plan
}

#[test]
fn of_several_factors_the_last_counts_times_the_weight() {
    let options = |weight: f64, weights: Vec<ModuleWeight>| {
        with(|options: &mut AdapterOptions| (options.weight, options.weights) = (Some(weight), weights))
    };
    let q = |weight| ModuleWeight::matching("q_proj", weight);
    check(&LAYERS, options(1.0, vec![q(0.5)]), &[0.5, 1.0, 0.5, 1.0, 0.5, 1.0]);
    check(&LAYERS, options(0.5, vec![q(-2.0)]), &[-1.0, 0.5, -1.0, 0.5, -1.0, 0.5]);
    check(
        &LAYERS,
        options(1.0, vec![q(0.5), ModuleWeight::matching(r"layers\.1\.", 0.25)]),
        &[0.5, 1.0, 0.25, 0.25, 0.5, 1.0],
    );
    check(&LAYERS, options(1.0, vec![ModuleWeight::of_layers("1-", 0.25), q(0.0)]), &[0.0, 1.0, 0.0, 0.25, 0.0, 0.25]);
    for (layers, expected) in [("-1", [2.0, 2.0, 1.0]), ("0,12", [2.0, 1.0, 2.0]), ("12-40", [1.0, 1.0, 2.0])] {
        let expected: Vec<f64> = expected.iter().flat_map(|&weight| [weight, weight]).collect();
        check(&LAYERS, options(1.0, vec![ModuleWeight::of_layers(layers, 2.0)]), &expected);
    }
    // What is said together holds together.
    let mut both = q(3.0);
    both.layers = Some("0-1".into());
    check(&LAYERS, options(1.0, vec![both]), &[3.0, 1.0, 3.0, 1.0, 1.0, 1.0]);
}

#[test]
fn what_is_left_out_is_counted_and_named() {
    let options = |only: &[&str], skip: &[&str]| {
        let texts = |all: &[&str]| all.iter().map(|text| text.to_string()).collect();
        with(|options: &mut AdapterOptions| (options.only, options.skip) = (texts(only), texts(skip)))
    };
    let plan = check(&LAYERS, options(&["q_proj", r"\.12\."], &[r"layers\.0"]), &[0.0, 0.0, 1.0, 0.0, 1.0, 1.0]);
    let finding = plan.findings.iter().find(|finding| finding.code == "left-out").unwrap();
    assert!(finding.message.starts_with("3 of the 6 tensors") && finding.message.contains(LAYERS[3]), "{finding:?}");
    let moved = MergePlan::from_bytes(&plan.to_bytes()).unwrap();
    assert_eq!(moved.report(&Default::default()), plan.report(&Default::default()));
    let recipe = serde_json::to_value(&plan.recipe.adapters[0]).unwrap();
    assert_eq!(recipe["only"], serde_json::json!(["q_proj", r"\.12\."]));
    let error = merge(&LAYERS, options(&["q_proj"], &["proj"])).unwrap_err();
    assert_eq!((error.code(), error.facts().field.as_deref()), ("bad-option", Some("only")));
}

#[test]
fn blocks_of_a_unet_in_lists_and_by_name() {
    let list = |weights: &str| with(|options: &mut AdapterOptions| options.block_weights = Some(weights.into()));
    // conv_in is IN00, which lists of 17 do not have.
    check(&UNET, list("MIDD"), &[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]);
    check(&UNET, list("0,0,0,.5,0,0,0,1,0,0,2,0,0,0,0,0,-1"), &[1.0, 0.5, 1.0, 2.0, -1.0, 0.0]);
    let plan = check(
        &UNET,
        with(|options: &mut AdapterOptions| {
            options.block_weights = Some("OUTALL".into());
            options.weights = vec![ModuleWeight::of_blocks("IN00-IN04,MID", 0.5)];
        }),
        &[0.5, 0.5, 0.5, 1.0, 1.0, 1.0],
    );
    let recipe = serde_json::to_value(&plan.recipe.adapters[0]).unwrap();
    assert_eq!(recipe["blockWeights"], "OUTALL");
    assert_eq!(recipe["weights"], serde_json::json!([{ "blocks": "IN00-IN04,MID", "weight": 0.5 }]));
    // It is no UNet.
    let error = merge(&LAYERS, list("MIDD")).unwrap_err();
    assert_eq!((error.code(), error.facts().field.as_deref()), ("bad-option", Some("blockWeights")));
}

#[test]
fn what_matches_nothing_or_is_wrong_is_an_error() {
    let one = |weight: ModuleWeight| with(|options: &mut AdapterOptions| options.weights = vec![weight]);
    let unmatched = [
        one(ModuleWeight::matching("k_proj", 0.5)),
        one(ModuleWeight::of_layers("2-11", 0.5)),
        one(ModuleWeight::of_blocks("MID", 0.5)),
        with(|options: &mut AdapterOptions| options.skip = vec!["k_proj".into()]),
        with(|options: &mut AdapterOptions| options.only = vec!["q_proj".into(), "k_proj".into()]),
    ];
    let allowed = with(|options: &mut PlanOptions| options.allow_unmatched = true);
    for options in unmatched {
        let model = model(&LAYERS, &[options]);
        let error = model.plan(&PlanOptions::default()).unwrap_err();
        assert_eq!((error.code(), error.facts().kind), ("bad-option", Some(ErrorKind::UnmatchedPattern)), "{error}");
        assert_eq!(error.facts().adapter.as_deref(), Some("adapter-0"));
        let plan = model.plan(&allowed).unwrap();
        assert!(plan.findings.iter().any(|finding| finding.code == "unmatched-pattern"), "{error}");
    }
    let wrong = [
        one(ModuleWeight::matching("(", 0.5)),
        one(ModuleWeight::matching("q", f64::NAN)),
        one(ModuleWeight::of_layers("8-2", 0.5)),
        one(ModuleWeight::of_layers("-", 0.5)),
        one(ModuleWeight::of_layers("", 0.5)),
        one(ModuleWeight::of_blocks("IN12", 0.5)),
        one(ModuleWeight::default()),
        with(|options: &mut AdapterOptions| options.block_weights = Some("1,2,3".into())),
        with(|options: &mut AdapterOptions| options.only = vec!["*".into()]),
    ];
    for (number, options) in wrong.into_iter().enumerate() {
        let error = merge(&LAYERS, options).unwrap_err();
        assert_eq!((error.code(), error.facts().kind), ("bad-option", None), "{number}: {error}");
    }
}

#[test]
fn each_adapter_has_its_own_and_ranges_are_those_of_the_file() {
    let first = with(|options: &mut AdapterOptions| options.weights = vec![ModuleWeight::matching("q_proj", 0.3)]);
    let second = with(|options: &mut AdapterOptions| options.only = vec!["up_proj".into()]);
    let model = model(&LAYERS, &[first, second]);
    let plan = model.plan(&PlanOptions::default()).unwrap();
    let report = plan.report(&Default::default());
    let of = |name: &str| -> Vec<(String, f64)> {
        let tensor = report.tensors.iter().find(|tensor| tensor.name.contains(name)).unwrap();
        let adapters = tensor.adapters.iter().flatten();
        adapters.map(|adapter| (adapter.adapter.clone(), adapter.weight)).collect()
    };
    assert_eq!(of("q_proj"), [("adapter-0".into(), 0.3)]);
    assert_eq!(of("up_proj"), [("adapter-0".into(), 1.0), ("adapter-1".into(), 1.0)]);
    let mut random = Random(4);
    let whole = read_file(&plan, &model.inputs, 0, 1 << 20).unwrap();
    check_ranges(&plan, &model.inputs, 0, &whole, 90, &mut random, "weights by module");
}
