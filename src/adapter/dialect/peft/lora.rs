//! `peft_type: "LORA"`: pairs of factors, and what its variants add to them.

use super::unmatched_pattern;
use crate::adapter::dialect::{AdapterFiles, BaseWeight, ModuleUpdate, Summary, Updates};
use crate::adapter::pairs::{Pair, pairs};
use crate::adapter::pattern::PatternBudget;
use crate::adapter::targets::without_factors;
use crate::adapter::{AdapterConfig, ModuleSettings, SettingsLookup};
use crate::container::Header;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::{Dora, LowRank, Op};

/// Read an adapter of LoRA or DoRA.
pub(super) fn read(files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates> {
    // Before the tensors, so that what is not supported is called by the name of its field.
    let config = files.config.map(|(file, json)| AdapterConfig::parse(file, files.adapter, json)).transpose()?;
    let pairs = pairs(files.adapter, files.file, files.input, &header?)?;
    let config = match (config, files.alpha) {
        (Some(config), _) => config,
        // Without a file the configuration is made here, of the user's alpha and the one rank that all pairs have.
        (None, Some(alpha)) if pairs.iter().all(|pair| pair.rank == pairs[0].rank) => {
            AdapterConfig::plain(pairs[0].rank, alpha)
        }
        (None, _) => {
            let reason = "it is missing, and without it the scale is not known";
            return Err(Error::bad_config("adapter_config.json", reason)
                .kind(ErrorKind::NoConfig)
                .fix("give the adapter's folder, or its alpha"));
        }
    };
    let reader = Reader { files, config: &config };
    let mut lookup = SettingsLookup::new(&config);
    let mut updates = Vec::with_capacity(pairs.len());
    for pair in &pairs {
        let settings = lookup.find(&pair.module, budget).map_err(|error| error.adapter(files.adapter))?;
        updates.push(reader.update(pair, settings)?);
    }
    let mismatches = lookup.unmatched().map(|(field, key)| unmatched_pattern(files.adapter, field, key)).collect();
    Ok(Updates {
        updates,
        mismatches,
        findings: reader.targets_without_factors(&pairs),
        summary: Summary {
            peft_type: "LORA".into(),
            r: Some(config.r),
            alpha: Some(config.alpha),
            rslora: config.rslora,
            fan_in_fan_out: config.fan_in_fan_out,
            base_name: config.base_name.clone(),
        },
    })
}

struct Reader<'a> {
    files: &'a AdapterFiles<'a>,
    config: &'a AdapterConfig,
}

impl Reader<'_> {
    fn update(&self, pair: &Pair, settings: ModuleSettings) -> Result<ModuleUpdate> {
        let AdapterFiles { adapter, alpha, .. } = *self.files;
        let expected = settings.rank;
        if pair.rank != expected {
            let reason = format!("its rank is {}, the configuration says {expected}", pair.rank);
            let error = Error::shape_mismatch(adapter, pair.a.key.clone(), reason);
            return Err(error.found(pair.rank.to_string()).expected(expected.to_string()));
        }
        let alpha = alpha.unwrap_or(settings.alpha);
        let factors = LowRank {
            a: pair.a.clone(),
            b: pair.b.clone(),
            rank: pair.rank,
            inputs: pair.inputs,
            outputs: pair.outputs,
            alpha,
            scale: self.config.scale(alpha, pair.rank),
            transposed: false,
        };
        let op = match (&pair.magnitude, self.config.dora) {
            (None, false) => Op::LowRank(factors),
            (Some(magnitude), true) => Op::Dora(Dora { factors, magnitude: magnitude.clone() }),
            (None, true) => {
                let missing = format!("{}.lora_magnitude_vector", pair.module);
                return Err(Error::missing_pair(adapter, pair.a.key.clone(), missing));
            }
            (Some(magnitude), false) => {
                let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
                let reason = format!("this is a DoRA magnitude, but {file} does not say use_dora: true");
                let error = Error::bad_config(file, reason).adapter(adapter).field("use_dora").expected("true");
                return Err(error.tensor(magnitude.key.clone()).fix("set use_dora as it was in training"));
            }
        };
        let base = match &pair.base {
            None => None,
            Some((base, shape)) => Some(BaseWeight {
                key: base.key.clone(),
                shape: shape.clone(),
                stored: Plain { float: base.float()?, input: base.at.input, start: base.at.start },
            }),
        };
        Ok(ModuleUpdate {
            module: pair.module.clone(),
            parameter: "weight".into(),
            optional: false,
            key: pair.a.key.clone(),
            op,
            base,
        })
    }

    /// A target without factors is no mistake of the file (lists are often written for many models), but worth a word.
    fn targets_without_factors(&self, pairs: &[Pair]) -> Vec<Finding> {
        let finding = |target: &str| {
            let message = format!("target_modules names {target:?}, and the file has no factors for it");
            Finding::info("target-without-factors", self.files.adapter, message)
        };
        let modules = pairs.iter().map(|pair| pair.module.as_str());
        without_factors(&self.config.target_modules, modules).into_iter().map(finding).collect()
    }
}
