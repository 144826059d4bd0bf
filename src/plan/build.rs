//! Building the plan.

use std::ops::Range;

use serde_json::Value;

use super::head::must_untie;
use super::matching::{Deltas, match_adapters};
use super::open::{Adapter, Base};
use super::options::{CheckedOptions, PlanOptions};
use super::output::{self, Body, OutputFile};
use super::pieces::{Piece, Run};
use super::recipe::recipe;
use super::tensor::{MergeSpec, PlannedTensor};
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::model::config_json::Config;

/// A whole merge, decided: the files of the output and how every byte of them comes about.
#[derive(Debug, Clone)]
pub struct MergePlan {
    /// Every tensor, by shard and order of the header.
    pub tensors: Vec<PlannedTensor>,
    /// The output, weight files first.
    pub files: Vec<OutputFile>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// What the merged files record of their making.
    pub recipe: Value,
    /// The base, without weights.
    pub base: Base,
    /// The adapters, without weights.
    pub adapters: Vec<Adapter>,
}

/// Plan a merge.
///
/// # Errors
/// Whatever can be seen in headers and configurations: `unmatched-key`, `shape-mismatch`, `unsupported`, `bad-config`,
/// `bad-option`.
pub fn build(base: Base, adapters: Vec<Adapter>, options: &PlanOptions) -> Result<MergePlan> {
    let checked = options.check()?;
    let config = base.config.as_deref().map(Config::parse).transpose()?;
    let model = config.as_ref().map(Config::model).unwrap_or_default();
    let mut findings = Vec::new();
    if !base.left_behind.is_empty() && base.left_behind.iter().any(|name| name != "config.json") {
        let names: Vec<&str> = base.left_behind.iter().map(String::as_str).collect();
        let message = format!("not copied to the output: {}", names.join(", "));
        findings.push(Finding::warning("left-behind", None, message));
    }
    let deltas = match_adapters(&base, &adapters, &checked, &model, &mut findings)?;
    if deltas.iter().all(|deltas| deltas.terms.is_empty())
        && !adapters.is_empty()
        && adapters.iter().any(|adapter| adapter.weight != 0.0)
    {
        return Err(nothing_to_merge(&adapters, &checked));
    }
    let tensors = plan_tensors(&base, deltas, &checked);
    let untie = config.is_some() && must_untie(&tensors, &model, &mut findings)?;
    let recipe = recipe(&base, &adapters, &tensors, options);
    let files = output_files(&base, &tensors, &checked, config, untie, &recipe)?;
    Ok(MergePlan { tensors, files, findings, recipe, base, adapters })
}

fn nothing_to_merge(adapters: &[Adapter], options: &CheckedOptions) -> Error {
    if options.selects_all() {
        return Error::unmatched_key(
            adapters[0].name.clone(),
            adapters[0].pairs[0].a.key.clone(),
            "nothing of any adapter matches this base: the output would be the base itself",
        );
    }
    Error::bad_option(options.selecting_option(), "the pattern leaves no tensor to merge")
}

fn plan_tensors(base: &Base, deltas: Vec<Deltas>, options: &CheckedOptions) -> Vec<PlannedTensor> {
    let mut tensors = Vec::with_capacity(deltas.len());
    let mut deltas = deltas.into_iter();
    for shard in &base.shards {
        for info in shard.header.iter() {
            let found = deltas.next().filter(|deltas| !deltas.terms.is_empty());
            let to = info.dtype.float().map(|from| options.dtype.unwrap_or(from));
            // What is read: the base's weight, or an adapter's in its place.
            let (mut from, mut input, mut start) = (info.dtype, shard.input, shard.header.data_start + info.start);
            if let Some(base) = found.as_ref().and_then(|found| found.base.as_ref()) {
                (from, input, start) = (base.float.dtype(), base.input, base.start);
            }
            let merge = match (from.float(), to) {
                (Some(from), Some(to)) if found.is_some() || from != to => {
                    // A tensor that only changes its type is one long row: its shape does not matter.
                    let (rows, cols) = match (&found, info.shape) {
                        (Some(_), &[rows, cols]) => (rows, cols),
                        _ => (1, info.elements()),
                    };
                    let Deltas { terms, transposed, .. } = found.unwrap_or_default();
                    Some(MergeSpec { tensor: info.name.into(), input, start, rows, cols, from, to, transposed, terms })
                }
                _ => None,
            };
            tensors.push(PlannedTensor {
                name: info.name.into(),
                shape: info.shape.into(),
                from,
                to: to.map_or(info.dtype, |to| to.dtype()),
                input,
                start,
                bytes_in: from.float().map_or(info.bytes(), |from| info.elements() * from.bytes() as u64),
                bytes_out: to.map_or(info.bytes(), |to| info.elements() * to.bytes() as u64),
                merge,
            });
        }
    }
    tensors
}

fn output_files(
    base: &Base,
    tensors: &[PlannedTensor],
    options: &CheckedOptions,
    config: Option<Config>,
    untie: bool,
    recipe: &Value,
) -> Result<Vec<OutputFile>> {
    let groups = output::group(base, tensors, options.max_shard_bytes);
    let mut files = output::weight_files(base, tensors, groups, recipe)?;
    files.extend(output::index_file(base, &files, tensors)?);
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
    /// What the bytes `range` of output file number `file` are made of, at most `limit` pieces; see [`OutputFile::pieces`].
    pub fn pieces(&self, file: usize, range: Range<u64>, block: u64, limit: usize) -> Vec<Piece> {
        self.files.get(file).map(|file| file.pieces(range, &self.tensors, block, limit)).unwrap_or_default()
    }

    /// The longest beginning of the bytes `range` of output file number `file` that one read of an input serves; see [`OutputFile::run`].
    pub fn run(&self, file: usize, range: Range<u64>) -> Run {
        let nothing = || Run { end: range.start, source: None };
        self.files.get(file).map_or_else(nothing, |file| file.run(range.clone(), &self.tensors))
    }

    /// Bytes of the whole output.
    pub fn output_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
