//! DEFT (arXiv 2506.10816): W' = W + Q@(s·R − rightᵀ@W), Q and right of one matrix P; without R it is PaRa; PEFT's
//! `DeftLinear.get_delta_weight`.

use super::householder::orthonormal;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::projected::{self, Middle, Projected};
use super::{Fact, Footprint, LayerShape, Method, Op, Place, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::wire::{wire, wire_enum};

/// The projection and what is put in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Deft {
    /// `deft_P` (outputs, rank).
    pub projection: Operand,
    /// `deft_R` (rank, inputs); none of PaRa (`para`).
    pub injection: Option<Operand>,
    /// Width of the layer's input, where `deft_R` tells.
    pub inputs: Option<u64>,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Rank.
    pub rank: u64,
    /// What Q and right are of P.
    pub decomposition: DeftDecomposition,
    /// Alpha, if there is one: without it nothing is scaled.
    pub alpha: Option<f64>,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Deft { projection, injection, inputs, outputs, rank, decomposition, alpha, transposed });

/// PEFT's `decomposition_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeftDecomposition {
    /// Q is P, right is P with 0 for what is negative.
    Relu,
    /// Both are the orthonormal factor of P.
    Qr,
}

wire_enum!(DeftDecomposition { Relu, Qr });

impl Deft {
    fn scaling(&self) -> f64 {
        self.alpha.map_or(1.0, |alpha| alpha / self.rank as f64)
    }
}

impl Method for Deft {
    const NAME: &'static str = "deft";

    type Prepared = Projected;

    fn operands(&self) -> Vec<&Operand> {
        [&self.projection].into_iter().chain(&self.injection).collect()
    }

    fn footprint(&self) -> Footprint {
        projected::footprint(self.transposed)
    }

    fn fact(&self) -> Option<Fact> {
        projected::fact(self.rank, self.transposed)
    }

    fn layer(&self) -> LayerShape {
        LayerShape { inputs: self.inputs, ..LayerShape::linear(self.outputs, 0) }
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn scale(&self) -> Option<Scale> {
        self.alpha.map(|alpha| Scale { rank: self.rank, alpha, scale: self.scaling() })
    }

    fn packed_rank(&self) -> u64 {
        4 * self.rank // two pairs, in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Projected> {
        let values = self.projection.values(&operands[0], adapter)?;
        let rank = self.rank as usize;
        let (project, back) = match self.decomposition {
            DeftDecomposition::Relu => (values.iter().map(|value| value.max(0.0)).collect(), values),
            DeftDecomposition::Qr => {
                let q = orthonormal(&values, rank);
                (q.clone(), q)
            }
        };
        let mut injection = match &self.injection {
            Some(injection) => injection.values(&operands[1], adapter)?,
            None => Vec::new(),
        };
        injection.iter_mut().for_each(|value| *value *= self.scaling());
        let middle = Injection { values: injection, rank };
        Ok(Projected::new(project, back, rank, middle, place, self.transposed))
    }
}

/// s·R, (rank, inputs), or nothing.
pub(crate) struct Injection {
    values: Vec<f64>,
    rank: usize,
}

impl Middle for Injection {
    fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }

    fn change(&self, columns: &mut [f64], count: usize, first: usize) {
        columns.iter_mut().for_each(|value| *value = -*value);
        let inputs = self.values.len() / self.rank;
        if inputs > 0 {
            for (columns, row) in columns.chunks_exact_mut(count).zip(self.values.chunks_exact(inputs)) {
                columns.iter_mut().zip(&row[first..]).for_each(|(value, injected)| *value += injected);
            }
        }
    }
}

/// PEFT's `DeftConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "DEFT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["deft_P", "deft_R"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("alpha", Field::Read),
            ("para", Field::Read),
            ("decomposition_method", Field::Read),
            ("init_scale", Field::Training),
            ("deft_dropout", Field::Training),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (projection, [outputs, _]) = module.operand::<2>("deft_P")?;
        let rank = config.whole("r", 8)?.min(outputs);
        module.expect_shape("deft_P", &[outputs, rank])?;
        let decomposition = match config.text("decomposition_method")?.as_deref() {
            None | Some("relu") => DeftDecomposition::Relu,
            Some("qr") => DeftDecomposition::Qr,
            Some(_) => return Err(config.wrong("decomposition_method", "\"relu\" or \"qr\"")),
        };
        let alpha = match (config.alpha(), config.number("alpha", 0.0)?) {
            (Some(alpha), _) => Some(alpha),
            // PEFT takes an alpha of 0 for none.
            (None, alpha) => (alpha != 0.0).then_some(alpha),
        };
        let (injection, inputs) = match config.flag("para", false)? {
            true => (None, None),
            false => {
                let (injection, [_, inputs]) = module.operand::<2>("deft_R")?;
                module.expect_shape("deft_R", &[rank, inputs])?;
                (Some(injection), Some(inputs))
            }
        };
        let transposed = false;
        let op = Deft { projection, injection, inputs, outputs, rank, decomposition, alpha, transposed };
        Ok(ParameterUpdate::weight(Op::Deft(op)))
    }
}
