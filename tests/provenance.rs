//! What a merge says of its making: the model card, and which base the adapters were trained on.
#![cfg(not(target_arch = "wasm32"))]

mod model;

use std::collections::BTreeMap;

use lorafold::Result;
use lorafold::inputs::Listing;
use lorafold::plan::{AdapterOptions, MergePlan, PlanOptions, plan};
use lorafold::tensor::Dtype;
use model::{Memory, add_folder, block_on, encode, file, read_file};
use serde_json::{Value, json};

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

    fn from_hub(mut self, base: &str, adapter: &str) -> Case {
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
    let card = Case::new().with("README.md", README).from_hub("org/base", "org/lora").card().unwrap();
    let front = "---\nlicense: mit # as it is\ntags:\n- chat\n- merge\n- lora\n- lorafold\nbase_model:\n- org/base\n- org/lora\nbase_model_relation: merge\n---\n";
    assert_eq!(card, format!("{front}\n{}\n\n# The base\n\nWhat it is.\n", section()));
    // Of a merge of a merge, the recipe stands where the former one stood.
    let moved = card
        .replace("# The base\n", "")
        .replace("---\n\n<!--", "---\n# The base\n\n<!--")
        .replace("weight 1", "weight 9");
    let again = Case::new().with("README.md", &moved).from_hub("org/base", "org/lora").card().unwrap();
    assert_eq!(again, moved.replace("weight 9", "weight 1"));
}

#[test]
fn a_base_of_a_hub_without_a_card_gets_a_small_one() {
    let card = Case::new().from_hub("org/base", "org/lora").card().unwrap();
    let front = "---\nbase_model:\n- org/base\n- org/lora\nbase_model_relation: merge\ntags:\n- merge\n- lora\n- lorafold\n---\n";
    assert_eq!(card, format!("{front}\n{}\n", section()));
    // A folder of this machine gets none, and beside a readme of other letters there can be none.
    assert_eq!(Case::new().card(), None);
    assert_eq!(Case::new().with("readme.md", "x").from_hub("org/base", "org/lora").card(), None);
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
