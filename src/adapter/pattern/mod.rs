//! Regular expressions as PEFT uses them: Python's `re`, of 3.11.
//!
//! PEFT's keys are Python's, look-around included; a library that knows these is larger than the rest of lorafold. This
//! one parses into a small `program` and runs it by backtracking, within a number of steps, so that a pattern that
//! would take for ever is an error. What it does not know (conditional groups, `\N{…}`, non-ASCII characters where case
//! is ignored) it refuses by name. `\d` knows ASCII digits only, and `\w` goes by [`char::is_alphanumeric`].

mod class;
mod group;
mod matcher;
mod parse;
mod program;

use program::Program;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    program: Program,
    /// The key where it is a name, as it mostly is: its dots stand for any character. Configurations may list every module.
    name: Option<String>,
    /// Only at the start of the text, as `re.match`; otherwise anywhere, as `re.search`.
    anchored: bool,
}

impl Pattern {
    /// A key of `rank_pattern` or `alpha_pattern`: matches a module's whole path, or the end of it from a dot on
    /// (PEFT `get_pattern_key`: `re.match(rf"(.*\.)?({key})$", path)`).
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub fn of_module_suffix(key: &str) -> Result<Pattern, String> {
        // PEFT's own text, not one that should mean the same: its groups shift the key's numbers, and a key may even
        // close them.
        let mut pattern = compile(r"(.*\.)?(", key, ")$", true)?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        pattern.name = key.chars().all(is_plain).then(|| key.into());
        Ok(pattern)
    }

    /// A pattern that may match anywhere in a name, for `--only` and `--skip`.
    ///
    /// # Errors
    /// Why the pattern cannot be used.
    pub fn anywhere(pattern: &str) -> Result<Pattern, String> {
        compile("", pattern, "", false)
    }

    /// Whether `text` matches.
    ///
    /// # Errors
    /// Why that cannot be said: it takes too many steps to find out.
    pub fn matches(&self, text: &str) -> Result<bool, String> {
        match &self.name {
            // No dot stands for part of a character or for a line's end.
            Some(name) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(ends_with(text.as_bytes(), name.as_bytes()))
            }
            _ => self.search(text),
        }
    }

    fn search(&self, text: &str) -> Result<bool, String> {
        matcher::matches(&self.program, text, self.anchored)
    }
}

fn compile(before: &str, pattern: &str, behind: &str, anchored: bool) -> Result<Pattern, String> {
    let program = parse::parse(&format!("{before}{pattern}{behind}")).map_err(|(fault, position)| {
        let position = position.saturating_sub(before.len()).min(pattern.chars().count());
        format!("{pattern:?} is not a pattern: {fault} (at character {position})")
    })?;
    Ok(Pattern { program, name: None, anchored })
}

/// Whether a path ends in `name`, at its beginning or behind a dot.
fn ends_with(path: &[u8], name: &[u8]) -> bool {
    let Some(start) = path.len().checked_sub(name.len()) else { return false };
    let fits = |(&c, &wanted): (&u8, &u8)| wanted == b'.' || c == wanted;
    path[start..].iter().zip(name).rev().all(fits) && (start == 0 || path[start - 1] == b'.')
}

#[cfg(test)]
mod tests {
    use super::Pattern;

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
            assert_eq!(Pattern::of_module_suffix(key).unwrap().matches(path), Ok(expected), "{key}");
        }
        let ten = Pattern::of_module_suffix("0.self_attn.q_proj").unwrap();
        assert_eq!(ten.matches("model.layers.10.self_attn.q_proj"), Ok(false));
    }

    /// Names are matched without the machine; it must not show.
    #[test]
    fn names_match_as_patterns_do() {
        let names = ["", ".", "a", "a.b", "b", ".b", "b.", "a..b", "aab", "q_a.b", "ab.b"];
        for key in names {
            let pattern = Pattern::of_module_suffix(key).unwrap();
            assert!(pattern.name.is_some());
            for path in names {
                assert_eq!(pattern.matches(path), pattern.search(path), "{key:?} in {path:?}");
            }
        }
        assert_eq!(Pattern::of_module_suffix("a.b").unwrap().matches("aéb"), Ok(true));
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
            assert!(Pattern::anywhere(pattern).unwrap().matches(&text).unwrap_err().contains("steps"), "{pattern}");
        }
        assert!(Pattern::anywhere(&"a".repeat(100_000)).unwrap_err().contains("too long"));
        assert!(Pattern::anywhere(&"(".repeat(5_000)).unwrap_err().contains("nested"));
        assert_eq!(Pattern::anywhere("^(?:a|b)*$").unwrap().matches(&"ab".repeat(40_000)), Ok(true));
    }
}
