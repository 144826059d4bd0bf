//! The fixtures that PEFT made, merged from folder to folder. They are not in the published crate, and this test isn't either.
#![cfg(not(target_arch = "wasm32"))]

mod folders;

use std::fs;
use std::path::Path;

use folders::{Scratch, decode, values};
use half::{bf16, f16};
use lorafold::plan::MergePlan;
use lorafold::{AdapterFolder, Merge};
use safetensors::{Dtype, SafeTensors};

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
        let base = case.join(spec["base"].as_str().unwrap());
        let out = scratch.0.join(&name);
        let mut merge = Merge::builder().base(&base);
        for adapter in spec["adapters"].as_array().unwrap() {
            let path = case.join(adapter["path"].as_str().unwrap());
            merge = merge.adapter(AdapterFolder::new(path).weight(adapter["weight"].as_f64().unwrap()));
        }
        let merge = merge.plan().unwrap_or_else(|e| panic!("{name}: {e}"));
        let moved = MergePlan::from_bytes(&merge.plan().to_bytes()).unwrap();
        assert_eq!(moved.report(&Default::default()), merge.plan().report(&Default::default()), "{name}");
        merge.run(&out).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases += 1;

        let (before, after) = (values(&base), values(&out));
        let expected_bytes = fs::read(case.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&expected_bytes).unwrap();
        let added = spec["added"].as_array().into_iter().flatten().filter_map(|tensor| tensor.as_str());
        let mut names: Vec<&str> = before.keys().map(String::as_str).chain(added).collect();
        names.sort_unstable();
        assert_eq!(names, after.keys().collect::<Vec<_>>(), "{name}");
        for tensor in spec["merged"].as_array().unwrap() {
            let tensor = tensor.as_str().unwrap();
            let exact = expected.tensor(&format!("{tensor}.f64")).unwrap();
            let exact = decode(exact.dtype(), exact.data());
            let (dtype, found) = &after[tensor];
            // Of a tensor that the base does not have, nothing.
            let base = |i: usize| before.get(tensor).and_then(|(_, values)| values.get(i)).copied().unwrap_or(0.0);
            let largest = exact.iter().fold(0f64, |max, value| max.max(value.abs()));
            for (i, (&found, &exact)) in found.iter().zip(&exact).enumerate() {
                if matches!(dtype, Dtype::F16 | Dtype::BF16) {
                    let scale = exact.abs().max(base(i).abs()).max((exact - base(i)).abs());
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
    assert!(cases >= 30, "only {cases} fixtures were found");
    assert!(right as f64 >= 0.999 * elements as f64, "{right} of {elements} are correctly rounded");
}
