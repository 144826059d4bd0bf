//! The native driver on real folders: the fixtures that PEFT made, and random models with any number of threads.
#![cfg(not(target_arch = "wasm32"))]

mod model;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use lorafold::native::{MergeOptions, merge_folders};
use lorafold::plan::AdapterOptions;
use model::Model;
use safetensors::{Dtype, SafeTensors};

/// A folder that is removed with everything in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("lorafold-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every tensor of a folder as (type, f64 values).
fn values(folder: &Path) -> BTreeMap<String, (Dtype, Vec<f64>)> {
    let mut tensors = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "safetensors") {
            let bytes = fs::read(&path).unwrap();
            for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
                tensors.insert(name, (view.dtype(), decode(view.dtype(), view.data())));
            }
        }
    }
    tensors
}

fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<f64> {
    match dtype {
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
        Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect(),
        Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f64()).collect(),
        _ => Vec::new(),
    }
}

/// The value of a type that is nearest, and the distance of neighbours there.
fn rounded(dtype: Dtype, value: f64) -> f64 {
    match dtype {
        Dtype::F16 => f16::from_f64(value).to_f64(),
        Dtype::BF16 => bf16::from_f64(value).to_f64(),
        _ => value,
    }
}

fn ulp(dtype: Dtype, magnitude: f64) -> f64 {
    let (bits, least) = if dtype == Dtype::F16 { (10, -14) } else { (7, -126) };
    2f64.powi((magnitude.abs().log2().floor() as i32).max(least) - bits)
}

#[test]
fn the_fixtures_come_out_as_float64_says() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let scratch = Scratch::new("fixtures");
    let (mut cases, mut elements, mut right) = (0, 0u64, 0u64);
    for entry in fs::read_dir(&fixtures).unwrap() {
        let case = entry.unwrap().path();
        let Ok(text) = fs::read(case.join("case.json")) else { continue };
        let spec: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let paths: Vec<(PathBuf, f64)> = spec["adapters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|adapter| (case.join(adapter["path"].as_str().unwrap()), adapter["weight"].as_f64().unwrap()))
            .collect();
        let adapters: Vec<(&Path, AdapterOptions)> = paths
            .iter()
            .map(|(path, weight)| (path.as_path(), AdapterOptions { weight: Some(*weight), alpha: None }))
            .collect();
        let base = case.join(spec["base"].as_str().unwrap());
        let out = scratch.0.join(&name);
        merge_folders(&base, &adapters, &out, &MergeOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases += 1;

        let (before, after) = (values(&base), values(&out));
        let expected_bytes = fs::read(case.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected_bytes).unwrap();
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{name}");
        for tensor in spec["merged"].as_array().unwrap() {
            let tensor = tensor.as_str().unwrap();
            let exact = expected.tensor(&format!("{tensor}.f64")).unwrap();
            let exact = decode(exact.dtype(), exact.data());
            let (dtype, found) = &after[tensor];
            let base = &before[tensor].1;
            let largest = exact.iter().fold(0f64, |max, value| max.max(value.abs()));
            for (i, (&found, &exact)) in found.iter().zip(&exact).enumerate() {
                if matches!(dtype, Dtype::F16 | Dtype::BF16) {
                    let scale = exact.abs().max(base[i].abs()).max((exact - base[i]).abs());
                    assert!(
                        (found - exact).abs() <= ulp(*dtype, scale),
                        "{name} {tensor}[{i}]: {found} is not {exact}"
                    );
                    elements += 1;
                    right += u64::from(found == rounded(*dtype, exact));
                } else {
                    assert!((found - exact).abs() <= 5e-7 * largest, "{name} {tensor}[{i}]: {found} is not {exact}");
                }
            }
        }
    }
    assert!(cases >= 45, "only {cases} fixtures were found");
    assert!(right as f64 >= 0.999 * elements as f64, "{right} of {elements} are correctly rounded");
}

#[test]
fn threads_and_blocks_do_not_show() {
    for seed in 300..312 {
        let model = Model::random(seed);
        let scratch = Scratch::new(&format!("threads-{seed}"));
        model.write(&scratch.0);
        let adapters: Vec<(PathBuf, AdapterOptions)> =
            model.adapters.iter().map(|(folder, options)| (scratch.0.join(&folder.name), options.clone())).collect();
        let adapters: Vec<(&Path, AdapterOptions)> =
            adapters.iter().map(|(path, options)| (path.as_path(), options.clone())).collect();
        let mut outputs = Vec::new();
        for (threads, block_bytes) in [(1, 0), (3, 64), (2, 1), (4, 1000)] {
            let out = scratch.0.join(format!("out-{threads}"));
            let options = MergeOptions { threads, block_bytes, ..MergeOptions::default() };
            merge_folders(&scratch.0.join("base"), &adapters, &out, &options).unwrap();
            let files: BTreeMap<String, Vec<u8>> = fs::read_dir(&out)
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
                .collect();
            outputs.push(files);
        }
        assert!(outputs[0].contains_key("tokenizer.json"));
        assert!(outputs.iter().all(|output| *output == outputs[0]), "seed {seed}");
    }
}

#[test]
fn a_failed_merge_leaves_nothing() {
    let mut model = Model::random(7);
    let last = model.inputs.0.len() - 1;
    // The last bytes of the last adapter's factors become NaN.
    let end = model.inputs.0[last].len();
    model.inputs.0[last][end - 8..].fill(0xff);
    let scratch = Scratch::new("nothing");
    model.write(&scratch.0);
    let adapter = scratch.0.join(&model.adapters.last().unwrap().0.name);
    let out = scratch.0.join("out");
    let merged = merge_folders(
        &scratch.0.join("base"),
        &[(&adapter, AdapterOptions::default())],
        &out,
        &MergeOptions::default(),
    );
    assert_eq!(merged.unwrap_err().code(), "non-finite");
    assert!(!out.exists());
}

#[test]
fn the_output_never_takes_the_place_of_an_input() {
    let model = Model::random(8);
    let scratch = Scratch::new("inputs");
    model.write(&scratch.0);
    let base = scratch.0.join("base");
    let adapter = scratch.0.join(&model.adapters[0].0.name);
    let before = values(&base);
    for out in [base.clone(), base.join("..").join("base"), adapter.clone()] {
        let options = MergeOptions { force: true, ..MergeOptions::default() };
        let merged = merge_folders(&base, &[(&adapter, AdapterOptions::default())], &out, &options);
        assert_eq!(merged.unwrap_err().code(), "bad-option", "{}", out.display());
    }
    assert_eq!(values(&base), before);

    // A folder of links, as caches have them, into the one that is to be written.
    #[cfg(unix)]
    {
        let links = scratch.0.join("links");
        fs::create_dir(&links).unwrap();
        for entry in fs::read_dir(&base).unwrap() {
            let path = entry.unwrap().path();
            std::os::unix::fs::symlink(&path, links.join(path.file_name().unwrap())).unwrap();
        }
        let options = MergeOptions { force: true, ..MergeOptions::default() };
        let merged = merge_folders(&links, &[(&adapter, AdapterOptions::default())], &base, &options);
        assert_eq!(merged.unwrap_err().code(), "bad-option");
        assert_eq!(values(&base), before);
    }
}
