//! MiSS (arXiv 2409.15371): W'[o, t] = W[o, t] + block[t mod r, o], or `mini`, with few columns that repeat; PEFT's
//! `MissLayer.get_delta_weight_miss`. `bat` (its `get_delta_weight`) turns every r×r block of W as well: W'_ab = W_ab + W_ab@B_a + B_a.

use super::dense::{Delta, Dense};
use super::matmul::transposed;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Footprint, LayerShape, Method, Op, Place, Tile};
use crate::encoding::Operand;
use crate::error::Result;
use crate::kernel::Real;
use crate::model::orientation::Fit;
use crate::wire::{wire, wire_enum};

/// The block, and how it covers the weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Miss {
    /// `miss_block`: (rank, width), or (outputs / rank, rank, rank) of `bat`.
    pub block: Operand,
    /// Rank.
    pub rank: u64,
    /// Outputs that the block has, one after another.
    pub width: u64,
    /// How it covers the weight.
    pub form: MissForm,
}

wire!(Miss { block, rank, width, form });

/// PEFT's `init_weights`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissForm {
    /// Added, every output its own column.
    Plain,
    /// Added, with columns that repeat.
    Mini,
    /// Blocks of the weight are multiplied.
    Bat,
}

wire_enum!(MissForm { Plain, Mini, Bat });

impl Method for Miss {
    const NAME: &'static str = "miss";

    type Prepared = Prepared;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.block]
    }

    fn footprint(&self) -> Footprint {
        match self.form {
            MissForm::Plain | MissForm::Mini => Footprint::Elements,
            MissForm::Bat => Footprint::Rows,
        }
    }

    fn layer(&self) -> LayerShape {
        let outputs = (self.form != MissForm::Mini).then_some(self.width);
        LayerShape { outputs, ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        let fits = match (self.form, shape) {
            (MissForm::Plain, [rows, _]) => *rows == self.width,
            (MissForm::Mini, [rows, _]) => rows.is_multiple_of(self.width),
            (MissForm::Bat, [rows, cols]) => *rows == self.width && cols.is_multiple_of(self.rank),
            _ => false,
        };
        if fits { Fit::Certain { transposed: false } } else { Fit::Neither }
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Prepared> {
        let values = self.block.values(&operands[0], adapter)?;
        let (rank, width) = (self.rank as usize, self.width as usize);
        Ok(match self.form {
            MissForm::Bat => Prepared::Bat(Bat { values, rank, place: place.clone() }),
            _ => Prepared::Added(Dense::new(Tiled { columns: transposed(&values, width), rank }, place, false)),
        })
    }
}

/// The block in memory.
pub(crate) enum Prepared {
    Added(Dense),
    Bat(Bat),
}

impl Apply for Prepared {
    fn bytes(&self) -> u64 {
        match self {
            Prepared::Added(added) => added.bytes(),
            Prepared::Bat(bat) => size_of_val(bat.values.as_slice()) as u64,
        }
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        match self {
            Prepared::Added(added) => added.apply(tile, out),
            Prepared::Bat(bat) => bat.apply(tile, out),
        }
    }
}

/// A column for each output, as long as the rank, and again from the first after the last.
pub(crate) struct Tiled {
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
pub(crate) struct Bat {
    values: Vec<f64>,
    rank: usize,
    place: Place,
}

impl Bat {
    /// Each value is summed up in f64 and rounded once to the type of the tile. The tile has whole rows.
    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let mut sums = vec![0.0; self.rank];
        let rows = tile.base.chunks_exact(tile.cols).zip(out.chunks_exact_mut(tile.cols));
        for ((base, out), source) in rows.zip(self.place.sources().skip(tile.row)) {
            let start = source / self.rank * self.rank * self.rank;
            let matrix = &self.values[start..start + self.rank * self.rank];
            let own = &matrix[source % self.rank * self.rank..][..self.rank];
            for (base, out) in base.chunks_exact(self.rank).zip(out.chunks_exact_mut(self.rank)) {
                sums.copy_from_slice(own);
                for (&value, row) in base.iter().zip(matrix.chunks_exact(self.rank)) {
                    let value: f64 = value.into();
                    sums.iter_mut().zip(row).for_each(|(sum, factor)| *sum += value * factor);
                }
                for ((out, &base), sum) in out.iter_mut().zip(base).zip(&sums) {
                    *out = R::from_f64(base.into() + sum);
                }
            }
        }
    }
}

/// PEFT's `MissConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "MISS"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["miss_block"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("r", Field::Read), ("mini_r", Field::Read), ("init_weights", Field::Read), ("miss_dropout", Field::Training)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let rank = config.whole("r", 64)?;
        // True and false mean what was there before the training, which is not the form.
        let form = match config.text("init_weights").ok().flatten().as_deref() {
            None => MissForm::Plain,
            Some("mini") => MissForm::Mini,
            Some("bat") => MissForm::Bat,
            Some(_) => return Err(config.wrong("init_weights", "true, false, \"mini\" or \"bat\"")),
        };
        let (block, width) = match form {
            MissForm::Bat => {
                let (block, [count, ..]) = module.operand::<3>("miss_block")?;
                module.expect_shape("miss_block", &[count, rank, rank])?;
                (block, module.elements("miss_block", &[count, rank])?)
            }
            MissForm::Plain | MissForm::Mini => {
                let (block, [_, width]) = module.operand::<2>("miss_block")?;
                let width = if form == MissForm::Mini { config.whole("mini_r", 1)? } else { width };
                module.expect_shape("miss_block", &[rank, width])?;
                (block, width)
            }
        };
        Ok(ParameterUpdate::weight(Op::Miss(Miss { block, rank, width, form })))
    }
}
