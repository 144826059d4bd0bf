//! Merging folders: plan, then every thread takes the next piece until none is left.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::{Files, block_on, failed, list_folder};
use crate::engine::{Budget, Merger};
use crate::error::{Error, Result};
use crate::inputs::{Inputs, try_buffer};
use crate::kernel::Statistics;
use crate::plan::output::OutputFile;
use crate::plan::pieces::Piece;
use crate::plan::{AdapterOptions, MergePlan, PlanOptions, build, open_adapter, open_base};

/// Options of a merge beside those of its plan.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// What is merged, and to which type.
    pub plan: PlanOptions,
    /// Values may leave the finite range.
    pub allow_nonfinite: bool,
    /// Gather statistics for the report.
    pub statistics: bool,
    /// Threads; as many as the machine has when 0.
    pub threads: usize,
    /// Bytes of output in one block; the default budget's when 0.
    pub block_bytes: u64,
    /// Replace a model that is already there.
    pub force: bool,
}

/// What a merge left behind.
#[derive(Debug)]
pub struct Merged {
    /// What was planned.
    pub plan: MergePlan,
    /// The report.
    pub report: serde_json::Value,
}

/// Plan the merge of the adapters (folders or files) into the base, and return the inputs' paths with the plan.
///
/// # Errors
/// Those of opening and planning.
pub fn plan_folders(
    base: &Path,
    adapters: &[(&Path, AdapterOptions)],
    options: &PlanOptions,
) -> Result<(MergePlan, Vec<PathBuf>)> {
    let mut paths = Vec::new();
    let base_folder = list_folder(base, &mut paths)?;
    let folders = adapters.iter().map(|(path, _)| list_folder(path, &mut paths)).collect::<Result<Vec<_>>>()?;
    let inputs = Files::new(paths.clone());
    let plan = block_on(async {
        let base = open_base(&inputs, &base_folder).await?;
        let mut opened = Vec::new();
        for (folder, (_, options)) in folders.iter().zip(adapters) {
            opened.push(open_adapter(&inputs, folder, options).await?);
        }
        build(base, opened, options)
    })?;
    Ok((plan, paths))
}

/// Merge the adapters into the base and write the model to `out`. Files get their names when all are complete.
///
/// # Errors
/// Those of planning and folding; `bad-option` when `out` has files and `force` is not set, or is a folder that the merge
/// reads; `out-of-space`.
pub fn merge_folders(
    base: &Path,
    adapters: &[(&Path, AdapterOptions)],
    out: &Path,
    options: &MergeOptions,
) -> Result<Merged> {
    let (plan, paths) = plan_folders(base, adapters, &options.plan)?;
    refuse_inputs(out, &paths)?;
    if !options.force && fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(Error::bad_option("out", format!("{} is not empty", out.display())));
    }
    let made = !out.exists();
    fs::create_dir_all(out).map_err(|e| failed(out, &e))?;
    // Another process may be merging into the same folder.
    let hidden = |file: &OutputFile| out.join(format!(".{}.{}.partial", file.name, std::process::id()));
    let partials: Vec<PathBuf> = plan.files.iter().map(hidden).collect();
    let written = write_all(&plan, &paths, &partials, options).and_then(|statistics| {
        // config.json is the last: without it no tool takes the folder for a model.
        let mut finished: Vec<(&str, &PathBuf)> =
            plan.files.iter().map(|file| file.name.as_str()).zip(&partials).collect();
        finished.sort_by_key(|(name, _)| *name == "config.json");
        // Nor may an older model's be there while the weights are half replaced.
        if options.force {
            let _ = fs::remove_file(out.join("config.json"));
        }
        for (name, partial) in finished {
            fs::rename(partial, out.join(name)).map_err(|e| failed(partial, &e))?;
        }
        Ok(statistics)
    });
    match written {
        Ok(statistics) => Ok(Merged { report: plan.report(&statistics), plan }),
        Err(error) => {
            for partial in &partials {
                // Best effort: the error that is reported is the one that came first.
                let _ = fs::remove_file(partial);
            }
            if made {
                let _ = fs::remove_dir(out);
            }
            Err(error)
        }
    }
}

/// The output must not take the place of what it is made from. Other spellings and links lead to the same folder.
fn refuse_inputs(out: &Path, inputs: &[PathBuf]) -> Result<()> {
    let Ok(folder) = fs::canonicalize(out) else { return Ok(()) };
    let lies_there = |path: PathBuf| path.parent().is_some_and(|parent| parent == folder);
    let reads = |input: &PathBuf| {
        let beside = input.parent().is_some_and(|parent| fs::canonicalize(parent).is_ok_and(|parent| parent == folder));
        beside || fs::canonicalize(input).is_ok_and(lies_there)
    };
    if inputs.iter().any(reads) {
        let reason = format!("{} is a folder that the merge reads; give it another one", out.display());
        return Err(Error::bad_option("out", reason));
    }
    Ok(())
}

fn write_all(
    plan: &MergePlan,
    paths: &[PathBuf],
    partials: &[PathBuf],
    options: &MergeOptions,
) -> Result<Vec<(usize, Statistics)>> {
    let block = if options.block_bytes == 0 { Budget::default().block_bytes() } else { options.block_bytes };
    let mut jobs = Vec::new();
    for (number, file) in plan.files.iter().enumerate() {
        let partial = File::create(&partials[number]).map_err(|e| failed(&partials[number], &e))?;
        partial.set_len(file.size).map_err(|e| failed(&partials[number], &e))?;
        jobs.extend(plan.pieces(number, 0..file.size, block, usize::MAX).into_iter().map(|piece| (number, piece)));
    }
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    let shared =
        Shared { plan, paths, partials, options, block, jobs, next: AtomicUsize::new(0), statistics: Mutex::default() };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads.min(shared.jobs.len())).map(|_| scope.spawn(|| shared.run())).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    Ok(shared.statistics.into_inner().unwrap_or_default())
}

struct Shared<'a> {
    plan: &'a MergePlan,
    paths: &'a [PathBuf],
    partials: &'a [PathBuf],
    options: &'a MergeOptions,
    block: u64,
    jobs: Vec<(usize, Piece)>,
    next: AtomicUsize,
    statistics: Mutex<Vec<(usize, Statistics)>>,
}

impl Shared<'_> {
    /// One thread: its own input handles, its own folder.
    fn run(&self) -> Result<()> {
        let inputs = Files::new(self.paths.to_vec());
        let mut merger = Merger::new(self.options.allow_nonfinite, 0);
        let mut output: Option<(usize, File)> = None;
        while let Some((number, piece)) = self.jobs.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if output.as_ref().is_none_or(|(open, _)| open != number) {
                let path = &self.partials[*number];
                output = Some((*number, OpenOptions::new().write(true).open(path).map_err(|e| failed(path, &e))?));
            }
            let Some((_, file)) = &mut output else { continue };
            let done = self.write_piece(&inputs, &mut merger, file, *number, piece);
            if done.is_err() {
                // The others stop at their next piece.
                self.next.store(self.jobs.len(), Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    fn write_piece(
        &self,
        inputs: &Files,
        merger: &mut Merger,
        file: &mut File,
        number: usize,
        piece: &Piece,
    ) -> Result<()> {
        let mut write = |at: u64, bytes: &[u8]| {
            file.seek(SeekFrom::Start(at))
                .and_then(|_| file.write_all(bytes))
                .map_err(|e| failed(&self.partials[number], &e))
        };
        match *piece {
            Piece::Plan { at, bytes } => {
                let held = self.plan.files[number].plan_bytes();
                write(at, &held[at as usize..(at + bytes) as usize])
            }
            Piece::Copy { at, bytes, input, start } => {
                let mut buffer = try_buffer(&self.plan.files[number].name, bytes.min(self.block))?;
                let mut done = 0;
                while done < bytes {
                    let step = self.block.min(bytes - done);
                    let part = &mut buffer[..step as usize];
                    block_on(inputs.read(input, start + done, part))?;
                    write(at + done, part)?;
                    done += step;
                }
                Ok(())
            }
            Piece::Merge { at, bytes, tensor, first, count, skip, .. } => {
                let Some(spec) = &self.plan.tensors[tensor].merge else { return Ok(()) };
                let mut found = (self.options.statistics && !spec.terms.is_empty()).then(Statistics::default);
                let merged = block_on(merger.fold(inputs, spec, first, count, found.as_mut()))?;
                write(at, &merged[skip as usize..(skip + bytes) as usize])?;
                if let (Some(found), Ok(mut statistics)) = (found, self.statistics.lock()) {
                    match statistics.iter_mut().find(|(t, _)| *t == tensor) {
                        Some((_, sum)) => sum.absorb(&found),
                        None => statistics.push((tensor, found)),
                    }
                }
                Ok(())
            }
        }
    }
}
