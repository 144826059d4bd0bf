//! Evidence with numbers that a base is the one an adapter was trained on: what the adapter holds of the base, against the base. Samples are read, of a few
//! weights.

use serde::Serialize;

use super::adapter::Adapter;
use super::build::MergePlan;
use super::program::{Program, Update};
use crate::container::TensorInfo;
use crate::encoding::{Operand, Plain, Stored};
use crate::error::Result;
use crate::inputs::{Inputs, try_buffer};
use crate::op::RowOrder;
use crate::order::sort_by;
use crate::tensor::Float;
use crate::wire::{Wire, wire};

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
}

impl Wire for EvidenceKind {
    fn put(&self, out: &mut Vec<u8>) {
        matches!(self, EvidenceKind::Copies).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? { EvidenceKind::Copies } else { EvidenceKind::Magnitudes })
    }
}

wire!(Evidence { adapter, kind, weights, samples, median, largest });

/// Weights that are sampled of an adapter, spread over all that could be.
const WEIGHTS: usize = 8;
/// Rows that are read of a weight, in its middle.
const ROWS: u64 = 8;
/// Elements that are compared of a copy, in its middle.
const ELEMENTS: u64 = 4096;

impl MergePlan {
    /// What speaks for or against the base, for each adapter that holds something of it.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn gather_evidence(&self, inputs: &impl Inputs) -> Result<Vec<Evidence>> {
        let mut found = Vec::new();
        for Adapter { name, .. } in &self.adapters {
            let programs = self.tensors.programs();
            let of_magnitudes: Vec<Lengths> =
                programs.iter().filter_map(|program| Lengths::of(program, name)).collect();
            let of_copies: Vec<Copied> = programs.iter().filter_map(|program| self.copied(program, name)).collect();
            let mut magnitudes = Vec::new();
            for sample in spread(&of_magnitudes) {
                sample.deviations(inputs, &mut magnitudes).await?;
            }
            let mut copies = Vec::new();
            for Copied { copy, own, count } in spread(&of_copies) {
                let [copy, own] = [values(inputs, copy, *count).await?, values(inputs, own, *count).await?];
                copies.extend(copy.iter().zip(&own).map(|(copy, own)| deviation(*copy, *own)));
            }
            let evidence = |kind, of: usize, deviations: Vec<f64>| summary(name, kind, of.min(WEIGHTS), deviations);
            found.extend(evidence(EvidenceKind::Magnitudes, of_magnitudes.len(), magnitudes));
            found.extend(evidence(EvidenceKind::Copies, of_copies.len(), copies));
        }
        Ok(found)
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
    async fn deviations(&self, inputs: &impl Inputs, found: &mut Vec<f64>) -> Result<()> {
        let rows = values(inputs, &self.rows, self.count * self.cols).await?;
        let magnitudes = values(inputs, &self.magnitudes, self.count).await?;
        let lengths =
            rows.chunks(self.cols.max(1) as usize).map(|row| row.iter().map(|value| value * value).sum::<f64>().sqrt());
        found.extend(magnitudes.iter().zip(lengths).map(|(magnitude, length)| deviation(*magnitude, length)));
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

fn summary(adapter: &str, kind: EvidenceKind, weights: usize, mut deviations: Vec<f64>) -> Option<Evidence> {
    // What is no number is as far away as can be.
    deviations.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = f64::MAX);
    sort_by(&mut deviations, |one, other| one.total_cmp(other));
    let (median, largest) = (*deviations.get(deviations.len() / 2)?, *deviations.last()?);
    Some(Evidence { adapter: adapter.into(), kind, weights, samples: deviations.len(), median, largest })
}
