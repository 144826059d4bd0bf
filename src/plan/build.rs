//! Building the plan.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::pin::Pin;

use super::adapter::{Adapter, open_adapter};
use super::base_hash;
use super::base_names::{BaseNames, NamedBase};
use super::card;
use super::change::Changes;
use super::evidence::Evidence;
use super::given::is_model;
use super::layer_weights;
use super::matching::match_adapters;
use super::open::{Base, open_base};
use super::options::{AdapterOptions, CheckedOptions, PlanOptions};
use super::output::{self, Body, OutputFile};
use super::pieces::{Piece, Run};
use super::program::{Program, Update};
use super::programs::{Asked, plan_tensors};
use super::recipe::{Recipe, recipe};
use super::recorded;
use super::replication::replicate;
use super::rounding;
use super::task_vectors::{self, Pair};
use super::tensors::{TensorView, Tensors};
use super::tied::{self, TiedHead, must_untie};
use super::tokenizer;
use super::tuned::open_model;
use super::unmerge;
use super::wrapped;
use crate::adapter::pattern::PatternBudget;
use crate::container::says_quantised;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{FileInfo, Inputs, Listing};
use crate::model::Model;
use crate::model::config_json::{Config, ConfigChanges};
use crate::order::sort_by;
use crate::tensor::{Dtype, Float};
use crate::wire::wire;

/// A whole merge, decided: the files of the output, and where each of their bytes comes from.
#[derive(Debug, Clone)]
pub struct MergePlan {
    /// Every tensor of the output.
    pub(crate) tensors: Tensors,
    /// The output, weight files first.
    pub files: Vec<OutputFile>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// What the merged files record about how they were made.
    pub recipe: Recipe,
    /// The base, without weights.
    pub base: Base,
    /// The adapters, without weights.
    pub adapters: Vec<Adapter>,
    /// What speaks for or against the base, where that was asked for.
    pub evidence: Vec<Evidence>,
}

wire!(MergePlan { tensors, files, findings, recipe, base, adapters, evidence });
/// How many names are read or matched between two pauses: about ten milliseconds of work. A pause takes about one.
const NAMES_BETWEEN_PAUSES: usize = 4096;

/// Read the headers and configurations of a base and of adapters, and plan their merge.
///
/// # Errors
/// Whatever can be seen in headers and configurations: `bad-header`, `truncated`, `bad-config`, `wrong-input`, `unmatched-key`,
/// `shape-mismatch`, `missing-pair`, `unsupported`, `bad-option`, `limit-exceeded`, `base-mismatch`; those of reading.
pub async fn plan(
    inputs: &impl Inputs,
    base: &Listing,
    adapters: &[(Listing, AdapterOptions)],
    options: &PlanOptions,
) -> Result<MergePlan> {
    let mut budget = PatternBudget::default();
    let given = base;
    let mut base = open_base(inputs, given).await?;
    if options.hash_base || options.expect_base.is_some() {
        apart(base_hash::check(inputs, given, &mut base, options)).await?;
    }
    let called = BaseNames::of(&base);
    let mut names: usize = base.shards.iter().map(|shard| shard.header.len()).sum();
    let mut since_pause = names;
    let mut opened = Vec::with_capacity(adapters.len());
    for (folder, own) in adapters {
        if since_pause > NAMES_BETWEEN_PAUSES {
            inputs.pause().await?;
            since_pause = 0;
        }
        if is_same(given, folder) {
            return Err(base_itself(folder));
        }
        let mut adapter = match is_model(inputs, folder, &base).await {
            true => apart(open_model(inputs, folder, own, options.hash_base)).await?,
            false => open_adapter(inputs, folder, own, &mut budget).await?,
        };
        let named = adapter.summary.base_name.as_deref();
        adapter.named_base = named.map(|named| called.is_named(named)).unwrap_or_default();
        if called.has_findings(adapter.named_base, adapter.revision.as_deref()) {
            adapter.findings.extend(called.findings(&adapter.name, named, adapter.revision.as_deref()));
        }
        names += adapter.updates.len();
        since_pause += adapter.updates.len();
        opened.push(adapter);
    }
    if names > NAMES_BETWEEN_PAUSES {
        inputs.pause().await?;
    }
    // An error about an adapter that does not fit says what this base is called, too, where that is known.
    let known = |adapter: &&Adapter| matches!(adapter.named_base, NamedBase::Same | NamedBase::Other);
    let named = |adapter: &Adapter| Some((adapter.right_base(), adapter.summary.base_name.clone()?));
    let named: Vec<(String, String)> = opened.iter().filter(known).filter_map(named).collect();
    let (mut plan, pairs) = build(base, opened, options, &mut budget).map_err(|error| {
        match named.iter().find(|(fix, _)| error.facts().fix.as_ref() == Some(fix)) {
            Some((_, base)) => error.fix(called.fix(base)),
            None => error,
        }
    })?;
    if options.unmerge || plan.recipe.base.recipe.is_some() || is_repeated(&plan.adapters) {
        recorded::check(&mut plan, options)?;
    }
    if !pairs.is_empty() {
        task_vectors::compare(inputs, &pairs, &mut plan.findings).await?;
    }
    let whose = options.check()?.tokenizer;
    let brings = plan.adapters.iter().position(|adapter| plan.brings_embeddings(&adapter.name));
    tokenizer::choose(inputs, &mut plan, whose, brings).await?;
    card::correct(inputs, &mut plan).await?;
    if options.evidence {
        let (evidence, findings) = apart(plan.gather_evidence(inputs)).await?;
        plan.evidence = evidence;
        plan.findings.extend(findings);
    }
    Ok(plan)
}

/// Whether two folders are one, as far as their listings tell: the same weight files in the same state. Names and sizes alone do not tell, for a
/// fine-tuned model has those of its base.
fn is_same(one: &Listing, other: &Listing) -> bool {
    let is_weights = |file: &&FileInfo| file.name.ends_with(".safetensors") || file.name.ends_with(".bin");
    let known = |file: &FileInfo| file.version.is_some() || file.sha256.is_some();
    let found: Vec<&FileInfo> = one.files.iter().filter(is_weights).collect();
    one.name == other.name
        && !found.is_empty()
        && found.iter().all(|file| known(file))
        && other.files.iter().filter(is_weights).eq(found)
}

/// Whether two adapters have the same files.
fn is_repeated(adapters: &[Adapter]) -> bool {
    let is_there = |(place, one): (usize, &Adapter)| {
        !one.digests.is_empty() && adapters.iter().take(place).any(|other| other.digests == one.digests)
    };
    adapters.iter().enumerate().any(is_there)
}

/// The error that an adapter is the base.
fn base_itself(folder: &Listing) -> Error {
    Error::wrong_input(folder.name.clone(), "it is the base itself, not an adapter: its merge would change nothing")
        .kind(ErrorKind::BaseAsAdapter)
        .fix("give the adapter, or a model that was fine-tuned from the base")
}

/// A future with code of its own, which what is awaited in line has not: in the WebAssembly it can stand in the second half.
fn apart<'f, T>(future: impl Future<Output = T> + 'f) -> Pin<Box<dyn Future<Output = T> + 'f>> {
    Box::pin(future)
}

fn build(
    mut base: Base,
    mut adapters: Vec<Adapter>,
    options: &PlanOptions,
    budget: &mut PatternBudget,
) -> Result<(MergePlan, Vec<Pair>)> {
    let checked = options.check()?;
    match (&checked.rules, adapters.iter().find(|adapter| adapter.density.is_some())) {
        (Some(rules), _) => rules.check(&adapters)?,
        (None, Some(adapter)) => {
            let error = Error::bad_option("density", "linear does not use it: it prunes nothing");
            return Err(error.adapter(adapter.name.clone()).fix("leave it out, or choose another method"));
        }
        (None, None) => {}
    }
    let config = base.config.as_deref().map(Config::parse).transpose()?;
    let mut model = config.as_ref().map(Config::model).unwrap_or_default();
    let plain = !is_quantised(&base, &mut model);
    let mut findings = std::mem::take(&mut base.findings);
    if let Some(method) = model.quantised.take_if(|_| plain) {
        let message = format!("the weights are not quantised, so the output's config.json does not say so ({method})");
        findings.push(Finding::warning("not-quantised", None, message));
    }
    findings.extend(wrapped::unwrap(&mut base)?);
    if options.unmerge {
        adapters.iter_mut().for_each(|adapter| adapter.weight = -adapter.weight);
    }
    let replication = replicate(&mut base, &adapters, &mut findings)?;
    let head = TiedHead::of(&base, &model);
    let Changes { tensors: mut changes, mut added, left_out, pairs } =
        match_adapters(&base, head.as_ref(), &adapters, &checked, &model, budget, &mut findings)?;
    adapters.iter_mut().zip(left_out).for_each(|(adapter, left_out)| adapter.left_out = left_out);
    if changes.is_empty()
        && added.is_empty()
        && !adapters.is_empty()
        && adapters.iter().any(|adapter| adapter.weight != 0.0)
    {
        return Err(nothing_to_merge(&adapters, &checked));
    }
    // What they do is in the changes now.
    adapters.iter_mut().for_each(|adapter| adapter.updates = Vec::new());
    let is_idle = |adapter: &Adapter| {
        adapter.idle || adapter.weight == 0.0 || adapter.tuned.as_ref().is_some_and(|tuned| tuned.is_base(&base))
    };
    if !adapters.is_empty() && adapters.iter().all(is_idle) {
        let message = "nothing changes: the output has the weights of the base itself";
        findings.push(Finding::warning("output-is-base", None, message.into()));
    }
    if options.unmerge {
        let names: Vec<&str> = base.shards.iter().flat_map(|shard| shard.header.iter()).map(|info| info.name).collect();
        unmerge::undo(&mut changes, &mut added, &names, &mut findings)?;
    }
    layer_weights::find(&base, &mut changes)?;
    let vocabulary = changes.values().filter_map(|change| change.shape.as_ref()?.first().copied()).max();
    if let Some(tokens) = vocabulary {
        let message = format!("the vocabulary now has {tokens} tokens: use the tokenizer of the training");
        findings.push(Finding::warning("vocabulary-resized", None, message));
    }
    sort_by(&mut added, |(one, _), (other, _)| one.cmp(other));
    let labels = added.iter().find_map(|(name, update)| labels(name, update));
    let untied = tied::resolve(&base, head.as_ref(), &model, checked.tied, &mut changes, &mut findings);
    let mut tensors =
        plan_tensors(&base, head.as_ref(), changes, added, &Asked { options: &checked, adapters: &adapters })?;
    if let Some(seed) = checked.stochastic {
        findings.extend(rounding::stochastic(&mut tensors, &adapters, seed));
    }
    let untie = match untied {
        Some(untied) => untied,
        None => config.is_some() && must_untie(tensors.programs(), &model, &mut findings)?,
    };
    let layers = replication;
    let changes = ConfigChanges { dtype: checked.dtype, untie, vocabulary, labels, plain, layers };
    let config = config.map(|config| (config, changes));
    let recipe = recipe(&base, &adapters, &tensors, options, &checked);
    if plain {
        base.leave_behind(says_quantised);
    }
    let files = output_files(&mut base, &tensors, &checked, config, &recipe)?;
    if base.left_behind.iter().any(|name| name != "config.json") {
        let message = format!("not copied to the output: {}", base.left_behind.join(", "));
        findings.push(Finding::warning("left-behind", None, message));
    }
    // The recipe knows hashes of adapters, and not always those of whole models: their states tell outputs apart, as the base's do.
    for adapter in &adapters {
        let versions = adapter.tuned.iter().flat_map(|tuned| &tuned.versions);
        base.versions.extend(versions.map(|(name, version)| (format!("{}/{name}", adapter.name), version.clone())));
    }
    Ok((MergePlan { tensors, files, findings, recipe, base, adapters, evidence: Vec::new() }, pairs))
}

/// The number of labels of a classifier's head.
fn labels(name: &str, update: &Update) -> Option<u64> {
    const HEADS: [&str; 3] = ["score.weight", "classifier.weight", "out_proj.weight"];
    let shape = &update.op.replacement.as_ref()?.shape;
    match shape.as_slice() {
        &[labels, _] if HEADS.iter().any(|head| name.ends_with(head)) => Some(labels),
        _ => None,
    }
}

fn nothing_to_merge(adapters: &[Adapter], options: &CheckedOptions) -> Error {
    if let Some(adapter) = adapters.iter().find(|adapter| !adapter.left_out.is_empty()) {
        let option = adapter.choice.option();
        return Error::bad_option(option, "what is asked for leaves no tensor to merge").adapter(adapter.name.clone());
    }
    if options.selects_all() {
        return Error::unmatched_key(
            adapters[0].name.clone(),
            adapters[0].updates[0].key.clone(),
            "nothing of any adapter matches this base: the output would be the base itself",
        )
        .fix(adapters[0].right_base());
    }
    Error::bad_option(options.selecting_option(), "the pattern leaves no tensor to merge")
}

/// Whether the base's weights are quantised, as far as the headers show; `model` knows the method.
pub(super) fn is_quantised(base: &Base, model: &mut Model) -> bool {
    let is_number = |dtype: Dtype| Float::of(dtype).is_some() || matches!(dtype, Dtype::BOOL | Dtype::I64 | Dtype::U64);
    let tensors = || base.shards.iter().flat_map(|shard| shard.header.iter());
    let packed = |name: &str| name.ends_with(".qweight") || name.ends_with(".weight_packed");
    if model.quantised.is_none() && tensors().any(|tensor| packed(tensor.name)) {
        model.quantised = Some("packed weights".into());
    }
    model.quantised.is_some() && tensors().any(|tensor| tensor.shape.len() > 1 && !is_number(tensor.dtype))
}

/// The output's files. No two have the same name, also on file systems that ignore case: if two would, the weights win.
fn output_files(
    base: &mut Base,
    tensors: &Tensors,
    options: &CheckedOptions,
    config: Option<(Config, ConfigChanges)>,
    recipe: &Recipe,
) -> Result<Vec<OutputFile>> {
    let mut files = output::weight_files(base, tensors, options.max_shard_bytes, recipe)?;
    if let (Some((config, changes)), Some(original)) = (config, &base.config) {
        let bytes = config.rewritten(&changes).unwrap_or_else(|| original.clone());
        files.push(OutputFile::bytes("config.json".into(), bytes));
    }
    let made = files.len();
    let other =
        |(input, file): (usize, FileInfo)| OutputFile { name: file.name, size: file.size, body: Body::Input(input) };
    files.extend(base.others.iter().cloned().map(other));
    let folded: Vec<String> = files.iter().map(|file| file.name.to_ascii_lowercase()).collect();
    let mut taken = HashMap::new();
    let mut twice =
        folded.iter().enumerate().filter(|(number, name)| *taken.entry(name.as_str()).or_insert(*number) != *number);
    let twice: Vec<usize> = twice.by_ref().map(|(number, _)| number).collect();
    for number in twice.into_iter().rev() {
        let OutputFile { name, .. } = files.remove(number);
        if number < made {
            let reason = format!(
                "two files of the output would be called {name}, at least where capital letters are not told apart"
            );
            return Err(Error::wrong_input(base.name.clone(), reason)
                .kind(ErrorKind::SeveralModels)
                .found(name)
                .fix("rename one of them, also in the index"));
        }
        base.left_behind.push(name);
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

    /// What the bytes `range` of output file number `file` are made of: at most `limit` pieces, in order and without gaps. The last piece may
    /// end in the middle of its tensor. Computed pieces have about `block` bytes, and whole rows if rows are shorter than that; copied
    /// pieces are as long as possible.
    pub fn pieces(&self, file: usize, range: Range<u64>, block: u64, limit: usize) -> Vec<Piece> {
        self.files.get(file).map(|file| super::pieces::pieces(self, file, range, block, limit)).unwrap_or_default()
    }

    /// The longest part, from the start of `range` of output file number `file`, for which one read of an input is enough; or none.
    pub fn run(&self, file: usize, range: Range<u64>) -> Run {
        let nothing = || Run { end: range.start, source: None };
        self.files.get(file).map_or_else(nothing, |file| super::pieces::run(self, file, range.clone()))
    }

    /// Whether an adapter brings embeddings, or rows of them: if so, it was trained with a tokenizer of its own.
    fn brings_embeddings(&self, adapter: &str) -> bool {
        let brings = |update: &Update| update.adapter == adapter && update.op.brings_values();
        let programs = self.tensors.programs().iter().filter(|program| tied::is_vocabulary(&program.tensor));
        programs.flat_map(|program| &program.updates).any(brings)
    }

    /// Bytes of the whole output.
    pub fn output_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}
