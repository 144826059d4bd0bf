//! Rows of an embedding that were trained: W'[index] = row. PEFT's `TrainableTokensLayer.get_merged_weights`.

use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Given, LayerShape, Method, Op, Prepared, Tile};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::order::sort;

/// `trainable_tokens_delta`: the rows after training, (list, columns). The list says which rows they are.
pub(super) static ROWS: Method = Method { spellings: &[PEFT], ..Method::new("trainable-tokens", prepare) };

/// Trained rows of shape (indices, columns), and which rows they are.
///
/// # Errors
/// `shape-mismatch` if there are not as many rows as indices.
pub(crate) fn trained_rows(rows: Operand, shape: &[u64], indices: Vec<u64>, adapter: &str) -> Result<Op> {
    match *shape {
        [count, cols] if count == indices.len() as u64 && cols > 0 => {
            let layer = LayerShape { outputs: Some(cols), embedding: true, ..LayerShape::default() };
            Ok(Op { operands: vec![rows], list: indices, layer, ..Op::new(&ROWS) })
        }
        _ => {
            let expected = format!("[{}, …], a row for each trained token", indices.len());
            let reason = format!("its shape is {shape:?}, not {expected}");
            let error = Error::shape_mismatch(adapter, rows.key, reason).expected(expected);
            Err(error.found(format!("{shape:?}")))
        }
    }
}

/// The rows are rows of the weight as stored, which is (tokens, width).
fn prepare(given: &Given) -> Result<Prepared> {
    let values = given.values(0)?;
    let mut rows: Vec<(usize, usize)> = Vec::with_capacity(given.op.list.len());
    for (number, &index) in given.op.list.iter().enumerate() {
        if let Some(row) = given.place.sources().position(|source| source as u64 == index) {
            rows.push((row, number));
        }
    }
    sort(&mut rows);
    Prepared::other(Trained { rows, values, cols: given.place.cols })
}

/// The rows in memory.
struct Trained {
    /// A row of the weight, and which trained row replaces it; in order.
    rows: Vec<(usize, usize)>,
    values: Vec<f64>,
    cols: usize,
}

impl Apply for Trained {
    fn bytes(&self) -> u64 {
        (size_of_val(self.values.as_slice()) + size_of_val(self.rows.as_slice())) as u64
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        out.copy_from_slice(tile.base);
        let first = tile.row * tile.cols + tile.col;
        let last = first + out.len();
        let from = self.rows.partition_point(|&(row, _)| (row + 1) * self.cols <= first);
        for &(row, number) in self.rows[from..].iter().take_while(|&&(row, _)| row * self.cols < last) {
            let start = row * self.cols;
            let wanted = start.max(first)..(start + self.cols).min(last);
            let values = &self.values[number * self.cols..(number + 1) * self.cols];
            for at in wanted {
                out[at - first] = values[at - start];
            }
        }
    }
}

/// PEFT's `TrainableTokensConfig`.
const PEFT: Spelling =
    Spelling { reads: "token_indices", ..Spelling::new("TRAINABLE_TOKENS", "trainable_tokens_delta", read) };

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let tensor = module.tensor("trainable_tokens_delta")?;
    let indices = config.indices("token_indices")?;
    let op = trained_rows(module.floats(tensor)?, &tensor.shape, indices, module.adapter)?;
    Ok(vec![ParameterUpdate { tied: true, ..ParameterUpdate::of("weight", op) }])
}
