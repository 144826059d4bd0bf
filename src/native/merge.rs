//! Merging folders: plan, then every thread takes the next piece until none is left.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::{Files, block_on, list_folder, write_failed};
use crate::engine::{Budget, FactSum, Merger};
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Span;
use crate::kernel::Statistics;
use crate::plan::{AdapterOptions, MergePlan, OutputFile, Piece, PlanOptions, Report, plan};

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
    pub report: Report,
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
    let adapters = adapters.iter().map(|(path, options)| Ok((list_folder(path, &mut paths)?, options.clone())));
    let adapters = adapters.collect::<Result<Vec<_>>>()?;
    let inputs = Files::new(paths.clone());
    let plan = block_on(plan(&inputs, &base_folder, &adapters, options))?;
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
        let error = Error::bad_option("out", format!("{} is not empty", out.display()));
        return Err(error
            .kind(ErrorKind::OutputNotEmpty)
            .file(out.display().to_string())
            .fix("force replaces the model in it"));
    }
    let made = !out.exists();
    fs::create_dir_all(out).map_err(|e| write_failed(out, &e))?;
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
            fs::rename(partial, out.join(name)).map_err(|e| write_failed(partial, &e))?;
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
        let error = Error::bad_option("out", format!("{} is a folder that the merge reads", out.display()));
        return Err(error.kind(ErrorKind::OutputIsInput).file(out.display().to_string()).fix("give another folder"));
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
    let mut facts = HashMap::new();
    for (number, file) in plan.files.iter().enumerate() {
        let partial = File::create(&partials[number]).map_err(|e| write_failed(&partials[number], &e))?;
        partial.set_len(file.size).map_err(|e| write_failed(&partials[number], &e))?;
        for piece in plan.pieces(number, 0..file.size, block, usize::MAX) {
            if let Piece::Compute { program, .. } = piece
                && let Some(found) = plan.program(program).filter(|program| program.has_facts())
            {
                let sum = FactSum::new(found.fact_jobs().count(), found.fact_length());
                facts.entry(program).or_insert(sum);
            }
            jobs.push(Job::Write(number, piece));
        }
    }
    let gathers = facts.keys().flat_map(|&program| {
        let jobs = plan.program(program).into_iter().flat_map(|program| program.fact_jobs()).enumerate();
        jobs.map(move |(job, elements)| Job::Gather { program, job, elements })
    });
    let gathers: Vec<Job> = gathers.collect();
    let shared =
        Shared { plan, paths, partials, options, block, facts: Mutex::new(facts), statistics: Mutex::default() };
    shared.run_all(&gathers)?;
    shared.run_all(&jobs)?;
    Ok(shared.statistics.into_inner().unwrap_or_default())
}

/// What a thread does at a time.
enum Job {
    /// Write a piece of the file of that number.
    Write(usize, Piece),
    /// Gather facts.
    Gather { program: usize, job: usize, elements: Range<u64> },
}

struct Shared<'a> {
    plan: &'a MergePlan,
    paths: &'a [PathBuf],
    partials: &'a [PathBuf],
    options: &'a MergeOptions,
    block: u64,
    /// By program.
    facts: Mutex<HashMap<usize, FactSum>>,
    /// By tensor.
    statistics: Mutex<Vec<(usize, Statistics)>>,
}

impl Shared<'_> {
    /// Let every thread take the next job until none is left.
    fn run_all(&self, jobs: &[Job]) -> Result<()> {
        let threads = match self.options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let start = |_| scope.spawn(|| Thread::new(self).run(jobs, &next));
            let running: Vec<_> = (0..threads.min(jobs.len())).map(start).collect();
            running
                .into_iter()
                .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }
}

/// One thread: its own input handles, its own merger.
struct Thread<'a> {
    shared: &'a Shared<'a>,
    inputs: Files,
    merger: Merger,
    /// The program that the merger has.
    loaded: Option<usize>,
    /// The output file that is open.
    output: Option<(usize, File)>,
}

impl<'a> Thread<'a> {
    fn new(shared: &'a Shared<'a>) -> Thread<'a> {
        let inputs = Files::new(shared.paths.to_vec());
        let merger = Merger::new(shared.options.allow_nonfinite, 0);
        Thread { shared, inputs, merger, loaded: None, output: None }
    }

    fn run(&mut self, jobs: &[Job], next: &AtomicUsize) -> Result<()> {
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = match job {
                Job::Write(number, piece) => self.write_piece(*number, piece),
                Job::Gather { program, job, elements } => self.gather(*program, *job, elements.clone()),
            };
            if done.is_err() {
                // The others stop at their next job.
                next.store(jobs.len(), Ordering::Relaxed);
                return done;
            }
        }
        Ok(())
    }

    /// Have the program in the merger.
    fn load(&mut self, number: usize) -> Result<()> {
        if self.loaded == Some(number) {
            return Ok(());
        }
        let program = self.shared.plan.program(number).map(|program| program.into_owned());
        let program = program.ok_or_else(|| Error::internal(format!("tensor {number} has no program")))?;
        if let Some(before) = self.loaded.replace(number) {
            self.merger.drop_program(before);
        }
        self.merger.load(number, program);
        if let Ok(facts) = self.shared.facts.lock()
            && let Some(bytes) = facts.get(&number).and_then(FactSum::to_bytes)
        {
            self.merger.learn(number, &bytes)?;
        }
        Ok(())
    }

    fn gather(&mut self, program: usize, job: usize, elements: Range<u64>) -> Result<()> {
        self.load(program)?;
        let result = block_on(self.merger.gather(program, elements, &self.inputs))?;
        if let Ok(mut facts) = self.shared.facts.lock()
            && let Some(sum) = facts.get_mut(&program)
        {
            sum.add(job, &result);
        }
        Ok(())
    }

    fn write_piece(&mut self, number: usize, piece: &Piece) -> Result<()> {
        let Shared { plan, partials, options, block, .. } = *self.shared;
        if let Piece::Compute { program, .. } = piece {
            self.load(*program)?;
        }
        let path = &partials[number];
        if self.output.as_ref().is_none_or(|(open, _)| *open != number) {
            let file = OpenOptions::new().write(true).open(path).map_err(|e| write_failed(path, &e))?;
            self.output = Some((number, file));
        }
        let Some((_, file)) = &mut self.output else { return Ok(()) };
        let mut write = |at: u64, bytes: &[u8]| {
            let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
            written.map_err(|e| write_failed(path, &e))
        };
        match *piece {
            Piece::Plan { at, bytes } => write(at, &plan.planned_bytes(&plan.files[number], at..at + bytes)?),
            Piece::Copy { at, bytes, input, start } => {
                let mut done = 0;
                while done < bytes {
                    let step = block.min(bytes - done);
                    let span = Span { input, start: start + done, bytes: step };
                    write(at + done, block_on(self.merger.copy(&self.inputs, span))?)?;
                    done += step;
                }
                Ok(())
            }
            Piece::Compute { at, bytes, program, first, count, skip, .. } => {
                let wanted = options.statistics && !plan.tensor(program).updates.is_empty();
                let mut found = wanted.then(Statistics::default);
                let computed = self.merger.compute(program, first..first + count, &self.inputs, found.as_mut());
                write(at, &block_on(computed)?[skip as usize..(skip + bytes) as usize])?;
                if let (Some(found), Ok(mut statistics)) = (found, self.shared.statistics.lock()) {
                    match statistics.iter_mut().find(|(tensor, _)| *tensor == program) {
                        Some((_, sum)) => sum.absorb(&found),
                        None => statistics.push((program, found)),
                    }
                }
                Ok(())
            }
        }
    }
}
