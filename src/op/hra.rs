//! HRA (arXiv 2405.17484): the layer's input is reflected in hyperplanes, one after another: W' = W·Π(I − 2·u·uᵀ), u of length 1; PEFT's
//! `HRALayer.get_delta_weight`.

use super::orthogonal::try_zeros;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::turn::{RowMap, Turned, fit_columns};
use super::{Footprint, LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::{Strip, multiply};
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The reflections of one module's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Hra {
    /// `hra_u`, shape (inputs · kernel, rank): the normals of the hyperplanes are its columns, of any length.
    pub normals: Operand,
    /// Columns of the weight.
    pub inputs: u64,
    /// Hyperplanes.
    pub rank: u64,
    /// The normals are made orthogonal first, each to those before it (Gram and Schmidt).
    pub orthogonal: bool,
}

wire!(Hra { normals, inputs, rank, orthogonal });

impl Method for Hra {
    const NAME: &'static str = "hra";

    type Prepared = Turned<Reflections>;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.normals]
    }

    fn footprint(&self) -> Footprint {
        Footprint::Rows
    }

    fn layer(&self) -> LayerShape {
        LayerShape { inputs: Some(self.inputs), ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        fit_columns(shape, None, |columns| columns == self.inputs)
    }

    fn transpose(&mut self, _transposed: bool) {}

    fn transposed(&self) -> bool {
        false
    }

    fn prepare(&self, _place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Turned<Reflections>> {
        let key = &self.normals.key;
        let values = self.normals.values(&operands[0], adapter)?;
        let (inputs, rank) = (self.inputs as usize, self.rank as usize);
        // Both matrices are of rank × inputs at first.
        let mut normals = try_zeros(key, Some(values.len()))?;
        for (number, normal) in normals.chunks_exact_mut(inputs).enumerate() {
            let column = values.iter().skip(number).step_by(rank);
            normal.iter_mut().zip(column).for_each(|(value, &column)| *value = column);
        }
        for number in 0..rank {
            let (before, rest) = normals.split_at_mut(number * inputs);
            let normal = &mut rest[..inputs];
            if self.orthogonal {
                before.chunks_exact(inputs).for_each(|other| subtract(normal, dot(normal, other), other));
            }
            let length = dot(normal, normal).sqrt();
            if length == 0.0 {
                let reason = "the normal of a hyperplane is 0 (or depends on those before it)";
                return Err(Error::non_finite(key.clone(), number as u64, reason).adapter(adapter));
            }
            normal.iter_mut().for_each(|value| *value /= length);
        }
        // What a row is multiplied with to give the length of its image along each normal when its turn comes: that normal, reflected in
        // those before it.
        let mut images = try_zeros(key, Some(values.len()))?;
        images.copy_from_slice(&normals);
        for number in 1..if self.orthogonal { 0 } else { rank } {
            let (before, rest) = images.split_at_mut(number * inputs);
            let normal = &normals[number * inputs..][..inputs];
            for (image, other) in before.chunks_exact(inputs).zip(normals.chunks_exact(inputs)) {
                subtract(&mut rest[..inputs], 2.0 * dot(normal, other), image);
            }
        }
        let mut columns = values;
        for (number, image) in images.chunks_exact(inputs).enumerate() {
            columns.iter_mut().skip(number).step_by(rank).zip(image).for_each(|(value, &image)| *value = image);
        }
        normals.iter_mut().for_each(|value| *value *= -2.0);
        Ok(Turned::new(Reflections { images: columns, normals, rank }))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(value, other)| *value -= factor * other);
}

/// The reflections as two matrices: w' = w + (w·`images`)·`normals`.
pub(crate) struct Reflections {
    /// inputs × rank.
    images: Vec<f64>,
    /// −2 times the normals, rank × inputs.
    normals: Vec<f64>,
    rank: usize,
}

impl RowMap for Reflections {
    fn bytes(&self) -> u64 {
        size_of_val(self.images.as_slice()) as u64 * 2
    }

    fn map(&self, rows: &mut Vec<f64>, spare: &mut Vec<f64>, cols: usize) {
        let mut along = vec![0.0; crate::kernel::STRIP * self.rank];
        multiply(Strip { values: rows, stride: cols, first: 0 }, &self.images, self.rank, &mut along, self.rank, 0);
        multiply(Strip { values: &along, stride: self.rank, first: 0 }, &self.normals, cols, spare, cols, 0);
        rows.iter_mut().zip(&*spare).for_each(|(value, change)| *value += change);
    }
}

/// PEFT's `HRAConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "HRA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["hra_u"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("r", Field::Read), ("apply_GS", Field::Read)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (normals, [inputs, rank]) = module.operand::<2>("hra_u")?;
        module.expect_shape("hra_u", &[inputs, config.whole("r", 8)?])?;
        let orthogonal = config.flag("apply_GS", false)?;
        Ok(ParameterUpdate::weight(Op::Hra(Hra { normals, inputs, rank, orthogonal })))
    }
}
