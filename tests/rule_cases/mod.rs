//! The cases of the fixture `rules` (tests/fixtures/maker/rules.py).
#![allow(dead_code, reason = "every test binary uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use lorafold::plan::{AdapterOptions, PlanOptions};
use lorafold::{AdapterFolder, Merge, MergeBuilder};
use serde_json::Value;

use crate::model::with;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rules")
}

/// A case: its number, its options, and its adapters' folders, weights and densities.
pub struct Case {
    pub number: usize,
    pub options: PlanOptions,
    pub adapters: Vec<(PathBuf, AdapterOptions)>,
    pub what: String,
}

pub fn cases() -> Vec<Case> {
    let spec: Value = serde_json::from_slice(&fs::read(folder().join("rules.json")).unwrap()).unwrap();
    let of = |(number, case): (usize, &Value)| {
        let text = |field: &str| case[field].as_str().map(String::from);
        let densities = case["densities"].as_array();
        let method = text("method").unwrap();
        let options = with(|options: &mut PlanOptions| {
            options.method = text("method");
            options.density = if prunes(&method) { case["density"].as_f64() } else { None };
            options.majority_sign = text("majoritySign");
            options.flavor = text("flavor");
            options.gamma = case["gamma"].as_f64();
            options.epsilon = case["epsilon"].as_f64();
            options.normalize = case["normalize"].as_bool();
            options.seed = if draws(&method) { spec["seed"].as_u64().unwrap() } else { 0 };
        });
        let adapter = |number: usize| {
            let path = folder().join(spec["adapters"][number].as_str().unwrap());
            let asked = with(|options: &mut AdapterOptions| {
                options.weight = weighs(&method).then(|| case["weights"][number].as_f64().unwrap());
                options.density = densities.and_then(|all| all[number].as_f64());
            });
            (path, asked)
        };
        let count = case["adapters"].as_u64().unwrap() as usize;
        Case { number, options, adapters: (0..count).map(adapter).collect(), what: case.to_string() }
    };
    spec["cases"].as_array().unwrap().iter().enumerate().map(of).collect()
}

/// Methods that know a density, random numbers, weights.
pub fn prunes(method: &str) -> bool {
    !["model_stock", "slerp", "nuslerp", "karcher"].contains(&method)
}

pub fn draws(method: &str) -> bool {
    ["dare_linear", "dare_ties", "della", "della_linear"].contains(&method)
}

fn weighs(method: &str) -> bool {
    !["sce", "model_stock", "karcher"].contains(&method)
}

/// The merge of a case.
pub fn merge(case: &Case) -> MergeBuilder {
    let mut merge = Merge::builder().base(folder().join("base")).options(case.options.clone());
    for (path, options) in &case.adapters {
        let mut adapter = AdapterFolder::new(path).weight(options.weight.unwrap_or(1.0));
        if let Some(density) = options.density {
            adapter = adapter.density(density);
        }
        merge = merge.adapter(adapter);
    }
    merge
}
