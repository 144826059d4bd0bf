//! Which adapter is meant, and on which base it was trained: several in one file or folder, bases that PEFT had wrapped, bases that an initialisation
//! has changed; every method of PEFT is merged or refused by its name.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{Scratch, files, values};
use lorafold::plan::PlanOptions;
use lorafold::{AdapterFolder, Merge, Result};
use safetensors::SafeTensors;
use safetensors::tensor::{TensorView, serialize};

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(path)
}

/// Write the tensors of several files into one, each under the name that `rename` gives it; `None` leaves it out.
fn collect(sources: &[PathBuf], to: &Path, rename: impl Fn(usize, &str) -> Option<String>) {
    let bytes: Vec<Vec<u8>> = sources.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut tensors: BTreeMap<String, TensorView> = BTreeMap::new();
    for (number, bytes) in bytes.iter().enumerate() {
        for (name, view) in SafeTensors::deserialize(bytes).unwrap().tensors() {
            let Some(name) = rename(number, &name) else { continue };
            let view = TensorView::new(view.dtype(), view.shape().to_vec(), view.data()).unwrap();
            assert!(tensors.insert(name, view).is_none());
        }
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, serialize(tensors, None).unwrap()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    files(from).iter().for_each(|(name, bytes)| fs::write(to.join(name), bytes).unwrap());
}

/// The tensors of a merge.
fn merged(
    scratch: &Scratch,
    base: &Path,
    adapter: AdapterFolder,
) -> Result<BTreeMap<String, (safetensors::Dtype, Vec<f64>)>> {
    let out = scratch.join("out");
    Merge::builder().base(base).adapter(adapter).force(true).plan()?.run(&out)?;
    Ok(values(&out))
}

fn edit(adapter: &Path, field: &str, value: serde_json::Value) {
    let path = adapter.join("adapter_config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config[field] = value;
    fs::write(path, config.to_string()).unwrap();
}

/// The sentence of an error, whose code is `code`.
fn sentence<T>(found: Result<T>, code: &str) -> String {
    let error = found.err().unwrap_or_else(|| panic!("{code} is expected"));
    assert_eq!(error.code(), code, "{error}");
    error.to_string()
}

#[test]
fn one_of_several_adapters_in_a_file() {
    for (case, both) in [("two-adapters", ["adapter-a", "adapter-b"]), ("loha-two", ["adapter-0", "adapter-1"])] {
        let scratch = Scratch::new("named");
        let (base, together) = (fixture(case).join("base"), scratch.join("both"));
        let sources = both.map(|name| fixture(case).join(name).join("adapter_model.safetensors"));
        let name_key = |number: usize, key: &str| {
            let name = ["speech", "vision"][number];
            Some(match key.strip_suffix(".weight") {
                Some(key) => format!("{key}.{name}.weight"),
                None => format!("{key}.{name}"),
            })
        };
        collect(&sources, &together.join("adapter_model.safetensors"), name_key);
        for (number, name) in ["speech", "vision"].into_iter().enumerate() {
            let alone = fixture(case).join(both[number]);
            fs::copy(alone.join("adapter_config.json"), together.join("adapter_config.json")).unwrap();
            let expected = merged(&scratch, &base, AdapterFolder::new(alone)).unwrap();
            let chosen = AdapterFolder::new(&together).adapter(name);
            assert_eq!(merged(&scratch, &base, chosen).unwrap(), expected, "{case} {name}");
            let recipe =
                Merge::builder().base(&base).adapter(AdapterFolder::new(&together).adapter(name)).plan().unwrap();
            assert_eq!(recipe.plan().recipe.adapters[0].adapter.as_deref(), Some(name));
        }
        let error = sentence(merged(&scratch, &base, AdapterFolder::new(&together)), "wrong-input");
        assert!(error.contains("speech, vision") && error.contains("#NAME"), "{error}");
        let error = sentence(merged(&scratch, &base, AdapterFolder::new(&together).adapter("sound")), "bad-option");
        assert!(error.contains("speech, vision"), "{error}");
    }
}

#[test]
fn one_adapter_of_any_name() {
    let scratch = Scratch::new("any-name");
    let (case, adapter) = (fixture("dora-linear"), scratch.join("adapter"));
    copy(&case.join("adapter"), &adapter);
    let named = |_, key: &str| {
        let name = |half: &str| key.replace(&format!(".{half}.weight"), &format!(".{half}.my-run.weight"));
        Some(
            ["lora_A", "lora_B"]
                .iter()
                .map(|half| name(half))
                .find(|name| name != key)
                .unwrap_or(format!("{key}.my-run.weight")),
        )
    };
    let file = "adapter_model.safetensors";
    collect(&[case.join("adapter").join(file)], &adapter.join(file), named);
    let expected = merged(&scratch, &case.join("base"), AdapterFolder::new(case.join("adapter"))).unwrap();
    for chosen in [AdapterFolder::new(&adapter), AdapterFolder::new(&adapter).adapter("my-run")] {
        assert_eq!(merged(&scratch, &case.join("base"), chosen).unwrap(), expected);
    }
    assert!(merged(&scratch, &case.join("base"), AdapterFolder::new(case.join("adapter")).adapter("default")).is_ok());
}

#[test]
fn one_of_several_adapters_in_a_folder() {
    let scratch = Scratch::new("folders");
    let (case, together) = (fixture("two-adapters"), scratch.join("both"));
    copy(&case.join("adapter-a"), &together.join("one"));
    copy(&case.join("adapter-b"), &together.join("two"));
    let base = case.join("base");
    let expected = merged(&scratch, &base, AdapterFolder::new(case.join("adapter-b"))).unwrap();
    assert_eq!(merged(&scratch, &base, AdapterFolder::new(&together).adapter("two")).unwrap(), expected);
    let error = sentence(merged(&scratch, &base, AdapterFolder::new(&together)), "wrong-input");
    assert!(error.contains("one, two") && error.contains("#NAME"), "{error}");
}

/// The base of a case as PEFT saves it while it wraps the layers of the case's adapter.
fn wrap(case: &str, to: &Path, front: &str, with_adapter: bool) {
    let (base, adapter) = (fixture(case).join("base"), fixture(case).join("adapter/adapter_model.safetensors"));
    copy(&base, to);
    let bytes = fs::read(&adapter).unwrap();
    let keys = SafeTensors::deserialize(&bytes).unwrap();
    let modules: Vec<String> = keys
        .names()
        .iter()
        .filter_map(|key| key.strip_prefix("base_model.model.")?.strip_suffix(".lora_A.weight").map(String::from))
        .collect();
    let name = |number: usize, key: &str| {
        if number == 1 {
            return Some(key.replace("base_model.model.", front).replace(".weight", ".default.weight"));
        }
        let (module, parameter) = key.rsplit_once('.').unwrap();
        Some(match modules.iter().any(|wrapped| wrapped == module) {
            true => format!("{front}{module}.base_layer.{parameter}"),
            false => format!("{front}{key}"),
        })
    };
    let sources = [base.join("model.safetensors"), adapter];
    collect(&sources[..1 + usize::from(with_adapter)], &to.join("model.safetensors"), name);
}

#[test]
fn a_base_that_peft_had_wrapped() {
    for (case, front) in [("linear-r4", "base_model.model."), ("linear-r4", ""), ("gpt2", "base_model.model.")] {
        let scratch = Scratch::new("wrapped");
        let wrapped = scratch.join("base");
        wrap(case, &wrapped, front, false);
        let adapter = || AdapterFolder::new(fixture(case).join("adapter"));
        let expected = merged(&scratch, &fixture(case).join("base"), adapter()).unwrap();
        assert_eq!(merged(&scratch, &wrapped, adapter()).unwrap(), expected, "{case} {front}");
        let plan = Merge::builder().base(&wrapped).adapter(adapter()).plan().unwrap();
        assert!(plan.plan().findings.iter().any(|finding| finding.code == "peft-wrapped"));
        // The names are in the index as well.
        let mut small = PlanOptions::default();
        small.max_shard_size = Some(4000);
        let out = scratch.join("sharded");
        Merge::builder().base(&wrapped).adapter(adapter()).options(small).plan().unwrap().run(&out).unwrap();
        assert_eq!(values(&out), expected, "{case} {front}");
        let index: serde_json::Value = serde_json::from_slice(&files(&out)["model.safetensors.index.json"]).unwrap();
        assert!(index["weight_map"].as_object().unwrap().keys().eq(expected.keys()));

        wrap(case, &wrapped, front, true);
        let error = sentence(merged(&scratch, &wrapped, adapter()), "unsupported");
        assert!(error.contains("lora_") && error.contains("unload()"), "{error}");
    }
}

#[test]
fn saved_modules_inside_a_base_are_not_lost() {
    let scratch = Scratch::new("saved-inside");
    let (case, base) = (fixture("linear-r4"), scratch.join("base"));
    copy(&case.join("base"), &base);
    let name = |number: usize, key: &str| match (number, key) {
        (0, _) => Some(format!("base_model.model.{key}")),
        (_, "lm_head.weight") => Some("base_model.model.lm_head.modules_to_save.default.weight".into()),
        _ => None,
    };
    let source = case.join("base/model.safetensors");
    collect(&[source.clone(), source], &base.join("model.safetensors"), name);
    let error = sentence(merged(&scratch, &base, AdapterFolder::new(case.join("adapter"))), "unsupported");
    assert!(error.contains("modules_to_save"), "{error}");
}

/// transformers renames BEiT's modules in memory, `lambda_1` of its layers among them, of which the table of renames knows nothing: as a new tensor it would
/// stand beside the one that was trained.
#[test]
fn a_saved_parameter_that_may_be_the_bases_under_another_name_is_not_added() {
    let scratch = Scratch::new("lambda");
    let (case, adapter) = (fixture("modules-to-save"), scratch.join("adapter"));
    copy(&case.join("adapter"), &adapter);
    let file = "adapter_model.safetensors";
    for (parameter, is_refused) in [("lambda_1", true), ("bias", false)] {
        let name = |number: usize, key: &str| match number {
            0 => Some(key.to_string()),
            _ => key.strip_suffix("model.norm.weight").map(|front| format!("{front}model.norm.{parameter}")),
        };
        let source = case.join("adapter").join(file);
        collect(&[source.clone(), source], &adapter.join(file), name);
        let found = merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter));
        match is_refused {
            true => assert!(sentence(found, "unmatched-key").contains("model.norm.lambda_1")),
            false => assert!(found.unwrap().contains_key("model.norm.bias")),
        }
    }
}

#[test]
fn layers_are_repeated_in_any_way_or_refused() {
    let scratch = Scratch::new("layers");
    let (case, adapter) = (fixture("layers-repeated"), scratch.join("adapter"));
    copy(&case.join("adapter"), &adapter);
    let expected = merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter)).unwrap();
    for bytes in [4000, 30_000] {
        let mut options = PlanOptions::default();
        options.max_shard_size = Some(bytes);
        let out = scratch.join(&format!("shards-{bytes}"));
        Merge::builder().base(case.join("base")).adapter(&adapter).options(options).plan().unwrap().run(&out).unwrap();
        assert_eq!(values(&out), expected);
    }
    let with = |ranges: serde_json::Value| {
        edit(&adapter, "layer_replication", ranges);
        merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter))
    };
    assert!(sentence(with(serde_json::json!([[0, 4]])), "bad-config").contains("the base has 3"));
    assert!(sentence(with(serde_json::json!([[0, 2, 1]])), "bad-config").contains("pairs"));
    assert!(sentence(with(serde_json::json!([[0, 2]])), "unmatched-key").contains("layers.2"));
    let huge: Vec<_> = (0..4000).map(|_| [0, 3]).collect();
    sentence(with(serde_json::json!(huge)), "bad-config");
    edit(&adapter, "layer_replication", serde_json::json!([[0, 2], [1, 3]]));
    let plain = fixture("linear-r4/adapter");
    let two = Merge::builder().base(case.join("base")).adapter(&adapter).adapter(&plain).plan();
    assert!(sentence(two, "unsupported").contains("different layers"));
}

#[test]
fn the_output_projection_of_attention_once() {
    let scratch = Scratch::new("out-proj");
    let case = fixture("multihead");
    let adapter = || AdapterFolder::new(case.join("adapter"));
    let plan = Merge::builder().base(case.join("base")).adapter(adapter()).plan().unwrap();
    assert!(plan.plan().findings.iter().any(|finding| finding.code == "out-proj-twice"));
    let plan = Merge::builder().base(case.join("base")).adapter(adapter().out_proj("once")).plan().unwrap();
    assert!(plan.plan().findings.is_empty());
    let (before, twice) = (values(&case.join("base")), merged(&scratch, &case.join("base"), adapter()).unwrap());
    let once = merged(&scratch, &case.join("base"), adapter().out_proj("once")).unwrap();
    for (name, (_, once)) in &once {
        let (before, twice) = (&before[name].1, &twice[name].1);
        let times = if name.ends_with("out_proj.weight") { 2.0 } else { 1.0 };
        for ((before, twice), once) in before.iter().zip(twice).zip(once) {
            assert!((before + times * (once - before) - twice).abs() < 1e-6, "{name}");
        }
    }
    sentence(merged(&scratch, &case.join("base"), adapter().out_proj("thrice")), "bad-option");
}

#[test]
fn the_base_that_an_initialisation_has_changed() {
    let scratch = Scratch::new("residual");
    let (case, adapter) = (fixture("linear-r4"), scratch.join("adapter"));
    copy(&case.join("adapter"), &adapter);
    let expected = merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter)).unwrap();
    for init in ["pissa", "pissa_niter_4", "corda", "loftq", "lora_ga", "olora"] {
        edit(&adapter, "init_lora_weights", init.into());
        let given = AdapterFolder::new(&adapter).residual_base(true);
        assert_eq!(merged(&scratch, &case.join("base"), given).unwrap(), expected, "{init}");
        if !["olora", "pissa"].contains(&init) {
            let error = sentence(merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter)), "unsupported");
            assert!(error.contains("residualBase"), "{error}");
        }
    }
}

#[test]
fn a_weight_multiplies_what_an_adapter_of_pissa_has_changed() {
    let scratch = Scratch::new("pissa-weights");
    let (base, adapter, other) = (fixture("pissa/base"), fixture("pissa/adapter"), scratch.join("other"));
    copy(&adapter, &other);
    let (before, alone) = (values(&base), merged(&scratch, &base, AdapterFolder::new(&adapter)).unwrap());
    let (one, other) = (AdapterFolder::new(&adapter).weight(0.5), AdapterFolder::new(&other).weight(0.25));
    let out = scratch.join("two");
    Merge::builder().base(&base).adapter(one).adapter(other).plan().unwrap().run(&out).unwrap();
    let mut changed = 0;
    for (name, (_, two)) in values(&out) {
        changed += usize::from(before[&name] != alone[&name]);
        for ((two, before), alone) in two.iter().zip(&before[&name].1).zip(&alone[&name].1) {
            assert!((two - before - 0.75 * (alone - before)).abs() < 1e-6, "{name}");
        }
    }
    assert_eq!(changed, 3);
}

#[test]
fn pissa_is_refused_where_peft_has_no_such_layer_or_nothing_tells_what_it_took() {
    let scratch = Scratch::new("pissa");
    let adapter = scratch.join("adapter");
    for (case, code, said) in [
        ("dora-linear", "unsupported", "DoRA"),
        ("bd-lora", "unsupported", "blocks"),
        ("multihead", "unsupported", "MultiheadAttention"),
    ] {
        let (case, adapter) = (fixture(case), scratch.join(case));
        let from = if case.join("adapter").exists() { case.join("adapter") } else { case.join("adapter-0") };
        copy(&from, &adapter);
        edit(&adapter, "init_lora_weights", "pissa".into());
        let error = sentence(merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter)), code);
        assert!(error.contains(said) && error.contains("PiSSA") && error.contains("residualBase"), "{error}");
    }
    let case = fixture("pissa");
    copy(&case.join("adapter"), &adapter);
    edit(&adapter, "lora_alpha", (-6).into());
    assert!(
        sentence(merged(&scratch, &case.join("base"), AdapterFolder::new(&adapter)), "bad-config").contains("above 0")
    );
    edit(&adapter, "lora_alpha", 6.into());

    // A base all of whose singular values are equal, and one with a value that is no number.
    let base = scratch.join("base");
    copy(&case.join("base"), &base);
    let path = base.join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = SafeTensors::deserialize(&bytes)
        .unwrap()
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
        .collect();
    const QUERY: &str = "model.layers.0.self_attn.q_proj.weight";
    for (value, code, said) in [(1.0f32, "unsupported", "too near"), (f32::NAN, "unsupported", "NaN")] {
        let (_, shape, data) = tensors.iter_mut().find(|(name, ..)| name == QUERY).unwrap();
        let cols = shape[1];
        for (at, bytes) in data.chunks_exact_mut(4).enumerate() {
            let number = if at / cols == at % cols { value } else { 0.0 };
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        let views = tensors
            .iter()
            .map(|(name, shape, data)| (name, TensorView::new(safetensors::Dtype::F32, shape.clone(), data).unwrap()));
        fs::write(&path, serialize(views, None).unwrap()).unwrap();
        let result = merged(&scratch, &base, AdapterFolder::new(&adapter));
        let facts = result.as_ref().err().map(|error| error.facts().clone()).unwrap();
        assert_eq!((facts.tensor.as_deref(), facts.adapter.as_deref()), (Some(QUERY), Some("adapter")));
        let error = sentence(result, code);
        assert!(error.contains(said) && error.contains("residualBase"), "{error}");
    }
}

/// PEFT 0.21.2's `PeftType`.
const PEFT_TYPES: &str = "PROMPT_TUNING MULTITASK_PROMPT_TUNING P_TUNING PREFIX_TUNING LORA ADALORA ADAMSS BOFT ADAPTION_PROMPT IA3 BEFT LILY LOHA LOKR OFT POLY \
    LN_TUNING VERA FROD PVERA FOURIERFT GLORA XLORA HRA VBLORA UNILORA CPT MISS RANDLORA ROAD TRAINABLE_TOKENS HIRA SHIRA C3A WAVEFT OSF DELORA GRALORA \
    CARTRIDGE TINYLORA PSOFT PEANUT SHADOW SUPERTUNING DEFT";
/// Those of them that are not merged.
const REFUSED: &str = "PROMPT_TUNING MULTITASK_PROMPT_TUNING P_TUNING PREFIX_TUNING ADAMSS ADAPTION_PROMPT LILY POLY FROD XLORA CPT OSF CARTRIDGE TINYLORA \
    PSOFT SHADOW";

#[test]
fn every_method_of_peft_is_merged_or_refused_by_its_name() {
    let scratch = Scratch::new("types");
    let (case, adapter) = (fixture("linear-r4"), scratch.join("adapter"));
    copy(&case.join("adapter"), &adapter);
    for name in PEFT_TYPES.split_whitespace().chain(["BONE"]) {
        fs::write(adapter.join("adapter_config.json"), format!(r#"{{"peft_type":"{name}"}}"#)).unwrap();
        let found = Merge::builder().base(case.join("base")).adapter(&adapter).plan();
        let is_refused = REFUSED.split_whitespace().any(|refused| refused == name);
        let error = found.err().unwrap_or_else(|| panic!("{name} has other tensors, or another rank"));
        assert_eq!(error.facts().field.as_deref() == Some("peft_type"), is_refused, "{name}: {error}");
        if is_refused {
            assert_eq!(error.code(), "unsupported", "{error}");
            assert!(error.facts().fix.is_some() && error.facts().found.as_deref() == Some(name), "{error}");
            assert!(!error.to_string().contains("cannot be merged yet"), "{name} has no reason of its own: {error}");
        }
    }
    fs::write(adapter.join("adapter_config.json"), r#"{"peft_type":"OF_TOMORROW"}"#).unwrap();
    let found = Merge::builder().base(case.join("base")).adapter(&adapter).plan();
    assert!(sentence(found, "unsupported").contains("cannot be merged yet"));
}
