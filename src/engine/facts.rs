//! Facts of whole weights, gathered by jobs in rounds: what methods must know of a weight, then which values of the adapters' deltas are the
//! largest, then sums over what is left of them.
//!
//! The jobs of a round may end in any order, on any number of workers. Sums are added in the order of the jobs, and everything else is counts,
//! so that neither can show. A round's jobs need what the rounds before found ([`FactSum::to_bytes`]).

use std::ops::Range;

use serde::Serialize;

use crate::combine::{Combine, Selection, Tally};
use crate::inputs::Span;
use crate::op::{Fact, Rounds};
use crate::plan::Program;
use crate::wire::{Wire, wire, wire_enum};

/// A job that gathers what a program must know of its whole weight.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FactJob {
    /// First element that it goes through.
    pub first: u64,
    /// Number of elements.
    pub count: u64,
    /// The bytes of inputs that it needs, as far as they are not operands of the program.
    pub reads: Vec<Span>,
}

/// What a round gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// What the updates must know of the weight.
    Updates,
    /// Which values of the deltas are the largest.
    Largest,
    /// Sums over the deltas.
    Sums,
    /// Nothing: all is known.
    Done,
}

wire_enum!(Stage { Updates, Largest, Sums, Done });

/// What is known of the whole weight of a program.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    /// The round that is under way, from 0.
    pub(super) round: u64,
    /// What it gathers.
    pub(super) stage: Stage,
    /// The facts of all updates, as [`Program::fact_range`] divides them; of what takes several rounds what the next one needs. Empty until a round
    /// is over, where none takes several.
    pub(super) updates: Vec<f64>,
    /// The largest values.
    pub(super) selections: Vec<Selection>,
    /// Sums over the deltas.
    pub(super) sums: Vec<f64>,
}

wire!(Known { round, stage, updates, selections, sums });

impl Known {
    /// What is known before anything is gathered.
    pub(super) fn start(program: &Program) -> Known {
        let sampled = program.deltas_alone();
        let rule = program.combine.rule();
        let selections = rule.map(|rule| rule.selections(program.elements(), sampled)).unwrap_or_default();
        let mut updates = Vec::new();
        for (number, _) in leading(program) {
            updates.resize(program.fact_length(), 0.0);
            if let Some(fact) = program.fact_range(number).and_then(|range| updates.get_mut(range)) {
                Rounds::start(fact);
            }
        }
        let mut known = Known { round: 0, stage: Stage::Updates, updates, selections, sums: Vec::new() };
        if program.fact_length() == 0 {
            known.next_stage(&program.combine);
        }
        known
    }

    fn next_stage(&mut self, combine: &Combine) {
        let sought = self.selections.iter().any(|selection| selection.search().is_some());
        self.stage = match self.stage {
            Stage::Updates | Stage::Largest if sought => Stage::Largest,
            Stage::Updates | Stage::Largest if combine.rule().is_some_and(|rule| rule.sums() > 0) => Stage::Sums,
            _ => Stage::Done,
        };
    }

    /// The elements of each job of the round.
    fn jobs(&self, program: &Program) -> Vec<Range<u64>> {
        let samples = |selection: &Selection| selection.search().is_some_and(|search| search.samples());
        match self.stage {
            Stage::Done => Vec::new(),
            Stage::Largest if self.selections.iter().all(|one| one.found().is_some() || samples(one)) => {
                program.fact_jobs(crate::combine::SAMPLED).collect()
            }
            _ => program.fact_jobs(1).collect(),
        }
    }
}

/// The updates whose fact takes several rounds: which they are, and of what rank.
fn leading(program: &Program) -> impl Iterator<Item = (usize, u64)> + '_ {
    program.updates.iter().enumerate().filter_map(|(number, update)| match update.op.fact() {
        Some(Fact::Leading(rank)) => Some((number, rank)),
        _ => None,
    })
}

/// The result of a job.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The round that it was gathered in.
    pub(super) round: u64,
    /// The first element of the job.
    pub(super) first: u64,
    /// How many it went through.
    pub(super) count: u64,
    /// Parts of sums.
    pub(super) sums: Vec<f64>,
    /// Of each selection that is sought.
    pub(super) tallies: Vec<Tally>,
}

wire!(Gathered { round, first, count, sums, tallies });

impl Gathered {
    /// As it goes back from a worker.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }
}

/// What the jobs of one program have found so far.
#[derive(Debug)]
pub struct FactSum {
    known: Known,
    /// The round's jobs.
    jobs: Vec<Range<u64>>,
    /// Which of them are in.
    ended: Vec<bool>,
    /// How many sums, those of the first jobs, are added up.
    added: usize,
    sums: Vec<f64>,
    /// Sums of later jobs, with their numbers: as many as are under way at the same time.
    waiting: Vec<(usize, Vec<f64>)>,
    tallies: Vec<Tally>,
    /// By their updates' numbers, the facts that take several rounds; nothing in place of one that is known.
    searches: Vec<(usize, Option<Rounds>)>,
}

impl FactSum {
    /// Nothing is known yet.
    pub fn of(program: &Program) -> FactSum {
        let search = |(number, rank)| (number, Some(Rounds::of(rank, program.cols)));
        let searches = leading(program).map(search).collect();
        FactSum::round(Known::start(program), program, searches)
    }

    fn round(known: Known, program: &Program, searches: Vec<(usize, Option<Rounds>)>) -> FactSum {
        let jobs = known.jobs(program);
        let length = match known.stage {
            Stage::Updates => program.fact_length(),
            Stage::Sums => program.combine.rule().map_or(0, |rule| rule.sums()),
            Stage::Largest | Stage::Done => 0,
        };
        let sought = known.selections.iter().filter(|selection| selection.search().is_some()).count();
        let mut sum = FactSum {
            ended: vec![false; jobs.len()],
            jobs,
            added: 0,
            sums: vec![0.0; length],
            waiting: Vec::new(),
            tallies: if known.stage == Stage::Largest { vec![Tally::default(); sought] } else { Vec::new() },
            known,
            searches,
        };
        // Of a weight without elements nothing is gathered.
        if sum.jobs.is_empty() {
            sum.known.stage = Stage::Done;
        }
        sum
    }

    /// The jobs of the round; none once all is known.
    pub fn jobs(&self, program: &Program) -> Vec<FactJob> {
        (0..self.jobs.len()).filter_map(|number| self.job(program, number)).collect()
    }

    /// Job number `number` of the round.
    pub fn job(&self, program: &Program, number: usize) -> Option<FactJob> {
        let Range { start, end } = *self.jobs.get(number)?;
        Some(FactJob { first: start, count: end - start, reads: program.fact_reads(start..end) })
    }

    /// Add the result of a job, as [`gather`](super::Merger::gather) gives it. The same job may come twice, also when its round is over. Once
    /// all jobs of the round are in, the next one begins.
    pub fn add(&mut self, program: &Program, result: &[u8]) {
        let Some(result) = Gathered::take(&mut &*result).filter(|result| result.round == self.known.round) else {
            return;
        };
        let Some(job) = self.jobs.iter().position(|job| *job == (result.first..result.first + result.count)) else {
            return;
        };
        if self.ended[job] || result.sums.len() != self.sums.len() || result.tallies.len() != self.tallies.len() {
            return;
        }
        self.ended[job] = true;
        self.tallies.iter_mut().zip(result.tallies).for_each(|(sum, part)| sum.add(part));
        self.waiting.push((job, result.sums));
        while let Some(place) = self.waiting.iter().position(|(other, _)| *other == self.added) {
            let (_, next) = self.waiting.swap_remove(place);
            self.sums.iter_mut().zip(next).for_each(|(sum, part)| *sum += part);
            self.added += 1;
        }
        if self.added == self.jobs.len() {
            let known = self.after(program);
            *self = FactSum::round(known, program, std::mem::take(&mut self.searches));
        }
    }

    /// What is known after the round.
    fn after(&mut self, program: &Program) -> Known {
        let mut known = self.known.clone();
        known.round += 1;
        match known.stage {
            Stage::Updates => {
                self.learn(program, &mut known.updates);
                if self.searches.iter().any(|(_, search)| search.is_some()) {
                    return known;
                }
            }
            Stage::Sums => known.sums = std::mem::take(&mut self.sums),
            Stage::Largest => {
                let mut tallies = self.tallies.iter();
                for selection in &mut known.selections {
                    if let Some(search) = selection.search()
                        && let Some(tally) = tallies.next()
                    {
                        *selection = search.next(tally);
                    }
                }
            }
            Stage::Done => {}
        }
        known.next_stage(&program.combine);
        known
    }

    /// Take the sums of a round that was about the updates. Those of facts that take one round are the same in every round.
    fn learn(&mut self, program: &Program, facts: &mut Vec<f64>) {
        let sums = std::mem::take(&mut self.sums);
        if self.searches.is_empty() {
            *facts = sums;
            return;
        }
        for number in 0..program.updates.len() {
            let Some(range) = program.fact_range(number) else { continue };
            let (Some(sums), Some(fact)) = (sums.get(range.clone()), facts.get_mut(range)) else { continue };
            match self.searches.iter_mut().find(|(of, _)| *of == number) {
                None => fact.copy_from_slice(sums),
                Some((_, search)) => {
                    if search.as_mut().is_some_and(|search| search.next(sums, fact)) {
                        *search = None;
                    }
                }
            }
        }
    }

    /// The round that is under way, from 0.
    pub fn round_number(&self) -> u64 {
        self.known.round
    }

    /// Whether all is known.
    pub fn is_done(&self) -> bool {
        self.known.stage == Stage::Done
    }

    /// What is known so far, as it crosses to workers: jobs of any round but the first need it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.known.put(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::{Plain, Stored};
    use crate::op::{DORA, LayerShape, Op, Sizes};
    use crate::plan::{Region, Update};
    use crate::tensor::{Float, Rounding};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// A weight whose columns' norms are facts.
    fn program(rows: u64, cols: u64) -> Program {
        let op = Op {
            sizes: Sizes::of(&[('r', 1)]),
            layer: LayerShape::linear(cols, rows),
            transposed: true,
            ..Op::new(&DORA)
        };
        Program {
            tensor: "t".into(),
            rows,
            cols,
            source: Stored::Plain(Plain { float: Float::F32, input: 0, start: 0 }),
            updates: vec![Update { adapter: "a".into(), weight: 1.0, region: Region::all(rows), op }],
            combine: Combine::Linear,
            to: Float::F32,
            rounding: Rounding::Nearest,
        }
    }

    #[test]
    fn the_order_in_which_jobs_end_does_not_show() {
        let program = program(4 << 18, 2);
        let results = [vec![1e16, 0.1], vec![1.0, 0.2], vec![-1e16, 0.3], vec![1.0, 1e-9]];
        let sum = |order: [usize; 4]| {
            let mut sum = FactSum::of(&program);
            let jobs = sum.jobs(&program);
            assert_eq!(jobs.len(), 4);
            for job in order {
                assert!(!sum.is_done());
                let result = Gathered {
                    first: jobs[job].first,
                    count: jobs[job].count,
                    sums: results[job].clone(),
                    ..Gathered::default()
                };
                sum.add(&program, &result.to_bytes());
                // Once more, late, or of another round: nothing.
                sum.add(&program, &result.to_bytes());
                sum.add(&program, &Gathered { round: 7, ..result }.to_bytes());
            }
            assert!(sum.is_done() && sum.jobs(&program).is_empty() && sum.round_number() == 1);
            sum.known.updates
        };
        let expected = sum([0, 1, 2, 3]);
        for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            assert_eq!(sum(order), expected);
        }
        assert_eq!(expected, [1.0, 0.1 + 0.2 + 0.3 + 1e-9]);
    }

    #[test]
    fn without_jobs_there_is_nothing_to_wait_for() {
        assert!(FactSum::of(&program(0, 2)).is_done());
    }
}
