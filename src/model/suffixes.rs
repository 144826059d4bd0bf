//! Finds which of many names a dotted path ends with, in one pass over the path from its end.
//!
//! A name matches if it is the whole path, or its end after a dot. The names are sorted by their reversed bytes, so that
//! those that agree with the end of the path so far are always neighbours.

use crate::order::sort_by;
use std::ops::Range;

/// In a name, stands for any one character except a line feed. UTF-8 has no such byte.
pub(crate) const ANY: u8 = 0xff;

/// Names to be found at the ends of paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct SuffixIndex {
    /// In the order of their reversed bytes: a name comes before the longer names that end with it.
    names: Vec<Name>,
}

#[derive(Debug, Clone)]
struct Name {
    reversed: Box<[u8]>,
    number: usize,
}

/// Names that agree with the end of the path, in their last `depth` bytes.
struct Candidates {
    names: Range<usize>,
    depth: usize,
}

impl SuffixIndex {
    /// An index of names and their numbers. A name is UTF-8, with [`ANY`] in place of any character.
    pub(crate) fn new(names: impl IntoIterator<Item = (Vec<u8>, usize)>) -> SuffixIndex {
        let reversed = |(mut name, number): (Vec<u8>, usize)| {
            name.reverse();
            Name { reversed: name.into(), number }
        };
        let mut names: Vec<Name> = names.into_iter().map(reversed).collect();
        sort_by(&mut names, |one, other| one.reversed.cmp(&other.reversed));
        SuffixIndex { names }
    }

    /// Call `found` with the number of every name that `path` ends with, and whether it is the whole path.
    ///
    /// Without [`ANY`] in the names this is linear in the path's length. Otherwise it takes one more step for each further branch that has to be
    /// followed, and `spend` is told their number at each character.
    ///
    /// # Errors
    /// If `spend` says no: the number of a name that was being compared.
    pub(crate) fn visit(
        &self,
        path: &str,
        spend: &mut dyn FnMut(usize) -> bool,
        found: &mut dyn FnMut(usize, bool),
    ) -> Result<(), usize> {
        let mut candidates = vec![Candidates { names: 0..self.names.len(), depth: 0 }];
        let mut narrowed = Vec::new();
        let mut rest = path;
        while let Some(Candidates { names, .. }) = candidates.first() {
            let compared = self.names.get(names.start).map_or(0, |name| name.number);
            if !spend(candidates.len() - 1) {
                return Err(compared);
            }
            let at_start = rest.is_empty() || rest.ends_with('.');
            for Candidates { names, depth } in &mut candidates {
                while let Some(name) = self.names[names.clone()].first().filter(|name| name.reversed.len() == *depth) {
                    names.start += 1;
                    if at_start {
                        found(name.number, rest.is_empty());
                    }
                }
            }
            let Some(c) = rest.chars().next_back() else { break };
            rest = &rest[..rest.len() - c.len_utf8()];
            for candidates in candidates.drain(..) {
                narrowed.extend(self.with_character(&candidates, c));
                narrowed.extend(if c == '\n' { None } else { self.with_byte(&candidates, ANY) });
            }
            std::mem::swap(&mut candidates, &mut narrowed);
        }
        Ok(())
    }

    /// [`visit`](Self::visit) for names without [`ANY`]. Returns the number of characters that were looked at.
    pub(crate) fn visit_all(&self, path: &str, found: &mut dyn FnMut(usize, bool)) -> usize {
        let mut characters = 0;
        let mut count = |_| {
            characters += 1;
            true
        };
        // This closure never says no.
        let _ = self.visit(path, &mut count, found);
        characters
    }

    /// The candidates whose next character is `c` itself.
    fn with_character(&self, candidates: &Candidates, c: char) -> Option<Candidates> {
        let mut buffer = [0; 4];
        let (&last, before) = c.encode_utf8(&mut buffer).as_bytes().split_last()?;
        let first = self.with_byte(candidates, last)?;
        before.iter().rev().try_fold(first, |candidates, &byte| self.with_byte(&candidates, byte))
    }

    /// The candidates whose next byte is `byte`.
    fn with_byte(&self, candidates: &Candidates, byte: u8) -> Option<Candidates> {
        let &Candidates { names: Range { start, end }, depth } = candidates;
        let names = &self.names[start..end];
        let next = |name: &Name| name.reversed.get(depth).copied();
        let (first, last) = (next(names.first()?), next(names.last()?));
        // Mostly all of them or none match, and nothing has to be searched.
        let names = if first == Some(byte) && last == Some(byte) {
            start..end
        } else if first > Some(byte) || last < Some(byte) {
            return None;
        } else {
            let from = names.partition_point(|name| next(name) < Some(byte));
            let to = names.partition_point(|name| next(name) <= Some(byte));
            start + from..start + to
        };
        (!names.is_empty()).then_some(Candidates { names, depth: depth + 1 })
    }
}
