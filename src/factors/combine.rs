//! Several adapters become one: PEFT's `add_weighted_adapter`, from the factors alone.
//!
//! Two things are otherwise than there. The result is not scaled again (PEFT keeps `use_rslora` of the first adapter, and so multiplies by
//! √r); and what methods on the matrices A and B add by cross terms is measured.

use super::dense::DenseMix;
use super::keep::kept;
use super::layer::Layer;
use super::low_rank::LowRank;
use super::matrix::{Matrix, turned};
use super::options::Combining;
use super::plan::{Given, Outcome};
use super::prune::Prune;
use super::rule::{LINEAR, Method, Mixer, Pruning, Rule};
use super::sketch::{sketch, start_key};
use super::svd::Svd;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, try_buffer};
use crate::op::{Op, Unpacked};
use crate::plan::draws::mask_key;

/// Values below this part of the largest one are what rounding has left of zero.
const ZERO: f64 = 1e-13;

/// An adapter's factors of one module.
pub(crate) struct Source<'a> {
    pub(crate) adapter: &'a Given,
    pub(crate) factors: Unpacked,
}

impl Source<'_> {
    /// Weight and scale together.
    pub(super) fn factor(&self) -> f64 {
        self.adapter.weight * self.factors.scale
    }

    pub(super) fn low_rank(&self, (rows, cols): (usize, usize)) -> Result<LowRank> {
        let Unpacked { a, b, rank, .. } = &self.factors;
        Ok(LowRank {
            left: Matrix { rows, cols: *rank, values: turned(b, rows, *rank)? },
            right: Matrix { rows: cols, cols: *rank, values: a.clone() },
        })
    }
}

/// The factors of a module, of those that `parts` say.
pub(crate) async fn combined(
    module: &str,
    layer: &Layer,
    parts: &[(usize, Op)],
    options: &Combining,
    adapters: &[Given],
    inputs: &impl Inputs,
) -> Result<(LowRank, Outcome)> {
    let sides = layer.sides().ok_or_else(|| {
        Error::limit_exceeded(module, "its weight has more elements than there is memory").tensor(module)
    })?;
    let mut sources = Vec::with_capacity(parts.len());
    for (number, op) in parts {
        let adapter = adapters.get(*number).ok_or_else(|| Error::internal("an adapter is not there"))?;
        let bytes = read_operands(op, inputs).await?;
        sources.push(Source { adapter, factors: op.unpacked(sides.0, sides.1, &bytes, &adapter.name)? });
    }
    inputs.pause().await?;
    made(module, layer.keys(module), sides, &sources, options).await
}

/// The bytes of all operands.
pub(super) async fn read_operands(op: &Op, inputs: &impl Inputs) -> Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(op.operands.len());
    for operand in &op.operands {
        let mut read = try_buffer(&operand.key, operand.at.bytes)?;
        inputs.read(operand.at.input, operand.at.start, &mut read).await?;
        bytes.push(read);
    }
    Ok(bytes)
}

/// What the factors of some adapters become. `keys` are those of A and of B.
pub(super) async fn made(
    module: &str,
    keys: [String; 2],
    sides: (usize, usize),
    sources: &[Source<'_>],
    options: &Combining,
) -> Result<(LowRank, Outcome)> {
    let low_rank: Vec<LowRank> = sources.iter().map(|source| source.low_rank(sides)).collect::<Result<_>>()?;
    let weighted: Vec<(f64, &LowRank)> = sources.iter().map(Source::factor).zip(&low_rank).collect();
    let mut exact = LowRank::sum(&weighted)?;
    // Where the deltas cancel, what rounding leaves of them is nothing.
    let mut size = 0.0;
    for (factor, part) in &weighted {
        size += factor.abs() * part.inner(part)?.max(0.0).sqrt();
    }
    // The inner product tells only what is not near it.
    let may_cancel = sources.len() > 1 && exact.inner(&exact)?.max(0.0).sqrt() <= 1e-6 * size;
    if may_cancel && exact.norm()? <= ZERO * size {
        exact.right.values.fill(0.0);
    }
    drop(low_rank);
    match options.method {
        Method::Cat => {
            let norm = exact.inner(&exact)?.max(0.0).sqrt();
            Ok((exact, Outcome { norm: Some(norm), deviation: Some(0.0), ..Outcome::NOTHING }))
        }
        Method::Deltas(LINEAR) => {
            let svd = exact.svd()?;
            let total = svd.values.iter().map(|value| value * value).sum();
            let (factors, outcome) = chosen(svd, total, options);
            let deviation = Some((1.0 - outcome.energy).max(0.0).sqrt());
            Ok((factors, Outcome { deviation, ..outcome }))
        }
        Method::Deltas(rule) => {
            let mut mix = DenseMix::of(module, sides, sources, rule, options)?;
            let found = sketch(&mut mix, options.keep, start_key(options.seed, module)).await?;
            let (factors, outcome) = chosen(found.svd, found.total, options);
            let deviation = Some(factors.deviation(&exact)?);
            Ok((factors, Outcome { deviation, ..outcome }))
        }
        Method::Factors(rule) => {
            let factors = mixed(module, keys, sides, sources, rule, options)?;
            let norm = factors.inner(&factors)?.max(0.0).sqrt();
            let deviation = Some(factors.deviation(&exact)?);
            Ok((factors, Outcome { norm: Some(norm), deviation, ..Outcome::NOTHING }))
        }
    }
}

/// What is kept of a decomposition. `total` is the sum of the squares of all its values.
fn chosen(svd: Svd, total: f64, options: &Combining) -> (LowRank, Outcome) {
    keep(svd, total, options.keep)
}

/// The same, and of values that are as good as zero none.
pub(crate) fn keep(svd: Svd, total: f64, keep: super::keep::Keep) -> (LowRank, Outcome) {
    let largest = svd.values.first().copied().unwrap_or(0.0);
    let nonzero = svd.values.iter().take_while(|value| **value > largest * ZERO).count();
    let count = keep.count(&svd.values, total).min(nonzero.max(1));
    let energy = kept(&svd.values, count, total);
    (svd.factors(count), Outcome { norm: Some(total.sqrt()), energy, ..Outcome::NOTHING })
}

/// A rule on the matrices A, and on the matrices B (`_generalized_task_arithmetic_weighted_adapter`): the weights' square roots go to both, the
/// sign to A.
pub(super) fn mixed(
    module: &str,
    [key_a, key_b]: [String; 2],
    sides: (usize, usize),
    sources: &[Source],
    rule: Rule,
    options: &Combining,
) -> Result<LowRank> {
    let rank = sources.first().map_or(0, |source| source.factors.rank);
    if let Some(other) = sources.iter().find(|source| source.factors.rank != rank) {
        let found = other.factors.rank.to_string();
        let reason = format!("its rank is {found}, and that of another adapter {rank}");
        return Err(Error::shape_mismatch(other.adapter.name.clone(), module, reason)
            .found(found)
            .expected(rank.to_string())
            .fix("use cat, svd, or a method that ends in _svd: they take any ranks"));
    }
    let mix = |name: &str, tensors: Vec<Vec<f64>>, weight: &dyn Fn(f64) -> f64| {
        let part = |(source, values): (&Source, &Vec<f64>)| {
            let prune = prune(rule, options, source.adapter, name, values.len() as u64, &mut |take| {
                take(values);
                Ok(())
            })?;
            Ok((weight(source.factor()), prune))
        };
        let parts = sources.iter().zip(&tensors).map(part).collect::<Result<_>>()?;
        let mixer = Mixer { elects: rule.elects, sign: options.sign, parts };
        let mut tensors = tensors;
        let mut out = super::matrix::zeros(tensors.first().map(Vec::len))?;
        mixer.mix(0, &mut tensors, &mut out);
        Ok::<_, Error>(out)
    };
    let root = |factor: f64| factor.abs().sqrt();
    let signed = |factor: f64| if factor < 0.0 { -root(factor) } else { root(factor) };
    let a = mix(&key_a, sources.iter().map(|source| source.factors.a.clone()).collect(), &signed)?;
    let b = mix(&key_b, sources.iter().map(|source| source.factors.b.clone()).collect(), &root)?;
    Ok(LowRank {
        left: Matrix { rows: sides.0, cols: rank, values: turned(&b, sides.0, rank)? },
        right: Matrix { rows: sides.1, cols: rank, values: a },
    })
}

/// What a rule keeps of the tensor called `name` of an adapter.
pub(crate) fn prune(
    rule: Rule,
    options: &Combining,
    adapter: &Given,
    name: &str,
    count: u64,
    every: &mut super::prune::Every,
) -> Result<Prune> {
    match rule.pruning {
        Pruning::Nothing => Ok(Prune::Nothing),
        Pruning::Magnitude => Prune::largest(options.density, count, every),
        Pruning::Random => Ok(Prune::random(options.density, mask_key(options.seed, &adapter.identity, name))),
    }
}
