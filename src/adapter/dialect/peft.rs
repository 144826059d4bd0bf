//! PEFT: `adapter_config.json`, and keys such as `base_model.model.….lora_A.weight`.

use super::{AdapterFiles, BaseWeight, Dialect, Mismatch, ModuleUpdate, Summary, Updates};
use crate::adapter::AdapterConfig;
use crate::adapter::config::matches;
use crate::adapter::pairs::{FactorRef, Pair, pairs};
use crate::container::Header;
use crate::encoding::{Operand, Plain};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::Span;
use crate::op::{Dora, LowRank, Op};

/// HuggingFace PEFT.
pub(super) struct Peft;

impl Dialect for Peft {
    fn recognises(&self, files: &AdapterFiles) -> bool {
        files.config.is_some()
    }

    fn read(&self, files: &AdapterFiles, header: Result<Header>) -> Result<Updates> {
        // Before the tensors, so that what is not supported is called by the name of its field.
        let config = files.config.map(|(file, json)| AdapterConfig::parse(file, files.adapter, json)).transpose()?;
        let pairs = pairs(files.adapter, files.file, &header?)?;
        let config = match (config, files.alpha) {
            (Some(config), _) => config,
            // Without a configuration the ranks are the shapes'; they are checked against `rank_of`, so they must agree.
            (None, Some(alpha)) if pairs.iter().all(|pair| pair.rank == pairs[0].rank) => {
                AdapterConfig::plain(pairs[0].rank, alpha)
            }
            (None, _) => {
                let error = Error::bad_config(
                    format!("{}/adapter_config.json", files.adapter),
                    "not there: the scale cannot be known; give the adapter's folder, or its alpha",
                );
                return Err(error.kind(ErrorKind::NoConfig));
            }
        };
        let reader = Reader { files, config: &config };
        let mut updates = Vec::with_capacity(pairs.len());
        for pair in &pairs {
            updates.push(reader.update(pair)?);
        }
        Ok(Updates {
            updates,
            mismatches: reader.unmatched_patterns(&pairs)?,
            findings: reader.targets_without_factors(&pairs),
            summary: Summary {
                r: config.r,
                alpha: config.alpha,
                rslora: config.rslora,
                fan_in_fan_out: config.fan_in_fan_out,
                base_name: config.base_name.clone(),
            },
        })
    }
}

struct Reader<'a> {
    files: &'a AdapterFiles<'a>,
    config: &'a AdapterConfig,
}

impl Reader<'_> {
    fn update(&self, pair: &Pair) -> Result<ModuleUpdate> {
        let AdapterFiles { adapter, alpha, .. } = *self.files;
        let expected = self.config.rank_of(&pair.module)?;
        if pair.rank != expected {
            let reason = format!("its rank is {}, the configuration says {expected}", pair.rank);
            let error = Error::shape_mismatch(adapter, pair.a.key.clone(), reason);
            return Err(error.found(pair.rank.to_string()).expected(expected.to_string()));
        }
        let alpha = alpha.map_or_else(|| self.config.alpha_of(&pair.module), Ok)?;
        let factors = LowRank {
            a: self.operand(&pair.a),
            b: self.operand(&pair.b),
            rank: pair.rank,
            inputs: pair.inputs,
            outputs: pair.outputs,
            alpha,
            scale: self.config.scale(alpha, pair.rank),
            transposed: false,
        };
        let op = match (&pair.magnitude, self.config.dora) {
            (None, false) => Op::LowRank(factors),
            (Some(magnitude), true) => Op::Dora(Dora { factors, magnitude: self.operand(magnitude) }),
            (None, true) => {
                let missing = format!("{}.lora_magnitude_vector", pair.module);
                return Err(Error::missing_pair(adapter, pair.a.key.clone(), missing));
            }
            (Some(magnitude), false) => {
                let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
                let reason = format!("the file has {:?}, a DoRA magnitude, and use_dora is not true", magnitude.key);
                let error = Error::bad_config(file, reason).adapter(adapter).field("use_dora");
                return Err(error.tensor(magnitude.key.clone()).fix("set use_dora as it was in training"));
            }
        };
        let base = pair.base.as_ref().map(|(base, shape)| BaseWeight {
            key: base.key.clone(),
            shape: shape.clone(),
            stored: Plain { float: base.float, input: self.files.input, start: base.start },
        });
        let Pair { inputs, outputs, .. } = *pair;
        Ok(ModuleUpdate { module: pair.module.clone(), key: pair.a.key.clone(), op, inputs, outputs, base })
    }

    fn operand(&self, factor: &FactorRef) -> Operand {
        let at = Span { input: self.files.input, start: factor.start, bytes: factor.bytes };
        Operand { key: factor.key.clone(), at, float: factor.float }
    }

    /// A pattern that matches no module is a mistake in the configuration: PEFT trained without it.
    fn unmatched_patterns(&self, pairs: &[Pair]) -> Result<Vec<Mismatch>> {
        let ranks = self.config.rank_pattern.iter().map(|row| ("rank_pattern", &row.0, &row.1));
        let alphas = self.config.alpha_pattern.iter().map(|row| ("alpha_pattern", &row.0, &row.1));
        let mut unmatched = Vec::new();
        for (field, key, pattern) in ranks.chain(alphas) {
            let mut found = false;
            for pair in pairs {
                found = found || matches(key, pattern, &pair.module)?;
            }
            if !found {
                let reason = format!("{field}: {key:?} matches none of the adapter's modules");
                let error = Error::bad_config(format!("{}/adapter_config.json", self.files.adapter), reason);
                unmatched.push(Mismatch { error: error.field(field).found(key.clone()), code: "unmatched-pattern" });
            }
        }
        Ok(unmatched)
    }

    /// A target without factors is no mistake of the file (lists are often written for many models), but worth a word.
    fn targets_without_factors(&self, pairs: &[Pair]) -> Vec<Finding> {
        let has_factors = |target: &&String| {
            let suffix = format!(".{target}");
            pairs.iter().any(|pair| pair.module == **target || pair.module.ends_with(&suffix))
        };
        let finding = |target: &String| {
            let message = format!("target_modules names {target:?}, and the file has no factors for it");
            Finding::info("target-without-factors", self.files.adapter, message)
        };
        self.config.target_modules.iter().filter(|target| !has_factors(target)).map(finding).collect()
    }
}
