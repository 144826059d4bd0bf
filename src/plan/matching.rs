//! Matches adapters to the base: which update changes which tensor, or why it cannot.

use std::collections::HashMap;

use super::adapter::Adapter;
use super::change::{Change, Changes};
use super::experts::Experts;
use super::missing_layers::missing_layers;
use super::module_weights::Selection;
use super::open::Base;
use super::options::CheckedOptions;
use super::partners::partners;
use super::program::{COMMON_ROWS, Region, Update};
use super::refusals::{NOT_QUANTISED, two_bases};
use super::task_vectors::{common_rows, head_left_out, intersected, missing, pair, unrelated};
use super::tied::TiedHead;
use super::tuned::Other;
use super::vocabulary::Resized;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::adapter::stack::Share;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::json::sorted;
use crate::model::Model;
use crate::model::orientation::{Evidence, Fit};
use crate::model::placement::Placement;
use crate::op::Op;
use crate::order::sort_by;
use crate::tensor::Float;

/// The base's tensors by name: their numbers, and what the headers say about each. A tied output layer comes last.
pub(super) struct BaseTensors<'a> {
    numbers: HashMap<&'a str, usize>,
    pub(super) infos: Vec<TensorInfo<'a>>,
    /// A short name of a weight, shown as an example if another one is missing.
    pub(super) example: &'a str,
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
    let stored = tensors.infos.len() - usize::from(head.is_some());
    let mut changes = Changes::default();
    let mut experts = Experts::of(&tensors.infos, &model.types);
    let mut expanded = Vec::with_capacity(adapters.len());
    for adapter in adapters {
        expanded.push(match &adapter.tuned {
            Some(tuned) => {
                let updates = tuned.with_head(&adapter.updates, base, head.is_some());
                if updates.len() < adapter.updates.len() && tuned.tied.is_none() {
                    findings.push(head_left_out(adapter));
                }
                partners(adapter, updates, &tensors.infos[..stored], &mut experts, options.allow_unmatched, findings)?
            }
            None => experts.updates(adapter, findings)?,
        });
    }
    let is_tuned = adapters.iter().any(|adapter| adapter.tuned.is_some());
    let mut others: Vec<Other> = if is_tuned { Other::of(base).collect() } else { Vec::new() };
    sort_by(&mut others, |one, other| one.name.cmp(&other.name));
    let mut placed = Vec::new();
    for (adapter, updates) in adapters.iter().zip(&expanded) {
        let matcher = Matcher { adapter, updates, tensors: &tensors, stored, others: &others, options, model };
        matcher.check_mismatches(findings)?;
        let mut selection = match adapter.choice.is_all() {
            true => None,
            false => Some(adapter.choice.selection()?),
        };
        let updates = matcher.place(&mut changes, &mut selection, budget, findings)?;
        let weights = matcher.weights(&updates, &mut selection, &mut changes.left_out, budget, findings)?;
        placed.push((matcher, updates, weights));
    }
    let mut resized = Resized::default();
    for (matcher, updates, weights) in &placed {
        for (&(update, tensor), &weight) in updates.iter().zip(weights) {
            if let Some(weight) = weight {
                resized.note(matcher.adapter, weight, update, tensor, &tensors.infos[tensor])?;
            }
        }
    }
    let flag = adapters.iter().any(|adapter| adapter.summary.fan_in_fan_out);
    let mut evidence = Evidence::new(&model.types, flag);
    for (_, updates, _) in &placed {
        updates.iter().for_each(|&(update, tensor)| {
            if update.share.is_none() {
                evidence.note(&update.module, update.op.fit(resized.shape(tensor, &tensors.infos[tensor])));
            }
        });
    }
    for (matcher, updates, weights) in &placed {
        let mut chosen =
            updates.iter().zip(weights).filter_map(|(&(update, tensor), weight)| Some((update, tensor, (*weight)?)));
        matcher.add(&mut chosen, &evidence, &resized, &mut changes.tensors, budget, findings)?;
    }
    resized.check(&tensors.infos[..stored], &changes.tensors)?;
    Ok(changes)
}

pub(super) struct Matcher<'a> {
    pub(super) adapter: &'a Adapter,
    /// The adapter's updates, fitted to the base's tensors.
    updates: &'a [ModuleUpdate],
    pub(super) tensors: &'a BaseTensors<'a>,
    /// How many of these the base's files have.
    stored: usize,
    /// In order, those of the base that are no floating-point numbers, where a whole model is merged.
    others: &'a [Other],
    pub(super) options: &'a CheckedOptions,
    pub(super) model: &'a Model,
}

impl<'a> Matcher<'a> {
    /// The number of the base's tensor that each update of the adapter changes.
    fn place(
        &self,
        changes: &mut Changes,
        selection: &mut Option<Selection>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<(&'a ModuleUpdate, usize)>> {
        let BaseTensors { numbers, infos, example } = self.tensors;
        let wanted: Vec<String> = self.updates.iter().map(ModuleUpdate::tensor).collect();
        // What may be absent says nothing about where the rest is.
        let decisive = self.updates.iter().zip(&wanted).filter(|(update, _)| !update.optional && !update.adds);
        let mut decisive: Vec<&str> = decisive.map(|(_, name)| name.as_str()).collect();
        // The updates of one stack's experts are neighbours.
        decisive.dedup();
        let names: Vec<&str> = infos.iter().map(|info| info.name).collect();
        let placement = Placement::choose(&decisive, &names, &self.model.types);
        let placement = placement.map_err(|several| self.ambiguous(&several))?;
        let number = |wanted: &str| placement.place(wanted).and_then(|name| numbers.get(name).copied());
        if self.adapter.tuned.is_some() && !decisive.iter().any(|wanted| number(wanted).is_some()) {
            return Err(unrelated(self.adapter, example));
        }
        findings.extend(placement.findings(&self.adapter.name));
        let mut placed = Vec::new();
        let mut takers: Vec<Option<&ModuleUpdate>> = vec![None; infos.len()];
        for (update, wanted) in self.updates.iter().zip(&wanted) {
            let Some(tensor) = number(wanted) else {
                // A head has weights and biases. Anything else may be a tensor of the base under another name, and then nobody would miss it.
                let of_head = matches!(update.parameter.as_str(), "weight" | "bias");
                let factor = selection.as_mut().map_or(Ok(1.0), |selection| selection.factor(wanted, budget))?;
                if update.adds && of_head && self.adapter.weight * factor == 1.0 {
                    self.add_new(update, wanted, &mut changes.added, findings)?;
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
        if self.adapter.tuned.is_some() {
            let other = pair(self.adapter, infos, self.others, &number, &mut changes.pairs, findings)?;
            let mut lacking = Vec::new();
            for (number, info) in infos.iter().enumerate().take(self.stored) {
                if takers[number].is_none()
                    && other.binary_search(&number).is_err()
                    && self.options.selects(info.name, budget)?
                {
                    lacking.push(info);
                }
            }
            missing(self.adapter, &lacking, self.options.allow_unmatched, findings)?;
        }
        findings.extend(missing_layers(self.adapter, &placed, infos, budget)?);
        Ok(placed)
    }

    /// The weight of each update that was placed: that of the adapter, times the factor for its tensor; nothing for what is left out.
    ///
    /// # Errors
    /// `bad-option` for a pattern that matches none of them.
    fn weights(
        &self,
        placed: &[(&ModuleUpdate, usize)],
        selection: &mut Option<Selection>,
        left_out: &mut Vec<Vec<String>>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<Vec<Option<f64>>> {
        left_out.push(Vec::new());
        let of_all = self.adapter.weight;
        let Some(selection) = selection else { return Ok(vec![Some(of_all); placed.len()]) };
        let (mut weights, mut left) = (Vec::with_capacity(placed.len()), Vec::new());
        for &(_, tensor) in placed {
            let name = self.tensors.infos[tensor].name;
            let factor = selection.factor(name, budget)?;
            if factor == 0.0 {
                left.push(name);
            }
            weights.push((factor != 0.0).then_some(of_all * factor));
        }
        findings.extend(selection.findings(&self.adapter.name, &left, placed.len(), self.options.allow_unmatched)?);
        if let Some(names) = left_out.last_mut() {
            *names = sorted(left).into_iter().map(String::from).collect();
        }
        Ok(weights)
    }

    /// Add the adapter's updates, each with its weight, to those of the tensors that it changes.
    fn add(
        &self,
        chosen: &mut dyn Iterator<Item = (&'a ModuleUpdate, usize, f64)>,
        evidence: &Evidence,
        resized: &Resized,
        changes: &mut HashMap<usize, Change>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut assumed = 0;
        for (update, tensor, weight) in chosen {
            let (transposed, by_flag) = self.transposed(update, tensor, evidence, resized)?;
            let info = self.tensors.infos[tensor];
            let shape = resized.shape(tensor, &info);
            if !self.options.selects(info.name, budget)? || self.adapter.weight == 0.0 {
                continue;
            }
            assumed += usize::from(by_flag);
            let common = self.common_rows(update, info.name, shape)?;
            findings.extend(common.map(|_| intersected(self.adapter, info.name, shape[0], update)));
            let change = changes.entry(tensor).or_default();
            if let Some(share) = update.share.filter(Share::is_of_stack) {
                change.stack = true;
                let updates = share.updates(self.update(update, weight, transposed, shape, common), shape);
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
            // Most weights have one adapter's update, and a list that grows begins with room for four.
            change.updates.reserve_exact(1);
            change.updates.push(self.update(update, weight, transposed, shape, common));
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

    /// How many rows a model and the base have in common of a vocabulary of which they have not the same number.
    fn common_rows(&self, update: &ModuleUpdate, name: &str, shape: &[u64]) -> Result<Option<u64>> {
        match update.op.is_task_vector() {
            true => common_rows(self.adapter, update, name, shape, self.options.intersect),
            false => Ok(None),
        }
    }

    /// The update, for a weight of this shape, or for its first `common` rows.
    fn update(
        &self,
        update: &ModuleUpdate,
        weight: f64,
        transposed: bool,
        shape: &[u64],
        common: Option<u64>,
    ) -> Update {
        let mut op = update.op.clone();
        op.transposed = transposed;
        let adapter = self.adapter.name.clone();
        let mut rows = shape.first().copied().unwrap_or(1);
        if let Some(common) = common {
            (rows, op) = (common, op.with(COMMON_ROWS, common));
        }
        Update { adapter, weight, region: Region::all(rows), op }
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
        added.push((wanted.into(), self.update(update, self.adapter.weight, false, shape, None)));
        let message = format!("the base does not have {wanted}: it is added as the adapter brings it");
        let finding = Finding::info("tensor-added", &self.adapter.name, message);
        findings.push(Finding { tensor: Some(wanted.into()), ..finding });
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
        if update.op.is_task_vector() && resized.get(tensor).is_some() {
            let reason = "another adapter resizes the vocabulary of which this is a part of a whole model";
            return Err(unsupported(reason.into()).kind(ErrorKind::NotImplemented).fix("merge one after the other"));
        }
        if self.common_rows(update, info.name, shape)?.is_some() {
            return Ok((false, false));
        }
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
}
