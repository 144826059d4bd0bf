//! Patterns against Python's `re`, whose answers `fixtures/patterns_oracle.py` recorded.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, missing_docs)]

use lorafold::adapter::pattern::Pattern;
use proptest::prelude::*;
use serde_json::{Value, json};

fn answer(kind: &str, pattern: &str, text: &str) -> Value {
    let pattern = if kind == "module" { Pattern::of_module_suffix(pattern) } else { Pattern::anywhere(pattern) };
    pattern.map_or(json!("error"), |pattern| json!(pattern.matches(text).unwrap()))
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

/// Pieces that make patterns which parse more often than characters do, and nest their repetitions.
fn pieces() -> impl Strategy<Value = String> {
    let pieces = r"a b . \w [ab] [^a] ( (?: (?= (?! (?<= (?<! (?> (?i: ) )* )+ )*? ){2,} ){99} )*+ * + ? {3} | ^ $ \b
        \1 \2 é [ ] - (?P<n> (?P=n) {4294967294}";
    let piece = prop::sample::select(pieces.split_whitespace().collect::<Vec<_>>());
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn try_out(pattern: &str, text: &str) {
    for pattern in [Pattern::anywhere(pattern), Pattern::of_module_suffix(pattern)].into_iter().flatten() {
        let _ = pattern.matches(text);
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
        prop_assert_eq!(key.matches(&name), Ok(true));
        prop_assert_eq!(key.matches(&format!("{prefix}.{name}")), Ok(true));
        prop_assert_eq!(key.matches(&format!("{prefix}{name}")), Ok(false));
    }
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
