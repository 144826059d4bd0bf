//! The stacked factors of experts: each expert's become one by themselves, and are packed again as PEFT has them.

use super::combine::{Source, made, mixed, read_operands};
use super::low_rank::LowRank;
use super::matrix::Matrix;
use super::options::Combining;
use super::plan::{Given, Outcome};
use super::rule::{LINEAR, Method};
use super::stacks::Stack;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::op::{Op, Packing, Sizes, Unpacked};

/// The factors of all experts of a parameter, packed: A expert by expert, B by rank position. The rank of every expert is the largest that one of them
/// needs.
pub(super) async fn stacked(
    module: &str,
    stack: &Stack,
    parts: &[(usize, Op)],
    options: &Combining,
    adapters: &[Given],
    inputs: &impl Inputs,
) -> Result<(LowRank, Outcome)> {
    let sides = stack.layer.sides().zip(usize::try_from(stack.experts).ok());
    let Some((sides, experts)) = sides.filter(|(sides, experts)| sides.0.checked_mul(*experts).is_some()) else {
        let reason = "its weights have more elements than there is memory";
        return Err(Error::limit_exceeded(module, reason).tensor(module));
    };
    let mut all = Vec::with_capacity(parts.len());
    for ((number, op), packing) in parts.iter().zip(&stack.packings) {
        let adapter = adapters.get(*number).ok_or_else(|| Error::internal("an adapter is not there"))?;
        let bytes = read_operands(op, inputs).await?;
        let whole = Op { sizes: Sizes::of(&[('r', op.size('r').saturating_mul(stack.experts))]), ..op.clone() };
        let factors = whole.unpacked(sides.0, sides.1, &bytes, &adapter.name)?;
        let rank = factors.rank / experts.max(1);
        all.push(Source { adapter, factors: by_rank(factors, experts, rank, *packing) });
    }
    inputs.pause().await?;
    let path = stack.path(module);
    let keys = stack.layer.keys(&path);
    if let Method::Factors(rule) = options.method {
        // Element by element, so that it does not matter whose they are.
        let factors = mixed(module, keys, sides, &all, rule, options)?;
        let mut sums = Sums::default();
        for expert in 0..experts {
            let sources = of_expert(&all, expert, experts, sides);
            let exact = exact(&sources, sides)?;
            let rank = factors.rank() / experts;
            let one = LowRank {
                left: columns(&factors.left, (0..rank).map(|k| k * experts + expert))?,
                right: columns(&factors.right, (0..rank).map(|k| expert * rank + k))?,
            };
            sums.add(one.inner(&one)?.max(0.0), 1.0, one.distance(&exact)?);
        }
        return Ok((factors, sums.outcome()));
    }
    let (mut made_of, mut sums) = (Vec::with_capacity(experts), Sums::default());
    for expert in 0..experts {
        let sources = of_expert(&all, expert, experts, sides);
        let name = format!("{path}.{expert}");
        let (factors, outcome) = made(&name, keys.clone(), sides, &sources, options).await?;
        let total = outcome.norm.unwrap_or(0.0).powi(2);
        let distance = match options.method {
            // What is lost is what is not kept.
            Method::Cat | Method::Deltas(LINEAR) => ((total * (1.0 - outcome.energy).max(0.0)).sqrt(), total.sqrt()),
            _ => factors.distance(&exact(&sources, sides)?)?,
        };
        sums.add(total, outcome.energy, distance);
        made_of.push(factors);
        inputs.pause().await?;
    }
    drop(all);
    let rank = made_of.iter().map(LowRank::rank).max().unwrap_or(0);
    let count = rank.saturating_mul(experts);
    let (mut left, mut right) = (Matrix::zeros(sides.0, count)?, Matrix::zeros(sides.1, count)?);
    for (expert, factors) in made_of.iter().enumerate() {
        for k in 0..factors.rank() {
            left.col_mut(k * experts + expert).copy_from_slice(factors.left.col(k));
            right.col_mut(expert * rank + k).copy_from_slice(factors.right.col(k));
        }
    }
    Ok((LowRank { left, right }, sums.outcome()))
}

/// The same factors with the columns of B ordered by rank position.
fn by_rank(factors: Unpacked, experts: usize, rank: usize, packing: Packing) -> Unpacked {
    let mut factors = factors;
    if packing == Packing::ExpertMajor {
        for row in factors.b.chunks_exact_mut((experts * rank).max(1)) {
            let before = row.to_vec();
            for (at, value) in before.into_iter().enumerate() {
                row[at % rank * experts + at / rank] = value;
            }
        }
    }
    factors
}

/// The factors of one expert.
fn of_expert<'a>(all: &[Source<'a>], expert: usize, experts: usize, (_, cols): (usize, usize)) -> Vec<Source<'a>> {
    let one = |source: &Source<'a>| {
        let Unpacked { a, b, rank, scale } = &source.factors;
        let rank = rank / experts;
        let a = a.get(expert * rank * cols..(expert + 1) * rank * cols).unwrap_or_default().to_vec();
        let b = b.iter().skip(expert).step_by(experts).copied().collect();
        Source { adapter: source.adapter, factors: Unpacked { a, b, rank, scale: *scale } }
    };
    all.iter().map(one).collect()
}

/// The exact weighted sum.
fn exact(sources: &[Source], sides: (usize, usize)) -> Result<LowRank> {
    let low_rank: Vec<LowRank> = sources.iter().map(|source| source.low_rank(sides)).collect::<Result<_>>()?;
    LowRank::sum(&sources.iter().map(Source::factor).zip(&low_rank).collect::<Vec<_>>())
}

/// Some columns of a matrix.
fn columns(of: &Matrix, wanted: impl ExactSizeIterator<Item = usize>) -> Result<Matrix> {
    let mut some = Matrix::zeros(of.rows, wanted.len())?;
    wanted.enumerate().for_each(|(to, from)| some.col_mut(to).copy_from_slice(of.col(from)));
    Ok(some)
}

/// What is told of all experts together: sums of squares.
#[derive(Default)]
struct Sums {
    total: f64,
    kept: f64,
    lost: f64,
    exact: f64,
}

impl Sums {
    /// One expert: the sum of squares of its delta, the share that is kept, and how far it is from the exact one, with the norm of that.
    fn add(&mut self, total: f64, energy: f64, (lost, whole): (f64, f64)) {
        self.total += total;
        self.kept += total * energy;
        self.lost += lost * lost;
        self.exact += whole * whole;
    }

    fn outcome(&self) -> Outcome {
        let energy = if self.total > 0.0 { self.kept / self.total } else { 1.0 };
        let lost = self.lost.sqrt();
        let deviation = Some(if self.exact > 0.0 { lost / self.exact.sqrt() } else { lost });
        Outcome { norm: Some(self.total.sqrt()), energy, deviation, ..Outcome::NOTHING }
    }
}
