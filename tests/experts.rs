//! Experts: what no fixture has. Packings of `lora_B`, adapters of single experts on a base that stacks them, what is refused, and programs whose
//! operands are read in parts.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{Scratch, files};
use crate::model::{Memory, Model, Random, add_folder, block_on, with};
use lorafold::engine::Merger;
use lorafold::plan::{AdapterOptions, PlanOptions};
use lorafold::{AdapterFolder, Merge, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A tensor: its shape and its bytes.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

fn tensors(file: &Path) -> BTreeMap<String, Tensor> {
    let bytes = fs::read(file).unwrap();
    let read = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (String, TensorView)| (name, (view.dtype(), view.shape().into(), view.data().into()));
    read.tensors().into_iter().map(tensor).collect()
}

fn write(folder: &Path, config: &serde_json::Value, tensors: &BTreeMap<String, Tensor>) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("adapter_config.json"), config.to_string()).unwrap();
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(folder.join("adapter_model.safetensors"), serialize(views, None).unwrap()).unwrap();
}

fn config_of(case: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(case.join("adapter/adapter_config.json")).unwrap()).unwrap()
}

/// The weights that a merge of one adapter gives.
fn merged(base: &Path, adapter: AdapterFolder, out: &Path) -> BTreeMap<String, Tensor> {
    Merge::builder().base(base).adapter(adapter).plan().and_then(|merge| merge.run(out)).unwrap();
    tensors(&out.join("model.safetensors"))
}

/// The columns of a matrix of f32, each as `source` says.
fn with_columns(tensor: &mut Tensor, source: impl Fn(usize) -> usize) {
    let columns = tensor.1[1];
    let before = tensor.2.clone();
    for (row, values) in tensor.2.chunks_exact_mut(4 * columns).enumerate() {
        for (column, value) in values.chunks_exact_mut(4).enumerate() {
            value.copy_from_slice(&before[4 * (row * columns + source(column))..][..4]);
        }
    }
}

/// Unsloth's order until September 2026: the same factors, with the columns of `lora_B` by expert.
#[test]
fn the_packing_of_before_gives_the_same() {
    let scratch = Scratch::new("expert-packing");
    for (name, experts) in [("experts-gpt-oss", 3), ("experts-olmoe", 4)] {
        let case = case(name);
        let mut factors = tensors(&case.join("adapter/adapter_model.safetensors"));
        for (key, tensor) in &mut factors {
            let rank = tensor.1[1] / experts;
            if key.contains("lora_B") && rank > 1 {
                with_columns(tensor, |column| column % rank * experts + column / rank);
            }
        }
        let packed = scratch.0.join(name).join("adapter");
        write(&packed, &config_of(&case), &factors);
        let base = case.join("base");
        let expected = merged(&base, AdapterFolder::new(case.join("adapter")), &scratch.0.join(name).join("expected"));
        let found = AdapterFolder::new(&packed).expert_packing("expert");
        assert!(merged(&base, found, &scratch.0.join(name).join("found")) == expected, "{name}");
        let other = merged(&base, AdapterFolder::new(&packed), &scratch.0.join(name).join("other"));
        assert!(other != expected, "{name}");
    }
    let packed = |packing: Option<&str>| {
        let adapter = AdapterFolder::new(case("experts-olmoe").join("adapter"));
        let adapter = packing.iter().fold(adapter, |adapter, packing| adapter.expert_packing(*packing));
        Merge::builder().base(case("experts-olmoe").join("base")).adapter(adapter).plan()
    };
    for packing in [None, Some("rank"), Some("expert")] {
        let plan = packed(packing).unwrap();
        assert_eq!(plan.plan().recipe.adapters[0].expert_packing.as_deref(), packing);
    }
    let error = packed(Some("rows")).map(drop).unwrap_err();
    assert_eq!((error.code(), error.facts().field.as_deref()), ("bad-option", Some("expertPacking")), "{error}");
}

/// A base that stacks what files of Mixtral have by expert, and the same adapter on both.
#[test]
fn adapters_of_single_experts_fit_stacks() {
    let scratch = Scratch::new("expert-stacks");
    let case = case("experts-of-before");
    let expected = merged(&case.join("base"), AdapterFolder::new(case.join("adapter")), &scratch.0.join("expected"));
    let stack = |by_expert: &BTreeMap<String, Tensor>| {
        let mut stacked = by_expert.clone();
        for (parameter, leaves) in [("gate_up_proj", ["w1", "w3"].as_slice()), ("down_proj", &["w2"])] {
            let (mut shape, mut bytes, mut dtype) = (Vec::new(), Vec::new(), Dtype::BF16);
            for expert in 0..3 {
                for leaf in leaves {
                    let name = format!("model.layers.0.block_sparse_moe.experts.{expert}.{leaf}.weight");
                    let (of, sides, values) = stacked.remove(&name).unwrap();
                    (dtype, shape) = (of, vec![3, sides[0] * leaves.len(), sides[1]]);
                    bytes.extend(values);
                }
            }
            stacked.insert(format!("model.layers.0.block_sparse_moe.experts.{parameter}"), (dtype, shape, bytes));
        }
        stacked
    };
    let base = scratch.0.join("base");
    fs::create_dir_all(&base).unwrap();
    fs::copy(case.join("base/config.json"), base.join("config.json")).unwrap();
    let stacked = stack(&tensors(&case.join("base/model.safetensors")));
    let views = stacked
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(base.join("model.safetensors"), serialize(views, None).unwrap()).unwrap();
    let found = merged(&base, AdapterFolder::new(case.join("adapter")), &scratch.0.join("found"));
    assert!(found == stack(&expected));
}

/// A plan of a case whose adapter has another field in its configuration.
fn plan_with(scratch: &Scratch, name: &str, field: &str, value: serde_json::Value) -> Result<Merge> {
    let (case, adapter) = (case(name), scratch.0.join("adapter"));
    let mut config = config_of(&case);
    config[field] = value;
    write(&adapter, &config, &tensors(&case.join("adapter/adapter_model.safetensors")));
    Merge::builder().base(case.join("base")).adapter(AdapterFolder::new(&adapter)).plan()
}

#[test]
fn what_peft_refuses_beside_target_parameters_is_refused_by_name() {
    let scratch = Scratch::new("experts-refused");
    for (field, value) in [
        ("lora_dropout", 0.1.into()),
        ("fan_in_fan_out", true.into()),
        ("lora_bias", true.into()),
        ("use_dora", true.into()),
        ("velora_config", serde_json::json!({"rank": 1})),
    ] {
        let error = plan_with(&scratch, "experts-one-parameter", field, value).map(drop).unwrap_err();
        assert_eq!((error.code(), error.facts().field.as_deref()), ("unsupported", Some(field)), "{error}");
    }
    // The ranks that do not go into the factors, and those that make another number of experts.
    for (rank, found) in [(4, "shape-mismatch"), (1, "shape-mismatch"), (3, "shape-mismatch"), (6, "shape-mismatch")] {
        let error = plan_with(&scratch, "experts-one-parameter", "r", rank.into()).map(drop).unwrap_err();
        assert_eq!(error.code(), found, "{rank}: {error}");
    }
    let error =
        plan_with(&scratch, "experts-mixtral", "target_parameters", serde_json::json!(["x.y"])).map(drop).unwrap_err();
    assert_eq!(error.code(), "shape-mismatch", "{error}");
}

/// What a square matrix is taken for is said, and depends on the version of PEFT.
#[test]
fn the_version_of_peft_decides_what_a_square_is() {
    let scratch = Scratch::new("experts-square");
    for (name, version, way) in [
        ("experts-square", "0.21.2", "(in, out)"),
        ("experts-square", "0.18.0", "(in, out)"),
        ("experts-square", "0.19.0", "(out, in)"),
        ("experts-square-split", "0.19.1", "(out, in)"),
        ("experts-square-split", "0.18.0", "(in, out)"),
    ] {
        let merge = plan_with(&scratch, name, "peft_version", version.into()).unwrap();
        let finding = merge.plan().findings.iter().find(|finding| finding.code == "expert-layout-assumed");
        let message = &finding.unwrap_or_else(|| panic!("{name} {version}: nothing is said")).message;
        assert!(message.contains(way), "{name} {version}: {message}");
    }
    let unsloth = plan_with(&scratch, "experts-olmoe", "base_model_name_or_path", "unsloth/OLMoE".into()).unwrap();
    assert!(unsloth.plan().findings.iter().any(|finding| finding.code == "expert-packing"));
}

/// Operands that are kept, read again for each expert, or read in steps give the same bytes, in blocks of any order.
#[test]
fn memory_for_few_experts_cannot_show() {
    for name in ["experts-gpt-oss", "experts-qwen3-moe"] {
        let case = case(name);
        let mut inputs = Memory::default();
        let base = add_folder(&mut inputs, "base", files(&case.join("base")));
        let options = with(|options: &mut AdapterOptions| options.weight = Some(1.0));
        let adapters = vec![(add_folder(&mut inputs, "adapter", files(&case.join("adapter"))), options)];
        let model = Model { inputs, base, adapters };
        let plan = model.plan(&PlanOptions::default()).unwrap();
        for number in 0..plan.tensor_count() {
            let Some(program) = plan.program(number) else { continue };
            let elements = program.elements();
            let mut large = Merger::new(false, 0);
            large.load(0, program.clone().into_owned());
            let whole = block_on(large.compute(0, 0..elements, &model.inputs, None)).unwrap().to_vec();
            let width = whole.len() as u64 / elements;
            for limit in [2, 200, 1000, 4000] {
                let mut random = Random(limit);
                let mut small = Merger::new(false, limit);
                small.load(0, program.clone().into_owned());
                for _ in 0..40 {
                    let start = random.below(elements);
                    let part = start..start + 1 + random.below(elements - start);
                    let found = block_on(small.compute(0, part.clone(), &model.inputs, None)).unwrap();
                    let expected = &whole[(part.start * width) as usize..(part.end * width) as usize];
                    assert!(found == expected, "{name} {} {part:?} with {limit} bytes", program.tensor);
                }
            }
        }
    }
}
