//! Reads what a plan needs of an adapter: its configuration, its header, and once all of its bytes, for the hash in the recipe.

use sha2::{Digest, Sha256};

use super::base_names::NamedBase;
use super::elsewhere::elsewhere;
use super::open::{check_gathered, check_listing, hex, read_header, read_json};
use super::options::{AdapterOptions, ModuleChoice, none_of};
use super::recipe::FileDigest;
use super::rules::check_density;
use super::tokenizer::is_tokenizer;
use super::tuned::TunedModel;
use super::unmerged;
use super::zeros::Zeros;
use crate::adapter::dialect::{self, AdapterFiles, Mismatch, ModuleUpdate, Summary, Updates};
use crate::adapter::pattern::PatternBudget;
use crate::adapter::targets::Targets;
use crate::container::checkpoint::adapter_shards;
use crate::container::{Format, Header, limits};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{FileInfo, Inputs, Listing, try_buffer};
use crate::json;
use crate::wire::wire;

/// An adapter, without its weights.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What errors and reports call it.
    pub name: String,
    /// Factor on its whole delta.
    pub weight: f64,
    /// Share of its deltas that is kept, where that was said.
    pub density: Option<f64>,
    /// Which of several adapters in its file or folder it is, if the caller chose one.
    pub wanted: Option<String>,
    /// Whether the base is already the one that its initialisation changed, if the caller said so.
    pub residual_base: Option<bool>,
    /// How the columns of `lora_B` are ordered if it holds the factors of many experts, if the caller said so.
    pub expert_packing: Option<String>,
    /// What it does to each module. Empty once the plan is made.
    pub updates: Vec<ModuleUpdate>,
    /// The number of these modules.
    pub modules: usize,
    /// What reports say about the whole adapter.
    pub summary: Summary,
    /// `layer_replication`: the layers of the base, from each first to before each last, that it was trained on.
    pub replication: Vec<[u64; 2]>,
    /// Where its configuration and its file do not agree.
    pub mismatches: Vec<Mismatch>,
    /// What the user should know about it.
    pub findings: Vec<Finding>,
    /// Which modules its configuration says were trained.
    pub targets: Targets,
    /// Whether all its deltas are zero, so that it changes nothing.
    pub idle: bool,
    /// Number of its weight file among all inputs; of its first one, if there are several.
    pub input: usize,
    /// Numbers of its other weight files among all inputs.
    pub shards: Vec<usize>,
    /// Its tokenizer and other files that belong beside weights, each with the number of its input.
    pub companions: Vec<(usize, FileInfo)>,
    /// Its files, for the recipe.
    pub digests: Vec<FileDigest>,
    /// Where it can be had again, for the recipe.
    pub origin: Option<String>,
    /// The revision of the base that its configuration names.
    pub revision: Option<String>,
    /// Whether the base is the one that its configuration names.
    pub named_base: NamedBase,
    /// What was asked for of some of its modules.
    pub choice: ModuleChoice,
    /// The tensors that it would change, and does not because of that.
    pub left_out: Vec<String>,
    /// What is known of it where it is a whole fine-tuned model, while the plan is being made.
    pub tuned: Option<Box<TunedModel>>,
}

// The plan's programs and findings hold the rest.
wire!(Adapter { name, weight, density, wanted, residual_base, expert_packing, modules, summary, input, shards, digests, origin, named_base, left_out } without { updates, replication, mismatches, findings, targets, idle, companions, revision, choice, tuned });

/// Most bytes of the name of a base that an error shows.
const BASE_NAME_BYTES: usize = 120;

impl Adapter {
    /// What the user can do if it does not fit the base. Names the base of its configuration.
    pub(super) fn right_base(&self) -> String {
        match &self.summary.base_name {
            Some(name) if !name.is_empty() && name.len() <= BASE_NAME_BYTES => {
                format!("check that the base is {name}, which the adapter was trained on")
            }
            _ => "check that this is the base that the adapter was trained on".into(),
        }
    }
}

/// Read an adapter's configuration and header, and hash its files. Its patterns take their steps from `budget`.
///
/// # Errors
/// `bad-config`, `bad-header`, `truncated`, `wrong-input`, `missing-pair`, `shape-mismatch`, `unsupported`, `bad-option`,
/// `limit-exceeded`, and whatever reading gives.
pub async fn open_adapter(
    inputs: &impl Inputs,
    folder: &Listing,
    options: &AdapterOptions,
    budget: &mut PatternBudget,
) -> Result<Adapter> {
    open_in(inputs, folder, options, budget).await.map_err(|error| error.in_adapter(&folder.name))
}

async fn open_in(
    inputs: &impl Inputs,
    folder: &Listing,
    options: &AdapterOptions,
    budget: &mut PatternBudget,
) -> Result<Adapter> {
    let name = &folder.name;
    let weight = finite("weight", options.weight.unwrap_or(1.0))?;
    let density = options.density.map(|density| check_density("density", density)).transpose()?;
    let choice = ModuleChoice::of(options);
    if !choice.is_all() {
        choice.selection()?;
    }
    let alpha = options.alpha.map(|alpha| finite("alpha", alpha)).transpose()?;
    let packing = options.packing()?;
    let wanted = options.adapter.as_deref();
    let residual = options.residual_base.unwrap_or(false);
    let out_proj_once = match options.out_proj.as_deref() {
        None | Some("twice") => false,
        Some("once") => true,
        Some(other) => return Err(none_of("outProj", other, "twice, once")),
    };
    check_listing(folder)?;
    let position = |wanted: &str| folder.files.iter().position(|file| file.name == wanted);
    let names: Vec<&str> = folder.files.iter().map(|file| file.name.as_str()).collect();
    if position("config.json").is_some()
        && ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"]
            .iter()
            .all(|name| position(name).is_none())
    {
        let reason = "this is a base model, not an adapter: it has config.json and no adapter_config.json";
        return Err(Error::wrong_input(name.clone(), reason)
            .kind(ErrorKind::BaseAsAdapter)
            .found("a base model")
            .expected("an adapter")
            .fix("give it as the base"));
    }
    let (weights, format) = adapter_weights(folder, &names)?;
    let mut digests = Vec::new();
    let config = match position("adapter_config.json") {
        None => None,
        Some(at) => {
            let json = read_json(inputs, folder, at, limits::CONFIG_BYTES).await?;
            digests.push(FileDigest { name: names[at].into(), sha256: hex(&Sha256::digest(&json)) });
            Some((names[at], json))
        }
    };
    let file = names[weights[0]];
    let (mut headers, mut failed) = (Vec::with_capacity(weights.len()), None);
    for &at in &weights {
        match read_header(inputs, folder, at, format).await {
            Ok(header) => headers.push((folder.first_input + at, header)),
            Err(error) => failed = Some(error),
        }
    }
    let header = failed.map_or_else(|| Header::joined(file, headers), Err);
    match &header {
        Ok(header) => check_gathered(file, header, true)?,
        // This is not the adapter's file, so its configuration does not matter.
        Err(error) if matches!(error.facts().kind, Some(ErrorKind::LfsPointer | ErrorKind::WebPage)) => {
            return Err(error.clone());
        }
        Err(_) => {}
    }
    let input = folder.first_input + weights[0];
    let said = |(_, json): &(&str, Vec<u8>)| json::parse(json).ok()?.get("revision")?.as_str().map(Into::into);
    let revision = config.as_ref().and_then(said);
    let config = config.as_ref().map(|(file, json)| (*file, json.as_slice()));
    let files = AdapterFiles { adapter: name, file, input, config, alpha, residual, out_proj_once, wanted, packing };
    let Updates { updates, summary, replication, mut mismatches, mut findings, targets } =
        dialect::read(&files, header, budget)?;
    let mut zeros = Zeros::of(&updates);
    for &at in &weights {
        let file = &folder.files[at];
        let input = folder.first_input + at;
        let sha256 = digest(inputs, input, file, &mut zeros).await?;
        digests.push(FileDigest { name: names[at].into(), sha256 });
    }
    let (zero, idle) = zeros.finding(name, &updates);
    findings.extend(zero);
    let chosen: Vec<&str> = weights.iter().map(|&at| names[at]).collect();
    unmerged::note(folder, &chosen, &mut mismatches, &mut findings);
    let companion = |at: usize| (folder.first_input + at, folder.files[at].clone());
    Ok(Adapter {
        name: name.clone(),
        weight,
        density,
        wanted: options.adapter.clone(),
        residual_base: options.residual_base,
        expert_packing: options.expert_packing.clone(),
        replication,
        modules: updates.len(),
        updates,
        summary,
        mismatches,
        findings,
        targets,
        idle,
        input,
        shards: weights.iter().skip(1).map(|at| folder.first_input + at).collect(),
        companions: (0..names.len()).filter(|&at| is_tokenizer(names[at])).map(companion).collect(),
        digests,
        origin: folder.origin.clone(),
        revision,
        named_base: NamedBase::default(),
        choice,
        left_out: Vec::new(),
        tuned: None,
    })
}

/// The weight files of an adapter: one file, or its shards.
fn adapter_weights(folder: &Listing, names: &[&str]) -> Result<(Vec<usize>, Format)> {
    for format in [Format::Safetensors, Format::Torch] {
        let shards = adapter_shards(names, format)?;
        let whole = ["adapter_model.safetensors", "adapter_model.bin"];
        if !shards.is_empty() && !names.iter().any(|name| whole.contains(name)) {
            return Ok((shards, format));
        }
    }
    match Format::of_adapter(names) {
        Ok((at, format)) => Ok((vec![at], format)),
        Err(found) => {
            let reason = match found {
                0 => "there is no adapter_model.safetensors, and no adapter_model.bin".into(),
                found => format!("there is no adapter_model.safetensors, but {found} other .safetensors files"),
            };
            let error = Error::wrong_input(folder.name.clone(), reason).kind(ErrorKind::NoWeights);
            Err(elsewhere(folder, error.expected("adapter_model.safetensors"), true))
        }
    }
}

/// Bytes hashed at a time.
const HASH_STEP: u64 = 1 << 20;
/// Bytes hashed between two pauses.
const PAUSE_EVERY: u64 = 16 << 20;

/// The sha256 of an input in hex. Also notes in `zeros` which of its operands are all zeros. If the source knows the hash, only the platform
/// computes it again and compares.
async fn digest(inputs: &impl Inputs, input: usize, file: &FileInfo, zeros: &mut Zeros) -> Result<String> {
    if let Some(sha256) = inputs.sha256(input).await? {
        // The platform has hashed these bytes, so they are at hand.
        zeros.look(inputs, input).await?;
        return Ok(sha256);
    }
    if let Some(sha256) = &file.sha256 {
        // The file is not read only to find zeros.
        *zeros = Zeros::default();
        return Ok(sha256.clone());
    }
    hash(inputs, input, file, |at, part| zeros.see(input, at, part)).await
}

/// The sha256 of an input in hex. Its source may know it; else the platform computes it, or this function does.
pub(super) async fn sha256(inputs: &impl Inputs, input: usize, file: &FileInfo) -> Result<String> {
    if let Some(known) = &file.sha256 {
        return Ok(known.clone());
    }
    match inputs.sha256(input).await? {
        Some(sha256) => Ok(sha256),
        None => hash(inputs, input, file, |_, _| {}).await,
    }
}

/// Read an input once. `see` gets its bytes in order, each time with the offset of the first.
async fn hash(inputs: &impl Inputs, input: usize, file: &FileInfo, mut see: impl FnMut(u64, &[u8])) -> Result<String> {
    let mut buffer = try_buffer(&file.name, HASH_STEP.min(file.size))?;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < file.size {
        let part = &mut buffer[..HASH_STEP.min(file.size - at) as usize];
        inputs.read(input, at, part).await?;
        hash.update(&*part);
        see(at, part);
        at += part.len() as u64;
        if at % PAUSE_EVERY == 0 {
            inputs.pause().await?;
        }
    }
    Ok(hex(&hash.finalize()))
}

pub(super) fn finite(option: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    // `Display` of all numbers, for these three, would be 7 kB of the module.
    let found = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    Err(Error::bad_option(option, format!("{found} is not a finite number")).found(found).expected("a finite number"))
}
