//! Writes the files of a plan: every thread takes the next job until none is left.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use super::files::{Files, block_on};
use super::merge::{Merge, Progress};
use super::output::{OutputFolder, write_failed};
use crate::engine::{FactJob, FactSum, Merger};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::kernel::Statistics;
use crate::plan::{Measured, Piece, Program};

/// Write all files of the plan under their hidden names. Returns the statistics of each tensor by number: of all its elements if they were asked
/// for, else of a sample of them.
///
/// # Errors
/// The first error of any thread; the others stop at their next job.
pub(super) fn write_files(merge: &Merge, folder: &OutputFolder) -> Result<BTreeMap<usize, Measured>> {
    let mut writes = Vec::new();
    for (number, file) in merge.plan.files.iter().enumerate() {
        folder.create(number, file.size)?;
        let pieces = merge.plan.pieces(number, 0..file.size, merge.block, usize::MAX);
        writes.extend(pieces.into_iter().map(|piece| (number, piece)));
    }
    let shared = Shared {
        merge,
        folder,
        facts: Mutex::default(),
        gathered: Condvar::new(),
        statistics: Mutex::default(),
        written: Mutex::new(0),
    };
    shared.run_all(&writes)?;
    Ok(shared.statistics.into_inner().unwrap_or_default())
}

/// A piece of the file of that number.
type Task = (usize, Piece);

/// The facts of a program, and which job of the round is the next to be taken.
struct Gathering {
    sum: FactSum,
    next: usize,
}

/// The number of the next job once a thread has failed: beyond that of any other.
const FAILED: usize = usize::MAX / 2;

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
    facts: Mutex<BTreeMap<usize, Gathering>>,
    /// Told of whenever a round of facts ends, or a thread fails.
    gathered: Condvar,
    /// By tensor.
    statistics: Mutex<BTreeMap<usize, Measured>>,
    /// Bytes of output.
    written: Mutex<u64>,
}

impl Shared<'_> {
    /// Let every thread take the next job until none is left.
    fn run_all(&self, jobs: &[Task]) -> Result<()> {
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
    /// The program that the merger has, and the round of its facts that it has learned of.
    loaded: Option<(usize, u64)>,
    /// The output file that is open.
    output: Option<(usize, File)>,
}

impl<'a> Thread<'a> {
    fn new(shared: &'a Shared<'a>) -> Thread<'a> {
        let Merge { files, request, .. } = shared.merge;
        let merger = Merger::new(request.allow_nonfinite, 0);
        Thread { shared, inputs: Files::new(files, &request.cancel), merger, loaded: None, output: None }
    }

    fn run(&mut self, jobs: &[Task], next: &AtomicUsize) -> Result<()> {
        while let Some((number, piece)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let stopped = || next.load(Ordering::Relaxed) >= FAILED;
            let done = self.write_piece(*number, piece, &stopped);
            if done.is_err() {
                // The others stop at their next job, or where they wait for this one.
                next.store(FAILED, Ordering::Relaxed);
                let _facts = self.shared.facts.lock();
                self.shared.gathered.notify_all();
                return done;
            }
        }
        Ok(())
    }

    /// Have the program in the merger, and what is known of its weight.
    fn load(&mut self, number: usize, program: &Program, round: u64, known: impl FnOnce() -> Vec<u8>) -> Result<()> {
        let before = self.loaded.replace((number, round));
        if before == self.loaded {
            return Ok(());
        }
        if before.is_none_or(|(before, _)| before != number) {
            if let Some((before, _)) = before {
                self.merger.drop_program(before);
            }
            self.merger.load(number, program.clone());
        }
        if round > 0 { self.merger.learn(number, &known()) } else { Ok(()) }
    }

    /// Have all facts of a program gathered: this thread does one job after another until every one is taken, and waits for the others'. False
    /// where another thread has failed.
    fn gather(&mut self, number: usize, stopped: &dyn Fn() -> bool) -> Result<bool> {
        let Shared { merge, facts, gathered, .. } = self.shared;
        let program = merge.plan.program(number);
        let program = program.ok_or_else(|| Error::internal(format!("tensor {number} has no program")))?;
        if !program.has_facts() {
            self.load(number, &program, 0, Vec::new)?;
            return Ok(true);
        }
        let poisoned = |_| Error::internal("a thread has failed");
        loop {
            let mut all = facts.lock().map_err(|_| poisoned(()))?;
            let of = all.entry(number).or_insert_with(|| Gathering { sum: FactSum::of(&program), next: 0 });
            let round = of.sum.round_number();
            if of.sum.is_done() {
                self.load(number, &program, round, || of.sum.to_bytes())?;
                return Ok(true);
            }
            let Some(FactJob { first, count, .. }) = of.sum.job(&program, of.next) else {
                drop(gathered.wait_while(all, |all| {
                    let waits = |of: &Gathering| of.sum.round_number() == round && !of.sum.is_done();
                    !stopped() && all.get(&number).is_some_and(waits)
                }));
                if stopped() {
                    return Ok(false);
                }
                continue;
            };
            of.next += 1;
            self.load(number, &program, round, || of.sum.to_bytes())?;
            drop(all);
            let result = block_on(self.merger.gather(number, first..first + count, &self.inputs))?;
            let mut all = facts.lock().map_err(|_| poisoned(()))?;
            if let Some(of) = all.get_mut(&number) {
                of.sum.add(&program, &result);
                if of.sum.round_number() != round {
                    of.next = 0;
                    gathered.notify_all();
                }
            }
        }
    }

    fn write_piece(&mut self, number: usize, piece: &Piece, stopped: &dyn Fn() -> bool) -> Result<()> {
        let Shared { merge, folder, .. } = *self.shared;
        if let Piece::Compute { program, .. } = piece
            && !self.gather(*program, stopped)?
        {
            return Ok(());
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
                    statistics.entry(program).or_default().absorb(&found, merger.fates());
                }
                Ok(())
            }
        }
    }
}
