//! Facts of whole weights, summed up from the jobs that gather them.
//!
//! Jobs may end in any order, on any number of workers. Their sums are added in the order of the jobs, so that neither can show.

use serde::Serialize;

use crate::inputs::Span;
use crate::plan::Program;

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

impl FactJob {
    /// The jobs of a program, in the order of their sums.
    pub fn all(program: &Program) -> Vec<FactJob> {
        let job = |elements: std::ops::Range<u64>| FactJob {
            first: elements.start,
            count: elements.end - elements.start,
            reads: program.reads(elements),
        };
        program.fact_jobs().map(job).collect()
    }
}

/// The sum of the jobs of one program.
#[derive(Debug, Default)]
pub struct FactSum {
    jobs: usize,
    /// How many jobs, the first ones, are in the sum.
    added: usize,
    sum: Vec<f64>,
    /// Results of later jobs, with their numbers: as many as are under way at the same time.
    waiting: Vec<(usize, Vec<f64>)>,
}

impl FactSum {
    /// The sum of the jobs of `program`.
    pub fn of(program: &Program) -> FactSum {
        FactSum::new(program.fact_jobs().count(), program.fact_length())
    }

    /// The sum of `jobs` results of `length` numbers each.
    fn new(jobs: usize, length: usize) -> FactSum {
        FactSum { jobs, added: 0, sum: vec![0.0; length], waiting: Vec::new() }
    }

    /// Add the result of a job, as [`gather`](super::Merger::gather) gives it. The same job may come twice.
    pub fn add(&mut self, job: usize, result: &[u8]) {
        let result = from_bytes(result);
        if job >= self.added && result.len() == self.sum.len() && self.place(job).is_none() {
            self.waiting.push((job, result));
        }
        while let Some(place) = self.place(self.added) {
            let (_, next) = self.waiting.swap_remove(place);
            self.sum.iter_mut().zip(next).for_each(|(sum, part)| *sum += part);
            self.added += 1;
        }
    }

    /// Where the result of a job waits.
    fn place(&self, job: usize) -> Option<usize> {
        self.waiting.iter().position(|(other, _)| *other == job)
    }

    /// The facts as they cross to workers, little-endian f64, once every job is in.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        (self.added == self.jobs).then(|| to_bytes(&self.sum))
    }
}

/// Numbers as they cross to workers.
pub(super) fn to_bytes(facts: &[f64]) -> Vec<u8> {
    facts.iter().flat_map(|fact| fact.to_le_bytes()).collect()
}

/// The numbers again.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|fact| f64::from_le_bytes(*fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_in_which_jobs_end_does_not_show() {
        let results = [vec![1e16, 0.1], vec![1.0, 0.2], vec![-1e16, 0.3], vec![1.0, 1e-9]];
        let sum = |order: [usize; 4]| {
            let mut sum = FactSum::new(4, 2);
            for job in order {
                assert_eq!(sum.to_bytes(), None);
                sum.add(job, &to_bytes(&results[job]));
            }
            from_bytes(&sum.to_bytes().unwrap())
        };
        let expected = sum([0, 1, 2, 3]);
        for order in [[3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]] {
            assert_eq!(sum(order), expected);
        }
        assert_eq!(from_bytes(&to_bytes(&expected)), expected);
    }

    #[test]
    fn without_jobs_there_is_nothing_to_wait_for() {
        assert_eq!(FactSum::new(0, 0).to_bytes(), Some(Vec::new()));
    }
}
