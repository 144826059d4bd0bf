//! A merge of folders, from its plan to its report.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::builder::MergeBuilder;
use super::files::InputFile;
use super::output::OutputFolder;
use super::receipt::{hash, statement};
use super::threads::write_files;
use crate::error::Result;
use crate::plan::{Measured, MergePlan, Report};

/// A planned merge of folders. Every mistake that headers and configurations can show would have been an error before.
///
/// ```no_run
/// # fn main() -> lorafold::Result<()> {
/// use lorafold::{AdapterFolder, Merge};
///
/// let merge = Merge::builder()
///     .base("models/base")
///     .adapter("adapters/style")
///     .adapter(AdapterFolder::new("adapters/detail").weight(0.5))
///     .dtype("bfloat16")
///     .plan()?;
/// for finding in &merge.plan().findings {
///     eprintln!("{}", finding.message);
/// }
/// merge.run("models/merged")?;
/// # Ok(())
/// # }
/// ```
pub struct Merge {
    pub(super) plan: MergePlan,
    /// Inputs by number.
    pub(super) files: Vec<InputFile>,
    /// Bytes of output in one block.
    pub(super) block: u64,
    pub(super) request: MergeBuilder,
}

/// The progress of a merge.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// Bytes of output written.
    pub bytes: u64,
    /// Bytes of output in all.
    pub total: u64,
    /// The file that the latest bytes belong to.
    pub file: &'a str,
}

/// A function that is called with the progress.
pub(super) type OnProgress = Box<dyn Fn(Progress<'_>) + Send + Sync>;

/// The result of a merge.
#[derive(Debug)]
#[non_exhaustive]
pub struct Merged {
    /// What was planned.
    pub plan: MergePlan,
    /// What was found out of each merged tensor, by its number: of all its elements if statistics were asked for, else of a sample of them.
    pub statistics: BTreeMap<usize, Measured>,
    /// The receipt, where one was [asked for](MergeBuilder::receipt): an in-toto Statement in JSON.
    pub receipt: Option<Value>,
}

impl Merged {
    /// The report, with the statistics. Each call makes it anew. For a large model it takes more memory than the plan;
    /// [`MergePlan::tensor_reports`] gives its tensors one by one.
    pub fn report(&self) -> Report {
        self.plan.report(&self.statistics)
    }
}

impl Merge {
    /// Describe a merge: at least a [base](MergeBuilder::base), then [`plan`](MergeBuilder::plan) it.
    pub fn builder() -> MergeBuilder {
        MergeBuilder::default()
    }

    /// What was planned: output files, findings, report.
    pub fn plan(&self) -> &MergePlan {
        &self.plan
    }

    /// Write the model to the folder `out`. Its files get their names when all are complete. After an error the folder is as it was.
    ///
    /// # Errors
    /// `bad-option` if `out` has files in it and [`force`](MergeBuilder::force) is not set, or if the merge reads that folder;
    /// `non-finite`; `source-changed` if an input has changed since the merge was planned; `fetch-failed`, `write-failed`,
    /// `out-of-space`; `limit-exceeded` if there is not enough memory; `aborted`.
    pub fn run(self, out: impl AsRef<Path>) -> Result<Merged> {
        let names = self.plan.files.iter().map(|file| file.name.clone()).collect();
        let folder = OutputFolder::open(out.as_ref(), names, &self.files, self.request.force)?;
        let statistics = write_files(&self, &folder)?;
        // The output comes from several reads. If an input was replaced between two of them, the output would be a mixture.
        self.files.iter().try_for_each(InputFile::check_unchanged)?;
        self.request.cancel.check()?;
        let receipt = self.receipt(&folder)?;
        folder.publish()?;
        Ok(Merged { plan: self.plan, statistics, receipt })
    }

    /// The receipt of what was written to `folder`, where one is asked for.
    fn receipt(&self, folder: &OutputFolder) -> Result<Option<Value>> {
        let Some(metadata) = &self.request.receipt else { return Ok(None) };
        let mut files = Vec::with_capacity(self.plan.files.len());
        for (number, file) in self.plan.files.iter().enumerate() {
            files.push((file.name.clone(), hash(&folder.partial(number), &self.request.cancel)?));
        }
        Ok(Some(statement(&self.plan, &self.request, &files, metadata)))
    }
}
