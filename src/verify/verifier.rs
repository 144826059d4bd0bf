//! Runs checks: reads, recomputes, compares.

use std::ops::Range;

use super::arithmetic::{Terms, gamma};
use super::check::{Check, Delta, Look, Values};
use super::comparison::{Column, Comparison};
use super::evidence::Evidence;
use super::mixture::{Kind, Mixture};
use crate::encoding::Plain;
use crate::engine::{FactJob, FactSum, Merger, Mixed};
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span, resize};
use crate::kernel::Statistics;
use crate::op::{DORA, Footprint, LORA, RowOrder, TASK_VECTOR};
use crate::plan::{Program, Update};
use crate::tensor::Float;
use crate::wire::Wire;

/// Programs that a check has at most.
const PROGRAMS: usize = 1 << 10;

/// γ's number of terms for methods whose sums are not known.
const OTHER_TERMS: u64 = 64;

/// Holds checks and runs jobs of them; one for each worker.
pub struct Verifier {
    merger: Merger,
    loaded: Vec<Loaded>,
    found: Vec<u8>,
}

struct Loaded {
    number: usize,
    check: Check,
    /// Whether its programs have their facts.
    ready: bool,
    /// The largest amplitude of each adapter's delta, where a rule combines them.
    largest: Vec<f64>,
}

impl Verifier {
    /// A verifier that keeps packed operands of at most `operand_bytes`, but always those of the latest program.
    #[inline(never)]
    pub fn new(operand_bytes: u64) -> Verifier {
        Verifier { merger: Merger::new(true, operand_bytes), loaded: Vec::new(), found: Vec::new() }
    }

    /// Take a check, as [`Verification::check`](super::Verification::check) gives it.
    ///
    /// # Errors
    /// `internal` for other bytes.
    #[inline(never)]
    pub fn load(&mut self, number: usize, check: &[u8]) -> Result<()> {
        self.drop_check(number);
        let check = Check::from_bytes(check)?;
        for (index, program) in programs(&check).into_iter().enumerate().take(PROGRAMS) {
            self.merger.load(number * PROGRAMS + index, program.clone());
        }
        self.loaded.push(Loaded { number, check, ready: false, largest: Vec::new() });
        Ok(())
    }

    /// Forget a check.
    #[inline(never)]
    pub fn drop_check(&mut self, number: usize) {
        let Some(at) = self.loaded.iter().position(|loaded| loaded.number == number) else { return };
        let Loaded { check, .. } = self.loaded.remove(at);
        (0..programs(&check).len()).for_each(|index| self.merger.drop_program(number * PROGRAMS + index));
    }

    /// What a job finds, as [`Verification::add`](super::Verification::add) takes it.
    ///
    /// # Errors
    /// `internal` where the check was not loaded; those of [`Merger::compute`].
    pub async fn run(&mut self, number: usize, job: Range<u64>, inputs: &impl Inputs) -> Result<Vec<u8>> {
        let Verifier { merger, loaded, found } = self;
        let Some(Loaded { check, ready, largest, .. }) = loaded.iter_mut().find(|loaded| loaded.number == number)
        else {
            return Err(Error::internal(format!("check {number} was not loaded")));
        };
        let first = number * PROGRAMS;
        if !*ready {
            for (index, program) in programs(check).into_iter().enumerate() {
                learn(merger, first + index, program, inputs).await?;
            }
            if let Look::Values(values) = &check.look
                && values.expected.program.combine.rule().is_some()
            {
                for job in check.jobs() {
                    let (_, amplitudes, _) = mixed(merger, first, &values.expected, &job, inputs).await?;
                    largest.resize(amplitudes.len(), 0.0);
                    for (most, amplitudes) in largest.iter_mut().zip(amplitudes) {
                        *most = amplitudes.into_iter().fold(*most, f64::max);
                    }
                }
            }
            *ready = true;
        }
        let evidence = match &check.look {
            Look::Bytes(expected, there) => {
                let at = |span: &Span| Span { start: span.start + job.start, bytes: job.end - job.start, ..*span };
                read(found, &check.tensor, at(there), inputs).await?;
                let mut bytes = Vec::new();
                read(&mut bytes, &check.tensor, at(expected), inputs).await?;
                let equal = if bytes == *found { bytes.len() } else { same(&bytes, found, 1) };
                Evidence { elements: bytes.len() as u64, equal: equal as u64, ..Evidence::default() }
            }
            Look::Bits(program, there) => {
                read(found, &check.tensor, span(there, &job), inputs).await?;
                let mut statistics = Statistics::default();
                let computed = merger.compute(first, job, inputs, Some(&mut statistics)).await?;
                let equal = same_numbers(program.to, computed, found);
                Evidence {
                    elements: statistics.elements,
                    equal,
                    changed: statistics.changed,
                    delta_sq: statistics.delta_sq,
                    ..Evidence::default()
                }
            }
            Look::Values(values) => {
                read(found, &check.tensor, span(&values.found, &job), inputs).await?;
                let numbers = |plain: &Plain, bytes: &[u8]| {
                    let mut numbers = vec![0.0; bytes.len() / plain.float.bytes()];
                    plain.float.read_all(bytes, &mut numbers);
                    numbers
                };
                let there = numbers(&values.found, found);
                let (base, columns) = columns(merger, first, values, largest, &job, inputs).await?;
                let mut origin = None;
                if let Some(plain) = &values.origin {
                    read(found, &check.tensor, span(plain, &job), inputs).await?;
                    origin = Some(numbers(plain, found));
                }
                let float = values.expected.program.source.float().unwrap_or(values.found.float);
                let types = (float, values.found.float);
                Comparison { types, base: &base, origin: origin.as_deref(), found: &there, columns: &columns }
                    .evidence(values.parts, values.open)
            }
        };
        let mut bytes = Vec::new();
        evidence.put(&mut bytes);
        Ok(bytes)
    }
}

/// The programs of a check, in the order of their numbers.
fn programs(check: &Check) -> Vec<&Program> {
    match &check.look {
        Look::Bytes(..) => Vec::new(),
        Look::Bits(program, _) => vec![program],
        Look::Values(values) => {
            let deltas = std::iter::once(&values.expected).chain(&values.others);
            deltas.flat_map(|delta| std::iter::once(&delta.program).chain(&delta.amplitude)).collect()
        }
    }
}

/// Gather what a program must know of its whole weight.
async fn learn(merger: &mut Merger, number: usize, program: &Program, inputs: &impl Inputs) -> Result<()> {
    if !program.has_facts() {
        return Ok(());
    }
    let mut sum = FactSum::of(program);
    while !sum.is_done() {
        for FactJob { first, count, .. } in sum.jobs(program) {
            sum.add(program, &merger.gather(number, first..first + count, inputs).await?);
        }
        merger.learn(number, &sum.to_bytes())?;
    }
    Ok(())
}

async fn read(buffer: &mut Vec<u8>, subject: &str, span: Span, inputs: &impl Inputs) -> Result<()> {
    resize(buffer, subject, span.bytes)?;
    inputs.read(span.input, span.start, buffer).await
}

/// Where some elements stand.
fn span(plain: &Plain, elements: &Range<u64>) -> Span {
    let width = plain.float.bytes() as u64;
    let bytes = (elements.end - elements.start) * width;
    Span { input: plain.input, start: plain.start + elements.start * width, bytes }
}

/// How many elements of `width` bytes are the same.
fn same(one: &[u8], other: &[u8], width: usize) -> usize {
    one.chunks_exact(width).zip(other.chunks_exact(width)).filter(|(one, other)| one == other).count()
}

/// How many numbers are the same, bit by bit; every NaN is.
fn same_numbers(float: Float, one: &[u8], other: &[u8]) -> u64 {
    let width = float.bytes();
    if one == other {
        return (one.len() / width) as u64;
    }
    let pairs = one.chunks_exact(width).zip(other.chunks_exact(width));
    pairs.filter(|(one, other)| one == other || float.read(one).is_nan() && float.read(other).is_nan()).count() as u64
}

/// The base's values, and each delta of a check with what bounds its errors.
async fn columns(
    merger: &mut Merger,
    first: usize,
    values: &Values,
    largest: &[f64],
    job: &Range<u64>,
    inputs: &impl Inputs,
) -> Result<(Vec<f64>, Vec<Column>)> {
    let (mut number, mut bases, mut columns) = (first, Vec::new(), Vec::new());
    for wanted in std::iter::once(&values.expected).chain(&values.others) {
        let Delta { program, amplitude, columns: order } = wanted;
        if program.combine.rule().is_some() {
            let (mixed, amplitudes, kinds) = mixed(merger, number, wanted, job, inputs).await?;
            number += 1 + usize::from(amplitude.is_some());
            bases.clone_from(&mixed.base);
            let (rule, largest, elements) = (program.combine.clone(), largest.to_vec(), program.elements());
            let (delta, amplitude) = (mixed.mixed.clone(), vec![0.0; mixed.mixed.len()]);
            let terms = terms(program);
            let mixture = Some(Mixture { rule, mixed, amplitudes, largest, kinds, norm: terms.norm, elements });
            columns.push(Column { delta, amplitude, terms, mixture });
            continue;
        }
        let (base, delta) = difference(merger, &mut number, job, inputs).await?;
        let is_dora = |update: &Update| *update.op.method == DORA;
        let amplitude = match amplitude {
            Some(_) => {
                let mut amplitude = difference(merger, &mut number, job, inputs).await?.1;
                if program.updates.iter().any(is_dora) {
                    amplitude.iter_mut().for_each(|value| *value *= 2.0);
                }
                amplitude
            }
            None => largest_of_rows(program, &base, &delta),
        };
        let mut column = Column { delta, amplitude, terms: terms(program), mixture: None };
        if *order != RowOrder::AsIs {
            let cols = program.cols as usize;
            [&mut column.delta, &mut column.amplitude].into_iter().for_each(|values| reorder(values, cols, *order));
        }
        columns.push(column);
        bases = base;
    }
    Ok((bases, columns))
}

/// The deltas of each adapter that a rule combines, with their amplitudes, and how they are made. `number` is that of the program; that of its amplitudes comes
/// next.
async fn mixed(
    merger: &mut Merger,
    number: usize,
    Delta { program, amplitude, .. }: &Delta,
    job: &Range<u64>,
    inputs: &impl Inputs,
) -> Result<(Mixed, Vec<Vec<f64>>, Vec<Kind>)> {
    let mixed = merger.mixed(number, job.clone(), inputs).await?;
    let updates = |name: &str| program.updates.iter().filter(move |update| update.adapter == name).collect::<Vec<_>>();
    let members: Vec<Vec<&Update>> = program.members().into_iter().map(updates).collect();
    let kind = |updates: &Vec<&Update>| match updates {
        _ if updates.iter().all(|update| *update.op.method == TASK_VECTOR) => Kind::Model,
        _ if updates.iter().any(|update| *update.op.method == DORA) => Kind::Normalised,
        _ => Kind::Other,
    };
    let mut kinds: Vec<Kind> = members.iter().map(kind).collect();
    kinds.resize(mixed.deltas.len(), Kind::Base);
    let amplitudes = match amplitude {
        Some(_) => {
            let mut amplitudes = merger.mixed(number + 1, job.clone(), inputs).await?.deltas;
            for (values, kind) in amplitudes.iter_mut().zip(&kinds) {
                match kind {
                    Kind::Normalised => values.iter_mut().for_each(|value| *value *= 2.0),
                    Kind::Base => values.fill(0.0),
                    Kind::Model | Kind::Other => {}
                }
            }
            amplitudes
        }
        // The delta of a model is a difference, whose error is relative to itself.
        None => {
            let of = |(delta, kind): (&Vec<f64>, &Kind)| match kind {
                Kind::Model => delta.iter().map(|value| value.abs()).collect(),
                Kind::Base => vec![0.0; delta.len()],
                _ => largest_of_rows(program, &mixed.base, delta),
            };
            mixed.deltas.iter().zip(&kinds).map(of).collect()
        }
    };
    Ok((mixed, amplitudes, kinds))
}

/// The values of a program's source, and what its updates add to them.
async fn difference(
    merger: &mut Merger,
    number: &mut usize,
    job: &Range<u64>,
    inputs: &impl Inputs,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let (base, mut after) = merger.values(*number, job.clone(), inputs).await?;
    *number += 1;
    after.iter_mut().zip(&base).for_each(|(after, base)| *after -= base);
    Ok((base, after))
}

/// What stands for the amplitude where that of a method is not known; see [`arithmetic`](super::arithmetic).
fn largest_of_rows(program: &Program, base: &[f64], delta: &[f64]) -> Vec<f64> {
    let cols = (program.cols as usize).max(1);
    let whole_rows = program.updates.iter().any(|update| update.op.footprint() != Footprint::Elements);
    let largest = |values: &[f64]| values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let mut all = Vec::with_capacity(delta.len());
    for (base, delta) in base.chunks(cols).zip(delta.chunks(cols)) {
        let amplitude = largest(delta) + if whole_rows { largest(base) } else { 0.0 };
        all.extend(std::iter::repeat_n(amplitude, delta.len()));
    }
    all
}

fn terms(program: &Program) -> Terms {
    let is_product = |update: &Update| *update.op.method == LORA || *update.op.method == DORA;
    let count = match program.updates.iter().all(is_product) {
        true => program.updates.iter().fold(3u64, |sum, update| sum.saturating_add(update.op.positions())),
        false => OTHER_TERMS,
    };
    let norm = program.updates.iter().find(|update| *update.op.method == DORA).map(|update| {
        let length = if update.op.transposed { program.rows } else { program.cols };
        gamma(length) / 2.0 + gamma(4)
    });
    Terms { gamma: gamma(count), norm }
}

/// Each row in another order of its columns.
fn reorder(values: &mut [f64], cols: usize, order: RowOrder) {
    let mut before = Vec::with_capacity(cols);
    for row in values.chunks_exact_mut(cols.max(1)) {
        before.clear();
        before.extend_from_slice(row);
        row.iter_mut().enumerate().for_each(|(col, value)| *value = before[order.source(col, cols)]);
    }
}
