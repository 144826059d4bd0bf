//! Verifying a merged folder with threads.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::builder::MergeBuilder;
use super::files::{Files, InputFile, block_on, list_folder};
use super::threads::run_threads;
use crate::error::{Error, Result};
use crate::verify::{CheckJob, Verification, Verifier, VerifyReport};

impl MergeBuilder {
    /// Whether the model in the folder `merged` is what this merge would give, whoever made it, and what it is where it is not. It may have other
    /// shards and other element types than the merge would have.
    ///
    /// # Errors
    /// Those of [`plan`](MergeBuilder::plan), of a base for `merged`, and of [`Merge::run`](super::Merge::run) as far as reading goes.
    pub fn verify(self, merged: impl AsRef<Path>) -> Result<VerifyReport> {
        let (base, adapters, mut files) = self.listings()?;
        let merged = list_folder(merged.as_ref(), &mut files)?;
        let inputs = Files::new(&files, &self.cancel);
        let mut verification = block_on(Verification::open(&inputs, &base, &adapters, &self.plan, &merged))?;
        loop {
            let jobs = verification.jobs();
            if jobs.is_empty() {
                break;
            }
            for (job, result) in jobs.iter().zip(run_jobs(&self, &files, &verification, &jobs)?) {
                verification.add(job, &result);
            }
        }
        files.iter().try_for_each(InputFile::check_unchanged)?;
        Ok(verification.report())
    }
}

/// The results of jobs, in their order.
fn run_jobs(
    request: &MergeBuilder,
    files: &[InputFile],
    verification: &Verification,
    jobs: &[CheckJob],
) -> Result<Vec<Vec<u8>>> {
    let results = Mutex::new(vec![Vec::new(); jobs.len()]);
    let next = AtomicUsize::new(0);
    run_threads(request.threads, jobs.len(), || {
        let inputs = Files::new(files, &request.cancel);
        let (mut verifier, mut loaded) = (Verifier::new(0), None);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(number) else { return Ok(()) };
            let mut run = || {
                if loaded != Some(job.check) {
                    if let Some(before) = loaded.replace(job.check) {
                        verifier.drop_check(before);
                    }
                    let check = verification.check(job.check);
                    verifier.load(job.check, &check.ok_or_else(|| Error::internal("there is no such check"))?)?;
                }
                block_on(verifier.run(job.check, job.elements(), &inputs))
            };
            match run() {
                Ok(result) => {
                    if let Ok(mut results) = results.lock() {
                        results[number] = result;
                    }
                }
                Err(error) => {
                    // The others stop at their next job.
                    next.store(jobs.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    })?;
    Ok(results.into_inner().unwrap_or_default())
}
