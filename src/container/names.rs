//! Numbers by name.

use std::collections::HashMap;

/// A number for each name.
#[derive(Default)]
pub(crate) struct Names<'a>(HashMap<&'a str, usize>);

impl<'a> Names<'a> {
    /// Give `name` a number, and return the one it had.
    pub(crate) fn insert(&mut self, name: &'a str, number: usize) -> Option<usize> {
        self.0.insert(name, number)
    }

    /// The number of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        self.0.get(name).copied()
    }

    /// The names, sorted.
    pub(crate) fn sorted(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }
}
