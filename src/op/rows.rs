//! Rows of an embedding that were trained: W'[index] = row. PEFT's `TrainableTokensLayer.get_merged_weights`.

use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, LayerShape, Method, Op, Place, Tile};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::Real;
use crate::order::sort;
use crate::wire::wire;

/// Some rows of a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Which rows.
    pub indices: Vec<u64>,
    /// `trainable_tokens_delta`: the rows as they are after the training, shape (indices, columns).
    pub rows: Operand,
    /// Columns.
    pub cols: u64,
}

wire!(Rows { indices, rows, cols });

impl Rows {
    /// Trained rows of shape (indices, columns), and which rows they are.
    ///
    /// # Errors
    /// `shape-mismatch` where there are not as many as indices.
    pub(crate) fn of(rows: Operand, shape: &[u64], indices: Vec<u64>, adapter: &str) -> Result<Rows> {
        match *shape {
            [count, cols] if count == indices.len() as u64 && cols > 0 => Ok(Rows { indices, rows, cols }),
            _ => {
                let expected = format!("[{}, …], a row for each trained token", indices.len());
                let reason = format!("its shape is {shape:?}, not {expected}");
                let error = Error::shape_mismatch(adapter, rows.key, reason).expected(expected);
                Err(error.found(format!("{shape:?}")))
            }
        }
    }
}

impl Method for Rows {
    const NAME: &'static str = "trainable-tokens";

    type Prepared = Trained;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.rows]
    }

    fn layer(&self) -> LayerShape {
        LayerShape { inputs: None, outputs: Some(self.cols), embedding: true, ..LayerShape::default() }
    }

    fn transpose(&mut self, _: bool) {}

    /// The rows are those of the weight as stored, which is (tokens, width).
    fn transposed(&self) -> bool {
        true
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Trained> {
        let values = self.rows.values(&operands[0], adapter)?;
        let mut rows: Vec<(usize, usize)> = Vec::with_capacity(self.indices.len());
        for (number, &index) in self.indices.iter().enumerate() {
            if let Some(row) = place.sources().position(|source| source as u64 == index) {
                rows.push((row, number));
            }
        }
        sort(&mut rows);
        Ok(Trained { rows, values, cols: self.cols as usize })
    }
}

/// The rows in memory.
pub(crate) struct Trained {
    /// Row of the weight, and which of the trained rows stands there; in order.
    rows: Vec<(usize, usize)>,
    values: Vec<f64>,
    cols: usize,
}

impl Apply for Trained {
    fn bytes(&self) -> u64 {
        (size_of_val(self.values.as_slice()) + size_of_val(self.rows.as_slice())) as u64
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        out.copy_from_slice(tile.base);
        let first = tile.row * tile.cols + tile.col;
        let last = first + out.len();
        let from = self.rows.partition_point(|&(row, _)| (row + 1) * self.cols <= first);
        for &(row, number) in self.rows[from..].iter().take_while(|&&(row, _)| row * self.cols < last) {
            let start = row * self.cols;
            let wanted = start.max(first)..(start + self.cols).min(last);
            let values = &self.values[number * self.cols..(number + 1) * self.cols];
            for at in wanted {
                out[at - first] = R::from_f64(values[at - start]);
            }
        }
    }
}

/// PEFT's `TrainableTokensConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "TRAINABLE_TOKENS"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["trainable_tokens_delta"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("token_indices", Field::Read)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (rows, shape) = module.operand::<2>("trainable_tokens_delta")?;
        let op = Op::Rows(Rows::of(rows, &shape, config.indices("token_indices")?, module.adapter)?);
        Ok(vec![ParameterUpdate { parameter: "weight", optional: false, tied: true, op }])
    }
}
