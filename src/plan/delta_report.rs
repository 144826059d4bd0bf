//! What a method did to the values of the adapters' deltas, as the report says it. In the WebAssembly all of this is in the second half.

use serde::{Serialize, Serializer};

use super::program::Update;
use crate::combine::Fate;

/// What a method did to the values of one adapter's delta in a tensor: numbers of elements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct DeltaReport {
    /// The adapter's name.
    pub adapter: String,
    /// Values of its delta that are not zero.
    pub values: u64,
    /// Those of them that were kept.
    pub kept: u64,
    /// Those of the kept ones whose sign is the elected one, which were added: all, where no signs are elected.
    pub elected: u64,
}

/// The fates of the adapters' deltas by the adapters' names.
#[inline(never)]
pub(super) fn of_fates(fates: &[Fate], updates: &[Update]) -> Vec<DeltaReport> {
    let mut names: Vec<&String> = Vec::new();
    for update in updates {
        if !names.contains(&&update.adapter) {
            names.push(&update.adapter);
        }
    }
    let report = |(name, fate): (&String, &Fate)| {
        let Fate { values, kept, elected } = *fate;
        DeltaReport { adapter: name.clone(), values, kept, elected }
    };
    names.into_iter().zip(fates).map(report).collect()
}

/// The reports of a tensor, where it has some.
///
/// # Errors
/// Those of the serializer.
#[inline(never)]
pub(super) fn serialize<S: Serializer>(reports: &Option<Vec<DeltaReport>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(reports.iter().flatten())
}
