//! PEANuT (arXiv 2410.01870): W' = W + scaling · B@net(A@W), a small network that is applied to each input's column; PEFT's
//! `peanut.Linear._compute_delta_weight`.

use super::activation::{self, Activation};
use super::matmul::transposed;
use super::method::Needs;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::projected::{Middle, projected};
use super::{Given, Method, Op, Prepared, straight};
use crate::error::{Error, Result};

/// `peanut_A` (rank, outputs), `peanut_B` (outputs, rank), `peanut_encoders.N` in their order, then as many `peanut_decoders.N`, each (rank,
/// rank); the function number `f` (`act_fn`); and `scaling`.
pub(super) static PEANUT: Method =
    Method { needs: Needs::Products, packed: 4, fit: straight, spellings: &[PEFT], ..Method::new("peanut", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (a, mut b, rank) = (given.values(0)?, given.values(1)?, given.size('r'));
    b.iter_mut().for_each(|value| *value *= given.number(0));
    let mut layers = Vec::new();
    for number in 2..given.bytes.len() {
        layers.push(given.values(number)?);
    }
    let (_, activation) = activation::FUNCTIONS
        .get(given.size('f'))
        .ok_or_else(|| Error::internal("the plan has an unknown function"))?;
    projected(transposed(&a, given.size('o')), b, Network { layers, rank, activation: *activation }, given)
}

/// The layers in memory.
struct Network {
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
const PEFT: Spelling = Spelling { reads: "r depth act_fn scaling", check, ..Spelling::new("PEANUT", TENSORS, read) };

/// The largest number of layers that is supported.
const MOST_LAYERS: u64 = 8;

const TENSORS: &str = "peanut_A peanut_B peanut_encoders.0 peanut_encoders.1 peanut_encoders.2 peanut_encoders.3 peanut_encoders.4 \
                       peanut_encoders.5 peanut_encoders.6 peanut_encoders.7 peanut_decoders.0 peanut_decoders.1 peanut_decoders.2 \
                       peanut_decoders.3 peanut_decoders.4 peanut_decoders.5 peanut_decoders.6 peanut_decoders.7";

fn check(config: &mut dyn Settings) -> Result<()> {
    if config.whole("depth", 0)? > MOST_LAYERS {
        return Err(config.refuse("depth", "a network this deep is not implemented"));
    }
    function(config).map(|_| ())
}

/// Which function `act_fn` is.
fn function(config: &mut dyn Settings) -> Result<u64> {
    let name = config.text("act_fn")?.unwrap_or_else(|| "relu".into());
    match activation::FUNCTIONS.iter().position(|(known, _)| *known == name) {
        Some(number) => Ok(number as u64),
        None => {
            let reason = format!("this function is not implemented; {} are", activation::names());
            Err(config.refuse("act_fn", &reason))
        }
    }
}

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let known = [('r', config.whole("r", 32)?), ('f', function(config)?)];
    let mut op = module.op(&PEANUT, "peanut_A:ro peanut_B:or", &known)?;
    for kind in ["encoders", "decoders"] {
        for number in 0..config.whole("depth", 0)? {
            module.add(&mut op, &format!("peanut_{kind}.{number}:rr"))?;
        }
    }
    ParameterUpdate::weight(Op { numbers: vec![config.number("scaling", 1.0)?], ..op })
}
