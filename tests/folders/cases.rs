//! The cases that PEFT made (tests/fixtures/README.md).

use std::fs;
use std::path::{Path, PathBuf};

/// A case: the folders of its base and its adapters, and what must come out.
pub struct Case {
    pub name: String,
    pub base: PathBuf,
    /// Each with its weight.
    pub adapters: Vec<(PathBuf, f64)>,
    /// All that case.json says.
    pub spec: serde_json::Value,
    /// The folder of the case.
    pub folder: PathBuf,
}

/// All of them, by name.
pub fn cases() -> Vec<Case> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<Case> =
        fs::read_dir(fixtures).unwrap().filter_map(|entry| case(entry.unwrap().path())).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn case(folder: PathBuf) -> Option<Case> {
    let spec: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("case.json")).ok()?).unwrap();
    let path = |value: &serde_json::Value| folder.join(value.as_str().unwrap());
    let adapters = spec["adapters"].as_array().unwrap().iter();
    Some(Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        base: path(&spec["base"]),
        adapters: adapters.map(|adapter| (path(&adapter["path"]), adapter["weight"].as_f64().unwrap())).collect(),
        spec,
        folder,
    })
}
