//! Adapters from folders of adapters, and from folders of models.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::builder::AdapterFolder;
use super::cancel::Cancel;
use super::files::{Files, InputFile, block_on, list_folder};
use super::merge::{OnProgress, Progress};
use super::output::{OutputFolder, write_failed};
use crate::error::{Error, Result};
use crate::factors::{
    AdapterFiles, CombineOptions, ExtractOptions, Factored, FactorsPlan, FactorsReport, Outcome, Slot, plan_combine,
    plan_extract,
};
use crate::inputs::Inputs;

/// An adapter that is made of others, or of two models.
///
/// ```no_run
/// # fn main() -> lorafold::Result<()> {
/// use lorafold::{AdapterFolder, CombineOptions, ExtractOptions, NewAdapter};
///
/// let style = AdapterFolder::new("adapters/style").weight(0.7);
/// NewAdapter::combined([style, "adapters/detail".into()], CombineOptions::default()).run("adapters/both")?;
/// NewAdapter::extracted("models/base", "models/tuned", ExtractOptions::default()).run("adapters/tuned")?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct NewAdapter {
    from: From,
    threads: usize,
    force: bool,
    on_progress: Option<OnProgress>,
    cancel: Cancel,
}

enum From {
    Adapters(Vec<AdapterFolder>, Option<PathBuf>, CombineOptions),
    Models(PathBuf, PathBuf, ExtractOptions),
}

impl NewAdapter {
    /// Of adapters, each with its weight.
    pub fn combined(adapters: impl IntoIterator<Item = AdapterFolder>, options: CombineOptions) -> NewAdapter {
        NewAdapter::of(From::Adapters(adapters.into_iter().collect(), None, options))
    }

    /// Of a fine-tuned model and its base: folders, or `.safetensors` files.
    pub fn extracted(base: impl Into<PathBuf>, tuned: impl Into<PathBuf>, options: ExtractOptions) -> NewAdapter {
        NewAdapter::of(From::Models(base.into(), tuned.into(), options))
    }

    fn of(from: From) -> NewAdapter {
        NewAdapter { from, threads: 0, force: false, on_progress: None, cancel: Cancel::default() }
    }

    /// The base of the adapters that are combined: a folder, or a `.safetensors` file. Its headers are read, for the shapes of layers that the
    /// adapters do not tell.
    pub fn base(mut self, folder: impl Into<PathBuf>) -> NewAdapter {
        if let From::Adapters(_, base, _) = &mut self.from {
            *base = Some(folder.into());
        }
        self
    }

    /// Number of threads; as many as the machine runs at once when 0, the default.
    pub fn threads(mut self, threads: usize) -> NewAdapter {
        self.threads = threads;
        self
    }

    /// Replace an adapter that is in the output folder.
    pub fn force(mut self, force: bool) -> NewAdapter {
        self.force = force;
        self
    }

    /// Called whenever a part is computed, by one thread at a time. Bytes are those of the weights that the parts are for, in f32.
    pub fn on_progress(mut self, call: impl Fn(Progress<'_>) + Send + Sync + 'static) -> NewAdapter {
        self.on_progress = Some(Box::new(call));
        self
    }

    /// Stop when somebody cancels the token.
    pub fn cancel(mut self, cancel: Cancel) -> NewAdapter {
        self.cancel = cancel;
        self
    }

    /// Make the adapter, and write it to the folder `out`. Its files get their names when both are complete; after an error the folder is as it
    /// was.
    ///
    /// # Errors
    /// Those of [`plan_combine`] or [`plan_extract`], and of [`Merge::run`](crate::Merge::run).
    pub fn run(self, out: impl AsRef<Path>) -> Result<FactorsReport> {
        let mut files = Vec::new();
        let plan = match &self.from {
            From::Adapters(adapters, base, options) => {
                let listed = adapters.iter().map(|adapter| adapter.list(&mut files)).collect::<Result<Vec<_>>>()?;
                let base = base.as_ref().map(|base| list_folder(base, &mut files)).transpose()?;
                block_on(plan_combine(&Files::new(&files, &self.cancel), &listed, base.as_ref(), options))?
            }
            From::Models(base, tuned, options) => {
                let (base, tuned) = (list_folder(base, &mut files)?, list_folder(tuned, &mut files)?);
                block_on(plan_extract(&Files::new(&files, &self.cancel), &base, &tuned, options))?
            }
        };
        let names = vec!["adapter_config.json".to_string(), "adapter_model.safetensors".to_string()];
        let folder = OutputFolder::open(out.as_ref(), names, &files, self.force)?;
        let parts = self.compute(&plan, &files)?;
        let outcomes: Vec<Outcome> = parts.iter().map(|part| part.outcome).collect();
        let made = plan.finish(&outcomes)?;
        self.write(&folder, &made, &parts, &files)?;
        files.iter().try_for_each(InputFile::check_unchanged)?;
        self.cancel.check()?;
        folder.publish()?;
        Ok(made.report)
    }

    /// All parts, in their order: every thread takes the next one until none is left.
    fn compute(&self, plan: &FactorsPlan, files: &[InputFile]) -> Result<Vec<Factored>> {
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        let done = Mutex::new((Vec::<(usize, Factored)>::new(), 0));
        let total: u64 = (0..plan.parts()).map(|part| plan.elements(part) * 4).sum();
        let work = || {
            let inputs = Files::new(files, &self.cancel);
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= plan.parts() {
                    return;
                }
                match (block_on(plan.compute(part, &inputs)), done.lock()) {
                    (Ok(factored), Ok(mut done)) => {
                        done.0.push((part, factored));
                        done.1 += plan.elements(part) * 4;
                        if let Some(call) = &self.on_progress {
                            call(Progress { bytes: done.1, total, file: plan.name(part) });
                        }
                    }
                    (Err(error), _) => {
                        // The others stop at their next part; the error of the first part is told, whoever was faster.
                        next.store(plan.parts(), Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock()
                            && failed.as_ref().is_none_or(|(earlier, _)| part < *earlier)
                        {
                            *failed = Some((part, error));
                        }
                        return;
                    }
                    (_, Err(_)) => return,
                }
            }
        };
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if self.threads == 0 { cores() } else { self.threads };
        std::thread::scope(|scope| {
            for _ in 1..threads.min(plan.parts()) {
                scope.spawn(work);
            }
            work();
        });
        if let Ok(Some((_, error))) = failed.into_inner() {
            return Err(error);
        }
        let (mut parts, _) = done.into_inner().map_err(|_| Error::internal("a thread has failed"))?;
        parts.sort_by_key(|(part, _)| *part);
        Ok(parts.into_iter().map(|(_, factored)| factored).collect())
    }

    fn write(&self, folder: &OutputFolder, made: &AdapterFiles, parts: &[Factored], files: &[InputFile]) -> Result<()> {
        let open = |number: usize| -> Result<(PathBuf, File)> {
            folder.create(number, made.files()[number].1)?;
            let path = folder.partial(number);
            let file = OpenOptions::new().write(true).open(&path).map_err(|e| write_failed(&path, &e))?;
            Ok((path, file))
        };
        let (path, mut config) = open(0)?;
        config.write_all(&made.config).map_err(|e| write_failed(&path, &e))?;
        let (path, mut weights) = open(1)?;
        let mut write = |bytes: &[u8]| weights.write_all(bytes).map_err(|e| write_failed(&path, &e));
        write(&made.header)?;
        let inputs = Files::new(files, &self.cancel);
        let mut buffer = Vec::new();
        for slot in &made.slots {
            match *slot {
                Slot::Values { part, side, .. } => write(&parts[part].values[side])?,
                Slot::Copy(span) => {
                    const STEP: u64 = 1 << 20;
                    let mut at = 0;
                    while at < span.bytes {
                        let step = STEP.min(span.bytes - at);
                        buffer.resize(step as usize, 0);
                        block_on(inputs.read(span.input, span.start + at, &mut buffer))?;
                        write(&buffer)?;
                        at += step;
                    }
                }
            }
        }
        Ok(())
    }
}
