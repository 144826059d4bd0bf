//! What a merge says of its making: the model card, and which base the adapters were trained on.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use crate::model::{Memory, add_folder, block_on, encode, file, read_file, with};
use lorafold::Result;
use lorafold::inputs::Listing;
use lorafold::inspect::Description;
use lorafold::plan::{AdapterOptions, EvidenceKind, MergePlan, NamedBase, PlanOptions, plan};
use lorafold::tensor::Dtype;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A base and an adapter that fits it, in memory.
struct Case {
    base: BTreeMap<String, Vec<u8>>,
    config: Value,
    origins: [Option<String>; 2],
    folder: &'static str,
}

fn tensor(name: &str, shape: &[u64]) -> (String, Dtype, Vec<u64>, Vec<u8>) {
    let values: Vec<f32> = (0..shape.iter().product::<u64>()).map(|at| at as f32 / 8.0 - 1.0).collect();
    (name.into(), Dtype::F32, shape.to_vec(), encode(Dtype::F32, &values))
}

impl Case {
    fn new() -> Case {
        let weights = file(&[tensor("model.layers.0.q_proj.weight", &[4, 6]), tensor("model.norm.weight", &[4])]);
        let config = br#"{"model_type":"llama"}"#.to_vec();
        Case {
            base: [("config.json".into(), config), ("model.safetensors".into(), weights)].into(),
            config: json!({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}),
            origins: [None, None],
            folder: "base",
        }
    }

    fn with(mut self, name: &str, content: &str) -> Case {
        self.base.insert(name.into(), content.into());
        self
    }

    fn on_hub(mut self, base: &str, adapter: &str) -> Case {
        self.origins = [base, adapter].map(|name| Some(format!("hf://{name}@{COMMIT}")));
        self
    }

    fn named(mut self, base_name: &str) -> Case {
        self.config["base_model_name_or_path"] = base_name.into();
        self
    }

    fn listed(&self) -> (Memory, Listing, Vec<(Listing, AdapterOptions)>) {
        let mut inputs = Memory::default();
        let mut base = add_folder(&mut inputs, self.folder, self.base.clone());
        let [a, b] = [("A", &[2, 6]), ("B", &[4, 2])]
            .map(|(half, shape)| tensor(&format!("base_model.model.model.layers.0.q_proj.lora_{half}.weight"), shape));
        let files = [
            ("adapter_config.json".into(), self.config.to_string().into_bytes()),
            ("adapter_model.safetensors".into(), file(&[a, b])),
        ];
        let mut adapter = add_folder(&mut inputs, "adapter", files.into());
        [base.origin, adapter.origin] = self.origins.clone();
        (inputs, base, vec![(adapter, AdapterOptions::default())])
    }

    fn plan_with(&self, options: &PlanOptions) -> Result<(MergePlan, Memory)> {
        let (inputs, base, adapters) = self.listed();
        Ok((block_on(plan(&inputs, &base, &adapters, options))?, inputs))
    }

    #[track_caller]
    fn plan(&self) -> MergePlan {
        self.plan_with(&PlanOptions::default()).unwrap_or_else(|error| panic!("{error}")).0
    }

    /// The model card of the output, as far as there is one.
    fn card(&self) -> Option<String> {
        let (plan, inputs) = self.plan_with(&PlanOptions::default()).unwrap();
        let file = plan.files.iter().position(|file| file.name == "README.md")?;
        let bytes = read_file(&plan, &inputs, file, 7).unwrap();
        assert_eq!(bytes.len() as u64, plan.files[file].size);
        Some(String::from_utf8(bytes).unwrap())
    }
}

/// Rows of 6 whose lengths are those in `lengths`.
fn rows(lengths: &[f32]) -> Vec<f32> {
    let row = |length: &f32| [0.6 * length, 0.0, -0.8 * length, 0.0, 0.0, 0.0];
    lengths.iter().flat_map(row).collect()
}

#[test]
fn magnitudes_are_compared_with_the_rows_of_the_base() {
    let mut case = Case::new();
    case.config["use_dora"] = true.into();
    let evidence = |lengths: [f32; 4], magnitudes: [f32; 4]| {
        let weight =
            ("model.layers.0.q_proj.weight".into(), Dtype::F32, vec![4, 6], encode(Dtype::F32, &rows(&lengths)));
        let (mut inputs, base, adapters) = case.listed();
        inputs.0[1] = file(&[weight, tensor("model.norm.weight", &[4])]);
        let (mut adapter, options) = adapters.into_iter().next().unwrap();
        let key = |end: &str| format!("base_model.model.model.layers.0.q_proj.{end}");
        let magnitude = (key("lora_magnitude_vector"), Dtype::F32, vec![4], encode(Dtype::F32, &magnitudes));
        inputs.0[3] =
            file(&[tensor(&key("lora_A.weight"), &[2, 6]), tensor(&key("lora_B.weight"), &[4, 2]), magnitude]);
        adapter.files[1].size = inputs.0[3].len() as u64;
        let asked = with(|options: &mut PlanOptions| options.evidence = true);
        let plan = block_on(plan(&inputs, &base, &[(adapter, options)], &asked)).unwrap();
        plan.evidence.into_iter().next().unwrap()
    };
    let near = evidence([1.0, 2.0, 3.0, 4.0], [1.01, 2.0, 2.97, 4.0]);
    assert_eq!((near.kind, near.weights, near.samples), (EvidenceKind::Magnitudes, 1, 4));
    assert!((near.median - 0.01).abs() < 1e-6 && (near.largest - 0.01).abs() < 1e-6, "{near:?}");
    let far = evidence([2.0, 2.0, 3.0, 0.0], [1.0, 3.0, 2.0, 4.0]);
    assert!((far.median - 0.5).abs() < 1e-6 && far.largest == 1.0, "{far:?}");
    // Nobody asked.
    assert_eq!(case.plan_with(&PlanOptions::default()).map(|(plan, _)| plan.evidence).unwrap_or_default(), []);
}

#[test]
fn copies_of_base_weights_are_compared_with_the_base() {
    let head = || tensor("lm_head.weight", &[4, 6]);
    let evidence = |copy: Vec<f32>| {
        let mut case = Case::new();
        case.base.insert("model.safetensors".into(), file(&[head(), tensor("model.norm.weight", &[4])]));
        case.config["target_modules"] = json!(["lm_head"]);
        let (mut inputs, base, adapters) = case.listed();
        let (mut adapter, options) = adapters.into_iter().next().unwrap();
        let key = |end: &str| format!("base_model.model.lm_head.{end}.weight");
        let copy = (key("base_layer"), Dtype::F32, vec![4, 6], encode(Dtype::F32, &copy));
        inputs.0[3] = file(&[tensor(&key("lora_A"), &[2, 6]), tensor(&key("lora_B"), &[4, 2]), copy]);
        adapter.files[1].size = inputs.0[3].len() as u64;
        let asked = with(|options: &mut PlanOptions| options.evidence = true);
        let plan =
            block_on(plan(&inputs, &base, &[(adapter, options)], &asked)).unwrap_or_else(|error| panic!("{error}"));
        plan.evidence.into_iter().next().unwrap()
    };
    let same: Vec<f32> = (0..24).map(|at| at as f32 / 8.0 - 1.0).collect();
    let equal = evidence(same.clone());
    assert_eq!((equal.kind, equal.samples, equal.median, equal.largest), (EvidenceKind::Copies, 24, 0.0, 0.0));
    let other = evidence(same.iter().map(|value| value * 1.5).collect());
    assert!(other.median == 0.5 && other.largest == 0.5, "{other:?}");
}

fn finding<'p>(plan: &'p MergePlan, code: &str) -> Option<&'p str> {
    plan.findings.iter().find(|finding| finding.code == code).map(|finding| finding.message.as_str())
}

const README: &str =
    "---\nlicense: mit # as it is\ntags:\n- chat\nbase_model: org/older\n---\n# The base\n\nWhat it is.\n";

/// The recipe in words, of a merge from the hub.
fn section() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!-- lorafold: recipe -->\n## How this model was made\n\nlorafold {version} merged adapters into a base model:\n\n\
        - base: `org/base` at commit `{COMMIT}`\n- adapter: `org/lora` at commit `{COMMIT}`; LORA, weight 1, rank 2, alpha 4, scale 2\n\n\
        The weighted deltas are added, and the result is rounded once (`nearest`) to the type that each tensor had.\n\
        The whole recipe stands in the metadata of the weight files, as `lorafold.recipe`.\n<!-- lorafold: end of recipe -->"
    )
}

#[test]
fn the_card_of_the_base_says_what_the_merge_is() {
    let card = Case::new().with("README.md", README).on_hub("org/base", "org/lora").card().unwrap();
    let front = "---\nlicense: mit # as it is\ntags:\n- chat\n- merge\n- lora\n- lorafold\nbase_model:\n- org/base\n- org/lora\nbase_model_relation: merge\n---\n";
    assert_eq!(card, format!("{front}\n{}\n\n# The base\n\nWhat it is.\n", section()));
    // Of a merge of a merge, the recipe stands where the former one stood.
    let moved = card
        .replace("# The base\n", "")
        .replace("---\n\n<!--", "---\n# The base\n\n<!--")
        .replace("weight 1", "weight 9");
    let again = Case::new().with("README.md", &moved).on_hub("org/base", "org/lora").card().unwrap();
    assert_eq!(again, moved.replace("weight 9", "weight 1"));
}

#[test]
fn a_base_of_a_hub_without_a_card_gets_a_small_one() {
    let card = Case::new().on_hub("org/base", "org/lora").card().unwrap();
    let front = "---\nbase_model:\n- org/base\n- org/lora\nbase_model_relation: merge\ntags:\n- merge\n- lora\n- lorafold\n---\n";
    assert_eq!(card, format!("{front}\n{}\n", section()));
    // A folder of this machine gets none, and beside a readme of other letters there can be none.
    assert_eq!(Case::new().card(), None);
    assert_eq!(Case::new().with("readme.md", "x").on_hub("org/base", "org/lora").card(), None);
}

#[test]
fn the_card_names_what_the_files_name() {
    let named = |config: &str, base_name: &str| {
        let case = Case::new().with("README.md", README).with("config.json", config).named(base_name);
        case.card()
            .unwrap()
            .lines()
            .skip_while(|line| !line.starts_with("base_model:"))
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(named("{}", "org/trained-on"), "base_model: - org/trained-on");
    assert_eq!(named(r#"{"_name_or_path": "org/own"}"#, "org/trained-on"), "base_model: - org/own");
    // Paths say nothing to others: what the base itself said stays.
    assert_eq!(named(r#"{"_name_or_path": "/home/me/own"}"#, "../trained-on"), "base_model: org/older ---");
    // The folder's name does not decide what the bytes are.
    let mut case = Case::new().with("README.md", README);
    let first = case.card();
    case.folder = "another";
    assert_eq!(case.card(), first);
    let card = first.unwrap();
    assert!(card.contains("- base: `model.safetensors`\n"), "{card}");
    assert!(card.contains("`adapter_config.json` (sha256 `"), "{card}");
}

#[test]
fn a_card_that_is_not_understood_is_copied_with_a_word() {
    for (readme, reason) in [
        ("---\ntags: {a: b}\n---\n", "its tags is neither"),
        ("---\n- a\n---\n", "not understood: - a"),
        ("---\nlicense: mit\n", "no line closes"),
    ] {
        let case = Case::new().with("README.md", readme);
        assert_eq!(case.card().unwrap(), readme);
        let message = finding(&case.plan(), "model-card-kept").map(String::from).unwrap_or_default();
        assert!(message.contains(reason), "{message}");
    }
    let mut case = Case::new();
    case.base.insert("README.md".into(), vec![0xFF]);
    assert!(finding(&case.plan(), "model-card-kept").unwrap().contains("UTF-8"));
    case.base.insert("README.md".into(), vec![b' '; (1 << 20) + 1]);
    assert!(finding(&case.plan(), "model-card-kept").unwrap().contains("more than 1048576 bytes"));
}

#[test]
fn an_adapter_of_another_base_is_told() {
    let told = |case: &Case, code: &str| finding(&case.plan(), code).map(String::from);
    let verdict = |case: &Case| case.plan().adapters[0].named_base;
    let from = |named: &str| Case::new().on_hub("org/base", "org/lora").named(named);

    assert_eq!(verdict(&from("org/base")), NamedBase::Same);
    assert_eq!(from("org/base").plan().findings, []);
    let other = from("org/older");
    assert_eq!(verdict(&other), NamedBase::Other);
    assert!(told(&other, "other-base").unwrap().contains("trained on org/older, and this base is org/base"));
    assert_eq!(verdict(&from("unsloth/base-bnb-4bit")), NamedBase::Quantised);
    assert!(told(&from("unsloth/base-bnb-4bit"), "quantised-twin").is_some());
    assert!(told(&from("mirror/base"), "base-mirror").is_some());
    // By what config.json says; the name of a folder is evidence for a base, and none against it.
    let own =
        |name: &str| Case::new().named("org/older").with("config.json", &json!({"_name_or_path": name}).to_string());
    assert!(told(&own("org/base"), "other-base").unwrap().contains("this base is org/base by its config.json"));
    assert_eq!(own("org/older").plan().findings, []);
    assert_eq!(verdict(&own("/home/me/x")), NamedBase::Unknown);
    let mut folder = Case::new().named("org/older");
    assert_eq!(verdict(&folder), NamedBase::Unknown);
    folder.folder = "older";
    assert_eq!(verdict(&folder), NamedBase::Same);
    // A copy of the hub that says where it is from.
    let copied = from("org/older").with("config.json", r#"{"_name_or_path": "org/older"}"#);
    assert_eq!(verdict(&copied), NamedBase::Mirror);
}

#[test]
fn another_revision_is_told() {
    let at = |revision: &str| {
        let mut case = Case::new().on_hub("org/base", "org/lora").named("org/base");
        case.config["revision"] = revision.into();
        finding(&case.plan(), "other-revision").map(String::from)
    };
    assert_eq!(at(COMMIT), None);
    assert_eq!(at("main"), None);
    assert!(at(&"9".repeat(40)).unwrap().contains(COMMIT));
}

#[test]
fn what_does_not_fit_says_what_it_was_trained_on() {
    let error = |case: Case| {
        let error = case.plan_with(&PlanOptions::default()).err().unwrap();
        (error.code(), error.to_string())
    };
    let wide = || file(&[tensor("model.layers.0.q_proj.weight", &[4, 8]), tensor("model.norm.weight", &[4])]);
    let mut case = Case::new().on_hub("org/base", "org/lora").named("org/older");
    case.base.insert("model.safetensors".into(), wide());
    let (code, message) = error(case);
    assert_eq!(code, "shape-mismatch");
    assert!(message.ends_with("; it was trained on org/older, and this base is org/base"), "{message}");
    let mut case = Case::new().named("org/older");
    case.base.insert("model.safetensors".into(), wide());
    assert!(error(case).1.ends_with("; check that the base is org/older, which the adapter was trained on"));
}

/// The sha256 of bytes in hex.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_recipe_has_the_hash_of_the_base_where_it_is_wanted() {
    let case = Case::new();
    let recorded = |options: &PlanOptions| case.plan_with(options).unwrap().0.recipe.base.files[0].sha256.clone();
    let hash = sha256(&case.base["model.safetensors"]);
    assert_eq!(recorded(&PlanOptions::default()), None);
    assert_eq!(recorded(&with(|options: &mut PlanOptions| options.hash_base = true)), Some(hash.clone()));
    let expecting = |text: &str| with(|options: &mut PlanOptions| options.expect_base = Some(text.into()));
    assert_eq!(recorded(&expecting(&hash)), Some(hash.clone()));
    assert_eq!(recorded(&expecting(&format!("sha256:{}", hash.to_uppercase()))), Some(hash.clone()));
    let error = case.plan_with(&expecting(&sha256(b"other"))).err().unwrap();
    assert_eq!((error.code(), error.facts().found.as_ref()), ("base-mismatch", Some(&hash)));
    assert_eq!(case.plan_with(&expecting("abc")).err().unwrap().code(), "bad-option");
}

#[test]
fn the_hash_of_several_files_is_that_of_what_sha256sum_prints() {
    let mut case = Case::new();
    let [one, two] = [&[tensor("model.layers.0.q_proj.weight", &[4, 6])], &[tensor("model.norm.weight", &[4])]]
        .map(|tensors| file(tensors));
    case.base.remove("model.safetensors");
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let map = json!({"model.layers.0.q_proj.weight": names[0], "model.norm.weight": names[1]});
    let index = json!({"metadata": {}, "weight_map": map}).to_string();
    let mut case = case.with("model.safetensors.index.json", &index);
    let lines = format!("{}  {}\n{}  {}\n", sha256(&one), names[0], sha256(&two), names[1]);
    case.base.extend([(names[0].into(), one), (names[1].into(), two)]);
    let hash = sha256(lines.as_bytes());
    let plan = case.plan_with(&with(|options: &mut PlanOptions| options.expect_base = Some(hash.clone()))).unwrap().0;
    assert_eq!(plan.base.sha256(), Some(hash.clone()));
    // What describes a base says the same.
    let (inputs, base, _) = case.listed();
    let described = |hash| match block_on(lorafold::inspect::inspect(&inputs, &base, hash)).unwrap() {
        Description::Model(model) => model.sha256,
        _ => panic!("not a model"),
    };
    assert_eq!([described(false), described(true)], [None, Some(hash)]);
}

#[test]
fn a_hash_that_the_source_knows_is_not_computed() {
    let (inputs, mut base, adapters) = Case::new().listed();
    let known = "ab".repeat(32);
    base.files.iter_mut().find(|file| file.name == "model.safetensors").unwrap().sha256 = Some(known.clone());
    let options =
        with(|options: &mut PlanOptions| (options.hash_base, options.expect_base) = (true, Some(known.clone())));
    let plan = block_on(plan(&inputs, &base, &adapters, &options)).unwrap();
    assert_eq!(plan.recipe.base.files[0].sha256, Some(known));
}
