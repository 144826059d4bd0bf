//! What is extracted of models whose tensors are tied: PEFT needs a copy for each module (`tests/fixtures/extracted.py` loads the like with PEFT).
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::folders::{Scratch, decode, values};
use lorafold::{ExtractOptions, FactorsReport, Merge, NewAdapter};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Values between −1 and 1, other ones for each `seed`.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let value =
        |at: usize| ((at as u32).wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503)) as f32 / 2f32.powi(31) - 1.0;
    (0..count).flat_map(|at| value(at).to_le_bytes()).collect()
}

/// Write a model of these tensors; the values of those in `changed` are others.
fn save(folder: &Path, config: &Value, tensors: &[(&str, &[usize])], changed: &[&str]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .enumerate()
        .map(|(at, (name, shape))| {
            let seed = at as u32 + if changed.contains(name) { 100 } else { 1 };
            noise(shape.iter().product(), seed)
        })
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap()));
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The configuration and the tensors of what is extracted where `changed` differ.
fn extracted(
    scratch: &Scratch,
    config: &Value,
    tensors: &[(&str, &[usize])],
    changed: &[&str],
) -> (FactorsReport, Value, BTreeMap<String, Vec<f64>>) {
    save(&scratch.join("base"), config, tensors, &[]);
    save(&scratch.join("tuned"), config, tensors, changed);
    let out = scratch.join("out");
    let new = NewAdapter::extracted(scratch.join("base"), scratch.join("tuned"), ExtractOptions::default());
    let report = new.run(&out).unwrap();
    let config = serde_json::from_slice(&fs::read(out.join("adapter_config.json")).unwrap()).unwrap();
    let bytes = fs::read(out.join("adapter_model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(key, view): (String, TensorView)| {
        (key.strip_prefix("base_model.model.").unwrap().to_string(), decode(view.dtype(), view.data()))
    };
    (report, config, file.tensors().into_iter().map(tensor).collect())
}

const LLAMA: [(&str, &[usize]); 3] = [
    ("model.embed_tokens.weight", &[11, 4]),
    ("model.layers.0.self_attn.q_proj.weight", &[4, 4]),
    ("model.norm.weight", &[4]),
];

#[test]
fn an_output_layer_that_is_tied_is_saved_with_its_embedding() {
    let scratch = Scratch::new("extract-tied");
    let tied = json!({ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": true });
    let changed = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"];
    let (report, config, tensors) = extracted(&scratch, &tied, &LLAMA, &changed);
    assert_eq!(tensors["lm_head.weight"], tensors["model.embed_tokens.weight"]);
    assert_eq!(config["modules_to_save"], json!(["lm_head", "model.embed_tokens"]));
    assert_eq!(config["ensure_weight_tying"], json!(true));
    assert!(report.others.iter().any(|other| other.tensor == "lm_head.weight" && other.saved), "{report:?}");
    // Merged, the two are still one.
    let merge = Merge::builder().base(scratch.join("base")).adapter(scratch.join("out"));
    merge.plan().unwrap().run(scratch.join("merged")).unwrap();
    let (merged, tuned) = (values(&scratch.join("merged")), values(&scratch.join("tuned")));
    assert_eq!(merged.keys().collect::<Vec<_>>(), tuned.keys().collect::<Vec<_>>());
    for (name, (_, values)) in &tuned {
        let error = merged[name].1.iter().zip(values).fold(0f64, |error, (one, other)| error.max((one - other).abs()));
        assert!(error < 1e-5, "{name}: {error}");
    }
}

#[test]
fn what_did_not_change_is_not_saved() {
    let scratch = Scratch::new("extract-tied-same");
    let tied = json!({ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": true });
    let (_, config, tensors) = extracted(&scratch, &tied, &LLAMA, &["model.layers.0.self_attn.q_proj.weight"]);
    assert!(!tensors.contains_key("lm_head.weight"), "{:?}", tensors.keys());
    assert_eq!((&config["modules_to_save"], &config["ensure_weight_tying"]), (&Value::Null, &Value::Null));
    let scratch = Scratch::new("extract-untied");
    let untied = json!({ "architectures": ["LlamaForCausalLM"], "model_type": "llama", "tie_word_embeddings": false });
    let changed = ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight"];
    let (_, config, tensors) = extracted(&scratch, &untied, &LLAMA, &changed);
    assert!(!tensors.contains_key("lm_head.weight"), "{:?}", tensors.keys());
    assert_eq!(config["modules_to_save"], json!(["model.embed_tokens"]));
}

#[test]
fn a_difference_without_factors_is_no_adapter() {
    let scratch = Scratch::new("extract-norm");
    let config = json!({ "architectures": ["LlamaForCausalLM"], "model_type": "llama" });
    save(&scratch.join("base"), &config, &LLAMA, &[]);
    for (changed, says) in [(&["model.norm.weight"][..], "model.norm.weight"), (&[][..], "nothing to keep")] {
        save(&scratch.join("tuned"), &config, &LLAMA, changed);
        let new = NewAdapter::extracted(scratch.join("base"), scratch.join("tuned"), ExtractOptions::default());
        let error = new.run(scratch.join("out")).unwrap_err();
        assert!(error.code() == "wrong-input" && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_encoder_and_decoder_share_is_saved_for_both() {
    let scratch = Scratch::new("extract-t5");
    let config =
        json!({ "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "tie_word_embeddings": true });
    let tensors: [(&str, &[usize]); 3] = [
        ("shared.weight", &[9, 4]),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", &[4, 4]),
        ("decoder.block.0.layer.0.SelfAttention.q.weight", &[4, 4]),
    ];
    let (_, config, found) = extracted(&scratch, &config, &tensors, &["shared.weight", tensors[1].0]);
    for name in ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"] {
        assert_eq!(found[name], found["shared.weight"], "{name}");
    }
    let saved = json!(["decoder.embed_tokens", "encoder.embed_tokens", "lm_head", "shared"]);
    // PEFT (0.21) ties these the wrong way round.
    assert_eq!((&config["modules_to_save"], &config["ensure_weight_tying"]), (&saved, &Value::Null));
}

#[test]
fn an_output_layer_with_a_bias_is_saved_whole() {
    let scratch = Scratch::new("extract-bert");
    let config = json!({ "architectures": ["BertForMaskedLM"], "model_type": "bert", "tie_word_embeddings": true });
    let tensors: [(&str, &[usize]); 3] = [
        ("bert.embeddings.word_embeddings.weight", &[9, 4]),
        ("bert.encoder.layer.0.attention.self.query.weight", &[4, 4]),
        ("cls.predictions.bias", &[9]),
    ];
    let (_, config, found) = extracted(&scratch, &config, &tensors, &[tensors[0].0, tensors[1].0]);
    assert_eq!(found["cls.predictions.decoder.weight"], found["bert.embeddings.word_embeddings.weight"]);
    assert_eq!(found["cls.predictions.decoder.bias"].len(), 9);
    assert_eq!(config["modules_to_save"], json!(["bert.embeddings.word_embeddings", "cls.predictions.decoder"]));
}
