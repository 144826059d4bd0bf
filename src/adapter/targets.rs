//! Which entries of `target_modules` have factors in the adapter's file.

use crate::model::suffixes::SuffixIndex;
use crate::order::sort;

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
