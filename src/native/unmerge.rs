//! Taking adapters out of a merged folder.

use std::path::Path;

use super::builder::MergeBuilder;
use super::merge::Merged;
use crate::error::{Error, Result};

/// What taking adapters out of a merged model left behind.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unmerged {
    /// What was planned and written.
    pub merged: Merged,
    /// The tensors that are not what they were before the merge, as far as can be told.
    pub inexact: Vec<Inexact>,
}

/// A tensor that cannot be had back exactly: the roundings of the merge have lost bits. Merged again, so many of its elements are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inexact {
    /// Its name.
    pub name: String,
    /// Number of elements.
    pub elements: u64,
    /// Elements that merging the result again does not give back bit for bit.
    pub inexact: u64,
}

impl MergeBuilder {
    /// Take the adapters out of the [base](MergeBuilder::base), which is a merged model, and write what is left to the folder `out`. Then the result is
    /// merged again and compared, bit by bit.
    ///
    /// # Errors
    /// Those of [`plan`](MergeBuilder::plan) and [`Merge::run`](super::Merge::run); `unsupported` for adapters whose merge cannot be taken back.
    pub fn unmerge(mut self, out: impl AsRef<Path>) -> Result<Unmerged> {
        let again = self.of_another_base(out.as_ref().to_path_buf());
        let merged = self.base.clone().ok_or_else(|| Error::bad_option("base", "no merged model is given"))?;
        self.plan.unmerge = true;
        let written = self.plan()?.run(out)?;
        let report = again.verify(merged)?;
        let changed = report.tensors.into_iter().filter(|tensor| tensor.merged && tensor.equal < tensor.elements);
        let inexact = changed.map(|tensor| Inexact {
            name: tensor.name,
            elements: tensor.elements,
            inexact: tensor.elements - tensor.equal,
        });
        Ok(Unmerged { inexact: inexact.collect(), merged: written })
    }
}
