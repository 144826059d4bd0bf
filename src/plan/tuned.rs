//! Whole fine-tuned models in the place of adapters: each tensor of theirs is an update of the base's tensor of that name.

use std::borrow::Cow;

use super::adapter::{Adapter, finite};
use super::base_names::NamedBase;
use super::build::is_quantised;
use super::open::{Base, open_base, read_header};
use super::options::{AdapterOptions, ModuleChoice};
use super::recipe::{self, RecipeBase};
use super::rules::check_density;
use super::tied::{is_embedding, is_head};
use super::tokenizer::is_tokenizer;
use super::wrapped;
use crate::adapter::dialect::{ModuleUpdate, Summary};
use crate::adapter::targets::Targets;
use crate::container::{CheckpointFiles, Format, Header};
use crate::encoding::Operand;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::{FileInfo, Inputs, Listing, Span};
use crate::json::sorted;
use crate::model::Model;
use crate::model::config_json::Config;
use crate::op::task_vector;
use crate::tensor::{Dtype, Float};

/// What is known of a model that is an adapter, while the plan is being made.
#[derive(Debug, Clone)]
pub struct TunedModel {
    /// Its weight files and its own recipe.
    pub identity: RecipeBase,
    /// Whether its output layer is tied to its embedding, where that is said.
    pub(super) tied: Option<bool>,
    /// Its tensors that are no floating-point numbers.
    pub(super) others: Vec<Other>,
    /// (name, version) of each file whose source tells versions apart.
    pub(super) versions: Vec<(String, String)>,
}

/// A tensor that is no floating-point numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Other {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) at: Span,
}

impl Other {
    /// Those of a model.
    pub(super) fn of(model: &Base) -> impl Iterator<Item = Other> {
        let tensors = model.shards.iter().flat_map(|shard| shard.header.iter().map(move |info| (shard, info)));
        tensors.filter(|(_, info)| Float::of(info.dtype).is_none()).map(|(shard, info)| Other {
            name: info.name.into(),
            dtype: info.dtype,
            shape: info.shape.into(),
            at: Span { input: shard.input, start: shard.header.data_start + info.start, bytes: info.bytes() },
        })
    }
}

/// Whether weights that are given as an adapter, without a configuration, are a whole model: whether they are called as those of `base`.
pub(super) async fn is_named_as(inputs: &impl Inputs, folder: &Listing, base: &Base) -> bool {
    let names: Vec<&str> = folder.files.iter().map(|file| file.name.as_str()).collect();
    let sizes: Vec<u64> = folder.files.iter().map(|file| file.size).collect();
    let layout = CheckpointFiles::of(&names, &sizes, None);
    let at = layout.ok().map(|layout| (layout.shards, layout.format)).or_else(|| {
        let (at, format) = Format::of_adapter(&names).ok()?;
        Some((vec![at], format))
    });
    let Some((shards, format)) = at else { return false };
    let Some(&first) = shards.first() else { return false };
    match read_header(inputs, folder, first, format).await {
        Ok(header) => is_of(&header, base),
        Err(_) => false,
    }
}

/// Whether most of a file's tensors are called as some of the base's are, but for what stands before the first dot of either.
fn is_of(header: &Header, base: &Base) -> bool {
    let mut known = Vec::new();
    base.each_name(&mut |name| known.extend([Some(name), behind(name)].into_iter().flatten()));
    let known = sorted(known);
    let is_known = |name: &str| known.binary_search(&name).is_ok();
    let found = header.iter().filter(|info| is_known(info.name) || behind(info.name).is_some_and(is_known));
    found.count() * 2 > header.len()
}

fn behind(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, rest)| rest)
}

/// Read the headers of a fine-tuned model. `hash`: hash its weight files whose sources do not know their hashes.
///
/// # Errors
/// Those of [`open_base`]; `bad-option` for options that only adapters have, `unsupported` for quantised weights, `wrong-input` without weights.
pub(super) async fn open_model(
    inputs: &impl Inputs,
    folder: &Listing,
    options: &AdapterOptions,
    hash: bool,
) -> Result<Adapter> {
    open(inputs, folder, options, hash).await.map_err(|error| error.in_adapter(&folder.name))
}

async fn open(inputs: &impl Inputs, folder: &Listing, options: &AdapterOptions, hash: bool) -> Result<Adapter> {
    let weight = finite("weight", options.weight.unwrap_or(1.0))?;
    let density = options.density.map(|density| check_density("density", density)).transpose()?;
    let choice = ModuleChoice::of(options);
    if !choice.is_all() {
        choice.selection()?;
    }
    if let Some(option) = options.of_adapters() {
        let reason = "the source is a whole model, which has none";
        return Err(Error::bad_option(option, reason).fix("leave the option out"));
    }
    let mut folder = folder.clone();
    // A file without a name was taken for an adapter's.
    if let [only] = folder.files.as_mut_slice()
        && let Some(end) = only.name.strip_prefix("adapter_model.")
    {
        only.name = if end == "bin" { "pytorch_model.bin".into() } else { format!("model.{end}") };
    }
    let mut model = open_base(inputs, &folder).await?;
    if hash {
        model.hash(inputs, &folder).await?;
    }
    let config = model.config.as_deref().map(Config::parse).transpose()?;
    let mut said = config.as_ref().map(Config::model).unwrap_or_default();
    if is_quantised(&model, &mut said) {
        let method = said.quantised.unwrap_or_default();
        let reason = format!("this model is quantised ({method}): the difference to a base needs its plain weights");
        return Err(Error::unsupported(folder.name.clone(), reason)
            .kind(ErrorKind::QuantisedBase)
            .found(method)
            .fix("give the model that is not quantised"));
    }
    let mut findings = std::mem::take(&mut model.findings);
    findings.extend(wrapped::unwrap(&mut model)?);
    findings.iter_mut().for_each(|finding| finding.adapter = Some(folder.name.clone()));
    let updates = updates(&model, &said)?;
    let [first, rest @ ..] = model.shards.as_slice() else {
        return Err(Error::wrong_input(folder.name.clone(), "it has no weights").kind(ErrorKind::NoWeights));
    };
    let position = |name: &str| folder.files.iter().position(|file| file.name == name);
    let companion =
        |(at, file): (usize, &FileInfo)| is_tokenizer(&file.name).then(|| (folder.first_input + at, file.clone()));
    let shards = model.shards.iter().filter_map(|shard| position(&shard.name));
    let versions = shards.filter_map(|at| Some((folder.files[at].name.clone(), folder.files[at].version.clone()?)));
    let tuned = TunedModel {
        identity: recipe::of_base(&model),
        tied: said.tied,
        others: Other::of(&model).collect(),
        versions: versions.collect(),
    };
    Ok(Adapter {
        name: folder.name.clone(),
        weight,
        density,
        wanted: None,
        residual_base: None,
        expert_packing: None,
        modules: updates.len(),
        summary: Summary {
            peft_type: "task-vector".into(),
            r: None,
            alpha: None,
            rslora: false,
            fan_in_fan_out: false,
            base_name: None,
        },
        replication: Vec::new(),
        mismatches: Vec::new(),
        findings,
        targets: Targets::default(),
        idle: false,
        input: first.input,
        shards: rest.iter().map(|shard| shard.input).collect(),
        companions: folder.files.iter().enumerate().filter_map(companion).collect(),
        digests: Vec::new(),
        origin: folder.origin.clone(),
        revision: None,
        named_base: NamedBase::default(),
        choice,
        left_out: Vec::new(),
        tuned: Some(Box::new(tuned)),
        updates,
    })
}

/// An update for each tensor of floating-point numbers.
fn updates(model: &Base, said: &Model) -> Result<Vec<ModuleUpdate>> {
    let mut updates = Vec::new();
    for shard in &model.shards {
        for info in shard.header.iter() {
            let found = info.dtype.to_string();
            if Float::of(info.dtype).is_none() && found.starts_with('F') {
                let reason = format!("the model stores it as {found}: the difference to a base needs plain weights");
                return Err(Error::unsupported(info.name, reason).tensor(info.name).kind(ErrorKind::QuantisedBase));
            }
            if Float::of(info.dtype).is_none() {
                continue;
            }
            let at = Span { input: shard.input, start: shard.header.data_start + info.start, bytes: info.bytes() };
            let (module, parameter) = info.name.rsplit_once('.').unwrap_or(("", info.name));
            let op = task_vector(&Operand::whole(info.name, at, info.dtype), info.shape)?;
            let tied = said.tied == Some(true);
            updates.push(update(module, parameter, ModuleUpdate { tied, ..of(info.name, op) }));
        }
    }
    match updates.is_empty() {
        false => Ok(updates),
        true => {
            Err(Error::wrong_input(model.name.clone(), "it has no floating-point weights").kind(ErrorKind::NoWeights))
        }
    }
}

fn of(key: &str, op: crate::op::Op) -> ModuleUpdate {
    ModuleUpdate {
        module: String::new(),
        parameter: String::new(),
        optional: false,
        adds: false,
        tied: false,
        key: key.into(),
        op,
        base: None,
        wrapper: None,
        share: None,
    }
}

fn update(module: &str, parameter: &str, update: ModuleUpdate) -> ModuleUpdate {
    ModuleUpdate { module: module.into(), parameter: parameter.into(), ..update }
}

impl TunedModel {
    /// The updates of this model, of an output layer as the base has it: where only one of the two has a tensor for it, because it is the
    /// embedding of the other, that is the same weight. `has_tied`: the base's is known to be its embedding, so that the model's may stand beside it.
    pub(super) fn with_head<'u>(
        &self,
        updates: &'u [ModuleUpdate],
        base: &Base,
        has_tied: bool,
    ) -> Cow<'u, [ModuleUpdate]> {
        let mut heads = Vec::new();
        base.each_name(&mut |name| heads.extend(is_head(name).then_some(name)));
        let is = |kind: fn(&str) -> bool| move |update: &&ModuleUpdate| kind(&update.tensor());
        let has_head = updates.iter().any(|update| is(is_head)(&update));
        let mut embeddings = updates.iter().filter(is(is_embedding));
        match (heads.as_slice(), has_head) {
            ([], true) if self.tied.unwrap_or(!has_tied) => {
                updates.iter().filter(|update| !is(is_head)(update)).cloned().collect::<Vec<_>>().into()
            }
            (&[head], false) if self.tied != Some(false) => {
                let (Some(embedding), None) = (embeddings.next(), embeddings.next()) else { return updates.into() };
                let (module, parameter) = head.rsplit_once('.').unwrap_or(("", head));
                // It has the base's own name, which says nothing of where the rest is.
                let copy = ModuleUpdate { optional: true, ..embedding.clone() };
                updates.iter().cloned().chain([update(module, parameter, copy)]).collect::<Vec<_>>().into()
            }
            _ => updates.into(),
        }
    }

    /// Whether its weight files are those of the base, as far as hashes tell.
    pub(super) fn is_base(&self, base: &Base) -> bool {
        let ours: Option<Vec<&String>> = self.identity.files.iter().map(|file| file.sha256.as_ref()).collect();
        let theirs: Option<Vec<&String>> = base.shards.iter().map(|shard| shard.sha256.as_ref()).collect();
        ours.is_some_and(|ours| theirs == Some(ours))
    }
}

/// Ends of the names of tensors that are computed and not trained: files of some versions have them, and those of others do not.
const COMPUTED: [&str; 5] = ["rotary_emb.inv_freq", "attn.bias", "attention.bias", "masked_bias", "position_ids"];

/// Whether the tensor of a model is computed when it is loaded, so that a file may lack it.
pub(super) fn is_computed(name: &str, shape: &[u64]) -> bool {
    let end = COMPUTED.iter().find(|end| name.ends_with(*end));
    // A bias proper has one side; these are masks.
    end.is_some_and(|end| !end.ends_with("n.bias") || shape.len() > 2)
}
