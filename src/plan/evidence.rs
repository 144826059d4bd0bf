//! Evidence with numbers that a base is the one an adapter was trained on: what the adapter holds of the base, against the base. Samples are read, of a few
//! weights.

use serde::Serialize;

use super::adapter::Adapter;
use super::build::MergePlan;
use super::program::{Program, Update};
use crate::container::TensorInfo;
use crate::encoding::{Operand, Plain, Stored};
use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{Inputs, try_buffer};
use crate::op::RowOrder;
use crate::order::sort_by;
use crate::tensor::Float;
use crate::wire::{Wire, wire, wire_enum};

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EvidenceKind {
    /// DoRA's magnitudes against the lengths of the base's rows, which they were before the training.
    Magnitudes,
    /// Weights of the base that were saved with the adapter, against the base's.
    Copies,
}

/// How far what an adapter holds of its base is from the base: of each sampled value or row the relative deviation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[non_exhaustive]
pub struct Evidence {
    /// The adapter.
    pub adapter: String,
    /// What was compared.
    #[cfg_attr(test, ts(inline))]
    pub kind: EvidenceKind,
    /// How many weights the samples are of.
    pub weights: usize,
    /// How many values were compared: of magnitudes, or of elements.
    pub samples: usize,
    /// The median of the relative deviations; 0 where all are equal.
    pub median: f64,
    /// The largest of them.
    pub largest: f64,
    /// The median of the relative deviations of the base's values from others of the same weight: how well they can be told apart.
    pub spread: f64,
    /// The share of the values that are nearer to the base's own than to another one: half of them, by chance.
    pub closer: f64,
    /// What that means.
    #[cfg_attr(test, ts(inline))]
    pub verdict: EvidenceVerdict,
    /// The same in a sentence.
    pub says: String,
}

/// What evidence says of a base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EvidenceVerdict {
    /// It is the base of the training, or one near it, such as its fine-tune or its quantised copy.
    Same,
    /// It is another one.
    Other,
    /// The numbers do not tell.
    Unclear,
}

impl Wire for EvidenceKind {
    fn put(&self, out: &mut Vec<u8>) {
        matches!(self, EvidenceKind::Copies).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? { EvidenceKind::Copies } else { EvidenceKind::Magnitudes })
    }
}

wire_enum!(EvidenceVerdict { Same, Other, Unclear });
wire!(Evidence { adapter, kind, weights, samples, median, largest, spread, closer, verdict, says });

/// Weights that are sampled of an adapter, spread over all that could be.
const WEIGHTS: usize = 8;
/// Rows that are read of a weight, in its middle.
const ROWS: u64 = 8;
/// Elements that are compared of a copy, in its middle.
const ELEMENTS: u64 = 4096;

impl MergePlan {
    /// What speaks for or against the base, for each adapter that holds something of it, and the findings that follow from it.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn gather_evidence(&self, inputs: &impl Inputs) -> Result<(Vec<Evidence>, Vec<Finding>)> {
        let mut found = Vec::new();
        for Adapter { name, .. } in &self.adapters {
            let programs = self.tensors.programs();
            let of_magnitudes: Vec<Lengths> =
                programs.iter().filter_map(|program| Lengths::of(program, name)).collect();
            let of_copies: Vec<Copied> = programs.iter().filter_map(|program| self.copied(program, name)).collect();
            let mut magnitudes = Compared::default();
            for sample in spread(&of_magnitudes) {
                sample.deviations(inputs, &mut magnitudes).await?;
            }
            let mut copies = Compared::default();
            for Copied { copy, own, count } in spread(&of_copies) {
                let [copy, own] = [values(inputs, copy, *count).await?, values(inputs, own, *count).await?];
                copies.add(&copy, &own);
            }
            let evidence = |kind, of: usize, compared: Compared| compared.summary(name, kind, of.min(WEIGHTS));
            found.extend(evidence(EvidenceKind::Magnitudes, of_magnitudes.len(), magnitudes));
            found.extend(evidence(EvidenceKind::Copies, of_copies.len(), copies));
        }
        let finding = |Evidence { adapter, verdict, says, .. }: &Evidence| match verdict {
            EvidenceVerdict::Same => Finding::info("base-confirmed", adapter, says.clone()),
            EvidenceVerdict::Other => Finding::warning("base-contradicted", Some(adapter), says.clone()),
            EvidenceVerdict::Unclear => Finding::info("base-unclear", adapter, says.clone()),
        };
        let findings = found.iter().map(finding).collect();
        Ok((found, findings))
    }

    /// The copy of a base weight that `adapter` brings for a program.
    fn copied(&self, program: &Program, adapter: &str) -> Option<Copied> {
        let Stored::Plain(copy) = program.source else { return None };
        let from = self.adapters.iter().find(|one| one.input == copy.input || one.shards.contains(&copy.input))?;
        // A tensor that replaces the base's is trained, and no copy.
        if from.name != adapter || program.updates.iter().any(|update| update.op.replacement.is_some()) {
            return None;
        }
        let is_same = |info: &TensorInfo| info.name == program.tensor && info.elements() == program.rows * program.cols;
        let own = self.base.shards.iter().find_map(|shard| {
            let info = shard.header.iter().find(is_same)?;
            Some(Plain {
                float: Float::of(info.dtype)?,
                input: shard.input,
                start: shard.header.data_start + info.start,
            })
        })?;
        let elements = program.rows * program.cols;
        let count = elements.min(ELEMENTS);
        let first = (elements - count) / 2;
        let at = |plain: Plain| Plain { start: plain.start + first * plain.float.bytes() as u64, ..plain };
        Some(Copied { copy: at(copy), own: at(own), count })
    }
}

/// Elements of a weight that an adapter brings along, and the same of the base's own.
struct Copied {
    copy: Plain,
    own: Plain,
    count: u64,
}

/// Rows of a base weight and the magnitudes of the same outputs.
struct Lengths {
    rows: Plain,
    cols: u64,
    magnitudes: Plain,
    count: u64,
}

impl Lengths {
    fn of(program: &Program, adapter: &str) -> Option<Lengths> {
        let Stored::Plain(source) = program.source else { return None };
        let is_whole = |update: &&Update| {
            update.adapter == adapter
                && update.op.method.name == "dora"
                && !update.op.transposed
                && update.region.rows == (0..program.rows)
                && update.region.order == RowOrder::AsIs
        };
        let update = program.updates.iter().find(is_whole)?;
        let Operand { at, dtype, .. } = update.op.operands.get(2)?;
        let float = Float::of(*dtype)?;
        if at.bytes != program.rows.checked_mul(float.bytes() as u64)? || program.rows == 0 {
            return None;
        }
        let count = ROWS.min(program.rows);
        let first = (program.rows - count) / 2;
        let row = program.cols * source.float.bytes() as u64;
        Some(Lengths {
            rows: Plain { start: source.start + first * row, ..source },
            cols: program.cols,
            magnitudes: Plain { float, input: at.input, start: at.start + first * float.bytes() as u64 },
            count,
        })
    }

    /// Of each row, how far its length is from the magnitude.
    async fn deviations(&self, inputs: &impl Inputs, found: &mut Compared) -> Result<()> {
        let rows = values(inputs, &self.rows, self.count * self.cols).await?;
        let magnitudes = values(inputs, &self.magnitudes, self.count).await?;
        let length = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>().sqrt();
        let lengths: Vec<f64> = rows.chunks(self.cols.max(1) as usize).map(length).collect();
        found.add(&magnitudes, &lengths);
        Ok(())
    }
}

/// Some of `all`, at equal distances.
fn spread<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let count = all.len().min(WEIGHTS);
    (0..count).map(move |at| &all[at * all.len() / count.max(1)])
}

/// The first `count` elements of `plain`.
async fn values(inputs: &impl Inputs, plain: &Plain, count: u64) -> Result<Vec<f64>> {
    let mut bytes = try_buffer("a sample", count * plain.float.bytes() as u64)?;
    inputs.read(plain.input, plain.start, &mut bytes).await?;
    Ok(bytes.chunks_exact(plain.float.bytes()).map(|value| plain.float.read(value)).collect())
}

/// |one − other| / |other|; 1 where only one of them is 0.
fn deviation(one: f64, other: f64) -> f64 {
    if one == other {
        0.0
    } else if other == 0.0 {
        1.0
    } else {
        ((one - other) / other).abs()
    }
}

/// Values of an adapter against the base's, sample by sample.
#[derive(Default)]
struct Compared {
    deviations: Vec<f64>,
    /// Of the base's values from each other.
    spreads: Vec<f64>,
    /// How many values can be told to be nearer to the base's own or to another one, and how many of them are nearer to their own.
    told: usize,
    closer: usize,
}

/// Fewer values that can be told are no evidence: of 32 at least 26 are nearer to their own by chance with a probability of 0.0003.
const LEAST: usize = 32;
/// So many are nearer to their own in the right base, as a share, and at most so many in another one: there it is half of them, by chance.
const NEAR: f64 = 0.8;
const CHANCE: f64 = 0.65;
/// A deviation by which no training is known to move magnitudes, and no quantisation moves weights, in the median: of independent weights it is 1.4.
const FAR: f64 = 0.5;
/// Values that differ less from each other than this tell nothing, as the rows of random matrices do; and training may move magnitudes so far.
const ALIKE: f64 = 0.05;

impl Compared {
    /// Add the values of a weight, those of the adapter and the base's.
    fn add(&mut self, values: &[f64], own: &[f64]) {
        for (number, (&value, &own_value)) in values.iter().zip(own).enumerate() {
            let other = own[(number + 1) % own.len()];
            let (near, far) = ((value - own_value).abs(), (value - other).abs());
            self.deviations.push(deviation(value, own_value));
            self.spreads.push(deviation(own_value, other));
            if own.len() > 1 && near != far {
                self.told += 1;
                self.closer += usize::from(near < far);
            }
        }
    }

    fn summary(mut self, adapter: &str, kind: EvidenceKind, weights: usize) -> Option<Evidence> {
        let (median, largest) = middle(&mut self.deviations)?;
        let (spread, _) = middle(&mut self.spreads)?;
        let closer = if self.told > 0 { self.closer as f64 / self.told as f64 } else { 0.5 };
        let verdict = match self.told >= LEAST {
            _ if largest == 0.0 => EvidenceVerdict::Same,
            _ if median >= FAR => EvidenceVerdict::Other,
            true if closer >= NEAR => EvidenceVerdict::Same,
            true if closer <= CHANCE && median >= ALIKE && spread >= ALIKE => EvidenceVerdict::Other,
            _ => EvidenceVerdict::Unclear,
        };
        let samples = self.deviations.len();
        let what = match kind {
            EvidenceKind::Magnitudes => "magnitudes (DoRA) against the lengths of the base's rows",
            EvidenceKind::Copies => "elements of base weights saved with the adapter against the base's",
        };
        let numbers = match largest == 0.0 {
            true => "all equal".to_string(),
            false => {
                format!("{} off in the median, {} nearer to their own than to others", percent(median), percent(closer))
            }
        };
        let means = match verdict {
            EvidenceVerdict::Same if largest == 0.0 => "this is the base",
            EvidenceVerdict::Same => "this is the base, or one near it (a fine-tune, a quantised copy)",
            EvidenceVerdict::Other => "the adapter was trained on another base",
            EvidenceVerdict::Unclear => "that does not tell which base it was",
        };
        let of = if weights == 1 { "weight" } else { "weights" };
        let says = format!("{samples} {what}, in {weights} {of}: {numbers}: {means}");
        Some(Evidence {
            adapter: adapter.into(),
            kind,
            weights,
            samples,
            median,
            largest,
            spread,
            closer,
            verdict,
            says,
        })
    }
}

/// The median and the largest.
fn middle(values: &mut [f64]) -> Option<(f64, f64)> {
    // What is no number is as far away as can be.
    values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = f64::MAX);
    sort_by(values, |one, other| one.total_cmp(other));
    Some((*values.get(values.len() / 2)?, *values.last()?))
}

/// A share in percent, to the hundredth.
fn percent(share: f64) -> String {
    if share >= 10.0 {
        return "more than 1000 %".into();
    }
    let hundredths = (share * 1e4).round() as u64;
    format!("{}.{:02} %", hundredths / 100, hundredths % 100)
}
