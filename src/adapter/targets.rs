//! Which modules `target_modules` names, and which of its entries have factors in the adapter's file.

use serde_json::Value;

use super::fields::says_nothing;
use super::pattern::{Pattern, PatternBudget};
use crate::error::Result;
use crate::model::suffixes::SuffixIndex;
use crate::order::sort;

/// What a configuration says about the trained modules (PEFT `check_target_module_exists`).
#[derive(Debug, Clone, Default)]
pub struct Targets {
    /// `target_modules`, unless other fields choose among the modules that it names.
    named: Names,
    /// `exclude_modules`.
    excluded: Names,
}

/// A list of the ends of paths, or a regular expression.
#[derive(Debug, Clone, Default)]
struct Names {
    texts: Vec<String>,
    pattern: bool,
}

impl Targets {
    /// From the fields of a configuration.
    pub fn of(fields: &[(String, Value)]) -> Targets {
        let said = |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        if said("layers_to_transform").is_some_and(|layers| !says_nothing(layers)) {
            return Targets::default();
        }
        Targets { named: Names::of(said("target_modules")), excluded: Names::of(said("exclude_modules")) }
    }

    /// Whether the module was to be trained. A regular expression that this crate cannot read names no module.
    ///
    /// # Errors
    /// `limit-exceeded` for a pattern that takes too many steps.
    pub fn name(&self, module: &str, budget: &mut PatternBudget) -> Result<bool> {
        Ok(self.named.have(module, budget)? && !self.excluded.have(module, budget)?)
    }
}

impl Names {
    fn of(value: Option<&Value>) -> Names {
        let text = |value: &Value| value.as_str().map(Into::into);
        match value {
            Some(Value::Array(names)) => Names { texts: names.iter().filter_map(text).collect(), pattern: false },
            Some(value) => Names { texts: text(value).into_iter().collect(), pattern: true },
            None => Names::default(),
        }
    }

    fn have(&self, module: &str, budget: &mut PatternBudget) -> Result<bool> {
        for name in &self.texts {
            let has = if self.pattern && name != "all-linear" {
                let Ok(pattern) = Pattern::whole(name) else { continue };
                pattern.matches(module, budget).map_err(|error| error.of_pattern("target_modules", name))?
            } else {
                self.pattern
                    || module.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            };
            if has {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The distinct entries of `targets` that name none of `modules`, in order. A target names the module with that path, and
/// every module whose path ends with a dot and the target (PEFT `check_target_module_exists`).
///
/// Takes time proportional to the length of all names together.
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
