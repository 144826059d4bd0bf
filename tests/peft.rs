//! The fixtures that PEFT made, merged from folder to folder. They are not in the published crate, and this test isn't either.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use crate::folders::cases::Case;
use crate::folders::{self, Scratch, decode, values};
use half::{bf16, f16};
use lorafold::plan::MergePlan;
use lorafold::{AdapterFolder, Merge};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

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
    let scratch = Scratch::new("fixtures");
    let (mut cases, mut elements, mut right) = (0, 0u64, 0u64);
    for Case { name, base, adapters, spec, folder } in folders::cases::cases() {
        let out = scratch.0.join(&name);
        let mut merge = Merge::builder().base(&base);
        for (path, weight) in adapters {
            merge = merge.adapter(AdapterFolder::new(path).weight(weight));
        }
        let merge = merge.plan().unwrap_or_else(|e| panic!("{name}: {e}"));
        let moved = MergePlan::from_bytes(&merge.plan().to_bytes()).unwrap();
        assert_eq!(moved.report(&Default::default()), merge.plan().report(&Default::default()), "{name}");
        merge.run(&out).unwrap_or_else(|e| panic!("{name}: {e}"));
        cases += 1;

        let (before, after) = (values(&base), values(&out));
        let expected_bytes = fs::read(folder.join("expected.safetensors")).unwrap();
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

/// A plan of a fixture whose adapter has another field in its configuration.
fn plan_with(scratch: &Scratch, case: &str, field: &str, value: serde_json::Value) -> lorafold::Result<()> {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(case);
    let adapter = scratch.0.join("adapter");
    fs::create_dir_all(&adapter).unwrap();
    fs::copy(case.join("adapter/adapter_model.safetensors"), adapter.join("adapter_model.safetensors")).unwrap();
    let text = fs::read(case.join("adapter/adapter_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
    config[field] = value;
    fs::write(adapter.join("adapter_config.json"), config.to_string()).unwrap();
    Merge::builder().base(case.join("base")).adapter(AdapterFolder::new(&adapter)).plan().map(drop)
}

#[test]
fn what_the_file_cannot_say_is_refused() {
    let scratch = Scratch::new("refused");
    let refused: [(&str, &str, serde_json::Value, &str); 12] = [
        ("unilora", "save_indices", false.into(), "save_indices=True"),
        ("supertuning", "save_precomputed_indices", false.into(), "save_precomputed_indices=True"),
        ("waveft", "wavelet_family", "coif5".into(), "db1, db2"),
        ("waveft", "wavelet_family", "dmey".into(), "db1, db2"),
        ("peanut", "act_fn", "xielu".into(), "gelu, gelu_fast"),
        ("peanut", "depth", 9.into(), "not implemented"),
        ("fourierft", "peft_type", "TINYLORA".into(), "singular vectors"),
        ("fourierft", "peft_type", "PSOFT".into(), "the rotation"),
        ("fourierft", "peft_type", "OSF".into(), "taken away"),
        ("fourierft", "peft_type", "FROD".into(), "FRoD's left factors"),
        ("fourierft", "peft_type", "ADAMSS".into(), "the clusters"),
        ("hira", "hira_gate", 1.into(), "unknown field"),
    ];
    for (case, field, value, says) in refused {
        let error = plan_with(&scratch, case, field, value.clone()).unwrap_err();
        assert_eq!(error.code(), "unsupported", "{case}: {error}");
        assert_eq!(error.facts().field.as_deref(), Some(field), "{case}: {error}");
        assert!(error.to_string().contains(says), "{case} {field} {value}: {error}");
    }
    let shapes: [(&str, &str, serde_json::Value); 9] = [
        ("loha-conv-effective", "r", 2.into()),
        ("lokr-factor", "r", 5.into()),
        ("miss", "r", 4.into()),
        ("miss-mini", "mini_r", 2.into()),
        ("miss-bat", "init_weights", true.into()),
        ("unilora", "r", 2.into()),
        ("supertuning-supra", "r", 2.into()),
        ("fourierft", "n_frequency", 61.into()),
        ("waveft", "n_frequency", 1.into()),
    ];
    for (case, field, value) in shapes {
        let error = plan_with(&scratch, case, field, value).unwrap_err();
        assert_eq!(error.code(), "shape-mismatch", "{case}: {error}");
    }
    let wrong: [(&str, &str, serde_json::Value); 3] = [
        ("miss", "init_weights", "batt".into()),
        ("deft", "decomposition_method", "svd".into()),
        ("fourierft", "random_loc_seed", (-1).into()),
    ];
    for (case, field, value) in wrong {
        let error = plan_with(&scratch, case, field, value).unwrap_err();
        assert_eq!(error.code(), "bad-config", "{case}: {error}");
    }
}

/// A tensor: its shape and its bytes.
type Tensor = (Dtype, Vec<usize>, Vec<u8>);

/// A file of tensors with some of them changed or left out.
fn rewritten(from: &Path, to: &Path, change: impl Fn(&str, &TensorView) -> Option<Tensor>) {
    let bytes = fs::read(from).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let kept: Vec<(String, Tensor)> =
        tensors.tensors().into_iter().filter_map(|(name, view)| Some((name.clone(), change(&name, &view)?))).collect();
    let views =
        kept.iter().map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(to, serialize(views, None).unwrap()).unwrap();
}

/// GLoRA's C makes a part of a bias of the layer's weight, whatever else the adapter does to that: the base must have it, and as it was trained.
#[test]
fn a_bias_needs_the_weight_of_its_layer() {
    let scratch = Scratch::new("coupled");
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/glora-coupled");
    let (adapter, base) = (scratch.0.join("adapter"), scratch.0.join("base"));
    fs::create_dir_all(&adapter).unwrap();
    fs::create_dir_all(&base).unwrap();
    fs::copy(case.join("adapter/adapter_config.json"), adapter.join("adapter_config.json")).unwrap();
    fs::copy(case.join("base/config.json"), base.join("config.json")).unwrap();
    let own = |view: &TensorView| Some((view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    let weights = "adapter_model.safetensors";
    rewritten(&case.join("adapter").join(weights), &adapter.join(weights), |name, view| {
        if name.contains("glora_A.X") || name.contains("glora_B.X") { None } else { own(view) }
    });
    let weight = "model.layers.0.self_attn.q_proj.weight";
    let plan = |change: &dyn Fn(&TensorView) -> Option<Tensor>| {
        rewritten(&case.join("base/model.safetensors"), &base.join("model.safetensors"), |name, view| {
            if name == weight { change(view) } else { own(view) }
        });
        Merge::builder().base(&base).adapter(AdapterFolder::new(&adapter)).plan()
    };
    let merge = plan(&own).unwrap();
    let of_biases: Vec<String> = {
        let tensors = merge.plan().report(&Default::default()).tensors;
        tensors.into_iter().filter(|tensor| tensor.adapters.is_some()).map(|tensor| tensor.name).collect()
    };
    assert_eq!(of_biases, ["model.layers.0.self_attn.q_proj.bias", "model.layers.0.self_attn.v_proj.bias"]);
    let error = plan(&|_| None).err().unwrap();
    assert_eq!((error.code(), error.facts().expected.as_deref()), ("unmatched-key", Some(weight)), "{error}");
    let error = plan(&|view| Some((view.dtype(), vec![8, 32], view.data().to_vec()))).err().unwrap();
    assert_eq!((error.code(), error.facts().tensor.as_deref()), ("shape-mismatch", Some(weight)), "{error}");
    let error = plan(&|view| Some((Dtype::I8, view.shape().to_vec(), vec![1; 256]))).err().unwrap();
    assert_eq!((error.code(), error.facts().tensor.as_deref()), ("unsupported", Some(weight)), "{error}");
}

/// An index beyond the weight can be seen only when the operands are read: the merge says which.
#[test]
fn an_index_beyond_the_weight_is_an_error() {
    let scratch = Scratch::new("index");
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/shira");
    let adapter = scratch.0.join("adapter");
    fs::create_dir_all(&adapter).unwrap();
    fs::copy(case.join("adapter/adapter_config.json"), adapter.join("adapter_config.json")).unwrap();
    let mut bytes = fs::read(case.join("adapter/adapter_model.safetensors")).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: serde_json::Value = serde_json::from_slice(&bytes[8..header]).unwrap();
    let (key, indices) =
        json.as_object().unwrap().iter().find(|(key, _)| key.ends_with("q_proj.shira_indices")).unwrap();
    let at = header + indices["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at..at + 4].copy_from_slice(&16i32.to_le_bytes());
    fs::write(adapter.join("adapter_model.safetensors"), bytes).unwrap();
    let merge = Merge::builder().base(case.join("base")).adapter(AdapterFolder::new(&adapter)).plan().unwrap();
    let error = merge.run(scratch.0.join("out")).unwrap_err();
    assert_eq!(error.code(), "shape-mismatch");
    assert!(error.to_string().contains("index 16") && error.to_string().contains(key.as_str()), "{error}");
}
