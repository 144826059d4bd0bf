//! RoAd (arXiv 2409.00119): pairs of the layer's outputs are rotated and scaled: W' = R·W, b' = R·b; PEFT's `_get_delta_weight`.
//!
//! Outputs are in groups. Output i of a group's first half and output i of its second half form a pair:
//! y1 = a1·cos θ1·x1 − b1·sin φ1·x2 and y2 = a2·cos θ2·x2 + b2·sin φ2·x1.

use super::inverse::no_inverse;
use super::method::Needs;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Given, Inverse, LayerShape, Method, Op, Prepared, RowOrder, Tile};
use crate::error::{Error, Result};
use crate::model::orientation::Fit;

/// `road_theta`, angles in radians, and `road_alpha`, as many factors. `v` is 1: one for each pair; 2: one for each output; 4: two for each
/// output, in each group first those of the cosines, then those of the sines. A group has `g` outputs.
pub static ROAD: Method = Method { needs: Needs::Groups, fit, spellings: &[PEFT], ..Method::new("road", prepare) };

fn fit(op: &Op, shape: &[u64]) -> Fit {
    match (op.layer.vector, shape) {
        (false, [outputs, _]) if Some(*outputs) == op.layer.outputs => Fit::Straight,
        // PEFT has it only for `nn.Linear`.
        (false, _) => Fit::Neither,
        (true, _) => op.layer.fit(shape),
    }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let (angles, lengths, group) = (given.values(0)?, given.values(1)?, given.size('g'));
    let rows = &given.place.rows;
    if given.place.order != RowOrder::AsIs || !rows.start.is_multiple_of(group) || !rows.end.is_multiple_of(group) {
        let reason = "its groups of outputs are not together in the weight";
        return Err(Error::unsupported(given.key(), reason).adapter(given.adapter));
    }
    let factor = |output: usize, second: usize, of: fn(f64) -> f64| {
        let at = match given.size('v') {
            1 => output / group * (group / 2) + output % (group / 2),
            2 => output,
            _ => (output / group * 2 + second) * group + output % group,
        };
        match (lengths.get(at), angles.get(at)) {
            (Some(length), Some(&angle)) => length * of(angle),
            _ => 0.0,
        }
    };
    let mut own: Vec<f64> = rows.clone().map(|output| factor(output, 0, libm::cos)).collect();
    let mut other: Vec<f64> = rows.clone().map(|output| factor(output, 1, libm::sin)).collect();
    if Inverse::of(given) {
        invert(&mut own, &mut other, group).map_err(|output| {
            let reason = "its pair of outputs became one line: what they were is not in the merged model";
            no_inverse(given, rows.start + output, reason)
        })?;
    }
    Prepared::other(Pairs { own, other, group })
}

/// The factors that take back what these do: the inverse of the matrix (own₁, −other₁; other₂, own₂) of each pair.
///
/// # Errors
/// The first output of a pair that has none.
fn invert(own: &mut [f64], other: &mut [f64], group: usize) -> std::result::Result<(), usize> {
    let half = group / 2;
    for start in (0..own.len()).step_by(group.max(1)) {
        for (first, second) in (start..start + half).map(|first| (first, first + half)) {
            let determinant = own[first] * own[second] + other[first] * other[second];
            if determinant == 0.0 || !determinant.is_finite() {
                return Err(first);
            }
            own.swap(first, second);
            for output in [first, second] {
                own[output] /= determinant;
                other[output] /= -determinant;
            }
        }
    }
    Ok(())
}

/// For each output, how much of itself and how much of the other of its pair it becomes.
struct Pairs {
    own: Vec<f64>,
    other: Vec<f64>,
    group: usize,
}

impl Apply for Pairs {
    fn bytes(&self) -> u64 {
        2 * size_of_val(self.own.as_slice()) as u64
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        let half = self.group / 2 * tile.cols;
        if half == 0 {
            return;
        }
        let factors = self.own.iter().zip(&self.other).skip(tile.row);
        let factors: Vec<(f64, f64)> = factors.map(|(&own, &other)| (own, other)).collect();
        let groups = tile.base.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half));
        for ((base, out), factors) in groups.zip(factors.chunks_exact(self.group)) {
            let ((first, second), (above, below)) = (base.split_at(half), out.split_at_mut(half));
            let (upper, lower) = factors.split_at(self.group / 2);
            mix(first, second, upper, -1.0, tile.cols, above);
            mix(second, first, lower, 1.0, tile.cols, below);
        }
    }
}

/// own·x + sign·other·y, row by row.
fn mix(x: &[f64], y: &[f64], factors: &[(f64, f64)], sign: f64, cols: usize, out: &mut [f64]) {
    let rows = x.chunks_exact(cols).zip(y.chunks_exact(cols)).zip(out.chunks_exact_mut(cols));
    for (((x, y), out), &(own, other)) in rows.zip(factors) {
        let other = sign * other;
        for ((x, y), out) in x.iter().zip(y).zip(out) {
            *out = own * x + other * y;
        }
    }
}

/// PEFT's `RoadConfig`.
const PEFT: Spelling = Spelling { reads: "variant group_size", ..Spelling::new("ROAD", "road_theta road_alpha", read) };

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let op = module.op(&ROAD, "road_theta:n road_alpha:n", &[])?;
    let count = op.size('n');
    let (variant, outputs) = match config.text("variant")?.as_deref() {
        None | Some("road_1") => (1, count.checked_mul(2)),
        Some("road_2") => (2, Some(count)),
        Some("road_4") => (4, (count % 2 == 0).then_some(count / 2)),
        Some(_) => return Err(config.wrong("variant", "road_1, road_2 or road_4")),
    };
    let group = config.whole("group_size", 64)?;
    if group == 0 || group % 2 != 0 {
        return Err(config.wrong("group_size", "an even number above 0"));
    }
    let Some(outputs) = outputs.filter(|outputs| outputs % group == 0) else {
        let expected = format!("the angles of whole groups of {group} outputs");
        return Err(module.misshapen(module.tensor("road_theta")?, &expected));
    };
    let op = op.with('v', variant).with('g', group);
    let bias = Op { layer: LayerShape::vector(outputs), ..op.clone() };
    let layer = LayerShape { outputs: Some(outputs), ..LayerShape::default() };
    Ok(vec![ParameterUpdate::of("weight", Op { layer, ..op }), ParameterUpdate::bias(bias)])
}
