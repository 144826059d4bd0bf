//! `rank_pattern` and `alpha_pattern`: values by pattern. The first pattern that matches a module wins.

use super::name::{Name, comparable};
use super::{MatchError, Pattern, PatternBudget};
use crate::error::Result;
use crate::model::suffixes::SuffixIndex;

/// Most characters of all regular expressions in a table together. Each compiles to about 40 bytes.
const MAX_LENGTH: usize = 500_000;

/// Values by pattern, in the order of the file.
///
/// A module is looked up in time proportional to its path, plus a match for each key that is a real regular expression.
#[derive(Debug, Clone, Default)]
pub struct PatternTable<T> {
    /// The field of the configuration.
    field: &'static str,
    rows: Vec<Row<T>>,
    /// The rows whose keys are plain names.
    names: SuffixIndex,
    /// The other rows.
    patterns: Vec<(usize, Pattern)>,
}

#[derive(Debug, Clone)]
struct Row<T> {
    key: String,
    value: T,
    /// Only a whole path matches.
    whole: bool,
}

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A key that is not a valid regular expression, or has a part that is not supported.
    #[error("{0}")]
    Pattern(String),
    /// Too many regular expressions.
    #[error("its regular expressions have more than {MAX_LENGTH} characters together")]
    TooLong,
}

impl<T: Copy> PatternTable<T> {
    /// The table of the configuration's `field`, from its keys and values in their order.
    ///
    /// # Errors
    /// Why one of the keys, or all of them together, cannot be used.
    pub fn new(
        field: &'static str,
        entries: impl IntoIterator<Item = (String, T)>,
    ) -> std::result::Result<Self, TableError> {
        let (mut rows, mut names, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        let mut length = 0;
        for (number, (key, value)) in entries.into_iter().enumerate() {
            let name = Name::parse(&key);
            let whole = name.as_ref().is_some_and(|name| name.whole);
            match name {
                Some(name) => names.push((name.bytes, number)),
                None => {
                    length += key.len();
                    if length > MAX_LENGTH {
                        return Err(TableError::TooLong);
                    }
                    patterns.push((number, Pattern::of_module_suffix(&key).map_err(TableError::Pattern)?));
                }
            }
            rows.push(Row { key, value, whole });
        }
        Ok(PatternTable { field, rows, names: SuffixIndex::new(names), patterns })
    }

    /// A lookup of modules. Nothing has been looked up yet.
    pub fn lookup(&self) -> Lookup<'_, T> {
        Lookup { table: self, matched: vec![false; self.rows.len()], pending: (0..self.patterns.len()).collect() }
    }
}

/// Looks modules up in a table, and remembers which of its patterns have matched a module.
#[derive(Debug, Clone)]
pub struct Lookup<'a, T> {
    table: &'a PatternTable<T>,
    /// Whether each row has matched.
    matched: Vec<bool>,
    /// The table's `patterns` that have not matched yet, and a few that have.
    pending: Vec<usize>,
}

impl<'a, T: Copy> Lookup<'a, T> {
    /// The value of the first pattern that matches `module` (PEFT `get_pattern_key`).
    ///
    /// # Errors
    /// `limit-exceeded` when the budget is used up, `unsupported` for a comparison that is not implemented. Both name
    /// the pattern.
    pub fn find(&mut self, module: &str, budget: &mut PatternBudget) -> Result<Option<T>> {
        let by_name = self.find_name(module, budget)?;
        let found = if self.table.patterns.is_empty() {
            by_name
        } else {
            self.find_pattern(&module.chars().collect::<Vec<_>>(), by_name, budget)?
        };
        Ok(found.map(|row| self.table.rows[row].value))
    }

    /// The keys that have matched no module so far, each with its field.
    pub fn unmatched(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a, '_, T> {
        let rows = self.table.rows.iter().zip(&self.matched);
        rows.filter(|(_, matched)| !**matched).map(|(row, _)| (self.table.field, row.key.as_str()))
    }

    /// The first row whose key is a plain name and matches.
    fn find_name(&mut self, module: &str, budget: &mut PatternBudget) -> Result<Option<usize>> {
        let table = self.table;
        let Some(path) = comparable(module) else { return Ok(None) };
        let mut first: Option<usize> = None;
        let mut note = |row: usize, is_whole: bool| {
            if is_whole || !table.rows[row].whole {
                self.matched[row] = true;
                first = Some(first.map_or(row, |first| first.min(row)));
            }
        };
        table
            .names
            .visit(path, &mut |further| budget.spend(further).is_ok(), &mut note)
            .map_err(|row| MatchError::OutOfSteps.of_pattern(table.field, &table.rows[row].key))?;
        Ok(first)
    }

    /// The first row that matches, where `by_name` is the first by name.
    fn find_pattern(
        &mut self,
        module: &[char],
        by_name: Option<usize>,
        budget: &mut PatternBudget,
    ) -> Result<Option<usize>> {
        let Lookup { table, matched, pending } = self;
        let mut matches = |row: usize, pattern: &Pattern| {
            pattern
                .matches_characters(module, budget)
                .map_err(|error| error.of_pattern(table.field, &table.rows[row].key))
        };
        let mut first = by_name;
        for (row, pattern) in &table.patterns {
            if by_name.is_some_and(|by_name| by_name < *row) {
                break;
            }
            if matches(*row, pattern)? {
                matched[*row] = true;
                first = Some(*row);
                break;
            }
        }
        // Patterns after the first matching one matter only for the record of what has matched.
        let mut next = 0;
        while let (Some(first), Some(&number)) = (first, pending.get(next)) {
            let (row, pattern) = &table.patterns[number];
            matched[*row] = matched[*row] || (*row > first && matches(*row, pattern)?);
            if matched[*row] {
                pending.swap_remove(next);
            } else {
                next += 1;
            }
        }
        Ok(first)
    }
}
