//! Patterns against Python's `re`, whose answers `fixtures/patterns_oracle.py` recorded.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]

use lorafold::adapter::pattern::{Pattern, PatternBudget, PatternTable};
use lorafold::adapter::targets::without_factors;
use lorafold::adapter::{AdapterConfig, SettingsLookup};
use proptest::prelude::*;
use serde_json::{Value, json};

fn matches(pattern: &Pattern, text: &str) -> bool {
    pattern.matches(text, &mut PatternBudget::default()).unwrap()
}

fn answer(kind: &str, pattern: &str, text: &str) -> Value {
    let pattern = if kind == "module" { Pattern::of_module_suffix(pattern) } else { Pattern::anywhere(pattern) };
    pattern.map_or(json!("error"), |pattern| json!(matches(&pattern, text)))
}

fn table(keys: &[&str]) -> PatternTable<usize> {
    PatternTable::new("alpha_pattern", keys.iter().map(|key| key.to_string()).zip(0..)).unwrap()
}

/// The number of the first of `keys` that matches, and the keys that match none of `modules`.
fn look_up<'a>(keys: &[&'a str], modules: &[&str]) -> (Vec<Option<usize>>, Vec<&'a str>) {
    let (table, mut budget) = (table(keys), PatternBudget::default());
    let mut lookup = table.lookup();
    let found = modules.iter().map(|module| lookup.find(module, &mut budget).unwrap()).collect();
    let unmatched: Vec<String> = lookup.unmatched().map(|(_, key)| key.to_string()).collect();
    (found, keys.iter().copied().filter(|key| unmatched.iter().any(|other| other == key)).collect())
}

#[test]
fn every_answer_is_python_s() {
    let rows: Vec<(String, String, String, Value)> =
        serde_json::from_str(include_str!("fixtures/patterns_oracle.json")).unwrap();
    assert!(rows.len() >= 600);
    let wrong: Vec<_> =
        rows.iter().filter(|(kind, pattern, text, expected)| answer(kind, pattern, text) != *expected).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), rows.len());
}

/// A table reads most keys as names, and must answer as the matcher does.
#[test]
fn a_table_of_one_key_answers_as_python() {
    let rows: Vec<(String, String, String, Value)> =
        serde_json::from_str(include_str!("fixtures/patterns_oracle.json")).unwrap();
    for (_, key, text, expected) in rows.iter().filter(|row| row.0 == "module" && row.3 != "error") {
        let found = look_up(&[key], &[text]).0[0].is_some();
        assert_eq!(json!(found), *expected, "{key:?} in {text:?}");
    }
}

/// Pieces that make patterns which parse more often than characters do, and nest their repetitions.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = r"a b . \w [ab] [^a] ( (?: (?= (?! (?<= (?<! (?> (?i: ) )* )+ )*? ){2,} ){99} )*+ * + ? {3} | ^ $ \b
        \1 \2 é [ ] - (?P<n> (?P=n) {4294967294}";
    let piece = prop::sample::select(pieces.split_whitespace().collect::<Vec<_>>());
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn try_out(pattern: &str, text: &str) {
    for pattern in [Pattern::anywhere(pattern), Pattern::of_module_suffix(pattern)].into_iter().flatten() {
        let _ = pattern.matches(text, &mut PatternBudget::new(200_000));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_string_panics_or_hangs(pattern in ".{0,60}", text in ".{0,200}") {
        try_out(&pattern, &text);
    }

    #[test]
    fn no_composition_panics_or_hangs(pattern in pieces(), text in "[abé.\n]{0,100}") {
        try_out(&pattern, &text);
    }

    /// Every character of a literal may be escaped or not, and a name finds itself.
    #[test]
    fn a_name_matches_itself(name in "[a-z_0-9]{1,8}(\\.[a-z_0-9]{1,8}){0,5}", prefix in "[a-z]{1,5}") {
        let key = Pattern::of_module_suffix(&name.replace('.', "\\.")).unwrap();
        prop_assert_eq!(matches(&key, &name), true);
        prop_assert_eq!(matches(&key, &format!("{prefix}.{name}")), true);
        prop_assert_eq!(matches(&key, &format!("{prefix}{name}")), false);
    }
}

/// Keys that are names, and some that are not, of few characters, so that they often match.
fn keys() -> impl Strategy<Value = Vec<String>> {
    let piece = prop::sample::select(vec!["a", "b", ".", r"\.", "-", "ab", "a.b", "(a|b)", ".*", "b?", "[^a]"]);
    let key = (prop::sample::select(vec!["", "", "", "^"]), prop::collection::vec(piece, 0..5));
    prop::collection::btree_set(key.prop_map(|(start, pieces)| start.to_string() + &pieces.concat()), 0..12)
        .prop_map(|keys| keys.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The first match wins, and a key that is never first is still not one that matches nothing.
    #[test]
    fn a_table_finds_what_matching_each_key_in_turn_finds(
        keys in keys(),
        modules in prop::collection::vec("[ab.\\-é\n\u{0}]{0,6}", 0..8),
    ) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        let patterns: Vec<Pattern> = keys.iter().map(|key| Pattern::of_module_suffix(key).unwrap()).collect();
        let found: Vec<Option<usize>> =
            modules.iter().map(|module| patterns.iter().position(|pattern| matches(pattern, module))).collect();
        let is_unmatched = |pattern: &Pattern| !modules.iter().any(|module| matches(pattern, module));
        let unmatched: Vec<&str> =
            keys.iter().zip(&patterns).filter(|(_, pattern)| is_unmatched(pattern)).map(|(key, _)| *key).collect();
        prop_assert_eq!(look_up(&keys, &modules), (found, unmatched));
    }

    #[test]
    fn targets_are_the_ends_of_modules_from_a_dot_on(
        targets in prop::collection::vec("[aé.]{0,4}", 0..8),
        modules in prop::collection::vec("[aé.]{0,6}", 0..8),
    ) {
        let mut missing: Vec<&str> = Vec::new();
        for target in &targets {
            let names = |module: &String| module == target || module.ends_with(&format!(".{target}"));
            if !modules.iter().any(names) && !missing.contains(&target.as_str()) {
                missing.push(target);
            }
        }
        prop_assert_eq!(without_factors(&targets, &modules), missing);
    }
}

/// Names of 20,000 modules, all different from their first dot on.
fn many_modules() -> Vec<String> {
    (0..20_000).map(|number| format!("model.layers.{}.leaf_{number}", number % 100)).collect()
}

#[test]
fn many_targets_are_looked_up_among_many_modules() {
    let modules = many_modules();
    let mut targets: Vec<String> = (0..20_000).map(|number| format!("leaf_{number}")).collect();
    assert_eq!(without_factors(&targets, &modules), Vec::<&str>::new());
    targets[777] = "leaf".into();
    targets.push("leaf".into());
    assert_eq!(without_factors(&targets, &modules), ["leaf"]);
}

/// Patterns that list modules by their names, as files written by tools do: none of them takes a step of the budget.
#[test]
fn names_take_no_steps() {
    let modules = many_modules();
    let spellings: [fn(&str) -> String; 3] =
        [str::to_string, |name| format!("^{name}"), |name| name.replace('.', r"\.")];
    for spelling in spellings {
        let keys: Vec<String> = modules[..10_000].iter().map(|module| spelling(module)).collect();
        let table = PatternTable::new("rank_pattern", keys.into_iter().zip(0..)).unwrap();
        let (mut lookup, mut budget) = (table.lookup(), PatternBudget::new(0));
        for (number, module) in modules.iter().enumerate() {
            assert_eq!(lookup.find(module, &mut budget).unwrap(), (number < 10_000).then_some(number), "{module}");
        }
        assert_eq!(lookup.unmatched().count(), 0);
    }
}

#[test]
fn names_of_many_dots_are_walked_once() {
    let deep = "a.".repeat(2_048);
    let modules: Vec<String> = (0..300).map(|number| format!("{number}.{deep}q")).collect();
    let ends: Vec<String> = (0..1_000).map(|parts| "a.".repeat(parts) + "q").collect();
    let table = PatternTable::new("rank_pattern", ends.iter().cloned().zip(0..)).unwrap();
    let (mut lookup, mut budget) = (table.lookup(), PatternBudget::new(0));
    for module in &modules {
        assert_eq!(lookup.find(module, &mut budget).unwrap(), Some(0));
    }
    assert_eq!(lookup.unmatched().count(), 0);
    assert_eq!(without_factors(&ends, &modules), Vec::<&str>::new());
}

/// Every key fits as far as it goes, through a dot for each character that the next key spells.
#[test]
fn dots_that_stand_for_characters_take_steps() {
    let keys: Vec<String> = (0..4096)
        .map(|bits: usize| (0..12).map(|bit| if bits >> bit & 1 == 0 { 'a' } else { '.' }).collect::<String>() + ".x")
        .collect();
    let table = PatternTable::new("rank_pattern", keys.into_iter().zip(0..)).unwrap();
    let module = "a".repeat(12) + "_x";
    let mut budget = PatternBudget::new(20_000);
    assert_eq!(table.lookup().find(&module, &mut budget).unwrap(), Some(0));
    let used = 20_000 - budget.left();
    assert!((4096..20_000).contains(&used), "{used}");
    let error = table.lookup().find(&module, &mut budget).and_then(|_| table.lookup().find(&module, &mut budget));
    assert_eq!(error.unwrap_err().code(), "limit-exceeded");
}

/// 200 patterns that backtrack, and as many modules: the plan has one budget, and the error says what to do.
#[test]
fn patterns_of_one_plan_share_a_budget() {
    let patterns: Vec<String> = (0..200).map(|number| format!(r#""(?:a|a)*c|{number}":1"#)).collect();
    let json = format!(r#"{{"peft_type":"LORA","alpha_pattern":{{{}}}}}"#, patterns.join(","));
    let config = AdapterConfig::parse("adapter_config.json", "slow", json.as_bytes()).unwrap();
    let (mut lookup, mut budget) = (SettingsLookup::new(&config), PatternBudget::new(2_000_000));
    let modules = (0..200).map(|number| format!("m{number}.aaaaaaaaaaaaaaaa"));
    let found = modules.map(|module| lookup.find(&module, &mut budget)).collect::<Result<Vec<_>, _>>();
    let error = found.unwrap_err();
    assert_eq!((error.code(), budget.left()), ("limit-exceeded", 0));
    assert_eq!(error.facts().field.as_deref(), Some("alpha_pattern"));
    assert!(error.to_string().contains(r#"the pattern "(?:a|a)*c|"#), "{error}");
    assert!(error.facts().fix.is_some());
}

#[test]
fn long_texts_and_deep_patterns_do_not_overflow() {
    let text = "a".repeat(200_000);
    for pattern in ["a*b", "(?:a|b)*$", "(a)*$", "a*?$", "(?=a*)(?<!b)a*+$"] {
        try_out(pattern, &text);
    }
    for depth in [99, 100, 101, 10_000, 1_000_000] {
        for open in ["(", "(?:", "(?=", "(?!", "(?>", "(?<="] {
            try_out(&format!("{}a{}", open.repeat(depth), ")*".repeat(depth)), &text[..50]);
        }
    }
}
