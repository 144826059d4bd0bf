//! Lists of names.

use crate::order::sort;

/// The names, sorted, each once.
pub(crate) fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    sort(&mut names);
    names.dedup();
    names
}

/// A name that is there twice.
pub(crate) fn repeated(mut names: Vec<&str>) -> Option<&str> {
    sort(&mut names);
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
