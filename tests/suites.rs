//! No test file is forgotten: each is in one of the two suites, or a target of its own.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

#[test]
fn every_test_file_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (manifest, suites) = (read("Cargo.toml"), read("tests/suite.rs") + &read("tests/fixture_suite.rs"));
    let mut found = 0;
    for entry in fs::read_dir(root.join("tests")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_module = suites.lines().any(|line| line == format!("mod {name};"));
        let is_target = manifest.lines().any(|line| line == format!("name = {name:?}"));
        assert!(is_module != is_target, "tests/{name}.rs: name it in one of the suites");
        found += 1;
    }
    assert!(found > 20, "{found}");
}
