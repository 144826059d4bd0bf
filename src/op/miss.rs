//! MiSS (arXiv 2409.15371): W'[o, t] = W[o, t] + block[t mod r, o]; in the form `mini` a few columns repeat; PEFT's
//! `MissLayer.get_delta_weight_miss`. The form `bat` (its `get_delta_weight`) also multiplies every r×r block of W: W'_ab = W_ab + W_ab@B_a + B_a.
//! Until 0.17 PEFT called it Bone, which has both forms but for `mini` (`BoneLinear`).

use super::dense::{Delta, added};
use super::inverse::{invert, no_inverse};
use super::matmul::transposed;
use super::method::Needs;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::unpacked::zeros;
use super::{Apply, Given, Inverse, Method, Op, Place, Prepared, Tile, Unpacked};
use crate::error::Result;
use crate::model::orientation::Fit;

/// `miss_block` (rank, outputs): every output has its own column. In `mini` it is (rank, `w`), and the columns repeat.
pub(super) static MISS: Method =
    Method { vanishes: true, unpack: Some(unpack), fit, spellings: &[PEFT, BONE], ..Method::new("miss", prepare) };

/// `miss_block` (outputs / rank, rank, rank), by which blocks of the weight are multiplied.
pub(super) static BAT: Method =
    Method { vanishes: true, needs: Needs::Rows, fit, ..Method::new("miss-bat", prepare_bat) };

fn fit(op: &Op, shape: &[u64]) -> Fit {
    let [rows, cols] = *shape else { return Fit::Neither };
    let fits = match op.layer.outputs {
        None => rows.is_multiple_of(op.size('w')),
        Some(outputs) => rows == outputs && (*op.method == MISS || cols.is_multiple_of(op.size('r'))),
    };
    if fits { Fit::Certain { transposed: false } } else { Fit::Neither }
}

fn prepare(given: &Given) -> Result<Prepared> {
    let width = given.size('o').max(given.size('w'));
    added(Tiled { columns: transposed(&given.values(0)?, width), rank: given.size('r') }, given)
}

/// A column that repeats is a product with ones where it does.
fn unpack(given: &Given) -> Result<Unpacked> {
    let (outputs, columns) = (given.place.of, given.place.cols);
    let (values, width) = (given.values(0)?, given.size('o').max(given.size('w')));
    let rank = given.size('r').min(columns);
    let (mut a, mut b) = (zeros(given, columns.checked_mul(rank))?, zeros(given, outputs.checked_mul(rank))?);
    for (k, row) in a.chunks_exact_mut(columns).enumerate() {
        row.iter_mut().skip(k).step_by(given.size('r')).for_each(|value| *value = 1.0);
    }
    for (output, row) in b.chunks_exact_mut(rank).enumerate() {
        row.iter_mut().enumerate().for_each(|(k, value)| *value = values[k * width + output % width]);
    }
    Ok(Unpacked { a, b, rank, scale: 1.0 })
}

fn prepare_bat(given: &Given) -> Result<Prepared> {
    let (values, rank) = (given.values(0)?, given.size('r'));
    let mut inverses = Vec::new();
    if Inverse::of(given) {
        inverses.clone_from(&values);
        for (number, matrix) in inverses.chunks_exact_mut((rank * rank).max(1)).enumerate() {
            matrix.iter_mut().step_by(rank + 1).for_each(|value| *value += 1.0);
            if !invert(matrix, rank) {
                let reason = "a block of the weight is multiplied by a matrix that has no inverse";
                return Err(no_inverse(given, number * rank * rank, reason));
            }
        }
    }
    Prepared::other(Bat { values, inverses, rank, place: given.place.clone() })
}

/// A column for each output, as long as the rank. After the last value it begins again at the first.
struct Tiled {
    columns: Vec<f64>,
    rank: usize,
}

impl Delta for Tiled {
    fn bytes(&self) -> u64 {
        size_of_val(self.columns.as_slice()) as u64
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let start = output * self.rank % self.columns.len();
        let column = &self.columns[start..start + self.rank];
        let repeated = column.iter().cycle().skip(first % self.rank);
        out.iter_mut().zip(repeated).for_each(|(out, value)| *out = *value);
    }
}

/// A matrix (rank, rank) for each `rank` outputs.
struct Bat {
    values: Vec<f64>,
    /// (I + B)⁻¹ of each, where it is taken back: W_ab = (W'_ab − B_a)@(I + B_a)⁻¹.
    inverses: Vec<f64>,
    rank: usize,
    place: Place,
}

impl Apply for Bat {
    fn bytes(&self) -> u64 {
        (size_of_val(self.values.as_slice()) + size_of_val(self.inverses.as_slice())) as u64
    }

    /// Apply it to a tile of whole rows.
    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        let mut sums = vec![0.0; self.rank];
        let rows = tile.base.chunks_exact(tile.cols).zip(out.chunks_exact_mut(tile.cols));
        for ((base, out), source) in rows.zip(self.place.sources().skip(tile.row)) {
            let start = source / self.rank * self.rank * self.rank;
            let matrix = &self.values[start..start + self.rank * self.rank];
            let own = &matrix[source % self.rank * self.rank..][..self.rank];
            let inverse = self.inverses.get(start..start + self.rank * self.rank);
            for (base, out) in base.chunks_exact(self.rank).zip(out.chunks_exact_mut(self.rank)) {
                if let Some(inverse) = inverse {
                    out.fill(0.0);
                    for ((value, own), row) in base.iter().zip(own).zip(inverse.chunks_exact(self.rank)) {
                        out.iter_mut().zip(row).for_each(|(sum, factor)| *sum += (value - own) * factor);
                    }
                    continue;
                }
                sums.copy_from_slice(own);
                for (value, row) in base.iter().zip(matrix.chunks_exact(self.rank)) {
                    sums.iter_mut().zip(row).for_each(|(sum, factor)| *sum += value * factor);
                }
                for ((out, base), sum) in out.iter_mut().zip(base).zip(&sums) {
                    *out = base + sum;
                }
            }
        }
    }
}

/// PEFT's `MissConfig`.
const PEFT: Spelling =
    Spelling { reads: "r mini_r init_weights", training: "miss_dropout", ..Spelling::new("MISS", "miss_block", read) };

/// PEFT's `BoneConfig`.
const BONE: Spelling = Spelling { reads: "r init_weights", ..Spelling::new("BONE", "bone_block", read_bone) };

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    read_block(module, config, "miss_block")
}

fn read_bone(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    read_block(module, config, "bone_block")
}

fn read_block(module: &ModuleTensors, config: &mut dyn Settings, name: &str) -> Result<Vec<ParameterUpdate>> {
    let rank = config.whole("r", 64)?;
    // True and false say how training began, and not which form it is.
    let mut op = match config.text("init_weights").ok().flatten().as_deref() {
        None => module.op(&MISS, &format!("{name}:ro"), &[('r', rank)])?,
        Some("mini") if name == "miss_block" => {
            module.op(&MISS, &format!("{name}:rw"), &[('r', rank), ('w', config.whole("mini_r", 1)?)])?
        }
        Some("bat") => {
            let op = module.op(&BAT, &format!("{name}:nrr"), &[('r', rank)])?;
            let outputs = module.product(&op, name, "nr")?;
            op.with('o', outputs)
        }
        Some(_) => return Err(config.wrong("init_weights", "true, false, \"mini\" or \"bat\"")),
    };
    op.layer.outputs = op.sizes.get('o');
    ParameterUpdate::weight(op)
}
