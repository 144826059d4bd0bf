//! adapter_config.json with its patterns.

use lorafold::adapter::pattern::{Pattern, PatternBudget};
use lorafold::adapter::{AdapterConfig, SettingsLookup};

/// Steps of the budget: few, so that an input which takes long has done work that the budget does not count.
const STEPS: u64 = 200_000;

/// The input is a configuration, then names of modules after a line that is empty. Every name has an answer, or the budget is spent.
pub fn adapter_config(input: &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n").unwrap_or(input.len());
    let (json, names) = input.split_at(end);
    let Ok(names) = std::str::from_utf8(names) else { return };
    let mut budget = PatternBudget::new(STEPS);
    if let Ok(pattern) = std::str::from_utf8(json) {
        for pattern in [Pattern::anywhere(pattern), Pattern::of_module_suffix(pattern)].into_iter().flatten() {
            let _ = names.lines().try_for_each(|name| pattern.matches(name, &mut budget).map(drop));
        }
    }
    let Ok(config) = AdapterConfig::parse("adapter_config.json", "a", json) else { return };
    assert!(config.alpha.is_finite());
    let mut lookup = SettingsLookup::new(&config);
    for name in names.lines() {
        match lookup.find(name, &mut budget) {
            Ok(settings) => assert!(settings.rank > 0),
            Err(error) => assert_eq!(error.code(), "limit-exceeded", "{error}"),
        }
    }
    let _ = lookup.unmatched().count();
}
