//! If a folder has no weights: where they may be, judged by the names in the folder.

use crate::adapter::choice::CHOOSE;
use crate::error::{Error, ErrorKind};
use crate::inputs::Listing;

/// How many folders an error names.
const SHOWN: usize = 4;

/// The error that a folder has no weights. It says what the folder is instead, and which folder inside it to give. If those are
/// several adapters, one can be chosen by its name.
pub(super) fn elsewhere(folder: &Listing, error: Error, is_adapter: bool) -> Error {
    if error.facts().kind != Some(ErrorKind::NoWeights) {
        return error;
    }
    let (name, folders) = (&folder.name, &folder.folders);
    let has = |wanted: &str| folders.iter().any(|name| name == wanted);
    let number = |name: &str| name.strip_prefix("checkpoint-").and_then(|number| number.parse::<u64>().ok());
    let newest = folders.iter().filter_map(|name| Some((number(name)?, name))).max();
    let cached = folders.iter().find(|name| name.starts_with("models--"));
    let is_pipeline = folder.files.iter().any(|file| file.name == "model_index.json");
    let part = ["unet", "transformer"].into_iter().find(|part| has(part));
    let found = |reason: String, fix: String| {
        let again = Error::wrong_input(name.clone(), reason).kind(ErrorKind::NoWeights).fix(fix);
        error.facts().expected.iter().fold(again, |error, expected| error.expected(expected.clone()))
    };
    let inside = || {
        let names: Vec<&str> = folders.iter().take(SHOWN).map(String::as_str).collect();
        let more = if folders.len() > SHOWN { ", …" } else { "" };
        names.join(", ") + more
    };
    match (newest, cached) {
        (Some((_, newest)), _) => {
            let checkpoints = folders.iter().filter(|name| number(name).is_some()).count();
            let reason = format!("it has no weights of its own; {checkpoints} of its folders are checkpoints");
            found(reason, format!("give one of them: {name}/{newest}"))
        }
        (_, Some(cached)) => found(
            "this is a Hugging Face cache, not a model".into(),
            format!("give a folder in {name}/{cached}/snapshots"),
        ),
        _ if has("snapshots") && (has("blobs") || has("refs")) => found(
            "this is a repository's root in a Hugging Face cache; its files are those of a snapshot".into(),
            format!("give the folder in {name}/snapshots"),
        ),
        _ if is_pipeline || part.is_some() && (has("vae") || has("scheduler")) => found(
            "this is a whole diffusers pipeline; a merge is into one of its parts".into(),
            format!("give the part's folder: {name}/{}", part.unwrap_or("unet")),
        ),
        _ if is_adapter && !folders.is_empty() => {
            let folders = inside();
            found(format!("{}; there are the folders {folders}", error.reason()), CHOOSE.into())
                .kind(ErrorKind::SeveralAdapters)
                .found(folders)
        }
        _ if !is_adapter => found(error.reason().into(), "give the folder that has them, or the file itself".into()),
        _ => error,
    }
}
