//! Building the plan.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::matching::{Change, RIGHT_BASE, match_adapters};
use super::open::{Adapter, Base, Shard, open_adapter, open_base};
use super::options::{AdapterOptions, CheckedOptions, PlanOptions};
use super::output::{self, Body, OutputFile};
use super::pieces::{Piece, Run};
use super::program::Program;
use super::recipe::{Recipe, recipe};
use super::tensors::{Added, TensorView, Tensors};
use super::tied::{TiedHead, must_untie};
use crate::adapter::pattern::PatternBudget;
use crate::combine::Combine;
use crate::container::TensorInfo;
use crate::encoding::{Plain, Stored};
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing};
use crate::model::config_json::Config;
use crate::tensor::Float;

/// A whole merge, decided: the files of the output and how every byte of them comes about.
#[derive(Debug, Clone)]
pub struct MergePlan {
    /// Every tensor of the output.
    pub(crate) tensors: Tensors,
    /// The output, weight files first.
    pub files: Vec<OutputFile>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// What the merged files record of their making.
    pub recipe: Recipe,
    /// The base, without weights.
    pub base: Base,
    /// The adapters, without weights.
    pub adapters: Vec<Adapter>,
}

/// How many names are read or matched between two pauses: about ten milliseconds of work. A pause itself takes one.
const NAMES_BETWEEN_PAUSES: usize = 4096;

/// Read the headers and configurations of a base and of adapters, and plan their merge.
///
/// # Errors
/// Whatever can be seen in headers and configurations: `bad-header`, `truncated`, `bad-config`, `wrong-input`, `unmatched-key`,
/// `shape-mismatch`, `missing-pair`, `unsupported`, `bad-option`, `limit-exceeded`; those of reading.
pub async fn plan(
    inputs: &impl Inputs,
    base: &Listing,
    adapters: &[(Listing, AdapterOptions)],
    options: &PlanOptions,
) -> Result<MergePlan> {
    let mut budget = PatternBudget::default();
    let base = open_base(inputs, base).await?;
    let mut names: usize = base.shards.iter().map(|shard| shard.header.len()).sum();
    let mut since_pause = names;
    let mut opened = Vec::with_capacity(adapters.len());
    for (folder, options) in adapters {
        if since_pause > NAMES_BETWEEN_PAUSES {
            inputs.pause().await?;
            since_pause = 0;
        }
        let adapter = open_adapter(inputs, folder, options, &mut budget).await?;
        names += adapter.updates.len();
        since_pause += adapter.updates.len();
        opened.push(adapter);
    }
    if names > NAMES_BETWEEN_PAUSES {
        inputs.pause().await?;
    }
    build(base, opened, options, &mut budget)
}

fn build(base: Base, adapters: Vec<Adapter>, options: &PlanOptions, budget: &mut PatternBudget) -> Result<MergePlan> {
    let checked = options.check()?;
    let config = base.config.as_deref().map(Config::parse).transpose()?;
    let model = config.as_ref().map(Config::model).unwrap_or_default();
    let mut findings = Vec::new();
    if !base.left_behind.is_empty() && base.left_behind.iter().any(|name| name != "config.json") {
        let names: Vec<&str> = base.left_behind.iter().map(String::as_str).collect();
        let message = format!("not copied to the output: {}", names.join(", "));
        findings.push(Finding::warning("left-behind", None, message));
    }
    let head = TiedHead::of(&base, &model);
    let changes = match_adapters(&base, head.as_ref(), &adapters, &checked, &model, budget, &mut findings)?;
    if changes.is_empty() && !adapters.is_empty() && adapters.iter().any(|adapter| adapter.weight != 0.0) {
        return Err(nothing_to_merge(&adapters, &checked));
    }
    let tensors = plan_tensors(&base, head.as_ref(), changes, &checked);
    let untie = config.is_some() && must_untie(tensors.programs(), &model, &mut findings)?;
    let recipe = recipe(&base, &adapters, &tensors, options, checked.dtype);
    let files = output_files(&base, &tensors, &checked, config, untie, &recipe)?;
    Ok(MergePlan { tensors, files, findings, recipe, base, adapters })
}

fn nothing_to_merge(adapters: &[Adapter], options: &CheckedOptions) -> Error {
    if options.selects_all() {
        return Error::unmatched_key(
            adapters[0].name.clone(),
            adapters[0].updates[0].key.clone(),
            "nothing of any adapter matches this base: the output would be the base itself",
        )
        .fix(RIGHT_BASE);
    }
    Error::bad_option(options.selecting_option(), "the pattern leaves no tensor to merge")
}

fn plan_tensors(
    base: &Base,
    head: Option<&TiedHead>,
    mut changes: BTreeMap<usize, Change>,
    options: &CheckedOptions,
) -> Tensors {
    let mut tensors = Tensors::default();
    let plain = |shard: usize, info: &TensorInfo| {
        let Shard { input, header, .. } = &base.shards[shard];
        Float::of(info.dtype).map(|float| Plain { float, input: *input, start: header.data_start + info.start })
    };
    let to = |info: &TensorInfo| Float::of(info.dtype).map_or(info.dtype, |from| options.dtype.unwrap_or(from).dtype());
    for (shard, file) in base.shards.iter().enumerate() {
        for (index, info) in file.header.iter().enumerate() {
            let change = changes.remove(&tensors.len());
            let program = change.and_then(|change| program(&info, plain(shard, &info)?, change, options));
            tensors.push_base(shard, index, to(&info), program);
        }
    }
    // An output layer that was tied has a tensor of its own once it is changed.
    if let (Some(head), Some(change)) = (head, changes.remove(&tensors.len())) {
        let info = head.info(base);
        if let Some(plain) = plain(head.shard, &info) {
            let added = Added {
                name: info.name.into(),
                shape: info.shape.into(),
                dtype: info.dtype,
                input: plain.input,
                start: plain.start,
            };
            tensors.push_added(head.shard, added, to(&info), program(&info, plain, change, options));
        }
    }
    tensors
}

fn program(info: &TensorInfo, plain: Plain, change: Change, options: &CheckedOptions) -> Option<Program> {
    let &[rows, cols] = info.shape else { return None };
    // What is read: the base's weight, or an adapter's in its place.
    let source = Stored::Plain(change.base.unwrap_or(plain));
    let to = options.dtype.unwrap_or(plain.float);
    let tensor = info.name.into();
    Some(Program { tensor, rows, cols, source, updates: change.updates, combine: Combine::Linear, to })
}

fn output_files(
    base: &Base,
    tensors: &Tensors,
    options: &CheckedOptions,
    config: Option<Config>,
    untie: bool,
    recipe: &Recipe,
) -> Result<Vec<OutputFile>> {
    let mut files = output::weight_files(base, tensors, options.max_shard_bytes, recipe)?;
    if let (Some(config), Some(original)) = (config, &base.config) {
        let bytes = config.rewritten(options.dtype, untie).unwrap_or_else(|| original.clone());
        files.push(OutputFile::bytes("config.json".into(), bytes));
    }
    for (input, name, size) in &base.others {
        files.push(OutputFile { name: name.clone(), size: *size, body: Body::Input(*input) });
    }
    Ok(files)
}

impl MergePlan {
    /// How many tensors the output has.
    pub fn tensor_count(&self) -> usize {
        self.tensors.len()
    }

    /// What is planned of tensor number `number`.
    pub fn tensor(&self, number: usize) -> TensorView<'_> {
        self.tensors.view(&self.base, number)
    }

    /// How tensor number `number` is computed, or `None` where its bytes are copied, or there is none of that number.
    pub fn program(&self, number: usize) -> Option<Cow<'_, Program>> {
        if number < self.tensors.len() { self.tensors.program(&self.base, number) } else { None }
    }

    /// What the bytes `range` of output file number `file` are made of, at most `limit` pieces. Pieces are in order and without gaps; the
    /// last may be followed by more of its tensor. Computed pieces have about `block` bytes, and whole rows where these are shorter; copied
    /// ones are as long as they can be.
    pub fn pieces(&self, file: usize, range: Range<u64>, block: u64, limit: usize) -> Vec<Piece> {
        self.files.get(file).map(|file| super::pieces::pieces(self, file, range, block, limit)).unwrap_or_default()
    }

    /// The longest beginning of the bytes `range` of output file number `file` that one read of an input serves, or none.
    pub fn run(&self, file: usize, range: Range<u64>) -> Run {
        let nothing = || Run { end: range.start, source: None };
        self.files.get(file).map_or_else(nothing, |file| super::pieces::run(self, file, range.clone()))
    }

    /// Bytes of the whole output.
    pub fn output_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
