//! The table of the reference, docs/methods.md: method × layer × element type, made by merging every fixture that PEFT made. The test fails while the
//! file says something else; `npm run tables` writes it.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::folders::cases::{Case, cases};
use crate::folders::{Scratch, decode, files, values};
use half::{bf16, f16};
use lorafold::plan::report::TensorReport;
use lorafold::{AdapterFolder, Error, Merge};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// The columns, and a type in which weights are only stored.
const TYPES: [Dtype; 5] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F8_E4M3];

fn encode(dtype: Dtype, values: &[f64]) -> Vec<u8> {
    match dtype {
        Dtype::F64 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Dtype::F32 => values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect(),
        Dtype::F16 => values.iter().flat_map(|v| f16::from_f64(*v).to_le_bytes()).collect(),
        Dtype::BF16 => values.iter().flat_map(|v| bf16::from_f64(*v).to_le_bytes()).collect(),
        _ => vec![0x38; values.len()],
    }
}

/// Copy a folder, with every number of its weights as `dtype` holds it, stored as `stored`.
fn converted(folder: &Path, to: &Path, dtype: Dtype, stored: Dtype) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in files(folder) {
        let bytes = if name.ends_with(".safetensors") {
            let tensors: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = SafeTensors::deserialize(&bytes)
                .unwrap()
                .tensors()
                .into_iter()
                .map(|(name, view)| {
                    let values = decode(view.dtype(), view.data());
                    if values.is_empty() {
                        return (name, view.shape().to_vec(), view.dtype(), view.data().to_vec());
                    }
                    let rounded = encode(dtype, &values);
                    let held = if stored == dtype { rounded } else { encode(stored, &decode(dtype, &rounded)) };
                    (name, view.shape().to_vec(), stored, held)
                })
                .collect();
            let views = tensors.iter().map(|(name, shape, dtype, bytes)| {
                (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
            });
            safetensors::serialize(views, Some([("format".to_owned(), "pt".to_owned())].into())).unwrap()
        } else {
            bytes
        };
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// Merge the case's adapters into a base; what is done to each tensor.
fn merge(case: &Case, base: &Path, out: &Path) -> Result<Vec<TensorReport>, Error> {
    let mut merge = Merge::builder().base(base);
    for (path, weight) in &case.adapters {
        merge = merge.adapter(AdapterFolder::new(path).weight(*weight));
    }
    let merge = merge.plan()?;
    let tensors = merge.plan().report(&Default::default()).tensors;
    merge.run(out)?;
    Ok(tensors.into_iter().filter(|tensor| tensor.adapters.is_some()).collect())
}

/// What kind of layer a tensor belongs to.
fn layer(tensor: &TensorReport) -> &'static str {
    let embeds = ["embed", "wte", "wpe", "tokens"].iter().any(|part| tensor.name.contains(part));
    match tensor.shape.len() {
        1 if tensor.name.ends_with("bias") => "bias",
        1 => "norm",
        2 if embeds => "embedding",
        2 if tensor.transposed == Some(true) => "Conv1D of transformers",
        2 => "linear",
        3 if ["experts", "moe."].iter().any(|part| tensor.name.contains(part)) => "experts in one tensor",
        3 => "convolution, 1 dimension",
        4 => "convolution, 2 dimensions",
        5 => "convolution, 3 dimensions",
        _ => "other",
    }
}

/// Whether `found` is `exact` in `dtype`: the nearest number or the one beside it, because the sums before the rounding are in f32.
fn close(dtype: Dtype, found: &[f64], exact: &[f64], before: &[f64]) -> bool {
    let bits = match dtype {
        Dtype::F16 => 10,
        Dtype::BF16 => 7,
        Dtype::F32 => 21,
        _ => 40,
    };
    let largest = exact.iter().fold(0f64, |max, value| max.max(value.abs()));
    found.len() == exact.len()
        && found.iter().zip(exact).enumerate().all(|(i, (found, exact))| {
            let near = exact.abs().max(before.get(i).map_or(0.0, |b| b.abs())).max((found - exact).abs());
            (found - exact).abs() <= near * 2f64.powi(-bits) + largest * 2f64.powi(-22)
        })
}

/// For each method and layer: what becomes of each element type, and the fixtures.
type Table = BTreeMap<(String, &'static str), (BTreeMap<usize, String>, BTreeSet<String>)>;

fn table() -> Table {
    let scratch = Scratch::new("methods");
    let mut table = Table::new();
    for case in cases() {
        let at = |name: &str| scratch.join(&format!("{}-{name}", case.name));
        let own = merge(&case, &case.base, &at("own")).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        for (column, dtype) in TYPES.into_iter().enumerate() {
            let (base, wide) = (at(&format!("base-{column}")), at(&format!("wide-{column}")));
            converted(&case.base, &base, dtype, dtype);
            let out = at(&format!("out-{column}"));
            let result = merge(&case, &base, &out);
            if result.is_ok() && dtype != Dtype::F64 {
                converted(&case.base, &wide, dtype, Dtype::F64);
                merge(&case, &wide, &at(&format!("exact-{column}"))).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let (found, exact, before) = (values(&out), values(&at(&format!("exact-{column}"))), values(&wide));
                for tensor in &own {
                    let before = before.get(&tensor.name).map_or(&[][..], |(_, values)| values);
                    let right = close(dtype, &found[&tensor.name].1, &exact[&tensor.name].1, before);
                    assert!(right, "{}: {} in {dtype:?}", case.name, tensor.name);
                }
            }
            let cell = result.map_or_else(|error| format!("`{}`", error.code()), |_| "merged".into());
            for tensor in &own {
                for update in tensor.adapters.iter().flatten() {
                    let (cells, fixtures) = table.entry((update.method.to_owned(), layer(tensor))).or_default();
                    let other = cells.insert(column, cell.clone());
                    assert!(other.is_none_or(|other| other == cell), "{}: {} in {dtype:?}", case.name, tensor.name);
                    fixtures.insert(case.name.clone());
                }
            }
            for name in ["base", "wide", "out", "exact"] {
                let _ = fs::remove_dir_all(at(&format!("{name}-{column}")));
            }
        }
    }
    table
}

/// Methods of PEFT 0.21 of which no fixture is merged, by `peft_type`.
const REFUSED: [&str; 16] = [
    "ADAMSS",
    "ADAPTION_PROMPT",
    "CARTRIDGE",
    "CPT",
    "FROD",
    "LILY",
    "MULTITASK_PROMPT_TUNING",
    "OSF",
    "POLY",
    "PREFIX_TUNING",
    "PROMPT_TUNING",
    "PSOFT",
    "P_TUNING",
    "SHADOW",
    "TINYLORA",
    "XLORA",
];

/// Variants of LoRA that are refused, by the field that chooses them.
const VARIANTS: [(&str, &str); 8] = [
    ("alora_invocation_tokens", "[1]"),
    ("arrow_config", r#"{"top_k": 1}"#),
    ("init_lora_weights", r#""corda""#),
    ("init_lora_weights", r#""loftq""#),
    ("init_lora_weights", r#""lora_ga""#),
    ("init_lora_weights", r#""pissa_niter_16""#),
    ("kasa_config", r#"{"beta": 0.1}"#),
    ("use_qalora", "true"),
];

/// For each of them, why it is refused and what to do.
fn refused() -> Vec<(String, String, String)> {
    let scratch = Scratch::new("refused");
    let case = cases().into_iter().find(|case| case.name == "linear-r4").unwrap();
    let adapter = scratch.join("adapter");
    fs::create_dir_all(&adapter).unwrap();
    for (name, bytes) in files(&case.adapters[0].0) {
        fs::write(adapter.join(name), bytes).unwrap();
    }
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(adapter.join("adapter_config.json")).unwrap()).unwrap();
    let types = REFUSED.iter().map(|name| ("peft_type", format!("{name:?}")));
    let variants = VARIANTS.iter().map(|(field, value)| (*field, (*value).to_owned()));
    let refuse = |(field, value): (&str, String)| {
        let mut config = config.clone();
        config[field] = serde_json::from_str(&value).unwrap();
        fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
        let planned = Merge::builder().base(&case.base).adapter(AdapterFolder::new(&adapter)).plan();
        let error = planned.err().unwrap_or_else(|| panic!("{field} {value} is merged"));
        assert_eq!(error.code(), "unsupported", "{field} {value}: {error}");
        let facts = error.facts();
        let fix = facts.fix.clone().unwrap_or_else(|| panic!("{field} {value} does not say what to do: {error}"));
        let sentence = error.to_string();
        let reason =
            sentence.rsplit_once("adapter_config.json: ").unwrap().1.strip_prefix(&format!("{field}: ")).unwrap();
        (format!("`{field}: {value}`"), reason.strip_suffix(&format!("; {fix}")).unwrap().to_owned(), fix)
    };
    types.chain(variants).map(refuse).collect()
}

/// How many fixtures a row names.
const SHOWN: usize = 3;

fn page() -> String {
    let mut text = String::from(INTRODUCTION);
    for ((method, layer), (cells, fixtures)) in table() {
        let cells = (0..TYPES.len()).map(|column| cells[&column].as_str()).collect::<Vec<_>>().join(" | ");
        let more = fixtures.len().saturating_sub(SHOWN);
        let mut names = fixtures.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if more > 0 {
            write!(names, " and {more} more").unwrap();
        }
        writeln!(text, "| {method} | {layer} | {cells} | {names} |").unwrap();
    }
    text += REFUSED_HEAD;
    for (what, sentence, fix) in refused() {
        writeln!(text, "| {what} | {sentence} | {fix} |").unwrap();
    }
    text
}

const INTRODUCTION: &str = "# What is merged

Made by `tests/methods.rs`, which merges every fixture into bases of each element type. `merged` means that the result is the one in float64 up to the
type's last bit, and that in the fixture's own type it is what the forward pass of PEFT's training computed. A code means that it is refused.

| method | layer | F64 | F32 | F16 | BF16 | F8_E4M3 | made from |
|---|---|---|---|---|---|---|---|
";

const REFUSED_HEAD: &str = "
## What is refused

| in adapter_config.json | why | what to do |
|---|---|---|
";

#[test]
fn the_reference_says_what_is_merged() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/methods.md");
    let page = page();
    if std::env::var_os("LORAFOLD_WRITE_TABLES").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/methods.md is old: npm run tables");
}
