//! The receipt of a merge of folders.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use crate::folders::Scratch;
use lorafold::{AdapterFolder, Merge, ReceiptMetadata};
use serde_json::json;
use sha2::{Digest, Sha256};

/// The receipt that the npm package writes of the same merge (tests/js/receipt.test.mjs holds that one to in-toto's definition).
#[test]
fn a_receipt_has_every_hash_and_what_was_asked_for() {
    let fixture = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let scratch = Scratch::new("receipt");
    let (base, lora) = (fixture("verified/base"), fixture("verified/lora"));
    let tuned = scratch.join("tuned");
    Merge::builder().base(&base).adapter(fixture("verified/other")).plan().unwrap().run(&tuned).unwrap();
    let hash = |path: &Path| -> String {
        Sha256::digest(fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let merged = |metadata: ReceiptMetadata, out: &str| {
        let merge = Merge::builder().base(&base).adapter(AdapterFolder::new(&lora).weight(0.5));
        let merge = merge.adapter(AdapterFolder::new(&tuned).weight(0.0625)).dtype("float32").receipt(metadata);
        merge.plan().unwrap().run(scratch.join(out)).unwrap()
    };
    let first = merged(ReceiptMetadata::default(), "out");
    let receipt = first.receipt.clone().unwrap();
    let subject: Vec<_> = first
        .plan
        .files
        .iter()
        .map(|file| json!({"name": file.name, "digest": {"sha256": hash(&scratch.join("out").join(&file.name))}}))
        .collect();
    let file = |folder: &Path, name: &str, annotations: serde_json::Value| json!({"name": name, "digest": {"sha256": hash(&folder.join(name))}, "annotations": annotations});
    let adapter = |number: usize| json!({"role": "adapter", "adapter": number});
    let builder = "https://github.com/lorafold/lorafold";
    let expected = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": format!("{builder}/blob/main/docs/provenance.md#merge"),
                "externalParameters": {
                    "options": {"dtype": "float32", "hashBase": true},
                    "adapters": [{"weight": 0.5}, {"weight": 0.0625}],
                    "recipe": first.plan.recipe,
                },
                "resolvedDependencies": [
                    file(&base, "model.safetensors", json!({"role": "base"})),
                    file(&lora, "adapter_config.json", adapter(0)),
                    file(&lora, "adapter_model.safetensors", adapter(0)),
                    file(&tuned, "model.safetensors", adapter(1)),
                ],
            },
            "runDetails": {"builder": {"id": builder, "version": {"lorafold": env!("CARGO_PKG_VERSION")}}},
        },
    });
    assert_eq!(receipt, expected);
    // It has a time where the caller gives one, and is the same otherwise.
    let started_on = Some("2026-11-28T08:00:00Z".to_string());
    let mut timed = merged(ReceiptMetadata { started_on, ..ReceiptMetadata::default() }, "again").receipt.unwrap();
    let details = timed["predicate"]["runDetails"].as_object_mut().unwrap();
    assert_eq!(details.remove("metadata"), Some(json!({"startedOn": "2026-11-28T08:00:00Z"})));
    assert_eq!(timed, receipt);
    let without = Merge::builder().base(&base).adapter(&lora).plan().unwrap().run(scratch.join("without")).unwrap();
    assert_eq!(without.receipt, None);
}
