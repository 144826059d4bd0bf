//! The receipt of a merge: an unsigned in-toto Statement, version 1, whose predicate is SLSA's provenance, version 1, as the npm package writes it
//! (docs/provenance.md).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::builder::MergeBuilder;
use super::cancel::Cancel;
use super::files::with_kind;
use crate::error::{Error, Result};
use crate::plan::MergePlan;

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const BUILDER: &str = "https://github.com/lorafold/lorafold";
const BUILD_TYPE: &str = "https://github.com/lorafold/lorafold/blob/main/docs/provenance.md#merge";

/// What of a receipt only the caller knows. A receipt has no time of its own, so that the same merge gives the same receipt.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptMetadata {
    /// What the caller calls this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When it began, as RFC 3339 writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_on: Option<String>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<String>,
}

/// The receipt of a merge whose output has these files, each with its sha256.
pub(super) fn statement(
    plan: &MergePlan,
    request: &MergeBuilder,
    files: &[(String, String)],
    metadata: &ReceiptMetadata,
) -> Value {
    let subject: Vec<Value> =
        files.iter().map(|(name, sha256)| json!({"name": name, "digest": {"sha256": sha256}})).collect();
    let descriptor = |name: &String, sha256: Option<&String>, annotations: Value| {
        let mut file = Map::from_iter([("name".to_string(), name.clone().into())]);
        file.extend(sha256.map(|sha256| ("digest".to_string(), json!({"sha256": sha256}))));
        file.insert("annotations".into(), annotations);
        Value::Object(file)
    };
    let recipe = &plan.recipe;
    let base = recipe.base.files.iter();
    let mut dependencies: Vec<Value> =
        base.map(|file| descriptor(&file.name, file.sha256.as_ref(), json!({"role": "base"}))).collect();
    for (number, adapter) in recipe.adapters.iter().enumerate() {
        let role = || json!({"role": "adapter", "adapter": number});
        dependencies.extend(adapter.files.iter().map(|file| descriptor(&file.name, Some(&file.sha256), role())));
        let model = adapter.model.iter().flat_map(|model| &model.files);
        dependencies.extend(model.map(|file| descriptor(&file.name, file.sha256.as_ref(), role())));
    }
    let adapters: Vec<Value> = request.adapter_options().map(given).collect();
    let mut parameters = Map::from_iter([
        ("options".to_string(), given(&request.plan)),
        ("adapters".to_string(), adapters.into()),
        ("recipe".to_string(), json!(recipe)),
    ]);
    if request.allow_nonfinite {
        parameters.insert("allowNonfinite".into(), true.into());
    }
    let mut details =
        Map::from_iter([("builder".to_string(), json!({"id": BUILDER, "version": {"lorafold": recipe.lorafold}}))]);
    if let Value::Object(metadata) = json!(metadata)
        && !metadata.is_empty()
    {
        details.insert("metadata".into(), metadata.into());
    }
    json!({
        "_type": STATEMENT,
        "subject": subject,
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters,
                "resolvedDependencies": dependencies,
            },
            "runDetails": details,
        },
    })
}

/// Options as the package takes them: those that say something.
fn given(options: &impl Serialize) -> Value {
    let mut options = json!(options);
    if let Value::Object(fields) = &mut options {
        fields.retain(|_, value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(number) => number.as_u64() != Some(0),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        });
    }
    options
}

/// Bytes hashed at a time.
const STEP: usize = 4 << 20;

/// The sha256 of a file in hex.
///
/// # Errors
/// `fetch-failed`; `aborted`.
pub(super) fn hash(path: &Path, cancel: &Cancel) -> Result<String> {
    let failed =
        |error: &std::io::Error| with_kind(Error::fetch_failed(path.display().to_string(), error.to_string()), error);
    let mut file = File::open(path).map_err(|error| failed(&error))?;
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; STEP]);
    loop {
        cancel.check()?;
        match file.read(&mut bytes).map_err(|error| failed(&error))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&bytes[..count]),
        }
    }
}
