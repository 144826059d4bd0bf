//! IA3 (arXiv 2205.05638): every output of a layer, with its bias, or every input is multiplied with a trained number; PEFT's
//! `IA3Layer.merge`.

use super::peft::{AdapterTensor, Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, LayerShape, Method, Op, Place, Tile};
use crate::encoding::Operand;
use crate::error::Result;
use crate::kernel::Real;
use crate::model::orientation::Fit;
use crate::wire::{wire, wire_enum};

/// A vector, and which side of which parameter it multiplies.
#[derive(Debug, Clone, PartialEq)]
pub struct Ia3 {
    /// `ia3_l`.
    pub vector: Operand,
    /// How many numbers it has.
    pub length: u64,
    /// It multiplies the inputs, as in feed-forward layers; otherwise the outputs.
    pub of_inputs: bool,
    /// What is multiplied.
    pub parameter: Parameter,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Ia3 { vector, length, of_inputs, parameter, transposed });

/// A parameter that IA3 multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// The weight of a linear layer.
    Matrix,
    /// The weight of a convolution whose kernel has so many sides.
    Convolution(u8),
    /// The bias.
    Bias,
}

wire_enum!(Parameter { Matrix, Convolution(part), Bias });

impl Method for Ia3 {
    const NAME: &'static str = "ia3";

    type Prepared = Multiplied;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.vector]
    }

    fn layer(&self) -> LayerShape {
        let length = Some(self.length);
        match (self.parameter, self.of_inputs) {
            (Parameter::Bias, _) => LayerShape::vector(self.length),
            (_, true) => LayerShape { inputs: length, ..LayerShape::default() },
            (_, false) => LayerShape { outputs: length, ..LayerShape::default() },
        }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        let Parameter::Convolution(sides) = self.parameter else { return self.layer().fit(shape) };
        // The inputs of a convolution in groups are more than its weight shows: such a weight does not fit.
        match *shape {
            [outputs, inputs, ref kernel @ ..] if kernel.len() == usize::from(sides) => {
                let side = if self.of_inputs { inputs } else { outputs };
                if side == self.length { Fit::Certain { transposed: false } } else { Fit::Neither }
            }
            _ => Fit::Neither,
        }
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Multiplied> {
        let values = self.vector.values(&operands[0], adapter)?;
        if self.of_inputs == self.transposed {
            return Ok(Multiplied { rows: Some(place.sources().map(|row| values[row]).collect()), cols: Vec::new() });
        }
        // Each input of a convolution is a run of columns, its kernel.
        let kernel = (place.cols / values.len().max(1)).max(1);
        let cols = values.iter().flat_map(|&value| std::iter::repeat_n(value, kernel)).collect();
        Ok(Multiplied { rows: None, cols })
    }
}

/// What each row, or each column, is multiplied with.
pub(crate) struct Multiplied {
    rows: Option<Vec<f64>>,
    cols: Vec<f64>,
}

impl Apply for Multiplied {
    fn bytes(&self) -> u64 {
        let values = self.cols.len() + self.rows.as_ref().map_or(0, Vec::len);
        (values * size_of::<f64>()) as u64
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        for (row, col, part) in tile.parts() {
            let values = out[part.clone()].iter_mut().zip(&tile.base[part]);
            match &self.rows {
                Some(rows) => {
                    let factor = R::from_f64(rows[row]);
                    values.for_each(|(out, &base)| *out = base * factor);
                }
                None => {
                    values.zip(&self.cols[col..]).for_each(|((out, &base), &factor)| *out = base * R::from_f64(factor))
                }
            }
        }
    }
}

/// PEFT's `IA3Config`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "IA3"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["ia3_l"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("feedforward_modules", Field::Read), ("init_ia3_weights", Field::Training)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let tensor = module.tensor("ia3_l")?;
        let (length, of_inputs, parameter) = shape(module, tensor, config)?;
        let vector = module.floats(tensor)?;
        let of = |parameter| Op::Ia3(Ia3 { vector: vector.clone(), length, of_inputs, parameter, transposed: false });
        let mut updates = ParameterUpdate::weight(of(parameter));
        if !of_inputs {
            updates.push(ParameterUpdate::bias(of(Parameter::Bias)));
        }
        Ok(updates)
    }
}

/// How many numbers the vector has, whether they are of inputs, and what they multiply. The shape alone tells it of a linear layer that is
/// not 1 wide; in a convolution both kinds look alike, and the configuration says.
fn shape(module: &ModuleTensors, tensor: &AdapterTensor, config: &mut dyn Settings) -> Result<(u64, bool, Parameter)> {
    let found = match *tensor.shape.as_slice() {
        [1, 1] => (1, is_feedforward(module.module, config)?, Parameter::Matrix),
        [1, inputs] => (inputs, true, Parameter::Matrix),
        [outputs, 1] => (outputs, false, Parameter::Matrix),
        [1, channels, 1, 1] => (channels, is_feedforward(module.module, config)?, Parameter::Convolution(2)),
        [1, channels, 1, 1, 1] => (channels, is_feedforward(module.module, config)?, Parameter::Convolution(3)),
        _ => return Err(module.misshapen(tensor, "[1, inputs], [outputs, 1], or [1, channels, 1, 1] of a convolution")),
    };
    if found.0 == 0 { Err(module.misshapen(tensor, "one with numbers in it")) } else { Ok(found) }
}

/// Whether the module is among the `feedforward_modules`: PEFT compares the ends of paths, dots or not.
fn is_feedforward(module: &str, config: &mut dyn Settings) -> Result<bool> {
    match config.matches("feedforward_modules", module)? {
        Some(matches) => Ok(matches),
        None => Ok(config.list("feedforward_modules")?.iter().any(|name| module.ends_with(name.as_str()))),
    }
}
