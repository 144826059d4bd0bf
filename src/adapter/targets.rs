//! Which modules `target_modules` names, and which of its entries have factors in the adapter's file.

use serde_json::Value;

use super::fields::says_nothing;
use super::pattern::{Pattern, PatternBudget};
use crate::error::Result;
use crate::model::suffixes::SuffixIndex;
use crate::order::sort;

/// What a configuration says of the modules that were trained (PEFT `check_target_module_exists`).
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// `target_modules`, unless other fields choose among the modules that it names.
    named: Value,
    /// `exclude_modules`.
    excluded: Value,
}

impl Targets {
    /// From the fields of a configuration.
    pub fn of(fields: &[(String, Value)]) -> Targets {
        let said = |wanted: &str| fields.iter().find(|(name, value)| name == wanted && !says_nothing(value));
        if said("layers_to_transform").is_some() {
            return Targets::default();
        }
        let value = |name| said(name).map(|(_, value)| value.clone()).unwrap_or_default();
        Targets { named: value("target_modules"), excluded: value("exclude_modules") }
    }

    /// Whether the module was to be trained. A regular expression that this crate cannot read names none.
    ///
    /// # Errors
    /// `limit-exceeded` for a pattern that takes too many steps.
    pub fn name(&self, module: &str, budget: &mut PatternBudget) -> Result<bool> {
        Ok(is_named(&self.named, module, budget)? && !is_named(&self.excluded, module, budget)?)
    }
}

fn is_named(names: &Value, module: &str, budget: &mut PatternBudget) -> Result<bool> {
    let ends = |name: &Value| {
        let rest = name.as_str().and_then(|name| module.strip_suffix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    match names {
        Value::Array(names) => Ok(names.iter().any(ends)),
        Value::String(all) if all == "all-linear" => Ok(true),
        Value::String(text) => match Pattern::whole(text) {
            Ok(pattern) => pattern.matches(module, budget).map_err(|error| error.of_pattern("target_modules", text)),
            Err(_) => Ok(false),
        },
        _ => Ok(false),
    }
}

/// The distinct entries of `targets` that none of `modules` is named by, in their order. A target names the module of
/// its own path, and every module whose path ends with a dot and the target (PEFT `check_target_module_exists`).
///
/// Takes time in proportion to the length of all names together.
pub fn without_factors(targets: &[String], modules: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<&str> {
    let mut distinct: Vec<(&str, usize)> = targets.iter().map(String::as_str).zip(0..).collect();
    sort(&mut distinct);
    distinct.dedup_by_key(|(target, _)| *target);
    let mut missing = vec![false; targets.len()];
    distinct.iter().for_each(|&(_, number)| missing[number] = true);
    let index = SuffixIndex::new(distinct.into_iter().map(|(target, number)| (target.as_bytes().to_vec(), number)));
    for module in modules {
        index.visit_all(module.as_ref(), &mut |number, _| missing[number] = false);
    }
    targets.iter().zip(missing).filter(|(_, missing)| *missing).map(|(target, _)| target.as_str()).collect()
}
