//! Keys that are plain names, as most keys are. They need no matcher.

use crate::model::suffixes::ANY;

/// A key that matches the end of a path by plain comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    /// ASCII, with [`ANY`] for a dot that is not escaped.
    pub(super) bytes: Vec<u8>,
    /// Whether it began with `^`, so that it must be the whole path.
    pub(super) whole: bool,
}

impl Name {
    /// Read `key`, if it has nothing of a regular expression but dots, escaped dots and a leading `^`.
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

/// The part of `path` that may end with a name. Python's `$` also matches before a line feed at the end. No dot matches a line feed,
/// neither one of the key nor that of PEFT's `.*` before it.
pub(super) fn comparable(path: &str) -> Option<&str> {
    let path = path.strip_suffix('\n').unwrap_or(path);
    (!path.contains('\n')).then_some(path)
}
