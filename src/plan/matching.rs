//! Adapters against the base: which update changes which tensor, or why it cannot.

use std::collections::{BTreeMap, HashMap};

use super::open::{Adapter, Base};
use super::options::CheckedOptions;
use super::program::{Region, Update};
use super::tied::{self, TiedHead};
use crate::adapter::dialect::{BaseWeight, ModuleUpdate};
use crate::adapter::pattern::PatternBudget;
use crate::container::TensorInfo;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::orientation::{Evidence, Fit};
use crate::model::placement::Placement;
use crate::tensor::Float;

/// What the user can do where an adapter does not fit its base.
pub(super) const RIGHT_BASE: &str = "check that this is the base that the adapter was trained on";

/// What the adapters do to one tensor of the base.
#[derive(Debug, Clone, Default)]
pub(crate) struct Change {
    /// In the order of the adapters.
    pub(crate) updates: Vec<Update>,
    /// The weight that an adapter brings in place of the base's.
    pub(crate) base: Option<Plain>,
}

/// Base tensors by name: their numbers, and what the headers say of each. A tied output layer comes last.
struct BaseTensors<'a> {
    numbers: HashMap<&'a str, usize>,
    infos: Vec<TensorInfo<'a>>,
}

impl<'a> BaseTensors<'a> {
    fn of(base: &'a Base, head: Option<&TiedHead>) -> BaseTensors<'a> {
        let stored = base.shards.iter().flat_map(|shard| shard.header.iter());
        let infos: Vec<TensorInfo> = stored.chain(head.map(|head| head.info(base))).collect();
        let mut numbers = HashMap::with_capacity(infos.len());
        for (number, info) in infos.iter().enumerate() {
            numbers.insert(info.name, number);
        }
        BaseTensors { numbers, infos }
    }
}

/// Match every adapter. The result is by the number of the tensor, counted through all shards; that of a tied output layer is the next.
pub(crate) fn match_adapters(
    base: &Base,
    head: Option<&TiedHead>,
    adapters: &[Adapter],
    options: &CheckedOptions,
    model: &Model,
    budget: &mut PatternBudget,
    findings: &mut Vec<Finding>,
) -> Result<BTreeMap<usize, Change>> {
    let tensors = BaseTensors::of(base, head);
    let mut changes = BTreeMap::new();
    let matchers = adapters.iter().map(|adapter| Matcher { adapter, tensors: &tensors, options, model });
    let mut placed = Vec::new();
    for matcher in matchers {
        matcher.check_mismatches(findings)?;
        let updates = matcher.place(findings)?;
        placed.push((matcher, updates));
    }
    let flag = adapters.iter().any(|adapter| adapter.summary.fan_in_fan_out);
    let mut evidence = Evidence::new(&model.types, flag);
    for (_, updates) in &placed {
        updates.iter().for_each(|&(update, tensor)| {
            evidence.note(&update.module, update.op.fit(tensors.infos[tensor].shape));
        });
    }
    for (matcher, updates) in &placed {
        matcher.add(updates, &evidence, &mut changes, budget, findings)?;
    }
    Ok(changes)
}

struct Matcher<'a> {
    adapter: &'a Adapter,
    tensors: &'a BaseTensors<'a>,
    options: &'a CheckedOptions,
    model: &'a Model,
}

impl<'a> Matcher<'a> {
    /// The number of the base's tensor that each update of the adapter changes.
    fn place(&self, findings: &mut Vec<Finding>) -> Result<Vec<(&'a ModuleUpdate, usize)>> {
        let BaseTensors { numbers, infos } = self.tensors;
        let modules: Vec<&str> = self.adapter.updates.iter().map(|update| update.module.as_str()).collect();
        let paths: Vec<&str> = infos.iter().filter_map(|info| info.name.strip_suffix(".weight")).collect();
        let placement = Placement::choose(&modules, &paths, &self.model.types);
        let placement = placement.map_err(|prefixes| self.ambiguous(&prefixes))?;
        findings.extend(placement.findings(&self.adapter.name));
        let number = |path: &str| numbers.get(format!("{path}.weight").as_str()).copied();
        let mut placed = Vec::new();
        let mut takers: Vec<Option<&ModuleUpdate>> = vec![None; infos.len()];
        for update in &self.adapter.updates {
            let Some(tensor) = placement.place(&update.module).and_then(number) else {
                self.unmatched(update, findings)?;
                continue;
            };
            if let Some(other) = takers[tensor].replace(update) {
                return Err(self.placed_twice(tensor, other, update));
            }
            placed.push((update, tensor));
        }
        Ok(placed)
    }

    /// Add the adapter's updates to those of the tensors that it changes.
    fn add(
        &self,
        placed: &[(&ModuleUpdate, usize)],
        evidence: &Evidence,
        changes: &mut BTreeMap<usize, Change>,
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut assumed = 0;
        for &(update, tensor) in placed {
            let (transposed, by_flag) = self.transposed(update, tensor, evidence)?;
            let info = self.tensors.infos[tensor];
            if !self.options.selects(info.name, budget)? || self.adapter.weight == 0.0 {
                continue;
            }
            assumed += usize::from(by_flag);
            let change = changes.entry(tensor).or_default();
            if change.updates.first().is_some_and(|first| first.op.transposed() != transposed) {
                return Err(self.misfit(update, tensor));
            }
            let mut op = update.op.clone();
            op.transpose(transposed);
            change.updates.push(Update {
                adapter: self.adapter.name.clone(),
                weight: self.adapter.weight,
                region: Region::all(info.shape.first().copied().unwrap_or(1)),
                op,
            });
            if let Some(base) = &update.base {
                if base.shape != info.shape {
                    return Err(self.other_base(tensor, base));
                }
                if change.base.is_some() {
                    return Err(self.two_bases(tensor, base));
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

    /// Added to any of them the delta would be wrong in all but one.
    fn ambiguous(&self, prefixes: &[&str]) -> Error {
        let reason = format!("the adapter fits several parts of the base ({})", prefixes.join(", "));
        Error::unmatched_key(self.adapter.name.clone(), self.adapter.updates[0].key.clone(), reason)
            .kind(ErrorKind::AmbiguousPart)
            .found(prefixes.join(", "))
            .fix("put the prefix of the one it was trained on before its keys")
    }

    /// The same module in two spellings: added twice, the delta would be twice what was trained.
    fn placed_twice(&self, tensor: usize, one: &ModuleUpdate, other: &ModuleUpdate) -> Error {
        let tensor = self.tensors.infos[tensor].name;
        let reason = format!("{:?} and {:?} both mean {tensor} of the base", one.key, other.key);
        Error::bad_header(self.adapter.name.clone(), reason)
            .adapter(self.adapter.name.clone())
            .found(format!("{}, {}", one.key, other.key))
            .fix("remove one of the two")
    }

    fn unmatched(&self, update: &ModuleUpdate, findings: &mut Vec<Finding>) -> Result<()> {
        let error = |reason: String| Error::unmatched_key(self.adapter.name.clone(), update.key.clone(), reason);
        let error = if update.module.ends_with("lm_head") && self.model.tied != Some(false) {
            let reason = "the base has no lm_head.weight of its own: its output layer is tied to its embedding";
            error(reason.into()).kind(ErrorKind::TiedHead).expected("lm_head.weight").fix(tied::FIX)
        } else {
            let mut names = self.tensors.infos.iter().map(|info| info.name);
            let example = names.find(|name| name.ends_with(".weight")).unwrap_or("nothing");
            let wanted = format!("{}.weight", update.module);
            error(format!("the base has no tensor {wanted} (it has, for example, {example})"))
                .expected(wanted)
                .found(example)
                .fix(RIGHT_BASE)
        };
        if !self.options.allow_unmatched {
            return Err(error);
        }
        let mut finding = Finding::warning("unmatched-key", Some(&self.adapter.name), error.to_string());
        finding.tensor = Some(update.key.clone());
        findings.push(finding);
        Ok(())
    }

    /// PEFT loads what the adapter brings.
    fn base_replaced(&self, tensor: usize) -> Finding {
        let tensor = self.tensors.infos[tensor].name;
        let message = "the adapter brings the weight it was trained on, which is taken instead of the base's".into();
        Finding { tensor: Some(tensor.into()), ..Finding::info("base-replaced", &self.adapter.name, message) }
    }

    fn other_base(&self, tensor: usize, base: &BaseWeight) -> Error {
        let (trained, found) = (format!("{:?}", base.shape), format!("{:?}", self.tensors.infos[tensor].shape));
        let reason = format!("it was trained on a weight of {trained}, the base's has {found}");
        Error::shape_mismatch(self.adapter.name.clone(), base.key.clone(), reason)
            .kind(ErrorKind::OtherShape)
            .expected(trained)
            .found(found)
            .fix(RIGHT_BASE)
    }

    fn two_bases(&self, tensor: usize, base: &BaseWeight) -> Error {
        let reason = "two adapters bring the weight they were trained on";
        Error::unsupported(self.tensors.infos[tensor].name, reason)
            .kind(ErrorKind::NotImplemented)
            .adapter(self.adapter.name.clone())
            .tensor(base.key.clone())
            .fix("remove it from one of them, if the two are the same")
    }

    /// Whether the weight is stored (in, out), and whether only the adapter's flag says so.
    fn transposed(&self, update: &ModuleUpdate, tensor: usize, evidence: &Evidence) -> Result<(bool, bool)> {
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
                .fix("merge into the base that is not quantised"));
        }
        if info.shape.len() != 2 {
            let error = unsupported(format!("its shape {:?} is not that of a linear layer", info.shape));
            return Err(error.kind(ErrorKind::NotImplemented).found(format!("{:?}", info.shape)));
        }
        match update.op.fit(info.shape) {
            Fit::Straight => Ok((false, false)),
            Fit::Transposed if evidence.may_be_transposed(&update.module) => Ok((true, false)),
            Fit::Either => Ok(evidence.square_is_transposed(&update.module)),
            Fit::Transposed | Fit::Neither => Err(self.misfit(update, tensor)),
        }
    }

    fn misfit(&self, update: &ModuleUpdate, tensor: usize) -> Error {
        let info = self.tensors.infos[tensor];
        let ModuleUpdate { inputs, outputs, .. } = update;
        let reason = format!("the base has {:?}, the adapter maps {inputs} inputs to {outputs} outputs", info.shape);
        Error::shape_mismatch(self.adapter.name.clone(), info.name, reason)
            .kind(ErrorKind::OtherShape)
            .found(format!("{:?}", info.shape))
            .expected(format!("[{outputs}, {inputs}]"))
            .fix(RIGHT_BASE)
    }

    /// What the configuration says and the file does not, or the other way round.
    fn check_mismatches(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for mismatch in &self.adapter.mismatches {
            if !self.options.allow_unmatched {
                return Err(mismatch.error.clone());
            }
            let message = mismatch.error.reason().to_string();
            findings.push(Finding::warning(mismatch.code, Some(&self.adapter.name), message));
        }
        Ok(())
    }
}
