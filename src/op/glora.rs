//! GLoRA (arXiv 2306.07967): W' = W + W ∘ A + B, and for a layer with a bias b' = b + b ∘ D + E + W @ C; PEFT's `GloraLayer.merge`.

use super::dense::Delta;
use super::inverse::no_inverse;
use super::matmul::Matmul;
use super::method::{Needs, straight};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Given, Inverse, LayerShape, Method, Op, Prepared, Tile};
use crate::error::{Error, Result};
use crate::kernel::decode;
use crate::tensor::Float;

/// The operands of A, or D, then those of B, or E. Size `a` and size `b` say how many each has: none (a path that is not there), one number for all
/// or for each output, or two factors of rank `r`.
pub(super) static GLORA: Method =
    Method { fit: straight, packed: 4, spellings: &[PEFT], ..Method::new("glora", prepare) };

/// The update of a bias with a C as well. Its operands come last: one of shape (`i`, 1), or two factors of rank `c`.
pub static GLORA_BIAS: Method =
    Method { fit: straight, needs: Needs::Weight, packed: 4, ..Method::new("glora", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let factor = path(given, 0, given.size('a'))?;
    let added = path(given, given.size('a'), given.size('b'))?;
    let back = Inverse::of(given);
    let coupled = match given.op.weight {
        _ if !given.op.needs_weight() => None,
        _ if back => {
            return Err(no_inverse(given, 0, "it added what the weight gives, which is not in the merged model"));
        }
        Some(weight) => {
            Some(Coupled { column: column(given, given.size('a') + given.size('b'))?, float: weight.float })
        }
        None => return Err(Error::internal("the plan has no weight of the layer whose bias this is")),
    };
    Prepared::other(Paths { factor, added, back, coupled })
}

/// C as one column: operand number `first`, or its product with the next one.
fn column(given: &Given, first: usize) -> Result<Vec<f64>> {
    let left = given.values(first)?;
    if first + 1 >= given.bytes.len() {
        return Ok(left);
    }
    let right = given.values(first + 1)?;
    let dot = |row: &[f64]| row.iter().zip(&right).map(|(left, right)| left * right).sum();
    Ok(left.chunks_exact(right.len().max(1)).map(dot).collect())
}

/// What one path adds, or multiplies with: operands from number `first` on, `count` of them.
fn path(given: &Given, first: usize, count: usize) -> Result<Option<Box<dyn Delta>>> {
    Ok(match count {
        0 => None,
        1 => Some(Box::new(Column(given.values(first)?))),
        _ => {
            let (down, up) = (given.values(first)?, given.values(first + 1)?);
            Some(Box::new(Matmul::new(down, up, given.size('r'), 1.0)))
        }
    })
}

/// One number for each output, or one for all.
struct Column(Vec<f64>);

impl Delta for Column {
    fn bytes(&self) -> u64 {
        size_of_val(self.0.as_slice()) as u64
    }

    fn output(&self, output: usize, _: usize, out: &mut [f64]) {
        out.fill(self.0.get(output).or(self.0.first()).copied().unwrap_or(0.0));
    }
}

/// W @ C, whose rows are read beside the bias.
struct Coupled {
    column: Vec<f64>,
    /// The type of the weight.
    float: Float,
}

impl Coupled {
    /// Add the products of the rows in `weight` with C, each in f64 and from the first column on.
    fn add(&self, weight: &[u8], out: &mut [f64]) {
        let mut row = vec![0.0; self.column.len()];
        for (out, bytes) in out.iter_mut().zip(weight.chunks_exact((row.len() * self.float.bytes()).max(1))) {
            decode(self.float, bytes, &mut row);
            *out += row.iter().zip(&self.column).map(|(value, factor)| value * factor).sum::<f64>();
        }
    }
}

struct Paths {
    factor: Option<Box<dyn Delta>>,
    added: Option<Box<dyn Delta>>,
    /// W' = (W − B) / (1 + A) takes it back.
    back: bool,
    coupled: Option<Coupled>,
}

impl Apply for Paths {
    fn bytes(&self) -> u64 {
        let paths: u64 = [&self.factor, &self.added].into_iter().flatten().map(|path| path.bytes()).sum();
        paths + self.coupled.as_ref().map_or(0, |coupled| size_of_val(coupled.column.as_slice()) as u64)
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        let mut values = Vec::new();
        for (row, col, part) in tile.parts() {
            let (out, base) = (&mut out[part.clone()], &tile.base[part]);
            out.copy_from_slice(base);
            values.resize(base.len(), 0.0);
            if self.back {
                if let Some(added) = &self.added {
                    added.output(row, col, &mut values);
                    out.iter_mut().zip(&values).for_each(|(out, value)| *out -= value);
                }
                if let Some(factor) = &self.factor {
                    factor.output(row, col, &mut values);
                    out.iter_mut().zip(&values).for_each(|(out, value)| *out /= 1.0 + value);
                }
                continue;
            }
            if let Some(factor) = &self.factor {
                factor.output(row, col, &mut values);
                out.iter_mut().zip(base).zip(&values).for_each(|((out, base), value)| *out += base * value);
            }
            if let Some(added) = &self.added {
                added.output(row, col, &mut values);
                out.iter_mut().zip(&values).for_each(|(out, value)| *out += value);
            }
        }
        if let (Some(coupled), [weight]) = (&self.coupled, tile.beside) {
            coupled.add(weight, out);
        }
    }
}

/// PEFT's `GloraConfig`. A path that is not there is saved as zeros.
const PEFT: Spelling = Spelling {
    training: "r config_A_B config_C config_D_E",
    ..Spelling::new(
        "GLORA",
        "glora_A.Xd glora_A.Xu glora_A.X glora_A.zeros glora_B.Xd glora_B.Xu glora_B.X glora_B.zeros glora_C.Xd glora_C.Xu \
         glora_C.X glora_C.zeros glora_D.X glora_D.zeros glora_E.X glora_E.zeros",
        read,
    )
};

fn read(module: &ModuleTensors, _: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let weight = both(module, ["glora_A", "glora_B"])?;
    let bias = coupled(module, both(module, ["glora_D", "glora_E"])?)?;
    let mut updates = Vec::new();
    if !weight.operands.is_empty() {
        updates.push(ParameterUpdate::of("weight", weight));
    }
    if !bias.operands.is_empty() {
        let layer = LayerShape { outputs: bias.sizes.get('o'), vector: true, ..LayerShape::default() };
        updates.push(ParameterUpdate::of("bias", Op { layer, ..bias }));
    }
    Ok(updates)
}

/// The update of a bias with what C adds, where the module has a C.
fn coupled(module: &ModuleTensors, mut op: Op) -> Result<Op> {
    let sides: &[&str] = match (module.find("glora_C.X"), module.find("glora_C.Xd").or(module.find("glora_C.Xu"))) {
        (Some(_), _) => &["glora_C.X:i1"],
        (None, Some(_)) => &["glora_C.Xd:ic", "glora_C.Xu:c1"],
        (None, None) => return Ok(op),
    };
    for tensor in sides {
        module.add(&mut op, tensor)?;
    }
    Ok(Op { method: &GLORA_BIAS, ..op })
}

/// The update by two paths of these names.
fn both(module: &ModuleTensors, [factor, added]: [&str; 2]) -> Result<Op> {
    let mut op = Op::new(&GLORA);
    let mut counts = [0, 0];
    for (name, count) in [factor, added].into_iter().zip(&mut counts) {
        let before = op.operands.len();
        let single = format!("{name}.X");
        match module.find(&single) {
            Some(numbers) => {
                let sides = match numbers.shape.as_slice() {
                    [1] => "1",
                    [1, 1] => "11",
                    [_] => "o",
                    _ => "o1",
                };
                module.add(&mut op, &format!("{single}:{sides}"))?;
            }
            None if module.find(&format!("{name}.Xd")).or(module.find(&format!("{name}.Xu"))).is_some() => {
                module.add(&mut op, &format!("{name}.Xd:or"))?;
                module.add(&mut op, &format!("{name}.Xu:ri"))?;
            }
            None => {}
        }
        *count = (op.operands.len() - before) as u64;
    }
    let layer = LayerShape { outputs: op.sizes.get('o'), inputs: op.sizes.get('i'), ..LayerShape::default() };
    Ok(Op { layer, ..op }.with('a', counts[0]).with('b', counts[1]))
}
