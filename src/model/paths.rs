//! The names of a base's tensors, sorted, so that names that begin alike are neighbours.

use crate::json::sorted;
use std::ops::Range;

/// Names of a base.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths<'a>(Vec<&'a str>);

/// The names with a common beginning: their numbers, and the length of the beginning in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) numbers: Range<usize>,
    bytes: usize,
}

impl<'a> Paths<'a> {
    pub(super) fn new(names: &[&'a str]) -> Paths<'a> {
        Paths(sorted(names.to_vec()))
    }

    pub(super) fn all(&self) -> &[&'a str] {
        &self.0
    }

    pub(super) fn get(&self, number: usize) -> &'a str {
        self.0.get(number).copied().unwrap_or_default()
    }

    /// The names that begin with `prefix`.
    pub(super) fn behind(&self, prefix: &str) -> Behind {
        let start = self.0.partition_point(|path| *path < prefix);
        let count = self.0[start..].partition_point(|path| path.starts_with(prefix));
        Behind { numbers: start..start + count, bytes: prefix.len() }
    }

    /// The number of the name that continues with `rest`. No text is built for it, however long the beginning is.
    pub(super) fn find(&self, behind: &Behind, rest: &str) -> Option<usize> {
        let among = self.0.get(behind.numbers.clone())?;
        let found = among.binary_search_by(|path| path.get(behind.bytes..).unwrap_or_default().cmp(rest));
        found.ok().map(|number| behind.numbers.start + number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_alike_is_found_by_its_end() {
        let paths = Paths::new(&["b.c", "a.b", "a", "a.bc", "ab", "a.b"]);
        let behind = paths.behind("a.");
        assert_eq!(paths.all()[behind.numbers.clone()], ["a.b", "a.bc"]);
        assert_eq!(paths.find(&behind, "bc").map(|number| paths.get(number)), Some("a.bc"));
        assert_eq!(paths.find(&behind, "c"), None);
        assert_eq!(paths.find(&paths.behind(""), "b.c"), Some(4));
        assert_eq!(paths.behind("c").numbers, 5..5);
        assert_eq!(paths.get(5), "");
    }
}
