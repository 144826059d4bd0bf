//! The model card of the output, README.md: the base's own, whose front matter says what the model is made of, and one section that tells the recipe in words.
//! The keys are those of the hub's metadata of models (`base_model`, `base_model_relation`, `tags`).

use super::adapter::Adapter;
use super::base_names::{Repository, is_repository};
use super::build::MergePlan;
use super::front_matter::FrontMatter;
use super::output::{Body, OutputFile};
use super::recipe::{FileDigest, Recipe, RecipeAdapter, RecipeFile};
use crate::container::limits::CARD_BYTES;
use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{Inputs, try_buffer};
use crate::json;
use crate::model::config_json::Config;

/// What a model card is called.
const NAME: &str = "README.md";
/// The lines between which the recipe stands. What is between them is written anew by every merge.
const BEGIN: &str = "<!-- lorafold: recipe -->";
const END: &str = "<!-- lorafold: end of recipe -->";

/// Correct the card of the base. Where it has none and is a model of a hub, whose readers look for one, a small one is made.
///
/// # Errors
/// Those of reading.
pub(super) async fn correct(inputs: &impl Inputs, plan: &mut MergePlan) -> Result<()> {
    let place = plan.files.iter().position(|file| file.name == NAME && matches!(file.body, Body::Input(_)));
    let text = match place.map(|place| &plan.files[place]) {
        Some(OutputFile { body: Body::Input(_), size, .. }) if *size > CARD_BYTES => {
            plan.findings.push(kept(&format!("it has more than {CARD_BYTES} bytes")));
            return Ok(());
        }
        Some(OutputFile { body: Body::Input(input), size, .. }) => {
            let mut bytes = try_buffer(NAME, *size)?;
            inputs.read(*input, 0, &mut bytes).await?;
            bytes
        }
        _ if plan.base.origin.is_none()
            || plan.base.config.is_none()
            || plan.files.iter().any(|file| file.name.eq_ignore_ascii_case(NAME)) =>
        {
            return Ok(());
        }
        _ => Vec::new(),
    };
    let corrected = match std::str::from_utf8(&text) {
        Ok(text) => card(plan, text),
        Err(_) => Err("it is no text in UTF-8".into()),
    };
    match (corrected, place) {
        (Ok(card), place) => {
            let file = OutputFile::bytes(NAME.into(), card.into_bytes());
            match place {
                Some(place) => plan.files[place] = file,
                None => plan.files.push(file),
            }
        }
        (Err(reason), _) => plan.findings.push(kept(&reason)),
    }
    Ok(())
}

/// The finding that the card stays that of the base.
fn kept(reason: &str) -> Finding {
    let message = format!("{NAME} is copied as it is, and describes the base, not the merge: {reason}");
    Finding::warning("model-card-kept", None, message)
}

/// The card of the output, from that of the base. In the WebAssembly it is in the second half.
///
/// # Errors
/// What of the front matter is not understood.
#[inline(never)]
fn card(plan: &MergePlan, text: &str) -> std::result::Result<String, String> {
    let mut front = FrontMatter::parse(text)?;
    let repositories = repositories(plan);
    if !repositories.is_empty() {
        front.set_list("base_model", &repositories)?;
        front.set_text("base_model_relation", "merge")?;
    }
    let mut tags = vec!["merge".to_string()];
    for adapter in &plan.adapters {
        let tag = adapter.summary.peft_type.to_ascii_lowercase();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags.push("lorafold".into());
    front.add_to_list("tags", &tags)?;
    let section = section(plan).replace('\n', front.line_end);
    let (rest, end) = (front.rest, front.line_end);
    let marks = rest.find(BEGIN).and_then(|begin| Some((begin, begin + rest[begin..].find(END)? + END.len())));
    Ok(match marks {
        Some((begin, after)) => format!("{front}{}{section}{}", &rest[..begin], &rest[after..]),
        None if rest.trim().is_empty() => format!("{}{end}{section}{end}", closed(front.to_string(), end)),
        None => {
            let space = if rest.starts_with(['\n', '\r']) { "" } else { end };
            format!("{}{end}{section}{end}{space}{rest}", closed(front.to_string(), end))
        }
    })
}

/// A block whose last line ends.
fn closed(mut block: String, end: &str) -> String {
    if !block.ends_with('\n') {
        block.push_str(end);
    }
    block
}

/// What the model is made of, by names of repositories: the base first.
fn repositories(plan: &MergePlan) -> Vec<String> {
    let adapters = plan.adapters.iter().filter_map(|adapter| Repository::of_origin(adapter.origin.as_deref()?));
    let mut names = Vec::new();
    for name in base_repository(plan).into_iter().chain(adapters.map(|repository| repository.id)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The repository of the base, as far as the files tell: no name of a folder decides what the output's bytes are.
fn base_repository(plan: &MergePlan) -> Option<String> {
    if let Some(Repository { id, .. }) = plan.base.origin.as_deref().and_then(Repository::of_origin) {
        return Some(id);
    }
    let own = plan.base.config.as_deref().and_then(|json| Config::parse(json).ok())?.get("_name_or_path");
    let own = own.as_ref().and_then(|name| name.as_str()).filter(|name| is_repository(name)).map(Into::into);
    let named = |adapter: &Adapter| adapter.summary.base_name.clone().filter(|name| is_repository(name));
    own.or_else(|| named(plan.adapters.first()?))
}

/// The recipe in words, between its marks.
fn section(plan: &MergePlan) -> String {
    let Recipe { lorafold, method, dtype, rounding, base, adapters, .. } = &plan.recipe;
    let mut lines = vec![BEGIN.to_string(), "## How this model was made".into(), String::new()];
    lines.push(format!("lorafold {lorafold} merged adapters into a base model:"));
    lines.push(String::new());
    let known = base.files.iter().filter_map(|file| Some((&file.name, file.sha256.as_ref()?)));
    let files = base.files.iter().map(|RecipeFile { name, .. }| name);
    lines.push(format!("- base: {}", made_of(base.origin.as_deref(), base_repository(plan), known, files)));
    for (adapter, recipe) in plan.adapters.iter().zip(adapters) {
        lines.push(format!("- adapter: {}", adapter_words(adapter, recipe)));
    }
    let sum = match method.as_str() {
        "linear" => "The weighted deltas are added".to_string(),
        method => format!("The deltas are combined by `{method}`"),
    };
    let type_words = match dtype.as_str() {
        "keep" => "the type that each tensor had".to_string(),
        dtype => dtype.to_string(),
    };
    lines.push(String::new());
    lines.push(format!("{sum}, and the result is rounded once (`{rounding}`) to {type_words}."));
    lines.push("The whole recipe stands in the metadata of the weight files, as `lorafold.recipe`.".into());
    lines.push(END.into());
    lines.join("\n")
}

/// Where something can be had again; or else which files it was, by their hashes where these are known.
fn made_of<'f>(
    origin: Option<&str>,
    named: Option<String>,
    hashes: impl Iterator<Item = (&'f String, &'f String)>,
    files: impl Iterator<Item = &'f String>,
) -> String {
    if let Some(Repository { id, commit }) = origin.and_then(Repository::of_origin) {
        return commit.map_or_else(|| format!("`{id}`"), |commit| format!("`{id}` at commit `{commit}`"));
    }
    const SHOWN: usize = 3;
    let hashes: Vec<String> = hashes.map(|(name, sha256)| format!("`{name}` (sha256 `{sha256}`)")).collect();
    let all = if hashes.is_empty() { files.map(|name| format!("`{name}`")).collect() } else { hashes };
    let more = if all.len() > SHOWN { format!(" and {} more files", all.len() - SHOWN) } else { String::new() };
    let files = format!("{}{more}", all[..all.len().min(SHOWN)].join(", "));
    named.map_or_else(|| files.clone(), |id| format!("`{id}`, by its own files' account: {files}"))
}

fn adapter_words(adapter: &Adapter, recipe: &RecipeAdapter) -> String {
    let hashes = recipe.files.iter().map(|FileDigest { name, sha256 }| (name, sha256));
    let mut words = made_of(recipe.origin.as_deref(), None, hashes, std::iter::empty());
    words.push_str(&format!("; {}, weight {}", adapter.summary.peft_type, json::number(recipe.weight)));
    if let [scale] = recipe.scales.as_slice() {
        let [rank, alpha, scale] = [scale.rank as f64, scale.alpha, scale.scale].map(json::number);
        words.push_str(&format!(", rank {rank}, alpha {alpha}, scale {scale}"));
    }
    words
}
