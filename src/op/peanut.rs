//! PEANuT (arXiv 2410.01870): W' = W + scaling · B@net(A@W), a small network that is applied to each input's column; PEFT's
//! `peanut.Linear._compute_delta_weight`.

use super::activation::{self, Activation, activation};
use super::matmul::transposed;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::projected::{self, Middle, Projected};
use super::{Fact, Footprint, LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The network.
#[derive(Debug, Clone, PartialEq)]
pub struct Peanut {
    /// `peanut_A` (rank, outputs).
    pub a: Operand,
    /// `peanut_B` (outputs, rank).
    pub b: Operand,
    /// `peanut_encoders.N` in their order, then `peanut_decoders.N`: as many, each (rank, rank).
    pub layers: Vec<Operand>,
    /// Width of the layer's output.
    pub outputs: u64,
    /// Rank.
    pub rank: u64,
    /// `act_fn`.
    pub activation: String,
    /// `scaling`.
    pub scaling: f64,
}

wire!(Peanut { a, b, layers, outputs, rank, activation, scaling });

impl Method for Peanut {
    const NAME: &'static str = "peanut";

    type Prepared = Projected;

    fn operands(&self) -> Vec<&Operand> {
        [&self.a, &self.b].into_iter().chain(&self.layers).collect()
    }

    fn footprint(&self) -> Footprint {
        projected::footprint(false)
    }

    fn fact(&self) -> Option<Fact> {
        projected::fact(self.rank, false)
    }

    fn layer(&self) -> LayerShape {
        LayerShape { outputs: Some(self.outputs), ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape).straight()
    }

    fn packed_rank(&self) -> u64 {
        4 * self.rank // two pairs, in f64
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Projected> {
        let values = self.operands().into_iter().zip(operands).map(|(operand, bytes)| operand.values(bytes, adapter));
        let mut values = values.collect::<Result<Vec<_>>>()?.into_iter();
        let (a, mut b) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
        b.iter_mut().for_each(|value| *value *= self.scaling);
        let activation = activation(&self.activation)
            .ok_or_else(|| Error::internal(format!("the plan has the unknown function {:?}", self.activation)))?;
        let network = Network { layers: values.collect(), rank: self.rank as usize, activation };
        Ok(Projected::new(transposed(&a, self.outputs as usize), b, self.rank as usize, network, place, false))
    }
}

/// The layers in memory.
pub(crate) struct Network {
    /// Encoders, then decoders.
    layers: Vec<Vec<f64>>,
    rank: usize,
    activation: Activation,
}

impl Middle for Network {
    fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| size_of_val(layer.as_slice()) as u64).sum()
    }

    fn change(&self, columns: &mut [f64], count: usize, _first: usize) {
        let (encoders, decoders) = self.layers.split_at(self.layers.len() / 2);
        let mut values = vec![0.0; self.rank];
        let mut residuals = Vec::with_capacity(encoders.len());
        for column in 0..count {
            for (value, projected) in values.iter_mut().zip(columns[column..].iter().step_by(count)) {
                *value = (self.activation)(*projected);
            }
            for encoder in encoders {
                let next = self.layer(encoder, &values);
                residuals.push(std::mem::replace(&mut values, next));
            }
            for decoder in decoders {
                values = self.layer(decoder, &values);
                let residual = residuals.pop().unwrap_or_default();
                values.iter_mut().zip(residual).for_each(|(value, residual)| *value += residual);
            }
            for (value, column) in values.iter().zip(columns[column..].iter_mut().step_by(count)) {
                *column = *value;
            }
        }
    }
}

impl Network {
    fn layer(&self, weights: &[f64], values: &[f64]) -> Vec<f64> {
        let dot = |row: &[f64]| row.iter().zip(values).map(|(weight, value)| weight * value).sum();
        weights.chunks_exact(self.rank).map(dot).map(self.activation).collect()
    }
}

/// PEFT's `PeanutConfig`.
pub(super) struct Peft;

/// Names of the layers of as deep a network as anybody has.
const ENCODERS: [&str; 8] = [
    "peanut_encoders.0",
    "peanut_encoders.1",
    "peanut_encoders.2",
    "peanut_encoders.3",
    "peanut_encoders.4",
    "peanut_encoders.5",
    "peanut_encoders.6",
    "peanut_encoders.7",
];
const DECODERS: [&str; 8] = [
    "peanut_decoders.0",
    "peanut_decoders.1",
    "peanut_decoders.2",
    "peanut_decoders.3",
    "peanut_decoders.4",
    "peanut_decoders.5",
    "peanut_decoders.6",
    "peanut_decoders.7",
];
const TENSORS: [&str; 18] = {
    let mut all = ["peanut_A"; 18];
    all[1] = "peanut_B";
    let mut at = 0;
    while at < 8 {
        all[2 + at] = ENCODERS[at];
        all[10 + at] = DECODERS[at];
        at += 1;
    }
    all
};

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "PEANUT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &TENSORS
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("r", Field::Read), ("depth", Field::Read), ("act_fn", Field::Read), ("scaling", Field::Read)]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        if config.whole("depth", 0)? > ENCODERS.len() as u64 {
            return Err(config.refuse("depth", "so deep a network is not implemented"));
        }
        let name = config.text("act_fn")?.unwrap_or_else(|| "relu".into());
        match activation(&name) {
            Some(_) => Ok(()),
            None => {
                let reason = format!("this function is not implemented; {} are", activation::names());
                Err(config.refuse("act_fn", &reason))
            }
        }
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let rank = config.whole("r", 32)?;
        let depth = config.whole("depth", 0)? as usize;
        let (a, [_, outputs]) = module.operand::<2>("peanut_A")?;
        module.expect_shape("peanut_A", &[rank, outputs])?;
        let (b, _) = module.operand::<2>("peanut_B")?;
        module.expect_shape("peanut_B", &[outputs, rank])?;
        let mut layers = Vec::with_capacity(2 * depth);
        for name in ENCODERS.iter().take(depth).chain(DECODERS.iter().take(depth)) {
            layers.push(module.operand::<2>(name)?.0);
            module.expect_shape(name, &[rank, rank])?;
        }
        let activation = config.text("act_fn")?.unwrap_or_else(|| "relu".into());
        let scaling = config.number("scaling", 1.0)?;
        let op = Peanut { a, b, layers, outputs, rank, activation, scaling };
        Ok(ParameterUpdate::weight(Op::Peanut(op)))
    }
}
