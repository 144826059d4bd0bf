//! Writes the files of a plan: every thread takes the next job until none is left.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::files::{Files, block_on};
use super::merge::{Merge, Progress};
use super::output::{OutputFolder, write_failed};
use crate::engine::{FactSum, Merger};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::kernel::Statistics;
use crate::plan::Piece;

/// Write all files of the plan under their hidden names. Returns the statistics of each tensor by number: of all its elements if they were asked
/// for, else of a sample of them.
///
/// # Errors
/// The first error of any thread; the others stop at their next job.
pub(super) fn write_files(merge: &Merge, folder: &OutputFolder) -> Result<BTreeMap<usize, Statistics>> {
    let mut writes = Vec::new();
    for (number, file) in merge.plan.files.iter().enumerate() {
        folder.create(number, file.size)?;
        let pieces = merge.plan.pieces(number, 0..file.size, merge.block, usize::MAX);
        writes.extend(pieces.into_iter().map(|piece| Job::Write(number, piece)));
    }
    let (mut facts, mut gathers) = (BTreeMap::new(), Vec::new());
    for number in 0..merge.plan.tensor_count() {
        let Some(program) = merge.plan.program(number).filter(|program| program.has_facts()) else { continue };
        facts.insert(number, FactSum::of(&program));
        let jobs = program.fact_jobs().enumerate();
        gathers.extend(jobs.map(|(job, elements)| Job::Gather { program: number, job, elements }));
    }
    let shared =
        Shared { merge, folder, facts: Mutex::new(facts), statistics: Mutex::default(), written: Mutex::new(0) };
    shared.run_all(&gathers)?;
    shared.run_all(&writes)?;
    Ok(shared.statistics.into_inner().unwrap_or_default())
}

/// One job of a thread.
enum Job {
    /// Write a piece of the file of that number.
    Write(usize, Piece),
    /// Gather facts.
    Gather { program: usize, job: usize, elements: Range<u64> },
}

/// Do the same work in several threads, as many as the machine runs at once where `threads` is 0, but no more than there are jobs.
///
/// # Errors
/// The first of any thread.
pub(super) fn run_threads(threads: usize, jobs: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads => threads,
    };
    std::thread::scope(|scope| {
        let start = || std::thread::Builder::new().spawn_scoped(scope, &work);
        // Where the system has no more threads, those that it gave do the work.
        let mut running: Vec<_> = (1..threads.min(jobs)).map_while(|_| start().ok()).collect();
        let own = work();
        let others =
            running.drain(..).map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        others.fold(own, |first, result| first.and(result))
    })
}

struct Shared<'a> {
    merge: &'a Merge,
    folder: &'a OutputFolder,
    /// By program.
    facts: Mutex<BTreeMap<usize, FactSum>>,
    /// By tensor.
    statistics: Mutex<BTreeMap<usize, Statistics>>,
    /// Bytes of output.
    written: Mutex<u64>,
}

impl Shared<'_> {
    /// Let every thread take the next job until none is left.
    fn run_all(&self, jobs: &[Job]) -> Result<()> {
        let next = AtomicUsize::new(0);
        run_threads(self.merge.request.threads, jobs.len(), || Thread::new(self).run(jobs, &next))
    }

    /// Report `bytes` more of a file.
    fn report(&self, file: usize, bytes: u64) {
        let Some(call) = &self.merge.request.on_progress else { return };
        if let Ok(mut written) = self.written.lock() {
            *written += bytes;
            let plan = &self.merge.plan;
            call(Progress { bytes: *written, total: plan.output_bytes(), file: &plan.files[file].name });
        }
    }
}

/// One thread: its own input handles, its own merger.
struct Thread<'a> {
    shared: &'a Shared<'a>,
    inputs: Files<'a>,
    merger: Merger,
    /// The program that the merger has.
    loaded: Option<usize>,
    /// The output file that is open.
    output: Option<(usize, File)>,
}

impl<'a> Thread<'a> {
    fn new(shared: &'a Shared<'a>) -> Thread<'a> {
        let Merge { files, request, .. } = shared.merge;
        let merger = Merger::new(request.allow_nonfinite, 0);
        Thread { shared, inputs: Files::new(files, &request.cancel), merger, loaded: None, output: None }
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

    /// Make sure that the merger has the program.
    fn load(&mut self, number: usize) -> Result<()> {
        if self.loaded == Some(number) {
            return Ok(());
        }
        let program = self.shared.merge.plan.program(number).map(|program| program.into_owned());
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
        let Shared { merge, folder, .. } = *self.shared;
        if let Piece::Compute { program, .. } = piece {
            self.load(*program)?;
        }
        let Thread { shared, inputs, merger, output, .. } = self;
        let path = folder.partial(number);
        if output.as_ref().is_none_or(|(open, _)| *open != number) {
            let file = OpenOptions::new().write(true).open(&path).map_err(|e| write_failed(&path, &e))?;
            *output = Some((number, file));
        }
        let Some((_, file)) = output else { return Ok(()) };
        let mut write = |at: u64, bytes: &[u8]| {
            let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
            written.map_err(|e| write_failed(&path, &e))?;
            shared.report(number, bytes.len() as u64);
            Ok(())
        };
        match *piece {
            Piece::Plan { at, bytes } => {
                write(at, &merge.plan.planned_bytes(&merge.plan.files[number], at..at + bytes)?)
            }
            Piece::Copy { at, bytes, input, start } => {
                let mut done = 0;
                while done < bytes {
                    let step = merge.block.min(bytes - done);
                    let span = Span { input, start: start + done, bytes: step };
                    write(at + done, block_on(merger.copy(inputs, span))?)?;
                    done += step;
                }
                Ok(())
            }
            Piece::Compute { at, bytes, program, first, count, skip, .. } => {
                let changed = !merge.plan.tensor(program).updates.is_empty();
                let every = merge.request.statistics;
                let mut found = changed.then(|| if every { Statistics::default() } else { Statistics::sampled() });
                let computed = merger.compute(program, first..first + count, inputs, found.as_mut());
                write(at, &block_on(computed)?[skip as usize..(skip + bytes) as usize])?;
                if let (Some(found), Ok(mut statistics)) = (found, shared.statistics.lock()) {
                    statistics.entry(program).or_default().absorb(&found);
                }
                Ok(())
            }
        }
    }
}
