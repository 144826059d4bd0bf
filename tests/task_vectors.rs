//! Whole fine-tuned models in the place of adapters: against sums in float64, and what of a model has no partner in the base.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use crate::folders::decode;
use crate::model::{Memory, Model, Random, add_folder, check_ranges, encode, file, read_file, with};
use lorafold::Result;
use lorafold::error::ErrorKind;
use lorafold::plan::{AdapterOptions, MergePlan, PlanOptions};
use lorafold::tensor::Dtype;
use safetensors::SafeTensors;

/// A tensor: name, type, shape, bytes.
type Tensor = (String, Dtype, Vec<u64>, Vec<u8>);

const FLOATS: [Dtype; 4] = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64];

fn tensor(random: &mut Random, name: &str, dtype: Dtype, shape: &[u64]) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.unit()).collect();
    (name.into(), dtype, shape.into(), encode(dtype, &values))
}

/// A small model; its embedding has `tokens` rows.
fn weights(seed: u64, dtype: Dtype, tokens: u64) -> Vec<Tensor> {
    let mut random = Random(seed);
    let shapes: [(&str, &[u64]); 7] = [
        ("model.embed_tokens.weight", &[tokens, 9]),
        ("model.layers.0.q_proj.weight", &[13, 9]),
        ("model.layers.0.q_proj.bias", &[13]),
        ("model.layers.0.conv.weight", &[5, 3, 2, 2]),
        ("model.norm.weight", &[9]),
        ("logit_scale", &[]),
        ("lm_head.weight", &[tokens, 9]),
    ];
    shapes.iter().map(|(name, shape)| tensor(&mut random, name, dtype, shape)).collect()
}

const CONFIG: &str = r#"{"model_type":"llama","tie_word_embeddings":false}"#;
const TIED: &str = r#"{"model_type":"llama","tie_word_embeddings":true}"#;

/// Files of a model, its tensors dealt to so many shards in turn.
fn files(tensors: &[Tensor], shards: usize, config: Option<&str>) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.extend(config.map(|config| ("config.json".to_string(), config.as_bytes().to_vec())));
    for shard in 0..shards {
        let part: Vec<Tensor> = tensors.iter().skip(shard).step_by(shards).cloned().collect();
        let name = match shards {
            1 => "model.safetensors".into(),
            _ => format!("model-{:05}-of-{shards:05}.safetensors", shard + 1),
        };
        files.insert(name, file(&part));
    }
    files
}

/// A base and models, each with its weight.
fn models(base: BTreeMap<String, Vec<u8>>, tuned: &[(BTreeMap<String, Vec<u8>>, f64)]) -> Model {
    let mut inputs = Memory::default();
    let base = add_folder(&mut inputs, "base", base);
    let adapters = tuned.iter().enumerate().map(|(number, (files, weight))| {
        let folder = add_folder(&mut inputs, &format!("tuned-{number}"), files.clone());
        (folder, with(|options: &mut AdapterOptions| options.weight = Some(*weight)))
    });
    let adapters = adapters.collect();
    Model { inputs, base, adapters }
}

/// One model beside a base.
fn pair(base: &[Tensor], tuned: &[Tensor], weight: f64) -> Model {
    models(files(base, 1, Some(CONFIG)), &[(files(tuned, 1, Some(CONFIG)), weight)])
}

/// Every tensor of the output: type and bytes.
fn merged(model: &Model, plan: &MergePlan) -> BTreeMap<String, (Dtype, Vec<u8>)> {
    let mut tensors = BTreeMap::new();
    for (number, file) in plan.files.iter().enumerate().filter(|(_, file)| file.name.ends_with(".safetensors")) {
        let bytes = read_file(plan, &model.inputs, number, 100).unwrap_or_else(|e| panic!("{}: {e}", file.name));
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            tensors.insert(name, (view.dtype(), view.data().to_vec()));
        }
    }
    tensors
}

fn merge(model: &Model, options: &PlanOptions) -> Result<BTreeMap<String, (Dtype, Vec<u8>)>> {
    model.plan(options).map(|plan| merged(model, &plan))
}

fn value(dtype: Dtype, exact: f64) -> Vec<u8> {
    match dtype {
        Dtype::F64 => exact.to_le_bytes().to_vec(),
        Dtype::F16 => half::f16::from_f64(exact).to_le_bytes().to_vec(),
        Dtype::BF16 => half::bf16::from_f64(exact).to_le_bytes().to_vec(),
        _ => (exact as f32).to_le_bytes().to_vec(),
    }
}

#[test]
fn alone_at_weight_1_it_is_the_model_in_the_type_of_the_base() {
    for of_base in FLOATS {
        for of_model in FLOATS {
            let (base, tuned) = (weights(1, of_base, 8), weights(2, of_model, 8));
            let model = models(files(&base, 1, Some(CONFIG)), &[(files(&tuned, 3, None), 1.0)]);
            let found = merge(&model, &PlanOptions::default()).unwrap();
            assert_eq!(found.len(), base.len());
            for (name, _, _, bytes) in &tuned {
                let cast: Vec<u8> = decode(of_model, bytes).into_iter().flat_map(|v| value(of_base, v)).collect();
                assert_eq!(found[name], (of_base, cast), "{name}: {of_model} on {of_base}");
            }
        }
    }
}

#[test]
fn half_the_way_is_the_mean() {
    for of_base in FLOATS {
        for of_model in FLOATS {
            let (base, tuned) = (weights(3, of_base, 8), weights(4, of_model, 8));
            let found = merge(&pair(&base, &tuned, 0.5), &PlanOptions::default()).unwrap();
            for ((name, _, _, w), (_, _, _, m)) in base.iter().zip(&tuned) {
                let (w, m) = (decode(of_base, w), decode(of_model, m));
                let mean = w.iter().zip(&m).map(|(w, m)| (w + m) / 2.0);
                let found = decode(of_base, &found[name].1);
                let slack = if of_base == Dtype::F64 { 0.0 } else { 2f64.powi(-23) };
                for (found, mean) in found.into_iter().zip(mean) {
                    let nearest = decode(of_base, &value(of_base, mean))[0];
                    assert!(
                        (found - nearest).abs() <= slack,
                        "{name}: {of_model} on {of_base}: {found}, not {nearest}"
                    );
                }
            }
        }
    }
}

/// f32(M) − f32(W), times the weight, each step rounded to f32; in f64 where the base is.
#[test]
fn any_weights_of_several_models_and_ranges() {
    let mut random = Random(5);
    for (of_base, kinds) in [(Dtype::BF16, [Dtype::F16, Dtype::F64]), (Dtype::F64, [Dtype::F32, Dtype::BF16])] {
        let base = weights(6, of_base, 8);
        let [one, other] = [weights(7, kinds[0], 8), weights(8, kinds[1], 8)];
        let model = models(
            files(&base, 2, Some(CONFIG)),
            &[(files(&one, 1, Some(CONFIG)), -0.3), (files(&other, 3, Some(CONFIG)), 1.7)],
        );
        let plan = model.plan(&PlanOptions::default()).unwrap();
        let plan = MergePlan::from_bytes(&plan.to_bytes()).unwrap();
        let found = merged(&model, &plan);
        for (number, (name, _, _, w)) in base.iter().enumerate() {
            let w = decode(of_base, w);
            let [a, b] = [decode(kinds[0], &one[number].3), decode(kinds[1], &other[number].3)];
            let expected: Vec<u8> = (0..w.len())
                .flat_map(|i| {
                    if of_base == Dtype::F64 {
                        return value(of_base, (w[i] + -0.3 * (a[i] - w[i])) + 1.7 * (b[i] - w[i]));
                    }
                    let [w, a, b] = [w[i] as f32, a[i] as f32, b[i] as f32];
                    value(of_base, ((w + -0.3f32 * (a - w)) + 1.7f32 * (b - w)).into())
                })
                .collect();
            assert_eq!(found[name].1, expected, "{name} on {of_base}");
        }
        for (number, file) in plan.files.iter().enumerate().filter(|(_, file)| file.name.ends_with("tensors")) {
            let whole = read_file(&plan, &model.inputs, number, 1 << 20).unwrap();
            check_ranges(&plan, &model.inputs, number, &whole, 80, &mut random, &file.name);
        }
    }
}

#[test]
fn the_report_and_the_recipe_name_the_model() {
    let (base, tuned) = (weights(1, Dtype::BF16, 8), weights(2, Dtype::F32, 8));
    let model = models(files(&base, 1, Some(CONFIG)), &[(files(&tuned, 2, Some(CONFIG)), 0.5)]);
    let report = model.plan(&PlanOptions::default()).unwrap().report(&Default::default());
    let [adapter] = report.adapters.as_slice() else { panic!("{:?}", report.adapters) };
    assert_eq!((adapter.r#type.as_str(), adapter.modules, adapter.matched), ("task-vector", 7, 7));
    assert_eq!(report.merged, 7);
    let tensor = report.tensors.iter().find(|tensor| tensor.name == "model.norm.weight").unwrap();
    assert_eq!(tensor.adapters.as_ref().unwrap()[0].method, "task-vector");
    let [adapter] = report.recipe.adapters.as_slice() else { panic!("{:?}", report.recipe) };
    let files: Vec<&str> = adapter.model.as_ref().unwrap().files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(files, ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// The tensors without those called `name`.
fn without(tensors: &[Tensor], name: &str) -> Vec<Tensor> {
    let left: Vec<Tensor> = tensors.iter().filter(|(other, ..)| other != name).cloned().collect();
    assert!(left.len() < tensors.len(), "{name}");
    left
}

#[test]
fn what_has_no_partner_is_named() {
    let (base, tuned) = (weights(1, Dtype::BF16, 8), weights(2, Dtype::BF16, 8));
    let allowed = with(|options: &mut PlanOptions| options.allow_unmatched = true);
    for (base, tuned, name, code) in [
        (base.clone(), without(&tuned, "model.norm.weight"), "model.norm.weight", "missing-tensor"),
        (without(&base, "model.norm.weight"), tuned.clone(), "model.norm.weight", "unmatched-key"),
    ] {
        let model = pair(&base, &tuned, 1.0);
        let error = model.plan(&PlanOptions::default()).unwrap_err();
        assert_eq!((error.code(), error.facts().tensor.as_deref()), ("unmatched-key", Some(name)), "{error}");
        let plan = model.plan(&allowed).unwrap();
        let found: Vec<_> = plan.findings.iter().map(|finding| (&*finding.code, finding.tensor.as_deref())).collect();
        assert_eq!(found, [(code, Some(name))]);
        if let Some((_, _, _, bytes)) = base.iter().find(|(other, ..)| other == name) {
            assert_eq!(&merged(&model, &plan)[name].1, bytes);
        }
    }
    // Nothing that is asked for is missing.
    let selected = with(|options: &mut PlanOptions| options.skip = Some("norm".into()));
    assert!(pair(&base, &without(&tuned, "model.norm.weight"), 1.0).plan(&selected).is_ok());
    let mut other = tuned.clone();
    other[1].2 = vec![9, 13];
    let error = pair(&base, &other, 1.0).plan(&PlanOptions::default()).unwrap_err();
    assert_eq!(
        (error.code(), error.facts().tensor.as_deref()),
        ("shape-mismatch", Some("model.layers.0.q_proj.weight"))
    );
    let unrelated: Vec<Tensor> =
        tuned.iter().map(|(name, d, s, b)| (format!("x{name}x"), *d, s.clone(), b.clone())).collect();
    let error = pair(&base, &unrelated, 1.0).plan(&PlanOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.facts().kind), ("wrong-input", Some(ErrorKind::BaseAsAdapter)), "{error}");
}

#[test]
fn files_are_told_from_adapters() {
    let (base, tuned) = (weights(1, Dtype::BF16, 8), weights(2, Dtype::BF16, 8));
    let stripped: Vec<Tensor> = tuned
        .iter()
        .map(|(name, d, s, b)| (name.strip_prefix("model.").unwrap_or(name).to_string(), *d, s.clone(), b.clone()))
        .collect();
    for (tensors, name) in
        [(&tuned, "x.safetensors"), (&tuned, "adapter_model.safetensors"), (&stripped, "x.safetensors")]
    {
        let alone = BTreeMap::from([(name.to_string(), file(tensors))]);
        let model = models(files(&base, 1, Some(CONFIG)), &[(alone, 1.0)]);
        let found = merge(&model, &PlanOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(tuned.iter().all(|(name, _, _, bytes)| &found[name].1 == bytes), "{name}");
    }
    let mut model = pair(&base, &tuned, 1.0);
    model.adapters[0].1.alpha = Some(3.0);
    let error = model.plan(&PlanOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.facts().field.as_deref()), ("bad-option", Some("alpha")));
}

#[test]
fn a_vocabulary_that_grew_is_an_error_or_its_common_rows_are_merged() {
    let intersect = with(|options: &mut PlanOptions| options.vocabulary = Some("intersect".into()));
    for (ours, theirs) in [(8, 11), (11, 8)] {
        for weight in [1.0, 0.5] {
            let (base, tuned) = (weights(1, Dtype::F32, ours), weights(2, Dtype::F32, theirs));
            let model = pair(&base, &tuned, weight);
            let error = model.plan(&PlanOptions::default()).unwrap_err();
            assert_eq!((error.code(), error.facts().kind), ("shape-mismatch", Some(ErrorKind::OtherShape)), "{error}");
            assert!(error.to_string().contains("--vocabulary intersect"), "{error}");
            let plan = model.plan(&intersect).unwrap();
            let found: Vec<_> = plan.findings.iter().filter_map(|finding| finding.tensor.as_deref()).collect();
            assert_eq!(found, ["model.embed_tokens.weight", "lm_head.weight"]);
            assert!(plan.findings.iter().all(|finding| finding.code == "vocabulary-intersected"));
            let merged = merged(&model, &plan);
            for at in [0, 6] {
                let (name, _, _, w) = &base[at];
                let [w, m] = [decode(Dtype::F32, w), decode(Dtype::F32, &tuned[at].3)];
                let common = 9 * ours.min(theirs) as usize;
                let expected = w.iter().enumerate().map(|(i, w)| match m.get(i).filter(|_| i < common) {
                    Some(m) => f64::from(*w as f32 + weight as f32 * (*m as f32 - *w as f32)),
                    None => *w,
                });
                let expected: Vec<f64> = match weight {
                    1.0 => w.iter().enumerate().map(|(i, w)| if i < common { m[i] } else { *w }).collect(),
                    _ => expected.collect(),
                };
                assert_eq!(decode(Dtype::F32, &merged[name].1), expected, "{name} {ours} {theirs} {weight}");
            }
            let mut random = Random(9);
            let number = plan.files.iter().position(|file| file.name.ends_with("tensors")).unwrap();
            let whole = read_file(&plan, &model.inputs, number, 1 << 20).unwrap();
            check_ranges(&plan, &model.inputs, number, &whole, 80, &mut random, "intersect");
        }
    }
}

/// An output layer that one of the two has and the other has not, because it is the embedding, is the same weight.
#[test]
fn a_tied_output_layer_is_the_embedding() {
    let head = "lm_head.weight";
    let tie = |tensors: &[Tensor]| {
        let mut tensors = tensors.to_vec();
        tensors[6].3 = tensors[0].3.clone();
        tensors
    };
    let (base, tuned) = (weights(1, Dtype::BF16, 8), weights(2, Dtype::BF16, 8));
    let run = |base: &[Tensor], of_base: &str, tuned: &[Tensor], of_model: &str, weight: f64| {
        let model = models(files(base, 1, Some(of_base)), &[(files(tuned, 1, Some(of_model)), weight)]);
        let plan = model.plan(&PlanOptions::default()).unwrap_or_else(|e| panic!("{e}"));
        let config = plan.files.iter().position(|file| file.name == "config.json").unwrap();
        let config = String::from_utf8(read_file(&plan, &model.inputs, config, 99).unwrap()).unwrap();
        let codes: Vec<String> = plan.findings.iter().map(|finding| finding.code.to_string()).collect();
        (merged(&model, &plan), config, codes)
    };
    // Tied both times, a copy in one file alone.
    let (found, config, _) = run(&without(&base, head), TIED, &tie(&tuned), TIED, 1.0);
    assert_eq!((found.get(head), config.as_str(), &found["model.embed_tokens.weight"].1), (None, TIED, &tuned[0].3));
    let (found, config, _) = run(&tie(&base), TIED, &without(&tuned, head), TIED, 1.0);
    assert_eq!((&found[head].1, config.as_str()), (&tuned[0].3, TIED));
    assert_eq!(found[head], found["model.embed_tokens.weight"]);
    // Where no configuration says so, it is said.
    let (found, _, codes) = run(&without(&base, head), "{}", &tie(&tuned), "{}", 1.0);
    assert_eq!((found.get(head), codes), (None, vec!["head-left-out".to_string()]));
    // The base has one of its own, the model's is its embedding.
    let (found, config, _) = run(&base, CONFIG, &without(&tuned, head), TIED, 1.0);
    assert_eq!((&found[head].1, config.as_str()), (&tuned[0].3, CONFIG));
    // The model has one of its own, the base's is its embedding.
    let (found, config, codes) = run(&without(&base, head), TIED, &tuned, CONFIG, 1.0);
    assert_eq!((&found[head].1, &found["model.embed_tokens.weight"].1), (&tuned[6].3, &tuned[0].3));
    assert!(config.contains(r#""tie_word_embeddings":false"#) && codes.contains(&"untied".to_string()), "{config}");
    let (found, ..) = run(&without(&base, head), TIED, &tuned, CONFIG, 0.5);
    let [w, m] = [decode(Dtype::BF16, &base[0].3), decode(Dtype::BF16, &tuned[6].3)];
    let mean = w.iter().zip(m).map(|(w, m)| decode(Dtype::BF16, &value(Dtype::BF16, (w + m) / 2.0))[0]);
    assert_eq!(decode(Dtype::BF16, &found[head].1), mean.collect::<Vec<f64>>());
}

#[test]
fn what_is_no_floating_point_number_must_be_the_same() {
    let integers = |value: u8| ("model.steps".to_string(), Dtype::I64, vec![2u64], vec![value; 16]);
    let mask = ("h.attn.bias".to_string(), Dtype::F32, vec![1, 1, 2, 2], vec![0; 16]);
    let (mut base, mut tuned) = (weights(1, Dtype::F16, 8), weights(2, Dtype::F16, 8));
    base.extend([integers(1), mask]);
    let codes = |tuned: &[Tensor]| {
        let plan = pair(&base, tuned, 1.0).plan(&PlanOptions::default()).unwrap();
        plan.findings
            .iter()
            .map(|finding| (finding.code.to_string(), finding.tensor.clone().unwrap_or_default()))
            .collect::<Vec<_>>()
    };
    let kept = ("kept-tensors".to_string(), "model.steps".to_string());
    assert_eq!(codes(&tuned), [kept]);
    tuned.push(integers(1));
    let mask = || ("kept-tensors".to_string(), "h.attn.bias".to_string());
    assert_eq!(codes(&tuned), [mask()]);
    tuned[7] = integers(2);
    assert_eq!(codes(&tuned), [mask(), ("other-tensors-differ".into(), "model.steps".into())]);
    let found = merge(&pair(&base, &tuned, 1.0), &PlanOptions::default()).unwrap();
    assert_eq!(found["model.steps"].1, vec![1; 16]);
    // Quantised weights have no difference.
    tuned[1].1 = Dtype::I8;
    tuned[1].3.truncate(13 * 9);
    let error = pair(&base, &tuned, 1.0).plan(&PlanOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.facts().kind), ("unsupported", Some(ErrorKind::QuantisedBase)), "{error}");
}

/// A model with a stack of experts or one matrix after another: the same values. Of each expert gate and up side by side, then down.
fn moe(seed: u64, dtype: Dtype, stacked: bool, prefix: &str) -> Vec<Tensor> {
    let (experts, width, hidden) = (3u64, 4u64, 6u64);
    let mut random = Random(seed);
    let mut tensors =
        vec![tensor(&mut random, &format!("{prefix}model.layers.0.mlp.gate.weight"), dtype, &[experts, hidden])];
    let (mut gates, mut downs) = (Vec::new(), Vec::new());
    let path = format!("{prefix}model.layers.0.mlp.experts");
    for expert in 0..experts {
        for (leaf, shape) in
            [("gate_proj", [width, hidden]), ("up_proj", [width, hidden]), ("down_proj", [hidden, width])]
        {
            let one = tensor(&mut random, &format!("{path}.{expert}.{leaf}.weight"), dtype, &shape);
            if leaf == "down_proj" {
                downs.extend(&one.3)
            } else {
                gates.extend(&one.3)
            }
            if !stacked {
                tensors.push(one);
            }
        }
    }
    if stacked {
        tensors.push((format!("{path}.gate_up_proj"), dtype, vec![experts, 2 * width, hidden], gates));
        tensors.push((format!("{path}.down_proj"), dtype, vec![experts, hidden, width], downs));
    }
    tensors
}

const MOE: &str = r#"{"model_type":"qwen3_moe","tie_word_embeddings":false}"#;

fn moe_pair(base: &[Tensor], tuned: &[Tensor], weight: f64) -> Model {
    models(files(base, 1, Some(MOE)), &[(files(tuned, 2, Some(MOE)), weight)])
}

#[test]
fn experts_one_by_one_go_into_a_stack_and_a_stack_into_experts_one_by_one() {
    for weight in [1.0, 0.5, -1.0] {
        for (of_base, of_model) in [(Dtype::F32, Dtype::F32), (Dtype::BF16, Dtype::F32), (Dtype::F16, Dtype::BF16)] {
            let plain = |stacked: bool| {
                let model = moe_pair(&moe(5, of_base, stacked, ""), &moe(6, of_model, stacked, ""), weight);
                merge(&model, &PlanOptions::default()).unwrap()
            };
            for stacked in [true, false] {
                for prefix in ["", "base_model."] {
                    let model = moe_pair(&moe(5, of_base, stacked, ""), &moe(6, of_model, !stacked, prefix), weight);
                    let plan = model.plan(&PlanOptions::default()).unwrap();
                    assert_eq!(
                        merged(&model, &plan),
                        plain(stacked),
                        "{weight} {of_base} {of_model} {stacked} {prefix}"
                    );
                    let number = plan.files.iter().position(|file| file.name == "model.safetensors").unwrap();
                    let whole = read_file(&plan, &model.inputs, number, 100).unwrap();
                    check_ranges(&plan, &model.inputs, number, &whole, 60, &mut Random(7), "experts");
                }
            }
        }
    }
}

#[test]
fn a_stack_that_does_not_fit_is_refused() {
    let stacked = moe(5, Dtype::F32, true, "");
    // One expert's matrix is not there.
    let mut lacks = moe(6, Dtype::F32, false, "");
    lacks.retain(|(name, ..)| !name.contains("experts.1.up_proj"));
    let error = merge(&moe_pair(&stacked, &lacks, 1.0), &PlanOptions::default()).unwrap_err();
    assert!(error.code() == "unmatched-key" && error.to_string().contains("5 of the 6 matrices"), "{error}");
    let allow = with(|options: &mut PlanOptions| options.allow_unmatched = true);
    let found = merge(&moe_pair(&stacked, &lacks, 1.0), &allow).unwrap();
    let (ours, theirs) = (decode(Dtype::F32, &stacked[1].3), decode(Dtype::F32, &moe(6, Dtype::F32, true, "")[1].3));
    let values = decode(Dtype::F32, &found["model.layers.0.mlp.experts.gate_up_proj"].1);
    for (at, value) in values.iter().enumerate() {
        let is_left = (24 * 3..24 * 4).contains(&at);
        assert_eq!(*value, if is_left { ours[at] } else { theirs[at] }, "{at}");
    }
    // Of another number of experts, and of another shape.
    let one = moe(5, Dtype::F32, false, "");
    let mut other = moe(6, Dtype::F32, true, "");
    other[1].2 = vec![2, 12, 6];
    let error = merge(&moe_pair(&one, &other, 1.0), &PlanOptions::default()).unwrap_err();
    assert!(error.code() == "shape-mismatch" && error.to_string().contains("3 experts"), "{error}");
    other[1].2 = vec![3, 6, 8];
    let error = merge(&moe_pair(&one, &other, 1.0), &PlanOptions::default()).unwrap_err();
    assert!(error.code() == "shape-mismatch" && error.to_string().contains("(in, out)"), "{error}");
}

#[test]
fn copies_of_one_tensor_are_seen_through() {
    let t5 = |seed: u64, names: &[&str]| {
        let mut random = Random(seed);
        let shared = tensor(&mut random, "", Dtype::F32, &[7, 4]);
        let q = "encoder.block.0.layer.0.SelfAttention.q.weight";
        let mut tensors = vec![tensor(&mut random, q, Dtype::F32, &[4, 4])];
        tensors.extend(names.iter().map(|name| (name.to_string(), Dtype::F32, shared.2.clone(), shared.3.clone())));
        tensors
    };
    const CONFIG: &str = r#"{"model_type":"t5","is_encoder_decoder":true}"#;
    let all = ["shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
    for (ours, theirs) in
        [(&all[..1], &all[..]), (&all[..], &all[..1]), (&all[..1], &all[1..2]), (&all[1..], &all[..2])]
    {
        let (base, tuned) = (t5(1, ours), t5(2, theirs));
        let model = models(files(&base, 1, Some(CONFIG)), &[(files(&tuned, 1, Some(CONFIG)), 1.0)]);
        let plan = model.plan(&PlanOptions::default()).unwrap();
        assert!(plan.findings.iter().any(|finding| finding.code == "shared-copies"), "{:?}", plan.findings);
        let found = merged(&model, &plan);
        assert_eq!(found.len(), base.len());
        for name in ours {
            assert_eq!(found[*name].1, tuned[1].3, "{name} of {theirs:?}");
        }
    }
    // A vocabulary that grew, in every copy.
    let mut grown = t5(2, &all[..1]);
    grown[1] = tensor(&mut Random(3), "shared.weight", Dtype::F32, &[9, 4]);
    let model = models(files(&t5(1, &all), 1, Some(CONFIG)), &[(files(&grown, 1, Some(CONFIG)), 1.0)]);
    assert_eq!(merge(&model, &PlanOptions::default()).unwrap_err().code(), "shape-mismatch");
    let intersect = with(|options: &mut PlanOptions| options.vocabulary = Some("intersect".into()));
    let found = merge(&model, &intersect).unwrap();
    for name in all {
        assert_eq!(found[name].1, grown[1].3[..7 * 4 * 4], "{name}");
    }
}
