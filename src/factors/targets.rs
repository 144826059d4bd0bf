//! `target_modules` for a model that is known: names that mean the modules with factors, and no others.

use crate::json::sorted;
use crate::order::sort;

/// For each of `modules` its last name, where every module whose path ends so is one of them; else its path. `others` are the other modules of
/// the model. PEFT takes a module whose path is an entry, or ends with a dot and an entry.
pub(crate) fn named<'a>(modules: impl Iterator<Item = &'a str> + Clone, others: &'a [String]) -> Vec<String> {
    let last = |path: &'a str| path.rsplit('.').next().unwrap_or(path);
    // Also the names of what modules are in: these are no layers.
    let outer = modules.clone().filter_map(|module| module.rsplit_once('.').map(|(outer, _)| outer));
    let parts = others.iter().map(String::as_str).chain(outer).flat_map(|path| path.split('.'));
    let unclear = sorted(parts.collect());
    let name = |module: &'a str| if unclear.binary_search(&last(module)).is_ok() { module } else { last(module) };
    let mut names: Vec<String> = modules.map(|module| name(module).into()).collect();
    sort(&mut names);
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::named;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_name_means_no_other_module() {
        let modules = ["m.0.q", "m.1.q", "m.0.k", "m.proj.out", "m.out.proj"];
        let named = |others: &[&str]| {
            let others: Vec<String> = others.iter().map(|other| other.to_string()).collect();
            named(modules.into_iter(), &others)
        };
        assert_eq!(named(&["m.1.v"]), ["k", "m.out.proj", "m.proj.out", "q"]);
        assert_eq!(named(&["m.1.k", "q.v"]), ["m.0.k", "m.0.q", "m.1.q", "m.out.proj", "m.proj.out"]);
    }
}
