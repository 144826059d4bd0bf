//! Adapters made of adapters and of models, against real PEFT and numpy: tests/fixtures/factors.py says how the expected values came about.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{Scratch, decode, files, values};
use lorafold::plan::PlanOptions;
use lorafold::{AdapterFolder, CombineOptions, ExtractOptions, FactorsReport, Merge, NewAdapter, Result};
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/factors")
}

fn about() -> Value {
    serde_json::from_slice(&fs::read(fixtures().join("cases.json")).unwrap()).unwrap()
}

fn options<T: lorafold::json::FromJson>(value: &Value) -> T {
    T::from_json(value).unwrap()
}

fn adapter(case: &Value) -> AdapterFolder {
    AdapterFolder::new(fixtures().join(case["path"].as_str().unwrap())).weight(case["weight"].as_f64().unwrap())
}

/// The options of a case, with its method, in F64 so that nothing is rounded.
fn asked(case: &Value) -> Value {
    let mut asked = case["options"].clone();
    asked["method"] = case["method"].clone();
    asked["dtype"] = json!("float64");
    asked
}

fn combine(adapters: Vec<AdapterFolder>, asked: &Value, out: &Path) -> Result<FactorsReport> {
    NewAdapter::combined(adapters, options::<CombineOptions>(asked)).run(out)
}

/// The deltas of an adapter, by module, row by row: α/r is 1 in all that is made here.
fn deltas(folder: &Path) -> BTreeMap<String, Vec<f64>> {
    let config: Value = serde_json::from_slice(&fs::read(folder.join("adapter_config.json")).unwrap()).unwrap();
    let bytes = fs::read(folder.join("adapter_model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut deltas = BTreeMap::new();
    for (key, a) in file.tensors() {
        let Some((module, end)) = key.split_once(".lora_") else { continue };
        let Some(end) = ["A.weight", "embedding_A"].iter().find(|other| end == **other) else { continue };
        let b = file.tensor(&format!("{module}.lora_{}", end.replace('A', "B"))).unwrap();
        let module = module.strip_prefix("base_model.model.").unwrap();
        let rank = a.shape()[0];
        assert_eq!(b.shape()[1], rank, "{key}");
        let said = |table: &str, usual: &str| config[table].get(module).unwrap_or(&config[usual]).clone();
        assert_eq!(said("rank_pattern", "r"), json!(rank), "{key}");
        assert_eq!(said("alpha_pattern", "lora_alpha"), json!(rank), "{key}");
        let (a, b) = (decode(a.dtype(), a.data()), decode(b.dtype(), b.data()));
        let cols = a.len() / rank;
        let value = |at: usize| (0..rank).map(|k| b[at / cols * rank + k] * a[k * cols + at % cols]).sum();
        deltas.insert(module.to_string(), (0..b.len() / rank * cols).map(value).collect());
    }
    deltas
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, value| f64::max(largest, value.abs()))
}

fn distance(one: &[f64], other: &[f64]) -> f64 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).fold(0.0, |largest, (one, other)| f64::max(largest, (one - other).abs()))
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

#[test]
fn every_type_gives_what_peft_gives() {
    let about = about();
    let bytes = fs::read(fixtures().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let cases = about["cases"].as_object().unwrap();
    assert!(cases.len() >= 17);
    let mut compared = 0;
    for (name, case) in cases {
        let scratch = Scratch::new(&format!("combine-{name}"));
        let adapters = case["adapters"].as_array().unwrap().iter().map(adapter).collect();
        let report = combine(adapters, &asked(case), &scratch.join("out")).unwrap();
        let found = deltas(&scratch.join("out"));
        let prefix = format!("{name}/");
        let names: Vec<&str> = expected.names().into_iter().filter_map(|key| key.strip_prefix(&prefix)).collect();
        assert_eq!(names.len(), found.len(), "{name}: {names:?}");
        for module in names {
            let tensor = expected.tensor(&format!("{name}/{module}")).unwrap();
            let expected = decode(tensor.dtype(), tensor.data());
            let error = distance(&found[module], &expected) / largest(&expected);
            assert!(error < 1e-12, "{name} {module}: {error:e}");
            compared += 1;
        }
        assert_eq!(report.modules.len(), found.len());
        for module in &report.modules {
            let exact = module.deviation.unwrap() < 1e-12;
            assert!(!matches!(report.method.as_str(), "cat") || exact, "{name}: {module:?}");
            // What `linear` adds to the sum is never nothing, where two adapters meet.
            let alone = matches!(module.module.as_str(), "emb" | "out");
            assert!(!matches!(report.method.as_str(), "linear") || alone || !exact, "{name}: {module:?}");
        }
    }
    assert!(compared > 60, "{compared}");
}

#[test]
fn what_is_made_merges_as_its_adapters_do() {
    // The sample's base, and two adapters of other ranks and scales, one with rsLoRA.
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sample");
    let scratch = Scratch::new("combine-merge");
    let adapters = || {
        vec![
            AdapterFolder::new(sample.join("storyteller-lora")).weight(0.8),
            AdapterFolder::new(sample.join("terse-rslora")).weight(-0.3),
        ]
    };
    let merge = |adapters: Vec<AdapterFolder>, out: &str| {
        let builder = Merge::builder().base(sample.join("tiny-llama")).dtype("float32");
        let merge = adapters.into_iter().fold(builder, |builder, adapter| builder.adapter(adapter));
        merge.plan().unwrap().run(scratch.join(out)).unwrap();
        values(&scratch.join(out))
    };
    let expected = merge(adapters(), "merged");
    for (method, rank) in [("cat", None), ("svd", Some(64))] {
        let out = scratch.join(method);
        let report = combine(adapters(), &json!({ "method": method, "rank": rank }), &out).unwrap();
        let found = merge(vec![out.into()], &format!("{method}-merged"));
        assert_eq!(found.len(), expected.len());
        for (name, (_, values)) in &expected {
            let error = distance(&found[name].1, values) / largest(values);
            assert!(error < 5e-7, "{method} {name}: {error:e}");
        }
        assert_eq!(report.dtype, "float32");
        assert!(report.modules.iter().all(|module| module.energy == 1.0), "{report:?}");
    }
}

/// Of each delta the same elements are kept, whether adapters become one or are merged by a method: the largest, or by the same random numbers.
#[test]
fn a_merge_by_the_method_keeps_the_same_elements() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules");
    let weights = [(0, 0.7), (1, -0.4), (3, 1.3)];
    let adapters =
        || weights.map(|(number, weight)| AdapterFolder::new(rules.join(format!("adapter-{number}"))).weight(weight));
    for method in ["dare_linear", "dare_ties", "ties", "magnitude_prune"] {
        let scratch = Scratch::new(&format!("same-{method}"));
        let [made, one, other] = ["made", "one", "other"].map(|name| scratch.join(name));
        // As many singular values as there are: nothing is left out.
        let asked =
            json!({ "method": format!("{method}_svd"), "density": 0.4, "seed": 11, "rank": 18, "dtype": "float64" });
        combine(adapters().into(), &asked, &made).unwrap();
        let merge = Merge::builder().base(rules.join("base")).adapter(AdapterFolder::new(&made));
        merge.plan().unwrap().run(&one).unwrap();
        let asked = json!({ "method": method, "density": 0.4, "seed": 11 });
        let merge = Merge::builder().base(rules.join("base")).options(options::<PlanOptions>(&asked));
        adapters()
            .into_iter()
            .fold(merge, |merge, adapter| merge.adapter(adapter))
            .plan()
            .unwrap()
            .run(&other)
            .unwrap();
        let (base, one, other) = (values(&rules.join("base")), values(&one), values(&other));
        for (tensor, (_, base)) in &base {
            let (one, other) = (&one[tensor].1, &other[tensor].1);
            let most = distance(base, other);
            assert!(most > 0.01 && distance(one, other) < 1e-5 * most, "{method} {tensor}: {:e}", distance(one, other));
        }
    }
}

#[test]
fn an_adapter_is_resized() {
    let scratch = Scratch::new("resize");
    let a = || vec![AdapterFolder::new(fixtures().join("a"))];
    let whole = combine(a(), &json!({ "method": "svd", "dtype": "float64" }), &scratch.join("whole")).unwrap();
    assert!(whole.modules.iter().all(|module| module.rank == 4 && module.energy == 1.0), "{whole:?}");
    let before = deltas(&scratch.join("whole"));
    let resized = combine(a(), &json!({ "rank": 2, "dtype": "float64" }), &scratch.join("two")).unwrap();
    let after = deltas(&scratch.join("two"));
    for module in &resized.modules {
        assert_eq!(module.rank, 2);
        // Eckart and Young: what is lost is what the report says.
        let (one, other) = (&before[&module.module], &after[&module.module]);
        let lost: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
        let said = (1.0 - module.energy).sqrt() * module.norm;
        assert!((norm(&lost) - said).abs() < 1e-12 * module.norm, "{module:?}: {}", norm(&lost));
        assert!((module.norm - norm(one)).abs() < 1e-12 * module.norm);
    }
    let energy = combine(a(), &json!({ "energy": 0.9 }), &scratch.join("energy")).unwrap();
    assert!(energy.modules.iter().all(|module| module.energy >= 0.9), "{energy:?}");
    assert!(energy.modules.iter().any(|module| module.rank < 4), "{energy:?}");
}

#[test]
fn what_cancels_is_nothing() {
    let scratch = Scratch::new("cancel");
    let twice = |one: f64, other: f64| {
        vec![
            AdapterFolder::new(fixtures().join("a")).weight(one),
            AdapterFolder::new(fixtures().join("a")).weight(other),
        ]
    };
    for method in ["svd", "cat", "linear", "dare_linear_svd"] {
        let density = method.starts_with("dare").then_some(1.0);
        let out = scratch.join(method);
        let report = combine(twice(0.7, -0.7), &json!({ "method": method, "density": density }), &out).unwrap();
        for module in &report.modules {
            assert!(module.energy == 1.0 && module.deviation.unwrap() < 1e-12, "{method}: {module:?}");
        }
        for (module, delta) in deltas(&out) {
            assert!(largest(&delta) < 1e-12, "{method} {module}: {}", largest(&delta));
        }
    }
}

#[test]
fn what_cannot_be_combined_is_refused() {
    let scratch = Scratch::new("combine-refused");
    let refused = |names: &[&str], asked: Value| {
        let adapters = names.iter().map(|name| AdapterFolder::new(fixtures().join(name))).collect();
        let error = combine(adapters, &asked, &scratch.join("out")).unwrap_err();
        assert!(!scratch.join("out").exists());
        (error.code(), error.to_string())
    };
    // Of c only q has another rank than a.
    let (code, sentence) = refused(&["a", "c"], json!({ "method": "linear" }));
    assert!(code == "shape-mismatch" && sentence.contains("cat, svd"), "{sentence}");
    for asked in [json!({}), json!({ "method": "linear" })] {
        let (code, sentence) = refused(&["../dora-f32/adapter"], asked);
        assert!(code == "unsupported" && sentence.contains("DoRA") && sentence.contains("extract"), "{sentence}");
    }
    let (code, sentence) = refused(&["../dora-two/adapter-a", "../dora-two/adapter-b"], json!({ "method": "cat" }));
    assert!(code == "unsupported" && sentence.contains("DoRA"), "{sentence}");
    // What depends on the base, and what has no factors.
    for (name, method) in
        [("hira", "hira"), ("fourierft", "fourierft"), ("oft", "oft"), ("ia3", "ia3"), ("miss-bat", "miss")]
    {
        let (code, sentence) = refused(&[&format!("../{name}/adapter")], json!({ "method": "cat" }));
        assert!(code == "unsupported" && sentence.contains(method), "{name}: {sentence}");
    }
    for name in ["vera", "randlora", "miss"] {
        let (code, sentence) = refused(&[&format!("../{name}/adapter")], json!({}));
        assert!(code == "unsupported" && sentence.contains("--base"), "{name}: {sentence}");
    }
    // A layer without elements.
    let empty = scratch.join("empty");
    fs::create_dir(&empty).unwrap();
    let header = r#"{"base_model.model.q.lora_A.weight":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]},"base_model.model.q.lora_B.weight":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 24]].concat();
    fs::write(empty.join("adapter_model.safetensors"), bytes).unwrap();
    fs::write(empty.join("adapter_config.json"), r#"{"peft_type":"LORA","r":2,"lora_alpha":2}"#).unwrap();
    for method in ["svd", "linear", "cat"] {
        let error = combine(vec![(&empty).into()], &json!({ "method": method }), &scratch.join("out")).unwrap_err();
        assert!(["unsupported", "shape-mismatch", "wrong-input"].contains(&error.code()), "{error}");
    }
    for (asked, option) in [
        (json!({ "method": "linear", "rank": 3 }), "rank"),
        (json!({ "method": "cat", "energy": 0.5 }), "energy"),
        (json!({ "energy": 0.0 }), "energy"),
        (json!({ "rank": 0 }), "rank"),
        (json!({ "method": "ties" }), "density"),
        (json!({ "method": "dare_linear", "density": 0.0 }), "density"),
        (json!({ "method": "svd", "density": 0.5 }), "density"),
        (json!({ "method": "svd", "majoritySign": "total" }), "majoritySign"),
        (json!({ "method": "ties", "density": 0.5, "majoritySign": "most" }), "majoritySign"),
        (json!({ "method": "average" }), "method"),
        (json!({ "dtype": "int8" }), "dtype"),
    ] {
        let (code, sentence) = refused(&["a"], asked.clone());
        assert!(code == "bad-option" && sentence.contains(option), "{asked}: {sentence}");
    }
    let (code, _) = refused(&[], json!({}));
    assert_eq!(code, "bad-option");
}

fn extract(asked: Value, out: &Path) -> Result<FactorsReport> {
    NewAdapter::extracted(fixtures().join("base"), fixtures().join("tuned"), options::<ExtractOptions>(&asked)).run(out)
}

/// What differs between two folders with a model, by tensor.
fn differences() -> BTreeMap<String, Vec<f64>> {
    let (base, tuned) = (values(&fixtures().join("base")), values(&fixtures().join("tuned")));
    let difference = |(name, (_, tuned)): (&String, &(Dtype, Vec<f64>))| {
        (name.clone(), tuned.iter().zip(&base[name].1).map(|(tuned, base)| tuned - base).collect())
    };
    tuned.iter().map(difference).collect()
}

#[test]
fn a_difference_of_low_rank_comes_back_whole() {
    let scratch = Scratch::new("extract");
    let report = extract(json!({ "rank": 3, "dtype": "float64" }), &scratch.join("out")).unwrap();
    let (found, differences) = (deltas(&scratch.join("out")), differences());
    let q = "model.layers.0.q_proj";
    let delta = &differences[&format!("{q}.weight")];
    // Rank 3, but for the rounding of W + D.
    assert!(distance(&found[q], delta) < 1e-14 * largest(delta) * 100.0, "{:e}", distance(&found[q], delta));
    let module = report.modules.iter().find(|module| module.module == q).unwrap();
    assert!(module.energy > 1.0 - 1e-14 && module.rank == 3, "{module:?}");
    // What did not change has no factors, and is not saved.
    assert_eq!(found.len(), 4, "{:?}", found.keys());
    let saved: Vec<&str> =
        report.others.iter().filter(|other| other.saved).map(|other| other.tensor.as_str()).collect();
    let norms = ["model.layers.0.norm.bias", "model.layers.0.norm.weight"];
    assert_eq!(saved, ["model.embed_tokens.weight", norms[0], norms[1], "model.layers.0.up_proj.bias"]);
}

#[test]
fn energies_are_those_of_numpy() {
    let about = about();
    let scratch = Scratch::new("extract-energy");
    for (number, energy) in [0.3, 0.9, 0.99, 0.9999, 1.0].into_iter().enumerate() {
        let report = extract(json!({ "energy": energy }), &scratch.join(&number.to_string())).unwrap();
        for module in &report.modules {
            let known = &about["difference"][format!("{}.weight", module.module)];
            let singular: Vec<f64> =
                known["singular"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            let total: f64 = singular.iter().map(|value| value * value).sum();
            let sums: Vec<f64> = singular
                .iter()
                .scan(0.0, |sum, value| {
                    *sum += value * value;
                    Some(*sum / total)
                })
                .collect();
            let enough = sums.iter().position(|sum| *sum >= energy - 1e-11).unwrap() + 1;
            let kept = sums[module.rank as usize - 1];
            assert!((kept - module.energy).abs() < 1e-10, "{module:?}: {kept}");
            assert!((module.norm - known["norm"].as_f64().unwrap()).abs() < 1e-12 * module.norm, "{module:?}");
            if energy < 1.0 {
                assert_eq!(module.rank, enough as u64, "{energy}: {module:?}");
            }
        }
    }
}

#[test]
fn the_best_of_a_rank_is_kept() {
    let about = about();
    let scratch = Scratch::new("extract-best");
    let report = extract(json!({ "rank": 2, "dtype": "float64" }), &scratch.join("out")).unwrap();
    let (found, differences) = (deltas(&scratch.join("out")), differences());
    for module in &report.modules {
        let name = format!("{}.weight", module.module);
        let singular = about["difference"][&name]["singular"].as_array().unwrap();
        let rest = singular[2..].iter().map(|value| value.as_f64().unwrap().powi(2)).sum::<f64>().sqrt();
        let lost: Vec<f64> =
            differences[&name].iter().zip(&found[&module.module]).map(|(one, other)| one - other).collect();
        // Eckart and Young: no other matrix of this rank is nearer.
        assert!(norm(&lost) <= rest * (1.0 + 1e-6) + 1e-12, "{module:?}: {} of {rest}", norm(&lost));
    }
}

#[test]
fn base_and_adapter_make_the_tuned_model() {
    let scratch = Scratch::new("extract-merge");
    extract(json!({ "energy": 1.0, "dtype": "float64" }), &scratch.join("adapter")).unwrap();
    let merge = Merge::builder().base(fixtures().join("base")).adapter(scratch.join("adapter"));
    merge.plan().unwrap().run(scratch.join("merged")).unwrap();
    let (merged, tuned) = (values(&scratch.join("merged")), values(&fixtures().join("tuned")));
    for (name, (dtype, tuned)) in &tuned {
        let error = distance(&merged[name].1, tuned) / largest(tuned);
        let limit = if *dtype == Dtype::F64 || *dtype == Dtype::F32 { 2e-7 } else { 1e-14 };
        assert!(error < limit, "{name} {dtype:?}: {error:e}");
    }
}

#[test]
fn what_has_no_factors_is_refused_or_dropped() {
    let scratch = Scratch::new("extract-others");
    let error = extract(json!({ "others": "refuse" }), &scratch.join("out")).unwrap_err();
    assert!(error.code() == "unsupported" && error.to_string().contains("--others drop"), "{error}");
    assert!(!scratch.join("out").exists());
    let report = extract(json!({ "others": "drop" }), &scratch.join("out")).unwrap();
    assert!(
        report.others.len() == 3 && report.others.iter().all(|other| !other.saved && other.norm > Some(0.0)),
        "{report:?}"
    );
    let config: Value = serde_json::from_slice(&files(&scratch.join("out"))["adapter_config.json"]).unwrap();
    assert_eq!((&config["modules_to_save"], &config["bias"]), (&Value::Null, &json!("none")));
}

/// The hash of the values of a file: its header names the version.
fn hash(folder: &Path) -> String {
    let bytes = fs::read(folder.join("adapter_model.safetensors")).unwrap();
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    Sha256::digest(&bytes[8 + header..]).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Two models of one weight that is too large to be decomposed as a whole, of numbers that JavaScript makes as well.
fn wide(scratch: &Scratch) -> [PathBuf; 2] {
    const SIDES: [usize; 2] = [150, 61];
    let mut state = 1u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 16_777_216.0 - 0.5
    };
    let base: Vec<f32> = (0..SIDES[0] * SIDES[1]).map(|_| number()).collect();
    let tuned: Vec<f32> =
        base.iter().enumerate().map(|(at, value)| value + number() / (1 + at % SIDES[1]) as f32).collect();
    [("base", base), ("tuned", tuned)].map(|(name, values)| {
        let folder = scratch.join(&format!("wide-{name}"));
        fs::create_dir(&folder).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let [rows, cols] = SIDES;
        let about =
            json!({ "up_proj.weight": { "dtype": "F32", "shape": [rows, cols], "data_offsets": [0, bytes.len()] } });
        let header = about.to_string();
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat();
        fs::write(folder.join("model.safetensors"), file).unwrap();
        folder
    })
}

/// The same bytes on every machine: tests/js/factors.test.mjs compares those of WebAssembly with the same hashes.
#[test]
fn the_bytes_are_the_same_everywhere() {
    let text = fs::read(fixtures().with_file_name("factors-hashes.json")).unwrap();
    let known: BTreeMap<String, String> = serde_json::from_slice(&text).unwrap();
    let (about, scratch) = (about(), Scratch::new("factors-hashes"));
    let mut found = BTreeMap::new();
    for name in known.keys() {
        let out = scratch.join(name);
        match &about["cases"][name] {
            Value::Null if name == "extract-wide" => {
                let [base, tuned] = wide(&scratch);
                let options = options::<ExtractOptions>(&json!({ "rank": 4 }));
                NewAdapter::extracted(base, tuned, options).run(&out).unwrap()
            }
            Value::Null => extract(json!({ "rank": 4 }), &out).unwrap(),
            case => {
                let mut asked = asked(case);
                asked["dtype"] = Value::Null;
                combine(case["adapters"].as_array().unwrap().iter().map(adapter).collect(), &asked, &out).unwrap()
            }
        };
        found.insert(name.clone(), hash(&out));
    }
    assert_eq!(found, known);
}

#[test]
fn threads_do_not_show() {
    let scratch = Scratch::new("factors-threads");
    let bytes = |threads: usize| {
        let out = scratch.join(&format!("extract-{threads}"));
        let models =
            NewAdapter::extracted(fixtures().join("base"), fixtures().join("tuned"), ExtractOptions::default());
        models.threads(threads).run(&out).unwrap();
        files(&out)
    };
    assert_eq!(bytes(1), bytes(3));
}
