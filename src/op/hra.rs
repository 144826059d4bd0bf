//! HRA (arXiv 2405.17484): the layer's input is reflected in hyperplanes, one after another: W' = W·Π(I − 2·u·uᵀ), u of length 1; PEFT's
//! `HRALayer.get_delta_weight`.

use super::method::Needs;
use super::orthogonal::try_zeros;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::turn::{RowMap, fit_columns, turned};
use super::{Given, Inverse, Method, Prepared};
use crate::error::{Error, Result};
use crate::kernel::{Strip, multiply};

/// `hra_u`, shape (inputs · kernel, rank). Its columns are the normals of the hyperplanes, of any length. If `g` is 1, each is first made
/// orthogonal to those before it (Gram and Schmidt).
pub static HRA: Method =
    Method { needs: Needs::Rows, fit: fit_columns, spellings: &[PEFT], ..Method::new("hra", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (key, values) = (given.key(), given.values(0)?);
    let (inputs, rank, orthogonal) = (given.size('i'), given.size('r'), given.size('g') == 1);
    // Both matrices are rank × inputs at first.
    let mut normals = try_zeros(key, Some(values.len()))?;
    for (number, normal) in normals.chunks_exact_mut(inputs).enumerate() {
        let column = values.iter().skip(number).step_by(rank);
        normal.iter_mut().zip(column).for_each(|(value, &column)| *value = column);
    }
    for number in 0..rank {
        let (before, rest) = normals.split_at_mut(number * inputs);
        let normal = &mut rest[..inputs];
        if orthogonal {
            before.chunks_exact(inputs).for_each(|other| subtract(normal, dot(normal, other), other));
        }
        let length = dot(normal, normal).sqrt();
        if length == 0.0 {
            let reason = "the normal of a hyperplane is 0 (or depends on those before it)";
            return Err(Error::non_finite(key, number as u64, reason).adapter(given.adapter));
        }
        normal.iter_mut().for_each(|value| *value /= length);
    }
    // Every reflection is its own inverse: all of them are taken back in the other order.
    if Inverse::of(given) {
        for number in 0..rank / 2 {
            let (before, rest) = normals.split_at_mut((rank - 1 - number) * inputs);
            before[number * inputs..][..inputs].swap_with_slice(&mut rest[..inputs]);
        }
    }
    // A row is multiplied by these to get the component of its image along each normal when that normal's turn comes: the normal, reflected in
    // those before it.
    let mut images = try_zeros(key, Some(values.len()))?;
    images.copy_from_slice(&normals);
    for number in 1..if orthogonal { 0 } else { rank } {
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
    turned(Reflections { images: columns, normals, rank }, Vec::new())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(value, other)| *value -= factor * other);
}

/// The reflections as two matrices: w' = w + (w·`images`)·`normals`.
struct Reflections {
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
const PEFT: Spelling = Spelling { reads: "r apply_GS", ..Spelling::new("HRA", "hra_u", read) };

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let known = [('r', config.whole("r", 8)?), ('g', config.flag("apply_GS", false)?.into())];
    ParameterUpdate::weight(module.op(&HRA, "hra_u:ir", &known)?)
}
