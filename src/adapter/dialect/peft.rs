//! PEFT: `adapter_config.json`, and keys such as `base_model.model.….lora_A.weight`.

use super::{AdapterFiles, BaseWeight, Dialect, Mismatch, ModuleUpdate, Summary, Updates};
use crate::adapter::pairs::{Pair, pairs};
use crate::adapter::pattern::PatternBudget;
use crate::adapter::targets::without_factors;
use crate::adapter::{AdapterConfig, ModuleSettings, SettingsLookup};
use crate::container::Header;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::{Dora, LowRank, Op};

/// HuggingFace PEFT.
pub(super) struct Peft;

impl Dialect for Peft {
    fn recognises(&self, files: &AdapterFiles) -> bool {
        files.config.is_some()
    }

    fn read(&self, files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates> {
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
        for pair in pairs {
            let settings = lookup.find(&pair.module, budget).map_err(|error| error.adapter(files.adapter))?;
            updates.push(reader.update(pair, settings)?);
        }
        let findings = reader.targets_without_factors(&updates);
        Ok(Updates {
            updates,
            mismatches: lookup.unmatched().map(|(field, key)| reader.unmatched_pattern(field, key)).collect(),
            findings,
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
    fn update(&self, pair: Pair, settings: ModuleSettings) -> Result<ModuleUpdate> {
        let AdapterFiles { adapter, alpha, .. } = *self.files;
        let expected = settings.rank;
        if pair.rank != expected {
            let reason = format!("its rank is {}, the configuration says {expected}", pair.rank);
            let error = Error::shape_mismatch(adapter, pair.a.key.clone(), reason);
            return Err(error.found(pair.rank.to_string()).expected(expected.to_string()));
        }
        let alpha = alpha.unwrap_or(settings.alpha);
        let Pair { module, a, b, rank, inputs, outputs, magnitude, base } = pair;
        let key = a.key.clone();
        let scale = self.config.scale(alpha, rank);
        let factors = LowRank { a, b, rank, inputs, outputs, alpha, scale, transposed: false };
        let op = match (magnitude, self.config.dora) {
            (None, false) => Op::LowRank(factors),
            (Some(magnitude), true) => Op::Dora(Dora { factors, magnitude }),
            (None, true) => {
                return Err(Error::missing_pair(adapter, key, format!("{module}.lora_magnitude_vector")));
            }
            (Some(magnitude), false) => {
                let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
                let reason = format!("this is a DoRA magnitude, but {file} does not say use_dora: true");
                let error = Error::bad_config(file, reason).adapter(adapter).field("use_dora").expected("true");
                return Err(error.tensor(magnitude.key).fix("set use_dora as it was in training"));
            }
        };
        let base = base.map(|(base, shape)| BaseWeight {
            key: base.key,
            shape,
            stored: Plain { float: base.float, input: base.at.input, start: base.at.start },
        });
        Ok(ModuleUpdate { module, key, op, inputs, outputs, base })
    }

    /// A pattern that matches no module is a mistake in the configuration: PEFT trained without it.
    fn unmatched_pattern(&self, field: &str, key: &str) -> Mismatch {
        let reason = format!("{field}: {key:?} matches none of the adapter's modules");
        let error = Error::bad_config("adapter_config.json", reason).in_adapter(self.files.adapter);
        let error = error.kind(ErrorKind::UnmatchedPattern).field(field).found(key);
        Mismatch { error: error.fix("correct it, or remove it"), code: "unmatched-pattern" }
    }

    /// A target without factors is no mistake of the file (lists are often written for many models), but worth a word.
    fn targets_without_factors(&self, updates: &[ModuleUpdate]) -> Vec<Finding> {
        let finding = |target: &str| {
            let message = format!("target_modules names {target:?}, and the file has no factors for it");
            Finding::info("target-without-factors", self.files.adapter, message)
        };
        let modules = updates.iter().map(|update| update.module.as_str());
        without_factors(&self.config.target_modules, modules).into_iter().map(finding).collect()
    }
}
