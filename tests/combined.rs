//! Adapters that `combine` makes of the fixtures' adapters, merged: what comes out is what PEFT made of these adapters themselves.
//!
//! `tests/fixtures/combined.py` loads the same adapters with PEFT; combined.json has the hashes of those that it has loaded.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::folders::cases::{Case, cases};
use crate::folders::{Scratch, decode, values};
use lorafold::json::FromJson;
use lorafold::{AdapterFolder, CombineOptions, FactorsReport, Merge, NewAdapter, Result};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn options(value: &Value) -> CombineOptions {
    CombineOptions::from_json(value).unwrap()
}

/// The cases that are combined, each with whether the base is needed, and the hash of the adapter that PEFT has loaded.
fn known() -> BTreeMap<String, Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/combined.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn combine(case: &Case, asked: &Value, base: bool, out: &Path) -> Result<FactorsReport> {
    let adapters: Vec<AdapterFolder> =
        case.adapters.iter().map(|(path, weight)| AdapterFolder::new(path).weight(*weight)).collect();
    let new = NewAdapter::combined(adapters, options(asked));
    if base { new.base(&case.base) } else { new }.run(out)
}

/// The largest error of a merge of `adapter`, over the largest value of each tensor that is merged.
fn error(case: &Case, adapter: &Path, out: &Path) -> f64 {
    let merge = Merge::builder().base(&case.base).adapter(adapter).dtype("float32").plan();
    merge.unwrap_or_else(|e| panic!("{}: {e}", case.name)).run(out).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    let found = values(out);
    let bytes = fs::read(case.folder.join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let mut worst = 0f64;
    for tensor in case.spec["merged"].as_array().unwrap() {
        let tensor = tensor.as_str().unwrap();
        let exact = expected.tensor(&format!("{tensor}.f64")).unwrap();
        let exact = decode(exact.dtype(), exact.data());
        let largest = exact.iter().fold(0f64, |largest, value| largest.max(value.abs()));
        for (found, exact) in found[tensor].1.iter().zip(&exact) {
            worst = worst.max((found - exact).abs() / largest);
        }
    }
    worst
}

fn hash(folder: &Path) -> String {
    let weights = fs::read(folder.join("adapter_model.safetensors")).unwrap();
    let header = u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize;
    let mut hash = Sha256::new();
    // The header names the version.
    hash.update(&weights[8 + header..]);
    hash.update(fs::read(folder.join("adapter_config.json")).unwrap());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_exact_sum_merges_as_its_adapters_do() {
    let (known, scratch) = (known(), Scratch::new("combined"));
    let mut found = BTreeMap::new();
    for case in cases().iter().filter(|case| known.contains_key(&case.name)) {
        let needs = known[&case.name]["base"] == json!(true);
        for base in if needs { vec![true] } else { vec![false, true] } {
            // combined.py loads what is kept.
            let kept = std::env::var_os("KEEP_COMBINED")
                .filter(|_| base == needs)
                .map(|folder| Path::new(&folder).join(&case.name));
            let out = kept.unwrap_or_else(|| scratch.join(&format!("{}-{base}", case.name)));
            let report =
                combine(case, &json!({ "method": "cat" }), base, &out).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let worst = error(case, &out, &scratch.join(&format!("{}-{base}-merged", case.name)));
            assert!(worst < 1e-6, "{}: {worst:e}", case.name);
            assert!(report.modules.iter().all(|module| module.energy == 1.0), "{}: {report:?}", case.name);
            if base == needs {
                found.insert(case.name.clone(), json!({ "base": needs, "sha256": hash(&out) }));
            }
        }
    }
    assert_eq!(found, known);
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

#[test]
fn stacks_of_experts_become_one_by_every_method() {
    let (case, scratch) = (case("experts-two"), Scratch::new("combined-experts"));
    // All singular values: the same as the exact sum.
    let svd = combine(&case, &json!({ "method": "svd", "rank": 64 }), false, &scratch.join("svd")).unwrap();
    assert!(error(&case, &scratch.join("svd"), &scratch.join("svd-merged")) < 1e-6);
    assert!(svd.modules.iter().all(|module| module.energy > 1.0 - 1e-12), "{svd:?}");
    let named: Vec<&str> = svd.modules.iter().map(|module| module.module.as_str()).collect();
    assert!(named.iter().any(|name| name.ends_with("experts.down_proj")), "{named:?}");
    // Fewer of them: what is lost is what the report says.
    let less = combine(&case, &json!({ "method": "svd", "rank": 1, "dtype": "float64" }), false, &scratch.join("less"))
        .unwrap();
    let all = combine(&case, &json!({ "method": "cat", "dtype": "float64" }), false, &scratch.join("all")).unwrap();
    for (less, all) in less.modules.iter().zip(&all.modules) {
        assert!(
            less.rank == 1 && less.energy < 1.0 && (less.norm - all.norm).abs() < 1e-12 * all.norm,
            "{less:?} {all:?}"
        );
        assert!((less.deviation.unwrap() - (1.0 - less.energy).sqrt()).abs() < 1e-9, "{less:?}");
    }
    for method in ["linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"] {
        for end in ["", "_svd"] {
            let method = format!("{method}{end}");
            let density = (method != "linear").then_some(0.6);
            if method == "linear_svd" {
                continue;
            }
            let out = scratch.join(&method);
            let report = combine(&case, &json!({ "method": method, "density": density }), false, &out).unwrap();
            assert!(report.modules.iter().all(|module| module.deviation.unwrap() > 1e-3), "{report:?}");
            error(&case, &out, &scratch.join(&format!("{method}-merged")));
        }
    }
}

#[test]
fn biases_add_up_also_with_adapters_that_have_none() {
    let (case, scratch) = (case("lora-bias"), Scratch::new("combined-bias"));
    let adapter = case.adapters[0].0.clone();
    // The same adapter without its biases.
    let without = scratch.join("without");
    fs::create_dir(&without).unwrap();
    let text = fs::read_to_string(adapter.join("adapter_config.json")).unwrap();
    fs::write(without.join("adapter_config.json"), text.replace("\"lora_bias\": true", "\"lora_bias\": false"))
        .unwrap();
    let bytes = fs::read(adapter.join("adapter_model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let kept = file.tensors().into_iter().filter(|(key, _)| !key.ends_with("lora_B.bias"));
    fs::write(without.join("adapter_model.safetensors"), safetensors::serialize(kept, None).unwrap()).unwrap();
    let adapters = || {
        [(&adapter, 0.7), (&without, -0.4), (&adapter, 1.5)]
            .map(|(path, weight)| AdapterFolder::new(path).weight(weight))
    };
    let merge = |adapters: Vec<AdapterFolder>, out: &str| {
        let builder = Merge::builder().base(&case.base).dtype("float32");
        let merge = adapters.into_iter().fold(builder, |builder, adapter| builder.adapter(adapter));
        merge.plan().unwrap().run(scratch.join(out)).unwrap();
        values(&scratch.join(out))
    };
    let expected = merge(adapters().into(), "merged");
    for method in ["cat", "svd"] {
        let out = scratch.join(method);
        let rank = (method == "svd").then_some(64);
        NewAdapter::combined(adapters(), options(&json!({ "method": method, "rank": rank }))).run(&out).unwrap();
        let found = merge(vec![(&out).into()], &format!("{method}-merged"));
        for (name, (_, values)) in &expected {
            let largest = values.iter().fold(0f64, |largest, value| largest.max(value.abs()));
            for (found, value) in found[name].1.iter().zip(values) {
                assert!((found - value).abs() < 1e-6 * largest, "{method} {name}: {found} {value}");
            }
        }
    }
    // Embeddings have no such bias.
    let embedding = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/embedding/adapter");
    let mixed = [AdapterFolder::new(&adapter), AdapterFolder::new(embedding)];
    let refused = NewAdapter::combined(mixed, options(&json!({ "method": "cat" }))).run(scratch.join("mixed"));
    let error = refused.unwrap_err();
    assert!(error.code() == "unsupported" && error.to_string().contains("embeddings"), "{error}");
}
