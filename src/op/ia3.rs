//! IA3 (arXiv 2205.05638): every output of a layer (with its bias), or every input, is multiplied by a trained number; PEFT's
//! `IA3Layer.merge`.

use super::inverse::no_inverse;
use super::peft::{AdapterTensor, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Given, Inverse, LayerShape, Method, Op, Prepared, Tile};
use crate::error::Result;
use crate::model::orientation::Fit;

/// `ia3_l`, `n` numbers. They multiply the inputs if `f` is 1, as in feed-forward layers, otherwise the outputs. For a convolution, `c` is the
/// number of dimensions of its kernel.
pub static IA3: Method = Method { fit, spellings: &[PEFT], ..Method::new("ia3", prepare) };

fn fit(op: &Op, shape: &[u64]) -> Fit {
    let sides = op.size('c') as usize;
    match *shape {
        _ if sides == 0 => op.layer.fit(shape),
        // A convolution in groups has more inputs than its weight shows, so its weight does not fit.
        [outputs, inputs, ref kernel @ ..] if kernel.len() == sides => {
            let side = if op.size('f') == 1 { inputs } else { outputs };
            if side == op.size('n') { Fit::Certain { transposed: false } } else { Fit::Neither }
        }
        _ => Fit::Neither,
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let (mut values, place) = (given.values(0)?, given.place);
    if Inverse::of(given) {
        if let Some(zero) = values.iter().position(|&value| value == 0.0) {
            return Err(no_inverse(given, zero, "it is 0: what it multiplied is not in the merged model"));
        }
        values.iter_mut().for_each(|value| *value = 1.0 / *value);
    }
    if (given.size('f') == 1) == given.op.transposed {
        let rows = Some(place.sources().map(|row| values[row]).collect());
        return Prepared::other(Multiplied { rows, cols: Vec::new() });
    }
    // Each input of a convolution is a run of columns, its kernel.
    let kernel = (place.cols / values.len().max(1)).max(1);
    let cols = values.iter().flat_map(|&value| std::iter::repeat_n(value, kernel)).collect();
    Prepared::other(Multiplied { rows: None, cols })
}

/// What each row, or each column, is multiplied by.
struct Multiplied {
    rows: Option<Vec<f64>>,
    cols: Vec<f64>,
}

impl Apply for Multiplied {
    fn bytes(&self) -> u64 {
        let values = self.cols.len() + self.rows.as_ref().map_or(0, Vec::len);
        (values * size_of::<f64>()) as u64
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        for (row, col, part) in tile.parts() {
            let values = out[part.clone()].iter_mut().zip(&tile.base[part]);
            match &self.rows {
                Some(rows) => {
                    let factor = tile.round(rows[row]);
                    values.for_each(|(out, &base)| *out = base * factor);
                }
                None => {
                    values.zip(&self.cols[col..]).for_each(|((out, &base), &factor)| *out = base * tile.round(factor))
                }
            }
        }
    }
}

/// PEFT's `IA3Config`.
const PEFT: Spelling =
    Spelling { reads: "feedforward_modules", training: "init_ia3_weights", ..Spelling::new("IA3", "ia3_l", read) };

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let tensor = module.tensor("ia3_l")?;
    let (length, of_inputs, sides) = shape(module, tensor, config)?;
    let side = |of: bool| (of == of_inputs).then_some(length);
    let layer = LayerShape { inputs: side(true), outputs: side(false), ..LayerShape::default() };
    let op = Op { operands: vec![module.floats(tensor)?], layer, ..Op::new(&IA3) };
    let op = op.with('n', length).with('f', of_inputs.into());
    let mut updates = Vec::new();
    if !of_inputs {
        updates.push(ParameterUpdate::bias(Op { layer: LayerShape::vector(length), ..op.clone() }));
    }
    updates.insert(0, ParameterUpdate::of("weight", op.with('c', sides)));
    Ok(updates)
}

/// How many numbers the vector has, whether they belong to inputs, and how many dimensions the kernel has if the layer is a convolution. For a
/// linear layer wider than 1 the shape tells; for a convolution both kinds look alike, and the configuration decides.
fn shape(module: &ModuleTensors, tensor: &AdapterTensor, config: &mut dyn Settings) -> Result<(u64, bool, u64)> {
    let found = match *tensor.shape.as_slice() {
        [1, 1] => (1, is_feedforward(module.module, config)?, 0),
        [1, inputs] => (inputs, true, 0),
        [outputs, 1] => (outputs, false, 0),
        [1, channels, 1, 1] => (channels, is_feedforward(module.module, config)?, 2),
        [1, channels, 1, 1, 1] => (channels, is_feedforward(module.module, config)?, 3),
        _ => return Err(module.misshapen(tensor, "[1, inputs], [outputs, 1], or [1, channels, 1, 1] of a convolution")),
    };
    if found.0 == 0 { Err(module.misshapen(tensor, "one with numbers in it")) } else { Ok(found) }
}

/// Whether the module is among the `feedforward_modules`. PEFT compares the ends of paths, which need not begin at a dot.
fn is_feedforward(module: &str, config: &mut dyn Settings) -> Result<bool> {
    match config.matches("feedforward_modules", module)? {
        Some(matches) => Ok(matches),
        None => Ok(config.list("feedforward_modules")?.iter().any(|name| module.ends_with(name.as_str()))),
    }
}
