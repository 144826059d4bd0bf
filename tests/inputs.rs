//! What people's folders hold: inputs that were refused without need, merged wrongly, or refused in words that help nobody. Each is made here.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{Scratch, files, values};
use crate::model::file;
use lorafold::tensor::Dtype;
use lorafold::{AdapterFolder, Error, ErrorKind, Merge, PlanOptions, Result};
use serde_json::{Value, json};

/// Tensors by name: shapes, filled with small whole numbers.
type Shapes<'a> = &'a [(&'a str, &'a [u64])];

const LAYER: &str = "model.layers.0.q_proj";
const BASE: Shapes = &[("model.layers.0.q_proj.weight", &[4, 6]), ("model.norm.weight", &[4])];
const FACTORS: Shapes = &[
    ("base_model.model.model.layers.0.q_proj.lora_A.weight", &[2, 6]),
    ("base_model.model.model.layers.0.q_proj.lora_B.weight", &[4, 2]),
];

fn safetensors(shapes: Shapes) -> Vec<u8> {
    let tensor = |(name, shape): &(&str, &[u64])| {
        let count = shape.iter().product::<u64>();
        let bytes = (0..count).flat_map(|number| ((number % 7 + 1) as f32).to_le_bytes()).collect();
        (name.to_string(), Dtype::F32, shape.to_vec(), bytes)
    };
    file(&shapes.iter().map(tensor).collect::<Vec<_>>())
}

fn config() -> Value {
    json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]})
}

/// A folder of a base and one of an adapter, which merge as they are.
struct Case {
    scratch: Scratch,
}

impl Case {
    fn new(name: &str) -> Case {
        let case = Case { scratch: Scratch::new(&format!("inputs-{name}")) };
        case.write("base/config.json", r#"{"model_type": "llama"}"#);
        case.write("base/model.safetensors", safetensors(BASE));
        case.write("ad/adapter_config.json", config().to_string());
        case.write("ad/adapter_model.safetensors", safetensors(FACTORS));
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Case {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn remove(&self, name: &str) -> &Case {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    fn merge_with(&self, options: &PlanOptions) -> Result<Merged> {
        let out = self.path("out");
        let merge = Merge::builder().base(self.path("base")).adapter(AdapterFolder::new(self.path("ad")));
        let merged = merge.options(options.clone()).force(true).plan()?.run(&out)?;
        let findings = merged.plan.findings.iter();
        let findings = findings.map(|finding| (finding.code.to_string(), finding.message.clone())).collect();
        Ok(Merged { files: files(&out), values: values(&out), findings })
    }

    #[track_caller]
    fn merge(&self) -> Merged {
        self.merge_with(&PlanOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    fn refused(&self, code: &str) -> Error {
        let error = self.merge_with(&PlanOptions::default()).err().expect("it was merged");
        assert_eq!(error.code(), code, "{error}");
        error
    }
}

struct Merged {
    files: BTreeMap<String, Vec<u8>>,
    values: BTreeMap<String, (safetensors::Dtype, Vec<f64>)>,
    findings: Vec<(String, String)>,
}

impl Merged {
    #[track_caller]
    fn finding(&self, code: &str) -> &str {
        let found = self.findings.iter().find(|(other, _)| other == code);
        &found.unwrap_or_else(|| panic!("no {code} in {:?}", self.findings)).1
    }

    #[track_caller]
    fn is_merged(&self) {
        let (_, weight) = &self.values[&format!("{LAYER}.weight")];
        // The first of W is 1; of B·A it is 1·1 + 2·7, and α/r is 2.
        assert_eq!(weight[0], 1.0 + 2.0 * 15.0);
    }
}

fn options(change: impl FnOnce(&mut PlanOptions)) -> PlanOptions {
    let mut options = PlanOptions::default();
    change(&mut options);
    options
}

fn index(map: &[(&str, &str)]) -> String {
    let map: BTreeMap<_, _> = map.iter().copied().collect();
    json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()
}

#[test]
fn a_variant_beside_the_weights_stays_behind() {
    let case = Case::new("variants");
    fs::rename(case.path("base/model.safetensors"), case.path("base/x.safetensors")).unwrap();
    case.write("base/x.fp16.safetensors", "?")
        .write("base/x.non_ema.safetensors", "?")
        .write("base/._x.safetensors", "?");
    let merged = case.merge();
    merged.is_merged();
    assert!(merged.finding("other-weights").contains("x.safetensors are merged, not x.fp16.safetensors, x.non_ema"));
    assert!(merged.files.keys().eq(["config.json", "x.safetensors"]), "{:?}", merged.files.keys());
}

#[test]
fn the_index_decides() {
    let case = Case::new("index-decides");
    let [first, second] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    case.write("base/model.safetensors", "of an older model")
        .write(&format!("base/{first}"), safetensors(BASE))
        // A copy that is superseded, and a tensor that the index does not know.
        .write(&format!("base/{second}"), safetensors(&[("model.norm.weight", &[4]), ("mtp.weight", &[2, 2])]))
        .write(
            "base/model.safetensors.index.json",
            "\u{FEFF}".to_string()
                + &index(&[("model.layers.0.q_proj.weight", &format!("./{first}")), ("model.norm.weight", second)]),
        );
    let merged = case.merge();
    merged.is_merged();
    assert!(merged.finding("other-weights").ends_with("not model.safetensors"));
    assert!(merged.finding("superseded-tensor").contains("model.norm.weight"));
    assert!(merged.finding("unlisted-tensor").contains("mtp.weight"));
    let shard = safetensors::SafeTensors::deserialize(&merged.files[first]).unwrap();
    assert_eq!(shard.names(), ["model.layers.0.q_proj.weight"]);
    let written: Value = serde_json::from_slice(&merged.files["model.safetensors.index.json"]).unwrap();
    assert_eq!(
        written["weight_map"],
        json!({"model.layers.0.q_proj.weight": first, "model.norm.weight": second, "mtp.weight": second})
    );
    assert_eq!(written["metadata"]["total_size"], 24 * 4 + 4 * 4 + 4 * 4);
    assert!(!merged.files.contains_key("model.safetensors"));
}

#[test]
fn only_what_a_loadable_model_has_is_copied() {
    let case = Case::new("litter");
    let litter = [
        "rust_model.ot",
        "64.tflite",
        "model.pt2",
        "model.mlmodel",
        "ggml-model-q4_0.bin",
        "x.safetensors.incomplete",
        "x.lock",
        "training_args.bin",
        "optimizer.bin",
        ".DS_Store",
        "._config.json",
        "model.safetensors.index.fp32.json",
        "quantize_config.json",
    ];
    let kept = ["tokenizer.json", "LICENSE", "modeling_x.py", "README.md", "chat_template.jinja"];
    for name in litter.iter().chain(&kept) {
        case.write(&format!("base/{name}"), "{}");
    }
    case.write("base/unknown.part", vec![0; 2 << 20]);
    case.write("base/config.json", "{\n  \"model_type\": \"llama\",\n  \"quantization_config\": {\"quant_method\": \"bitsandbytes\"},\n  \"x\": 1\n}");
    let merged = case.merge();
    let left = merged.finding("left-behind");
    for name in litter.iter().chain(&["unknown.part"]) {
        assert!(left.contains(name) && !merged.files.contains_key(*name), "{name}");
    }
    kept.iter().for_each(|name| assert!(merged.files.contains_key(*name), "{name}"));
    assert_eq!(merged.files["config.json"], b"{\n  \"model_type\": \"llama\",\n  \"x\": 1\n}");
    assert!(merged.finding("not-quantised").contains("bitsandbytes"));
}

#[test]
fn no_two_files_of_the_output_have_one_name() {
    let case = Case::new("names");
    case.write("base/readme.md", "a").write("base/README.md", "b").write("base/Config.json", "c");
    let merged = case.merge();
    assert_eq!(merged.files.keys().filter(|name| name.eq_ignore_ascii_case("readme.md")).count(), 1);
    assert!(merged.finding("left-behind").contains("Config.json") && !merged.files.contains_key("Config.json"));

    case.remove("base/model.safetensors");
    let tensors = [&BASE[..1], &BASE[1..]];
    for [one, other] in [
        ["weights.dat", "WEIGHTS.dat"],
        ["config.json", "x"],
        ["model.safetensors.index.json", "x"],
        ["README.md", "x"],
    ] {
        let map = [(BASE[0].0, one), (BASE[1].0, other)];
        case.write("base/model.safetensors.index.json", index(&map));
        for (name, tensors) in [one, other].into_iter().zip(tensors).filter(|(name, _)| !name.ends_with("json")) {
            case.write(&format!("base/{name}"), safetensors(tensors));
        }
        if one == "README.md" {
            // The shard is merged; the readme in other letters stays behind.
            let merged = case.merge();
            assert_eq!(merged.files.keys().filter(|name| name.eq_ignore_ascii_case("readme.md")).count(), 1);
            assert!(merged.files["README.md"].len() > 100, "it is the merged shard");
            continue;
        }
        let error = case.merge_with(&PlanOptions::default()).err().unwrap();
        assert!(["wrong-input", "bad-header", "truncated"].contains(&error.code()), "{error}");
    }
}

#[test]
fn adapters_in_shards() {
    let case = Case::new("adapter-shards");
    let whole = case.merge();
    case.remove("ad/adapter_model.safetensors");
    let [first, second] = [1, 2].map(|number| format!("ad/adapter_model-0000{number}-of-00002.safetensors"));
    // The factors of one module in two files, the second of which begins otherwise.
    case.write(&first, safetensors(&FACTORS[1..]));
    let error = case.refused("truncated");
    assert!(error.to_string().contains("adapter_model-00002-of-00002.safetensors"), "{error}");
    case.write(&second, safetensors(&FACTORS[..1])).write("ad/adapter_model.safetensors.index.json", "{}");
    let merged = case.merge();
    assert_eq!(merged.values, whole.values);
    assert_eq!(merged.values.len(), 2);
}

#[test]
fn json_of_editors_and_of_python() {
    let case = Case::new("json");
    let text = config().to_string().replace("{\"lora_alpha\"", "{\"lora_dropout\": NaN,\"lora_alpha\"");
    case.write("ad/adapter_config.json", format!("\u{FEFF}{text}")).merge().is_merged();
    case.write("ad/adapter_config.json", text.replace("\"lora_alpha\":4", "\"lora_alpha\":NaN"));
    let error = case.refused("bad-config");
    assert!(error.to_string().contains("NaN"), "{error}");
}

#[test]
fn headers_that_are_padded() {
    let case = Case::new("padded");
    let bytes = safetensors(BASE);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for padding in [0u8, b' '] {
        let mut padded = ((length + 24) as u64).to_le_bytes().to_vec();
        padded.extend_from_slice(&bytes[8..8 + length]);
        padded.extend_from_slice(&[padding; 24]);
        padded.extend_from_slice(&bytes[8 + length..]);
        case.write("base/model.safetensors", padded).merge().is_merged();
    }
    case.write("base/model.safetensors", [&bytes[..], &[0; 3]].concat());
    assert!(case.refused("bad-header").to_string().contains("3 bytes follow the last tensor"));
    let json = r#"{"lm_head.weight":{"dtype":"","shape":[],"data_offsets":[0,0]}}"#;
    let file = [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    assert!(case.write("base/model.safetensors", file).refused("bad-header").to_string().contains("placeholder"));
}

#[test]
fn adapters_of_diffusers() {
    let case = Case::new("diffusers");
    let unet =
        FACTORS.iter().map(|(name, shape)| (name.replace("base_model.model.", "unet."), *shape)).collect::<Vec<_>>();
    let unet: Vec<_> = unet.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
    let whole = |metadata: Value| {
        let mut bytes = safetensors(&unet);
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        header["__metadata__"] = metadata;
        let text = header.to_string();
        bytes.splice(..8 + length, [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat());
        bytes
    };
    case.remove("ad/adapter_model.safetensors");
    let weights = "ad/pytorch_lora_weights.safetensors";
    case.write(weights, whole(json!({}))).merge().is_merged();
    // Rank and alpha stand in the header, of a part of a pipeline or of a model.
    case.remove("ad/adapter_config.json");
    let of_part: serde_json::Map<String, Value> =
        config().as_object().unwrap().iter().map(|(name, value)| (format!("unet.{name}"), value.clone())).collect();
    for saved in [Value::from(of_part.clone()), config()] {
        case.write(weights, whole(json!({"lora_adapter_metadata": saved.to_string()}))).merge().is_merged();
    }
    let mut of_two = of_part;
    of_two.insert("text_encoder.peft_type".into(), "LORA".into());
    case.write(weights, whole(json!({"lora_adapter_metadata": Value::from(of_two).to_string()})));
    assert!(case.refused("unsupported").to_string().contains("text_encoder"));
    case.write(weights, safetensors(&[("unet.model.layers.0.q_proj.lora.down.weight", &[2, 6])]));
    case.write("ad/adapter_config.json", config().to_string());
    assert!(case.refused("unsupported").to_string().contains("diffusers' old spelling"));
}

#[test]
fn trained_weights_beside_an_adapter() {
    for name in
        ["non_lora_trainables.bin", "non_lora_state_dict.bin", "new_embeddings.safetensors", "trainable_params.bin"]
    {
        let case = Case::new("trained-beside");
        let error = case.write(&format!("ad/{name}"), "x").refused("unsupported");
        assert!(
            error.to_string().contains(&format!("ad/{name}")) && error.to_string().contains("--allow-unmerged"),
            "{error}"
        );
        let merged = case.merge_with(&options(|options| options.allow_unmerged = true)).unwrap();
        merged.is_merged();
        assert!(merged.finding("unmerged-weights").contains("trained weights"), "{:?}", merged.findings);
    }
    let case = Case::new("beside");
    let state =
        ["optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin", "adapter_model.bin", "README.md"];
    for name in state {
        case.write(&format!("ad/{name}"), "x");
    }
    assert!(!case.merge().findings.iter().any(|(code, _)| code == "beside-adapter"));
    case.write("ad/value_head.safetensors", "x").write("ad/v_head.bin", "x");
    let merged = case.merge();
    merged.is_merged();
    assert!(merged.finding("beside-adapter").ends_with("v_head.bin, value_head.safetensors"));
}

#[test]
fn whose_tokenizer() {
    let case = Case::new("tokenizer");
    case.write("base/tokenizer.json", "base")
        .write("base/chat_template.jinja", "base")
        .write("base/generation_config.json", "same");
    case.write("ad/generation_config.json", "same").write("ad/tokenizer_config.json", "adapter");
    let merged = case.merge();
    assert!(merged.finding("tokenizer-differs").contains("tokenizer_config.json"), "{:?}", merged.findings);
    assert!(!merged.files.contains_key("tokenizer_config.json"));
    assert_eq!(merged.files["chat_template.jinja"], b"base");

    let adapters = options(|options| options.tokenizer = Some("adapter".into()));
    let merged = case.merge_with(&adapters).unwrap();
    assert!(merged.finding("tokenizer-taken").contains("tokenizer_config.json"));
    assert_eq!(merged.files["tokenizer_config.json"], b"adapter");
    assert_eq!(merged.files["tokenizer.json"], b"base", "its words are nowhere else");
    fs::remove_dir_all(case.path("out")).unwrap();

    case.write("ad/tokenizer.json", "adap");
    let merged = case.merge_with(&adapters).unwrap();
    assert_eq!(merged.files["tokenizer.json"], b"adap");
    assert!(
        !merged.files.contains_key("chat_template.jinja"),
        "the adapter's template is in its tokenizer_config.json"
    );
    assert_eq!(merged.files["generation_config.json"], b"same");
    fs::remove_dir_all(case.path("out")).unwrap();

    // An adapter that brings embeddings was trained with its own.
    case.write("base/model.safetensors", safetensors(&[BASE[0], ("model.embed_tokens.weight", &[5, 4])]));
    case.write("base/config.json", r#"{"model_type": "llama", "vocab_size": 5, "tie_word_embeddings": false}"#);
    let saved: Shapes = &[FACTORS[0], FACTORS[1], ("base_model.model.model.embed_tokens.weight", &[7, 4])];
    case.write("ad/adapter_model.safetensors", safetensors(saved));
    let merged = case.merge();
    merged.finding("vocabulary-resized");
    merged.finding("tokenizer-taken");
    assert_eq!(merged.files["tokenizer.json"], b"adap");
    let merged = case.merge_with(&options(|options| options.tokenizer = Some("base".into()))).unwrap();
    assert_eq!(merged.files["tokenizer.json"], b"base");
    assert!(case.merge_with(&options(|options| options.tokenizer = Some("mine".into()))).is_err());
}

#[test]
fn what_it_is_comes_first() {
    let is = |error: &Error, words: &[&str]| {
        words.iter().for_each(|word| assert!(error.to_string().contains(word), "{word}: {error}"));
        assert!(error.facts().fix.is_some(), "{error}");
    };
    let case = Case::new("mlx");
    case.remove("ad/adapter_model.safetensors").write("ad/adapters.safetensors", safetensors(FACTORS));
    case.write("ad/0000100_adapters.safetensors", safetensors(FACTORS));
    case.write(
        "ad/adapter_config.json",
        r#"{"fine_tune_type": "lora", "lora_parameters": {"rank": 8}, "model": "org/base"}"#,
    );
    is(&case.refused("unsupported"), &["MLX", "mlx_lm.fuse"]);

    let case = Case::new("adapterhub");
    case.write(
        "ad/adapter_config.json",
        r#"{"config": {"architecture": null}, "hidden_size": 8, "model_class": "BertAdapterModel"}"#,
    );
    is(&case.refused("unsupported"), &["AdapterHub"]);

    let case = Case::new("lfs");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 5\n";
    // Whatever else is wrong.
    case.write("ad/adapter_model.safetensors", pointer)
        .write("ad/adapter_config.json", r#"{"peft_type": "LORA", "r": 2, "zzz": 1}"#);
    is(&case.refused("wrong-input"), &["Git LFS", "git lfs pull"]);

    let case = Case::new("zero");
    case.write("ad/adapter_model.safetensors", safetensors(&[(FACTORS[0].0, &[0]), FACTORS[1]]));
    is(&case.refused("wrong-input"), &["ZeRO-3", "zero_to_fp32.py"]);
    let case = Case::new("zero-base");
    case.write("base/model.safetensors", safetensors(&[(BASE[0].0, &[0]), (BASE[1].0, &[0])]));
    is(&case.refused("wrong-input"), &["ZeRO-3"]);

    let case = Case::new("quantised");
    let packed = ("model.layers.0.q_proj.qweight".to_string(), Dtype::I32, vec![1, 4], vec![0; 16]);
    let norm = ("model.norm.weight".to_string(), Dtype::F32, vec![1], vec![0; 4]);
    case.write("base/model.safetensors", file(&[packed, norm]));
    for (config, method) in [(r#"{"quantization_config": {"quant_method": "gptq"}}"#, "gptq"), ("{}", "packed")] {
        let error = case.write("base/config.json", config).refused("unmatched-key");
        is(&error, &["quantised", method]);
        assert_eq!(error.facts().kind, Some(ErrorKind::QuantisedBase));
    }

    let case = Case::new("bin");
    case.remove("base/model.safetensors").write("base/pytorch_model.bin", "x");
    is_in_folder(&case.refused("wrong-input"));

    let case = Case::new("head");
    case.write("base/config.json", r#"{"tie_word_embeddings": false}"#);
    case.write(
        "ad/adapter_model.safetensors",
        safetensors(&[
            ("base_model.model.lm_head.lora_A.weight", &[2, 6]),
            ("base_model.model.lm_head.lora_B.weight", &[4, 2]),
        ]),
    );
    is(&case.refused("unmatched-key"), &["tie_word_embeddings"]);
}

fn is_in_folder(error: &Error) {
    assert!(error.to_string().starts_with("base/pytorch_model.bin: "), "{error}");
}

#[test]
fn the_folder_that_is_meant_is_named() {
    let elsewhere = |role: &str, name: &str, folders: &[&str]| {
        let case = Case::new(name);
        fs::remove_dir_all(case.path(role)).unwrap();
        folders.iter().for_each(|folder| fs::create_dir_all(case.path(&format!("{role}/{folder}"))).unwrap());
        case.refused("wrong-input").to_string()
    };
    let checkpoints = ["checkpoint-1000", "checkpoint-500", "runs"];
    assert!(elsewhere("ad", "checkpoints", &checkpoints).ends_with("give one of them: ad/checkpoint-1000"));
    assert!(elsewhere("base", "base-checkpoints", &checkpoints).ends_with("give one of them: base/checkpoint-1000"));
    assert!(elsewhere("base", "cache", &["blobs", "refs", "snapshots"]).contains("base/snapshots"));
    assert!(elsewhere("ad", "hub", &["models--org--name"]).contains("ad/models--org--name/snapshots"));
    assert!(elsewhere("base", "pipeline", &["unet", "vae", "text_encoder"]).ends_with("base/unet"));
    assert!(elsewhere("base", "transformer", &["transformer", "vae"]).ends_with("base/transformer"));
    assert!(elsewhere("ad", "others", &["a", "b"]).contains("there are the folders a, b"));
}

#[test]
fn every_input_merges_as_it_was_made() {
    let case = Case::new("plain");
    case.merge().is_merged();
    assert!(case.merge().findings.is_empty());
    assert!(Path::new(&case.path("out/config.json")).exists());
}
