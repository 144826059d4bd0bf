//! Adapters against the base: which pair adds to which tensor, with which scale, or why it cannot.

use super::open::{Adapter, Base};
use super::options::CheckedOptions;
use super::tensor::{FactorSpec, Term};
use crate::adapter::pairs::{FactorRef, Pair};
use crate::adapter::pattern::PatternBudget;
use crate::adapter::targets::without_factors;
use crate::adapter::{ModuleSettings, SettingsLookup};
use crate::container::TensorInfo;
use crate::container::names::Names;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::orientation::{Evidence, Fit, fit};
use crate::model::placement::Placement;

/// The deltas of one base tensor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deltas {
    /// In the order of the adapters.
    pub(crate) terms: Vec<Term>,
    /// Stored (in, out).
    pub(crate) transposed: bool,
    /// The weight that an adapter brings in place of the base's.
    pub(crate) base: Option<FactorSpec>,
}

/// Base tensors by name: their numbers, and what the headers say of each.
struct BaseTensors<'a> {
    numbers: Names<'a>,
    infos: Vec<&'a TensorInfo>,
}

impl<'a> BaseTensors<'a> {
    fn of(base: &'a Base) -> BaseTensors<'a> {
        let infos: Vec<&TensorInfo> = base.shards.iter().flat_map(|shard| &shard.header.tensors).collect();
        let mut numbers = Names::default();
        for (number, info) in infos.iter().enumerate() {
            numbers.insert(&info.name, number);
        }
        BaseTensors { numbers, infos }
    }

    /// How the weight of `pair`, in the base `tensor`, is stored.
    fn fit(&self, pair: &Pair, tensor: usize) -> Fit {
        match self.infos[tensor].shape.as_slice() {
            &[rows, cols] => fit(rows, cols, pair.inputs, pair.outputs),
            _ => Fit::Neither,
        }
    }
}

/// Match every adapter. The result is by the number of the tensor, counted through all shards.
pub(crate) fn match_adapters(
    base: &Base,
    adapters: &[Adapter],
    options: &CheckedOptions,
    model: &Model,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Deltas>> {
    let tensors = BaseTensors::of(base);
    let mut deltas = vec![Deltas::default(); tensors.infos.len()];
    let matchers = adapters.iter().map(|adapter| Matcher { adapter, tensors: &tensors, options, model });
    let mut budget = PatternBudget::default();
    let mut placed = Vec::new();
    for matcher in matchers {
        let settings = matcher.settings(&mut budget, findings)?;
        let pairs = matcher.place(&settings, findings)?;
        placed.push((matcher, pairs));
    }
    let flag = adapters.iter().any(|adapter| adapter.config.fan_in_fan_out);
    let mut evidence = Evidence::new(&model.types, flag);
    for (_, pairs) in &placed {
        pairs.iter().for_each(|&Placed { pair, tensor, .. }| evidence.note(&pair.module, tensors.fit(pair, tensor)));
    }
    for (matcher, pairs) in &placed {
        matcher.add(pairs, &evidence, &mut deltas, &mut budget, findings)?;
    }
    Ok(deltas)
}

/// A pair, what the configuration says of its module, and the number of the base's tensor that it changes.
struct Placed<'a> {
    pair: &'a Pair,
    settings: ModuleSettings,
    tensor: usize,
}

struct Matcher<'a> {
    adapter: &'a Adapter,
    tensors: &'a BaseTensors<'a>,
    options: &'a CheckedOptions,
    model: &'a Model,
}

impl<'a> Matcher<'a> {
    /// Where in the base each pair of the adapter belongs; `settings` are by pair.
    fn place(&self, settings: &[ModuleSettings], findings: &mut Vec<Finding>) -> Result<Vec<Placed<'a>>> {
        let name = &self.adapter.name;
        let BaseTensors { numbers, infos } = self.tensors;
        let modules: Vec<&str> = self.adapter.pairs.iter().map(|pair| pair.module.as_str()).collect();
        let paths: Vec<&str> = infos.iter().filter_map(|info| info.name.strip_suffix(".weight")).collect();
        let placement = Placement::choose(&modules, &paths).map_err(|prefixes| self.ambiguous(&prefixes))?;
        for rewrite in &placement.rewrites {
            findings.push(Finding::info(
                "prefix-rewritten",
                name,
                format!("its modules begin with {:?} where the base has {:?}", rewrite.strip, rewrite.add),
            ));
        }
        let number = |path: &str| numbers.get(&format!("{path}.weight"));
        let mut placed = Vec::new();
        let mut takers: Vec<Option<&Pair>> = vec![None; infos.len()];
        for (pair, &settings) in self.adapter.pairs.iter().zip(settings) {
            let path = placement.place(&pair.module, |path| number(path).is_some());
            let Some(tensor) = path.and_then(|path| number(&path)) else {
                self.unmatched(pair, findings)?;
                continue;
            };
            if let Some(other) = takers[tensor].replace(pair) {
                return Err(self.placed_twice(tensor, other, pair));
            }
            placed.push(Placed { pair, settings, tensor });
        }
        Ok(placed)
    }

    /// Add the adapter's terms to the deltas of the tensors it changes.
    fn add(
        &self,
        placed: &[Placed],
        evidence: &Evidence,
        deltas: &mut [Deltas],
        budget: &mut PatternBudget,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let mut assumed = 0;
        for &Placed { pair, settings, tensor } in placed {
            let term = self.term(pair, settings)?;
            let (transposed, by_flag) = self.transposed(pair, tensor, evidence)?;
            if !self.options.selects(&self.tensors.infos[tensor].name, budget)? || self.adapter.weight == 0.0 {
                continue;
            }
            assumed += usize::from(by_flag);
            let deltas = &mut deltas[tensor];
            if !deltas.terms.is_empty() && deltas.transposed != transposed {
                return Err(self.misfit(pair, tensor));
            }
            deltas.transposed = transposed;
            deltas.terms.push(term);
            if let Some((base, shape)) = &pair.base {
                if *shape != self.tensors.infos[tensor].shape {
                    return Err(self.other_base(tensor, base, shape));
                }
                if deltas.base.is_some() {
                    return Err(self.two_bases(tensor, base));
                }
                deltas.base = Some(self.spec(base));
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
        self.check_targets(findings);
        Ok(())
    }

    /// Added to any of them the delta would be wrong in all but one.
    fn ambiguous(&self, prefixes: &[&str]) -> Error {
        Error::unmatched_key(
            self.adapter.name.clone(),
            self.adapter.pairs[0].a.key.clone(),
            format!(
                "the adapter fits several parts of the base ({}): put the prefix of the one it was trained on before its keys",
                prefixes.join(", ")
            ),
        )
    }

    /// The same module in two spellings: added twice, the delta would be twice what was trained.
    fn placed_twice(&self, tensor: usize, one: &Pair, other: &Pair) -> Error {
        let tensor = &self.tensors.infos[tensor].name;
        Error::bad_header(
            self.adapter.name.clone(),
            format!("{:?} and {:?} both mean {tensor} of the base: remove one", one.a.key, other.a.key),
        )
    }

    fn unmatched(&self, pair: &Pair, findings: &mut Vec<Finding>) -> Result<()> {
        let reason = if pair.module.ends_with("lm_head") && self.model.tied != Some(false) {
            "the base has no lm_head.weight of its own, its output is tied to the embedding; untie and save it first"
                .into()
        } else {
            let mut names = self.tensors.infos.iter().map(|info| info.name.as_str());
            let example = names.find(|name| name.ends_with(".weight")).unwrap_or("nothing");
            format!(
                "the base has no tensor {}.weight (it has, for example, {example}): is it the right base?",
                pair.module
            )
        };
        let error = Error::unmatched_key(self.adapter.name.clone(), pair.a.key.clone(), reason);
        if !self.options.allow_unmatched {
            return Err(error);
        }
        let mut finding = Finding::warning("unmatched-key", Some(&self.adapter.name), error.to_string());
        finding.tensor = Some(pair.a.key.clone());
        findings.push(finding);
        Ok(())
    }

    fn term(&self, pair: &Pair, settings: ModuleSettings) -> Result<Term> {
        let Adapter { name, config, weight, alpha, .. } = self.adapter;
        let expected = settings.rank;
        if pair.rank != expected {
            return Err(Error::shape_mismatch(
                name.clone(),
                pair.a.key.clone(),
                format!("its rank is {}, the configuration says {expected}", pair.rank),
            ));
        }
        let alpha = alpha.unwrap_or(settings.alpha);
        let scale = config.scale(alpha, pair.rank);
        Ok(Term {
            adapter: name.clone(),
            a: self.spec(&pair.a),
            b: self.spec(&pair.b),
            rank: pair.rank,
            alpha,
            scale,
            weight: *weight,
        })
    }

    fn spec(&self, factor: &FactorRef) -> FactorSpec {
        FactorSpec {
            key: factor.key.clone(),
            input: self.adapter.input,
            start: factor.start,
            bytes: factor.bytes,
            float: factor.float,
        }
    }

    /// PEFT loads what the adapter brings.
    fn base_replaced(&self, tensor: usize) -> Finding {
        let tensor = &self.tensors.infos[tensor].name;
        let message = "the adapter brings the weight it was trained on, which is taken instead of the base's".into();
        Finding { tensor: Some(tensor.clone()), ..Finding::info("base-replaced", &self.adapter.name, message) }
    }

    fn other_base(&self, tensor: usize, base: &FactorRef, shape: &[u64]) -> Error {
        Error::shape_mismatch(
            self.adapter.name.clone(),
            base.key.clone(),
            format!(
                "it was trained on a weight of {shape:?}, the base's has {:?}: is it the right base?",
                self.tensors.infos[tensor].shape
            ),
        )
    }

    fn two_bases(&self, tensor: usize, base: &FactorRef) -> Error {
        Error::unsupported(
            self.tensors.infos[tensor].name.clone(),
            "two adapters bring the weight they were trained on: remove it from one, if they are the same",
        )
        .adapter(self.adapter.name.clone())
        .tensor(base.key.clone())
    }

    /// Whether the weight is stored (in, out), and whether only the adapter's flag says so.
    fn transposed(&self, pair: &Pair, tensor: usize, evidence: &Evidence) -> Result<(bool, bool)> {
        let info = self.tensors.infos[tensor];
        let unsupported = |reason: String| {
            Error::unsupported(info.name.clone(), reason).adapter(self.adapter.name.clone()).tensor(info.name.clone())
        };
        if info.dtype.float().is_none() {
            return Err(unsupported(format!(
                "the base stores it as {}; merging into quantised weights is not supported, merge into the unquantised base",
                info.dtype.name()
            )));
        }
        if info.shape.len() != 2 {
            return Err(unsupported(format!("its shape {:?} is not that of a linear layer", info.shape)));
        }
        match self.tensors.fit(pair, tensor) {
            Fit::Straight => Ok((false, false)),
            Fit::Transposed if evidence.may_be_transposed(&pair.module) => Ok((true, false)),
            Fit::Either => Ok(evidence.square_is_transposed(&pair.module)),
            Fit::Transposed | Fit::Neither => Err(self.misfit(pair, tensor)),
        }
    }

    fn misfit(&self, pair: &Pair, tensor: usize) -> Error {
        let info = self.tensors.infos[tensor];
        Error::shape_mismatch(
            self.adapter.name.clone(),
            info.name.clone(),
            format!(
                "the base has {:?}, the adapter maps {} inputs to {} outputs: is it the right base?",
                info.shape, pair.inputs, pair.outputs
            ),
        )
    }

    /// What the configuration says of each pair's module. A pattern that matches no module is a mistake in the
    /// configuration: PEFT trained without it.
    fn settings(&self, budget: &mut PatternBudget, findings: &mut Vec<Finding>) -> Result<Vec<ModuleSettings>> {
        let mut lookup = SettingsLookup::new(&self.adapter.config);
        let settings = self.adapter.pairs.iter().map(|pair| lookup.find(&pair.module, budget));
        let settings = settings.collect::<Result<_>>().map_err(|error| error.adapter(&self.adapter.name))?;
        for (field, key) in lookup.unmatched() {
            let reason = format!("{field}: {key:?} matches none of the adapter's modules");
            if !self.options.allow_unmatched {
                return Err(Error::bad_config(format!("{}/adapter_config.json", self.adapter.name), reason));
            }
            findings.push(Finding::warning("unmatched-pattern", Some(&self.adapter.name), reason));
        }
        Ok(settings)
    }

    /// A target without factors is no mistake of the file (lists are often written for many models), but worth a word.
    fn check_targets(&self, findings: &mut Vec<Finding>) {
        let modules = self.adapter.pairs.iter().map(|pair| pair.module.as_str());
        for target in without_factors(&self.adapter.config.target_modules, modules) {
            let message = format!("target_modules names {target:?}, and the file has no factors for it");
            findings.push(Finding::info("target-without-factors", &self.adapter.name, message));
        }
    }
}
