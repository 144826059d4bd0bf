//! What a configuration says about each module: its rank and its alpha.

use super::AdapterConfig;
use super::pattern::{Lookup, PatternBudget};
use crate::error::Result;

/// Rank and alpha of one module.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModuleSettings {
    /// Rank of its factors.
    pub rank: u64,
    /// Numerator of its scale.
    pub alpha: f64,
}

/// Looks up the settings of modules, and remembers which patterns have matched a module.
#[derive(Debug, Clone)]
pub struct SettingsLookup<'a> {
    config: &'a AdapterConfig,
    ranks: Lookup<'a, f64>,
    alphas: Lookup<'a, f64>,
}

impl<'a> SettingsLookup<'a> {
    /// A lookup in `config`. Nothing has been looked up yet.
    pub fn new(config: &'a AdapterConfig) -> SettingsLookup<'a> {
        SettingsLookup { config, ranks: config.rank_pattern.lookup(), alphas: config.alpha_pattern.lookup() }
    }

    /// The settings of `module` (its path without PEFT's prefix): of the first pattern of each table that matches, or
    /// the configuration's `r` and `lora_alpha`.
    ///
    /// # Errors
    /// `limit-exceeded` when the patterns take more steps than `budget` has, `unsupported` for a comparison that is
    /// not implemented. Both name the pattern.
    pub fn find(&mut self, module: &str, budget: &mut PatternBudget) -> Result<ModuleSettings> {
        let rank = self.ranks.find(module, budget)?.map_or(self.config.r, |rank| rank as u64);
        let alpha = self.alphas.find(module, budget)?.unwrap_or(self.config.alpha);
        Ok(ModuleSettings { rank, alpha })
    }

    /// The patterns that have matched no module so far: field and key.
    pub fn unmatched(&self) -> impl Iterator<Item = (&'static str, &'a str)> {
        self.ranks.unmatched().chain(self.alphas.unmatched())
    }
}
