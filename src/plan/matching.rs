//! Adapters against the base: which pair adds to which tensor, with which scale, or why it cannot.

use std::collections::BTreeMap;

use super::findings::Finding;
use super::open::{Adapter, Base};
use super::options::Checked;
use super::orientation::{Evidence, Fit, fit, square_is_transposed};
use super::tensor::{FactorSpec, Term};
use crate::adapter::config::matches;
use crate::adapter::pairs::{FactorRef, Pair};
use crate::adapter::prefix::Rewrite;
use crate::error::{Error, Result};
use crate::safetensors::TensorInfo;

/// The deltas of one base tensor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deltas {
    /// In the order of the adapters.
    pub(crate) terms: Vec<Term>,
    /// Stored (in, out).
    pub(crate) transposed: bool,
}

/// Base tensors by name: their numbers, and what the headers say of each.
struct BaseTensors<'a> {
    numbers: BTreeMap<&'a str, usize>,
    infos: Vec<&'a TensorInfo>,
}

impl<'a> BaseTensors<'a> {
    fn of(base: &'a Base) -> BaseTensors<'a> {
        let infos: Vec<&TensorInfo> = base.shards.iter().flat_map(|shard| &shard.header.tensors).collect();
        let mut numbers = BTreeMap::new();
        for (number, info) in infos.iter().enumerate() {
            numbers.insert(info.name.as_str(), number);
        }
        BaseTensors { numbers, infos }
    }

    fn get(&self, name: &str) -> Option<&'a TensorInfo> {
        self.numbers.get(name).map(|&number| self.infos[number])
    }
}

/// Match every adapter. The result is by the number of the tensor, counted through all shards.
pub(crate) fn match_adapters(
    base: &Base,
    adapters: &[Adapter],
    options: &Checked,
    model: &Model,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Deltas>> {
    let tensors = BaseTensors::of(base);
    let mut deltas = vec![Deltas::default(); tensors.infos.len()];
    for adapter in adapters {
        let matcher = Matcher { adapter, tensors: &tensors, options, model };
        matcher.check_patterns(findings)?;
        matcher.run(&mut deltas, findings)?;
    }
    Ok(deltas)
}

/// What config.json says that matters here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) model_type: Option<String>,
    pub(crate) tied: Option<bool>,
}

struct Matcher<'a> {
    adapter: &'a Adapter,
    tensors: &'a BaseTensors<'a>,
    options: &'a Checked,
    model: &'a Model,
}

impl<'a> Matcher<'a> {
    fn run(&self, deltas: &mut [Deltas], findings: &mut Vec<Finding>) -> Result<()> {
        let name = &self.adapter.name;
        let in_base = |path: &str| self.tensors.numbers.contains_key(format!("{path}.weight").as_str());
        let rewrite = Rewrite::choose(self.adapter.pairs.iter().map(|pair| pair.module.as_str()), in_base);
        if !rewrite.is_identity() {
            findings.push(Finding::info(
                "prefix-rewritten",
                name,
                format!("its modules begin with {:?} where the base has {:?}", rewrite.strip, rewrite.add),
            ));
        }
        let mut placed = Vec::new();
        let mut takers: Vec<Option<&Pair>> = vec![None; self.tensors.numbers.len()];
        for pair in &self.adapter.pairs {
            match rewrite.place(&pair.module, in_base) {
                Some(path) => {
                    let tensor = format!("{path}.weight");
                    let taker = self.tensors.numbers.get(tensor.as_str()).and_then(|&number| takers.get_mut(number));
                    if let Some(other) = taker.and_then(|taker| taker.replace(pair)) {
                        return Err(self.placed_twice(&tensor, other, pair));
                    }
                    placed.push((pair, tensor));
                }
                None => self.unmatched(pair, findings)?,
            }
        }
        let others = self.orientation_of_others(&placed);
        for (pair, tensor) in placed {
            let term = self.term(pair)?;
            let transposed = self.transposed(pair, &tensor, others)?;
            if !self.options.selects(&tensor)? || self.adapter.weight == 0.0 {
                continue;
            }
            if let Some(&number) = self.tensors.numbers.get(tensor.as_str()) {
                deltas[number].transposed = transposed;
                deltas[number].terms.push(term);
            }
        }
        if self.adapter.weight == 0.0 {
            findings.push(Finding::warning("zero-weight", Some(name), "its weight is 0: it adds nothing".into()));
        }
        self.check_targets(findings);
        Ok(())
    }

    /// The same module in two spellings: added twice, the delta would be twice what was trained.
    fn placed_twice(&self, tensor: &str, one: &Pair, other: &Pair) -> Error {
        Error::BadHeader {
            file: self.adapter.name.clone(),
            reason: format!("{:?} and {:?} both mean {tensor} of the base: remove one", one.a.key, other.a.key),
        }
    }

    fn unmatched(&self, pair: &Pair, findings: &mut Vec<Finding>) -> Result<()> {
        let reason = if pair.module.ends_with("lm_head") && self.model.tied != Some(false) {
            "the base has no lm_head.weight of its own, its output is tied to the embedding; untie and save it first"
                .into()
        } else {
            let example = self.tensors.numbers.keys().find(|key| key.ends_with(".weight")).unwrap_or(&"nothing");
            format!(
                "the base has no tensor {}.weight (it has, for example, {example}): is it the right base?",
                pair.module
            )
        };
        let error = Error::UnmatchedKey { adapter: self.adapter.name.clone(), key: pair.a.key.clone(), reason };
        if !self.options.allow_unmatched {
            return Err(error);
        }
        let mut finding = Finding::warning("unmatched-key", Some(&self.adapter.name), error.to_string());
        finding.tensor = Some(pair.a.key.clone());
        findings.push(finding);
        Ok(())
    }

    fn term(&self, pair: &Pair) -> Result<Term> {
        let Adapter { name, config, weight, alpha, input, .. } = self.adapter;
        let expected = config.rank_of(&pair.module)?;
        if pair.rank != expected {
            return Err(Error::ShapeMismatch {
                adapter: name.clone(),
                tensor: pair.a.key.clone(),
                reason: format!("its rank is {}, the configuration says {expected}", pair.rank),
            });
        }
        let alpha = match alpha {
            Some(alpha) => *alpha,
            None => config.alpha_of(&pair.module)?,
        };
        let spec = |factor: &FactorRef| FactorSpec {
            key: factor.key.clone(),
            input: *input,
            start: factor.start,
            bytes: factor.bytes,
            float: factor.float,
        };
        let scale = config.scale(alpha, pair.rank);
        Ok(Term {
            adapter: name.clone(),
            a: spec(&pair.a),
            b: spec(&pair.b),
            rank: pair.rank,
            alpha,
            scale,
            weight: *weight,
        })
    }

    /// What the shapes of the weights that are not square say about this base.
    fn orientation_of_others(&self, placed: &[(&Pair, String)]) -> Option<bool> {
        placed.iter().find_map(|(pair, tensor)| match self.fit(pair, tensor) {
            Fit::Straight => Some(false),
            Fit::Transposed => Some(true),
            Fit::Either | Fit::Neither => None,
        })
    }

    fn fit(&self, pair: &Pair, tensor: &str) -> Fit {
        match self.tensors.get(tensor).map(|info| info.shape.as_slice()) {
            Some(&[rows, cols]) => fit(rows, cols, pair.inputs, pair.outputs),
            _ => Fit::Neither,
        }
    }

    fn transposed(&self, pair: &Pair, tensor: &str, others: Option<bool>) -> Result<bool> {
        let unsupported = |reason: String| Error::Unsupported {
            subject: tensor.to_string(),
            adapter: Some(self.adapter.name.clone()),
            tensor: Some(tensor.to_string()),
            reason,
        };
        let Some(info) = self.tensors.get(tensor) else { return Ok(false) };
        if info.dtype.float().is_none() {
            return Err(unsupported(format!(
                "the base stores it as {}; merging into quantised weights is not supported, merge into the unquantised base",
                info.dtype.name()
            )));
        }
        if info.shape.len() != 2 {
            return Err(unsupported(format!("its shape {:?} is not that of a linear layer", info.shape)));
        }
        match self.fit(pair, tensor) {
            Fit::Straight => Ok(false),
            Fit::Transposed => Ok(true),
            Fit::Either => {
                let flag = self.adapter.config.fan_in_fan_out;
                let evidence = Evidence { model_type: self.model.model_type.as_deref(), others, flag };
                Ok(square_is_transposed(&pair.module, evidence))
            }
            Fit::Neither => Err(Error::ShapeMismatch {
                adapter: self.adapter.name.clone(),
                tensor: tensor.to_string(),
                reason: format!(
                    "the base has {:?}, the adapter maps {} inputs to {} outputs: is it the right base?",
                    info.shape, pair.inputs, pair.outputs
                ),
            }),
        }
    }

    /// A pattern that matches no module is a mistake in the configuration: PEFT trained without it.
    fn check_patterns(&self, findings: &mut Vec<Finding>) -> Result<()> {
        let config = &self.adapter.config;
        let ranks = config.rank_pattern.iter().map(|row| ("rank_pattern", &row.0, &row.1));
        let alphas = config.alpha_pattern.iter().map(|row| ("alpha_pattern", &row.0, &row.1));
        for (field, key, pattern) in ranks.chain(alphas) {
            let mut found = false;
            for pair in &self.adapter.pairs {
                found = found || matches(key, pattern, &pair.module)?;
            }
            if found {
                continue;
            }
            let reason = format!("{field}: {key:?} matches none of the adapter's modules");
            if !self.options.allow_unmatched {
                return Err(Error::BadConfig { file: format!("{}/adapter_config.json", self.adapter.name), reason });
            }
            findings.push(Finding::warning("unmatched-pattern", Some(&self.adapter.name), reason));
        }
        Ok(())
    }

    /// A target without factors is no mistake of the file (lists are often written for many models), but worth a word.
    fn check_targets(&self, findings: &mut Vec<Finding>) {
        for target in &self.adapter.config.target_modules {
            let suffix = format!(".{target}");
            if !self.adapter.pairs.iter().any(|pair| pair.module == *target || pair.module.ends_with(&suffix)) {
                let message = format!("target_modules names {target:?}, and the file has no factors for it");
                findings.push(Finding::info("target-without-factors", &self.adapter.name, message));
            }
        }
    }
}
