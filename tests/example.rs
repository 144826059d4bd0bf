//! The example merges the sample.
#![cfg(not(target_arch = "wasm32"))]

#[allow(dead_code, reason = "its main function is for the command line")]
#[path = "../examples/merge.rs"]
mod of_the_crate;

use crate::folders::{Scratch, files, values};

#[test]
fn the_example_merges_the_sample() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sample");
    let scratch = Scratch::new("example");
    let merge = |adapters: &[&str], out: &str| {
        let adapters: Vec<String> = adapters.iter().map(|adapter| format!("{sample}/{adapter}")).collect();
        let out = scratch.join(out);
        of_the_crate::merge(&format!("{sample}/tiny-llama"), &adapters, &out.to_string_lossy()).map(|_| out)
    };
    let one = merge(&["storyteller-lora"], "one").unwrap();
    let base = std::path::Path::new(sample).join("tiny-llama");
    assert_eq!(files(&one).keys().collect::<Vec<_>>(), files(&base).keys().collect::<Vec<_>>());
    let weight = "model.layers.0.self_attn.q_proj.weight";
    let value = |folder| values(folder)[weight].1.clone();
    let half = merge(&["storyteller-lora@0.5", "storyteller-lora@0.5"], "half").unwrap();
    assert_ne!(value(&one), value(&base));
    let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-2 * a.abs().max(1e-2);
    assert!(value(&one).iter().zip(&value(&half)).all(close));
    assert_eq!(merge(&["nowhere"], "none").unwrap_err().code(), "fetch-failed");
}
