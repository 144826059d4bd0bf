//! Regular expressions as PEFT uses them: Python's `re`, version 3.11.
//!
//! PEFT's keys are Python's regular expressions, with look-around. A library with look-around is larger than the rest of lorafold. This module
//! parses a pattern into a small `program` and runs it by backtracking, with a `budget` of steps for the whole plan, so that patterns that would
//! run forever are an error. A `table` finds the first of many patterns that matches. What is not supported (conditional groups, `\N{…}`,
//! non-ASCII characters if case is ignored) is refused by name. `\d` matches ASCII digits only; `\w` follows [`char::is_alphanumeric`].

mod budget;
mod class;
mod group;
mod matcher;
mod name;
mod parse;
mod program;
mod table;

use program::Program;

pub use budget::{MatchError, PatternBudget};
pub use table::{Lookup, PatternTable, TableError};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    program: Program,
    /// Match only at the start of the text, as `re.match`; otherwise anywhere, as `re.search`.
    anchored: bool,
}

impl Pattern {
    /// A key of `rank_pattern` or `alpha_pattern`: matches a module's whole path, or the end of it after a dot
    /// (PEFT `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", path)`).
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub fn of_module_suffix(key: &str) -> Result<Pattern, String> {
        // This is PEFT's own text, not an equivalent one: its groups shift the numbers of the key's groups, and a key may even
        // close them.
        compile(r"(.*\.)?(", key, ")$", true)
    }

    /// A field of a configuration that names modules by their whole paths (`re.fullmatch`).
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub fn whole(pattern: &str) -> Result<Pattern, String> {
        compile("(?:", pattern, r")\Z", true)
    }

    /// A pattern that may match anywhere in a name, for `--only` and `--skip`.
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub fn anywhere(pattern: &str) -> Result<Pattern, String> {
        let mut pattern = compile("", pattern, "", false)?;
        pattern.program.drop_optional_start();
        Ok(pattern)
    }

    /// Whether `text` matches. Takes its steps from `budget`.
    ///
    /// # Errors
    /// Why the match could not be decided.
    pub fn matches(&self, text: &str, budget: &mut PatternBudget) -> Result<bool, MatchError> {
        self.matches_characters(&text.chars().collect::<Vec<_>>(), budget)
    }

    /// As [`matches`](Self::matches), for a text that several patterns are matched against.
    fn matches_characters(&self, text: &[char], budget: &mut PatternBudget) -> Result<bool, MatchError> {
        matcher::matches(&self.program, text, self.anchored, budget)
    }
}

fn compile(before: &str, pattern: &str, behind: &str, anchored: bool) -> Result<Pattern, String> {
    let program = parse::parse(&format!("{before}{pattern}{behind}")).map_err(|(fault, position)| {
        let position = position.saturating_sub(before.len()).min(pattern.chars().count());
        format!("{pattern:?} is not a pattern: {fault} (at character {position})")
    })?;
    Ok(Pattern { program, anchored })
}

#[cfg(test)]
mod tests {
    use super::{MatchError, Pattern, PatternBudget};

    fn matches(pattern: &Pattern, text: &str) -> Result<bool, MatchError> {
        pattern.matches(text, &mut PatternBudget::default())
    }

    /// The table of `re.match` results that PEFT itself gives.
    #[test]
    fn suffixes_match_as_in_peft() {
        let path = "model.layers.0.self_attn.q_proj";
        for (key, expected) in [
            ("q_proj", true),
            ("self_attn.q_proj", true),
            ("^model.layers.0.self_attn.q_proj", true),
            ("^q_proj", false),
            ("self_attn", false),
            ("proj", false),
            ("q_proj|v_proj", true),
            (r".*\.0\..*", true),
            ("layers.[0-3].self_attn.(q|k)_proj", true),
            (r"layers\.\d+\.(?!mlp)\w+\.q_proj", true),
            (r"\w+(?<!q_proj)", false),
        ] {
            assert_eq!(matches(&Pattern::of_module_suffix(key).unwrap(), path), Ok(expected), "{key}");
        }
        let ten = Pattern::of_module_suffix("0.self_attn.q_proj").unwrap();
        assert_eq!(matches(&ten, "model.layers.10.self_attn.q_proj"), Ok(false));
    }

    #[test]
    fn errors_say_what_python_says() {
        for (pattern, reason) in [
            ("(", "missing ), unterminated subpattern"),
            (")", "unbalanced parenthesis"),
            ("*a", "nothing to repeat (at character 1)"),
            ("a**", "multiple repeat"),
            (r"a\q", "bad escape (at character 3)"),
            ("[z-a]", "bad character range"),
            ("a{3,2}", "min repeat greater than max repeat"),
            ("(?<=a+)b", "look-behind requires fixed-width pattern"),
            ("a(?i)b", "global flags not at the start of the expression"),
            (r"(a)\2", "invalid group reference"),
        ] {
            let error = Pattern::anywhere(pattern).unwrap_err();
            assert!(error.contains(reason), "{pattern}: {error}");
        }
        let error = Pattern::of_module_suffix("(?i)q_proj").unwrap_err();
        assert!(error.contains("global flags") && error.contains("character 4"), "{error}");
    }

    #[test]
    fn what_would_take_for_ever_is_an_error() {
        let text = "a".repeat(60) + "b";
        for pattern in ["(a+)+$", "(a|a)*c", "(?:(?:a*)*)*c", "(?:){4000000000}"] {
            let pattern = Pattern::anywhere(pattern).unwrap();
            let error = pattern.matches(&text, &mut PatternBudget::new(1_000_000));
            assert!(matches!(error, Err(MatchError::OutOfSteps | MatchError::TooManyChoices)), "{error:?}");
        }
        assert!(Pattern::anywhere(&"a".repeat(100_000)).unwrap_err().contains("too long"));
        assert!(Pattern::anywhere(&"(".repeat(5_000)).unwrap_err().contains("nested"));
        assert_eq!(matches(&Pattern::anywhere("^(?:a|b)*$").unwrap(), &"ab".repeat(40_000)), Ok(true));
        let endless = matches(&Pattern::anywhere("^(?:a|b)*$").unwrap(), &"ab".repeat(1_000_000));
        assert_eq!(endless, Err(MatchError::TooManyChoices));
    }

    /// As in `--only '.*layers.*q_proj'`.
    #[test]
    fn any_characters_before_a_match_take_no_steps() {
        let name = "model.language_model.layers.0.self_attn.k_proj.weight";
        for pattern in [".*layers.*q_proj", ".*self_attn.*", r"\w*.*?(q|v)_proj"] {
            let steps = |pattern: &Pattern| {
                let mut budget = PatternBudget::default();
                let before = budget.left();
                (pattern.matches(name, &mut budget), before - budget.left())
            };
            let given = steps(&super::compile("", pattern, "", false).unwrap());
            let stripped = steps(&Pattern::anywhere(pattern).unwrap());
            assert_eq!(given.0, stripped.0);
            assert!(stripped.1 < 500, "{pattern}: {} steps", stripped.1);
        }
        for (pattern, text, expected) in [
            (".*a|b", "b", true),
            (".*^a", "ba", false),
            (".*", "", true),
            (".*?a", "ba", true),
            (".+a", "a", false),
            (".*+a", "ba", false),
        ] {
            assert_eq!(matches(&Pattern::anywhere(pattern).unwrap(), text), Ok(expected), "{pattern}");
        }
    }

    /// Matches of one plan share its steps.
    #[test]
    fn a_budget_is_for_all_matches() {
        let pattern = Pattern::anywhere("^ab").unwrap();
        let mut budget = PatternBudget::new(1000);
        assert_eq!(pattern.matches("ab", &mut budget), Ok(true));
        let one = 1000 - budget.left();
        for _ in 1..1000 / one {
            assert_eq!(pattern.matches("ab", &mut budget), Ok(true));
        }
        assert_eq!(pattern.matches("ab", &mut budget), Err(MatchError::OutOfSteps));
    }
}
