//! Keys that are names rather than regular expressions, as most keys are: these need no matcher.

use crate::model::suffixes::ANY;

/// A key that matches the end of a path by plain comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// ASCII, with [`ANY`] for a dot that is not escaped.
    pub(super) bytes: Vec<u8>,
    /// It began with `^`: it must be the whole path.
    pub(super) whole: bool,
}

impl Name {
    /// Read `key` where it has nothing of a regular expression but dots, escaped dots and a `^` before it.
    pub(super) fn parse(key: &str) -> Option<Name> {
        let (name, whole) = match key.strip_prefix('^') {
            Some(name) => (name, true),
            None => (key, false),
        };
        let mut bytes = Vec::with_capacity(name.len());
        let mut rest = name.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'.' => ANY,
                b'\\' if rest.next() == Some(b'.') => b'.',
                b'_' | b'-' => byte,
                _ if byte.is_ascii_alphanumeric() => byte,
                _ => return None,
            });
        }
        Some(Name { bytes, whole })
    }
}

/// The part of `path` that a name can be the end of. Python's `$` is also before a line feed at the end; no dot, neither
/// of the key nor of PEFT's `.*` before it, stands for one.
pub(super) fn comparable(path: &str) -> Option<&str> {
    let path = path.strip_suffix('\n').unwrap_or(path);
    (!path.contains('\n')).then_some(path)
}
