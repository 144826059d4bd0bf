//! An adapter to be made, decided: which modules it has, and what the factors of each are made from.

use serde_json::{Map, Value};

use super::bias::biases;
use super::combine::combined;
use super::extract::{difference, extracted};
use super::folder::Fields;
use super::keep::Keep;
use super::layer::{Layer, saved_key};
use super::low_rank::LowRank;
use super::matrix::turned;
use super::options::Combining;
use super::stack::stacked;
use super::stacks::Stack;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Span};
use crate::op::Op;
use crate::tensor::{Dtype, Float};
use crate::wire::{Wire, wire};

/// An adapter to be made. Its parts are computed one by one, in any order and by any thread; then [`finish`](Self::finish) says how they
/// stand in the files.
#[derive(Debug, Clone)]
pub struct FactorsPlan {
    pub(crate) parts: Vec<Part>,
    pub(crate) making: Making,
    /// The type of the factors.
    pub(crate) dtype: Float,
    /// What the new configuration takes over.
    pub(crate) fields: Fields,
    /// What the adapter says of its making.
    pub(crate) recipe: Map<String, Value>,
    pub(crate) findings: Vec<Finding>,
}

/// What the parts are made with.
#[derive(Debug, Clone)]
pub(crate) enum Making {
    /// Adapters become one: the options, and of each adapter its name, weight and hash.
    Combine(Combining, Vec<Given>),
    /// The differences of two models.
    Extract { keep: Keep, seed: u64, others: Others },
}

/// What becomes of what has no factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Save,
    Refuse,
    Drop,
}

/// An adapter that is combined.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// What tells its random masks from those of others.
    pub(crate) identity: String,
}

/// A part of the new adapter: factors, or a whole tensor.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Path of the module.
    pub(crate) module: String,
    pub(crate) body: Body,
}

/// What a part is made from.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Factors of a layer, from those of some adapters, each by its number.
    Factors(Layer, Vec<(usize, Op)>),
    /// Factors of the experts in a stack, from those of some adapters.
    Stack(Box<Stack>, Vec<(usize, Op)>),
    /// The bias of B, of so many outputs: those of some adapters, or zeros.
    Bias(u64, Vec<(usize, Op)>),
    /// Factors of a layer, from its weight before and after. The weight is stored (inputs, outputs) where it says so.
    Weights { layer: Layer, base: Plain, tuned: Plain, transposed: bool },
    /// A tensor of the tuned model or of an adapter that is taken as it is; of a model, where it differs from the base's, of the same shape.
    Whole { key: String, name: String, dtype: Dtype, shape: Vec<u64>, at: Span, base: Option<Plain> },
}

/// What was computed of a part.
#[derive(Debug, Clone, PartialEq)]
pub struct Factored {
    /// What the files and the report need to know of it.
    pub outcome: Outcome,
    /// The values of A and of B, as they stand in the file. Of a part without factors there are none.
    pub values: [Vec<u8>; 2],
}

/// What became of a part, without its values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Rank of the factors: 0 where there are none.
    pub(crate) rank: u64,
    /// The Frobenius norm of the delta that they were made from.
    pub(crate) norm: Option<f64>,
    /// What share of its sum of squares they keep.
    pub(crate) energy: f64,
    /// How far the result is from the exact weighted sum.
    pub(crate) deviation: Option<f64>,
}

impl FactorsPlan {
    /// How many parts there are to compute.
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// What a part is called: the path of its module.
    pub fn name(&self, part: usize) -> &str {
        self.parts.get(part).map_or("", |part| &part.module)
    }

    /// How much work a part is, in elements of its delta, for the progress.
    pub fn elements(&self, part: usize) -> u64 {
        match self.parts.get(part).map(|part| &part.body) {
            Some(Body::Factors(layer, _) | Body::Weights { layer, .. }) => {
                layer.columns().and_then(|columns| columns.checked_mul(layer.outputs)).unwrap_or(0)
            }
            Some(Body::Stack(stack, _)) => {
                let sides = [stack.layer.inputs, stack.layer.outputs];
                sides.iter().try_fold(stack.experts, |product, side| product.checked_mul(*side)).unwrap_or(0)
            }
            Some(Body::Bias(outputs, _)) => *outputs,
            Some(Body::Whole { shape, .. }) => shape.iter().product(),
            None => 0,
        }
    }

    /// Compute a part.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, or becomes so in the type of the factors; `limit-exceeded` where memory does not
    /// suffice; those of reading.
    pub async fn compute(&self, part: usize, inputs: &impl Inputs) -> Result<Factored> {
        let Some(Part { module, body }) = self.parts.get(part) else {
            return Err(Error::internal(format!("there is no part {part}")));
        };
        match (body, &self.making) {
            (Body::Factors(layer, parts), Making::Combine(options, adapters)) => {
                let (factors, outcome) = combined(module, layer, parts, options, adapters, inputs).await?;
                self.encoded(module, factors, outcome)
            }
            (Body::Stack(stack, parts), Making::Combine(options, adapters)) => {
                let (factors, outcome) = stacked(module, stack, parts, options, adapters, inputs).await?;
                let factored = self.encoded(module, factors, outcome)?;
                // A has as many rows for each expert, and B columns.
                let rank = factored.outcome.rank / stack.experts.max(1);
                Ok(Factored { outcome: Outcome { rank, ..factored.outcome }, ..factored })
            }
            (Body::Bias(outputs, parts), Making::Combine(_, adapters)) => {
                let sum = biases(*outputs, parts, adapters, inputs).await?;
                let norm = Some(super::matrix::dot(&sum, &sum).sqrt());
                let values = [self.values(&saved_key(module, "lora_B.bias"), &sum)?, Vec::new()];
                Ok(Factored { outcome: Outcome { norm, ..Outcome::NOTHING }, values })
            }
            (Body::Weights { layer, base, tuned, transposed }, Making::Extract { keep, seed, .. }) => {
                let weights = (*base, *tuned, *transposed);
                let (factors, outcome) = extracted(module, layer, weights, *keep, *seed, inputs).await?;
                self.encoded(module, factors, outcome)
            }
            (Body::Whole { name, shape, at, dtype, base: Some(base), .. }, _) => {
                let norm = difference(name, shape.iter().product(), *base, (*dtype, *at), inputs).await?;
                if norm > 0.0 {
                    self.may_save(name)?;
                }
                Ok(Outcome { norm: Some(norm), ..Outcome::NOTHING }.without_values())
            }
            (Body::Whole { name, .. }, _) => {
                self.may_save(name)?;
                Ok(Outcome::NOTHING.without_values())
            }
            _ => Err(Error::internal("a part is made from what its plan does not have")),
        }
    }

    /// Whether whole tensors are brought along.
    pub(crate) fn saves(&self) -> bool {
        !matches!(self.making, Making::Extract { others: Others::Drop, .. })
    }

    /// That a tensor which differs, and has no factors, can be brought along as a whole.
    fn may_save(&self, name: &str) -> Result<()> {
        let reason = match self.making {
            Making::Extract { others: Others::Refuse, .. } => {
                "it differs from the base's, and LoRA has no factors for it"
            }
            // Those of a module that others are in: PEFT would save all of these.
            Making::Extract { others: Others::Save, .. } if !name.ends_with(".weight") && !name.ends_with(".bias") => {
                "it differs from the base's, and PEFT has no place for a parameter of this name"
            }
            _ => return Ok(()),
        };
        let error = Error::unsupported(name, reason).tensor(name).kind(ErrorKind::NotImplemented);
        Err(error.fix("leave it out with others: \"drop\" (--others drop)"))
    }

    /// Factors as they stand in the file. Where there is nothing to keep there are none.
    fn encoded(&self, module: &str, factors: LowRank, outcome: Outcome) -> Result<Factored> {
        let rank = factors.rank();
        let b = turned(&factors.left.values, rank, factors.left.rows)?;
        let values = [
            self.values(&format!("{module}.lora_A"), &factors.right.values)?,
            self.values(&format!("{module}.lora_B"), &b)?,
        ];
        Ok(Factored { outcome: Outcome { rank: rank as u64, ..outcome }, values })
    }

    /// Values in the type of the factors.
    fn values(&self, name: &str, values: &[f64]) -> Result<Vec<u8>> {
        let width = self.dtype.bytes();
        let mut bytes = crate::inputs::try_buffer(name, (values.len() * width) as u64)?;
        for (element, (value, out)) in values.iter().zip(bytes.chunks_exact_mut(width)).enumerate() {
            self.dtype.write(*value, out);
            if !self.dtype.read(out).is_finite() {
                let reason = "it is beyond the type of the factors";
                let wider = if self.dtype == Float::F32 { "float64" } else { "float32" };
                let fix = format!("write the factors in {wider} (dtype, --dtype)");
                return Err(Error::non_finite(name, element as u64, reason).fix(fix));
            }
        }
        Ok(bytes)
    }
}

wire!(Outcome { rank, norm, energy, deviation });

impl Outcome {
    /// As bytes, for another thread.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    ///
    /// # Errors
    /// `internal` for other bytes.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Outcome> {
        Outcome::take(&mut bytes).ok_or_else(|| Error::internal("these are not the bytes of an outcome"))
    }

    /// No factors, and nothing known.
    pub(crate) const NOTHING: Outcome = Outcome { rank: 0, norm: None, energy: 1.0, deviation: None };

    fn without_values(self) -> Factored {
        Factored { outcome: self, values: [Vec::new(), Vec::new()] }
    }
}
