//! Matches adapters to the base: which update changes which tensor, or why it cannot.

use std::collections::HashMap;

use super::adapter::Adapter;
use super::change::{Change, Changes};
use super::experts::Experts;
use super::missing_layers::missing_layers;
use super::open::Base;
use super::options::CheckedOptions;
use super::program::{Region, Update};
use super::tied::{self, TiedHead};
use super::unmerged;
use super::vocabulary::Resized;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::adapter::stack::Share;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::orientation::{Evidence, Fit};
use crate::model::placement::{Placement, SeveralParts};
use crate::op::Op;
use crate::tensor::Float;

/// What the user can do about a quantised base.
const NOT_QUANTISED: &str = "merge into the base that is not quantised";

/// The base's tensors by name: their numbers, and what the headers say about each. A tied output layer comes last.
struct BaseTensors<'a> {
    numbers: HashMap<&'a str, usize>,
    infos: Vec<TensorInfo<'a>>,
    /// A short name of a weight, shown as an example if another one is missing.
    example: &'a str,
}

/// Most bytes of such a name: it is shown with each missing name.
const EXAMPLE_BYTES: usize = 120;

impl<'a> BaseTensors<'a> {
    fn of(base: &'a Base, head: Option<&TiedHead>) -> BaseTensors<'a> {
        let stored = base.shards.iter().flat_map(|shard| shard.header.iter());
        let infos: Vec<TensorInfo> = stored.chain(head.map(|head| head.info(base))).collect();
        let mut numbers = HashMap::with_capacity(infos.len());
        for (number, info) in infos.iter().enumerate() {
            numbers.insert(info.name, number);
        }
        let is_example = |name: &&str| name.ends_with(".weight") && name.len() <= EXAMPLE_BYTES;
        let example = infos.iter().map(|info| info.name).find(is_example).unwrap_or("nothing");
        BaseTensors { numbers, infos, example }
    }
}

/// Match every adapter.
pub(crate) fn match_adapters(
    base: &Base,
    head: Option<&TiedHead>,
    adapters: &[Adapter],
    options: &CheckedOptions,
    model: &Model,
    budget: &mut PatternBudget,
    findings: &mut Vec<Finding>,
) -> Result<Changes> {
    let tensors = BaseTensors::of(base, head);
    let mut changes = Changes::default();
    let mut experts = Experts::of(&tensors.infos, &model.types);
    let mut expanded = Vec::with_capacity(adapters.len());
    for adapter in adapters {
        expanded.push(experts.updates(adapter, findings)?);
    }
    let mut placed = Vec::new();
    for (adapter, updates) in adapters.iter().zip(&expanded) {
        let matcher = Matcher { adapter, updates, tensors: &tensors, options, model };
        matcher.check_mismatches(findings)?;
        let updates = matcher.place(&mut changes.added, budget, findings)?;
        placed.push((matcher, updates));
    }
    let mut resized = Resized::default();
    for (matcher, updates) in &placed {
        for &(update, tensor) in updates {
            resized.note(matcher.adapter, update, tensor, &tensors.infos[tensor])?;
        }
    }
    let flag = adapters.iter().any(|adapter| adapter.summary.fan_in_fan_out);
    let mut evidence = Evidence::new(&model.types, flag);
    for (_, updates) in &placed {
        updates.iter().for_each(|&(update, tensor)| {
            if update.share.is_none() {
                evidence.note(&update.module, update.op.fit(resized.shape(tensor, &tensors.infos[tensor])));
            }
        });
    }
    for (matcher, updates) in &placed {
        matcher.add(updates, &evidence, &resized, &mut changes.tensors, budget, findings)?;
    }
    let stored = tensors.infos.len() - usize::from(head.is_some());
    resized.check(&tensors.infos[..stored], &changes.tensors)?;
    Ok(changes)
}

struct Matcher<'a> {
    adapter: &'a Adapter,
    /// The adapter's updates, fitted to the base's tensors.
    updates: &'a [ModuleUpdate],
    tensors: &'a BaseTensors<'a>,
    options: &'a CheckedOptions,
    model: &'a Model,
}

impl<'a> Matcher<'a> {
    /// The number of the base's tensor that each update of the adapter changes.
    fn place(
        &self,
        added: &mut Vec<(String, Update)>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<(&'a ModuleUpdate, usize)>> {
        let BaseTensors { numbers, infos, .. } = self.tensors;
        let wanted: Vec<String> = self.updates.iter().map(ModuleUpdate::tensor).collect();
        // What may be absent says nothing about where the rest is.
        let decisive = self.updates.iter().zip(&wanted).filter(|(update, _)| !update.optional && !update.adds);
        let mut decisive: Vec<&str> = decisive.map(|(_, name)| name.as_str()).collect();
        // The updates of one stack's experts are neighbours.
        decisive.dedup();
        let names: Vec<&str> = infos.iter().map(|info| info.name).collect();
        let placement = Placement::choose(&decisive, &names, &self.model.types);
        let placement = placement.map_err(|several| self.ambiguous(&several))?;
        findings.extend(placement.findings(&self.adapter.name));
        let mut placed = Vec::new();
        let mut takers: Vec<Option<&ModuleUpdate>> = vec![None; infos.len()];
        for (update, wanted) in self.updates.iter().zip(&wanted) {
            let Some(tensor) = placement.place(wanted).and_then(|name| numbers.get(name).copied()) else {
                // A head has weights and biases. Anything else may be a tensor of the base under another name, and then nobody would miss it.
                let of_head = matches!(update.parameter.as_str(), "weight" | "bias");
                if update.adds && of_head && self.adapter.weight == 1.0 {
                    self.add_new(update, wanted, added, findings)?;
                } else if !update.optional {
                    self.unmatched(update, wanted, findings)?;
                }
                continue;
            };
            // A bias that is replaced may be added to as well.
            if let Some(other) = takers[tensor].replace(update)
                && (other.module != update.module || other.op.method == update.op.method)
                && (other.share.is_none() || other.share == update.share)
            {
                return Err(self.placed_twice(tensor, other, update));
            }
            placed.push((update, tensor));
        }
        findings.extend(missing_layers(self.adapter, &placed, infos, budget)?);
        Ok(placed)
    }

    /// Add the adapter's updates to those of the tensors that it changes.
    fn add(
        &self,
        placed: &[(&ModuleUpdate, usize)],
        evidence: &Evidence,
        resized: &Resized,
        changes: &mut HashMap<usize, Change>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut assumed = 0;
        for &(update, tensor) in placed {
            let (transposed, by_flag) = self.transposed(update, tensor, evidence, resized)?;
            let info = self.tensors.infos[tensor];
            let shape = resized.shape(tensor, &info);
            if !self.options.selects(info.name, budget)? || self.adapter.weight == 0.0 {
                continue;
            }
            assumed += usize::from(by_flag);
            let change = changes.entry(tensor).or_default();
            if let Some(share) = update.share.filter(Share::is_of_stack) {
                change.stack = true;
                let updates = share.updates(self.update(update, transposed, shape), shape);
                let same = |other: &Update| {
                    updates.iter().any(|one| one.region == other.region && one.op.input() == other.op.input())
                };
                if change.updates.iter().any(same) {
                    return Err(self.placed_twice(tensor, update, update));
                }
                change.follows.extend(updates.iter().map(|_| update.tied));
                change.updates.extend(updates);
                continue;
            }
            let square = |op: &Op| matches!(op.fit(shape), Fit::Either | Fit::Straight | Fit::Transposed);
            let mut others = change.updates.iter().filter(|other| square(&other.op));
            if square(&update.op) && others.next().is_some_and(|first| first.op.transposed != transposed) {
                return Err(self.misfit(update, tensor, shape));
            }
            change.updates.push(self.update(update, transposed, shape));
            change.shape = resized.get(tensor);
            change.follows.push(update.tied);
            if let Some(base) = &update.base {
                if change.base.is_some() {
                    return Err(two_bases(self.adapter, info.name, &base.key));
                }
                change.base = Some(base.stored);
                findings.push(self.base_replaced(tensor));
            }
        }
        let name = &self.adapter.name;
        if assumed > 0 {
            let message =
                format!("{assumed} square weights are taken as stored (in, out): only fan_in_fan_out says so");
            findings.push(Finding::warning("orientation-assumed", Some(name), message));
        }
        if self.adapter.weight == 0.0 {
            findings.push(Finding::warning("zero-weight", Some(name), "its weight is 0: it adds nothing".into()));
        }
        findings.extend(self.adapter.findings.iter().cloned());
        Ok(())
    }

    /// The update, for a weight of this shape.
    fn update(&self, update: &ModuleUpdate, transposed: bool, shape: &[u64]) -> Update {
        let mut op = update.op.clone();
        op.transposed = transposed;
        let (adapter, weight) = (self.adapter.name.clone(), self.adapter.weight);
        Update { adapter, weight, region: Region::all(shape.first().copied().unwrap_or(1)), op }
    }

    /// A parameter that only the adapter has.
    fn add_new(
        &self,
        update: &ModuleUpdate,
        wanted: &str,
        added: &mut Vec<(String, Update)>,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let (key, shape) = update.brought().unwrap_or_default();
        if added.iter().any(|(name, _)| name == wanted) {
            return Err(two_bases(self.adapter, wanted, key));
        }
        added.push((wanted.into(), self.update(update, false, shape)));
        let message = format!("the base does not have {wanted}: it is added as the adapter brings it");
        let finding = Finding::info("tensor-added", &self.adapter.name, message);
        findings.push(Finding { tensor: Some(wanted.into()), ..finding });
        Ok(())
    }

    /// The delta belongs to one of these parts, and would be wrong in all others.
    fn ambiguous(&self, several: &SeveralParts) -> Error {
        let more = several.all - several.prefixes.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let prefixes = several.prefixes.join(", ") + &more;
        let reason = format!("the adapter fits several parts of the base ({prefixes})");
        Error::unmatched_key(self.adapter.name.clone(), self.adapter.updates[0].key.clone(), reason)
            .kind(ErrorKind::AmbiguousPart)
            .found(prefixes)
            .fix("put the prefix of the one it was trained on before its keys")
    }

    /// One module in two spellings: if both were added, the delta would be twice what was trained.
    fn placed_twice(&self, tensor: usize, one: &ModuleUpdate, other: &ModuleUpdate) -> Error {
        let tensor = self.tensors.infos[tensor].name;
        let reason = format!("{:?} and {:?} both mean {tensor} of the base", one.key, other.key);
        Error::bad_header(self.adapter.name.clone(), reason)
            .adapter(self.adapter.name.clone())
            .found(format!("{}, {}", one.key, other.key))
            .fix("remove one of the two")
    }

    fn unmatched(&self, update: &ModuleUpdate, wanted: &str, findings: &mut Vec<Finding>) -> Result<()> {
        let error = |reason: String| Error::unmatched_key(self.adapter.name.clone(), update.key.clone(), reason);
        let error = if update.module.ends_with("lm_head") {
            let (reason, fix) = match self.model.tied {
                Some(false) => (
                    "the base has no lm_head.weight, and config.json says that it is not tied to the embedding",
                    "set tie_word_embeddings to true if it is tied after all; else weights of the base are missing",
                ),
                _ => {
                    ("the base has no lm_head.weight of its own: its output layer is tied to its embedding", tied::FIX)
                }
            };
            error(reason.into()).kind(ErrorKind::TiedHead).expected("lm_head.weight").fix(fix)
        } else if let Some(method) = &self.model.quantised {
            let reason = format!(
                "the base is quantised ({method}): it has no plain {wanted}, and quantised weights cannot be merged into"
            );
            error(reason).kind(ErrorKind::QuantisedBase).expected(wanted.to_string()).fix(NOT_QUANTISED)
        } else {
            let example = self.tensors.example;
            error(format!("the base has no tensor {wanted} (it has, for example, {example})"))
                .expected(wanted.to_string())
                .found(example)
                .fix(self.adapter.right_base())
        };
        if !self.options.allow_unmatched {
            return Err(error);
        }
        let mut finding = Finding::warning("unmatched-key", Some(&self.adapter.name), error.to_string());
        finding.tensor = Some(update.key.clone());
        findings.push(finding);
        Ok(())
    }

    /// PEFT loads the weight that the adapter brings.
    fn base_replaced(&self, tensor: usize) -> Finding {
        let tensor = self.tensors.infos[tensor].name;
        let message = "the adapter brings the weight it was trained on, which is taken instead of the base's".into();
        Finding { tensor: Some(tensor.into()), ..Finding::info("base-replaced", &self.adapter.name, message) }
    }

    /// Whether the weight is stored (in, out), and whether only the adapter's flag says so.
    fn transposed(
        &self,
        update: &ModuleUpdate,
        tensor: usize,
        evidence: &Evidence,
        resized: &Resized,
    ) -> Result<(bool, bool)> {
        let info = self.tensors.infos[tensor];
        let unsupported =
            |reason: String| Error::unsupported(info.name, reason).adapter(self.adapter.name.clone()).tensor(info.name);
        if Float::of(info.dtype).is_none() {
            let found = info.dtype.to_string();
            let error =
                unsupported(format!("the base stores it as {found}, and quantised weights cannot be merged into"));
            return Err(error
                .kind(ErrorKind::QuantisedBase)
                .found(found)
                .expected("a floating-point type")
                .fix(NOT_QUANTISED));
        }
        let shape = resized.shape(tensor, &info);
        let fit = update.share.map_or_else(|| update.op.fit(shape), |share| share.fit(&update.op, shape));
        if fit != Fit::Neither
            && let Some(reason) = (update.op.method.refuses)(shape)
        {
            return Err(unsupported(reason.into()).fix("run the model with PEFT, without merging"));
        }
        match fit {
            Fit::Straight => Ok((false, false)),
            Fit::Certain { transposed } => Ok((transposed, false)),
            Fit::Transposed if evidence.may_be_transposed(&update.module) => Ok((true, false)),
            Fit::Either => Ok(evidence.square_is_transposed(&update.module)),
            Fit::Transposed | Fit::Neither => Err(self.misfit(update, tensor, shape)),
        }
    }

    fn misfit(&self, update: &ModuleUpdate, tensor: usize, shape: &[u64]) -> Error {
        let layer = || update.op.layer.to_string();
        let (found, expected) =
            (format!("{shape:?}"), update.share.map_or_else(layer, |share| share.layer(&update.op)));
        let reason = format!("the base has {found}, the adapter was trained on {expected}");
        Error::shape_mismatch(self.adapter.name.clone(), self.tensors.infos[tensor].name, reason)
            .kind(ErrorKind::OtherShape)
            .found(found)
            .expected(expected)
            .fix(self.adapter.right_base())
    }

    /// Where the configuration and the file do not agree.
    fn check_mismatches(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for mismatch in &self.adapter.mismatches {
            let is_beside = mismatch.code == unmerged::CODE;
            if !(if is_beside { self.options.allow_unmerged } else { self.options.allow_unmatched }) {
                return Err(mismatch.error.clone());
            }
            let reason = mismatch.error.reason();
            // Patterns name themselves; of files beside the adapter there may be several.
            let message = match &mismatch.error.facts().file {
                Some(file) if is_beside => format!("{file}: {reason}"),
                _ => reason.to_string(),
            };
            findings.push(Finding::warning(mismatch.code, Some(&self.adapter.name), message));
        }
        Ok(())
    }
}

/// Two adapters bring a weight in place of the base's.
pub(super) fn two_bases(adapter: &Adapter, tensor: &str, key: &str) -> Error {
    Error::unsupported(tensor, "two adapters bring a weight in place of the base's")
        .kind(ErrorKind::NotImplemented)
        .adapter(adapter.name.clone())
        .tensor(key)
        .fix("remove it from one of them, if the two are the same")
}
