//! The factors of an update by themselves, for what is computed of them without a weight.

use super::method::Needs;
use super::{Given, LORA, Op, Place, Prepared, RowOrder};
use crate::error::{Error, Result};

/// Factors in f64: the delta is scale · B @ A, outputs × columns, whichever way round the weight is stored.
pub(crate) struct Unpacked {
    /// A, (rank, columns), row by row.
    pub(crate) a: Vec<f64>,
    /// B, (outputs, rank), row by row.
    pub(crate) b: Vec<f64>,
    /// Rank.
    pub(crate) rank: usize,
    /// What the product is multiplied with.
    pub(crate) scale: f64,
}

impl Op {
    /// Whether the update is a product of factors, whatever the weight is.
    pub(crate) fn has_factors(&self) -> bool {
        self.method.packed > 0 && self.method.needs == Needs::Elements
    }

    /// The factors, of a layer with so many outputs and columns (inputs, times the kernel of a convolution). Those of LoRA are what the file
    /// has; those of other methods are computed, and rounded to f32 as for a merge.
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, `unsupported` where there are no factors, `internal` where the bytes are not those of
    /// the layer's factors.
    pub(crate) fn unpacked(
        &self,
        outputs: usize,
        columns: usize,
        bytes: &[Vec<u8>],
        adapter: &str,
    ) -> Result<Unpacked> {
        if *self.method == LORA {
            let [a, b] = self.operands.as_slice() else { return Err(Error::internal("a pair has two factors")) };
            let values = |operand: &crate::encoding::Operand, at: usize| {
                operand.values(bytes.get(at).map_or(&[], |bytes| bytes), adapter)
            };
            let rank = self.size('r') as usize;
            let (a, b) = (values(a, 0)?, values(b, 1)?);
            if Some(a.len()) != columns.checked_mul(rank) || Some(b.len()) != outputs.checked_mul(rank) {
                return Err(Error::internal("the factors of a pair are not those of its layer"));
            }
            return Ok(Unpacked { a, b, rank, scale: self.scaling() });
        }
        let straight = Op { transposed: false, ..self.clone() };
        let place = Place { rows: 0..outputs, of: outputs, cols: columns, order: RowOrder::AsIs };
        match (self.method.prepare)(&Given { op: &straight, place: &place, bytes, adapter })? {
            Prepared::Product(mut product) => {
                let rank = product.0.rank();
                let [left, right] = product.0.values();
                let b = left.into_iter().map(f64::from).collect();
                // Column by column: the other way round than A.
                let mut a = vec![0.0; right.len()];
                for (column, values) in right.chunks_exact(rank.max(1)).enumerate() {
                    values.iter().enumerate().for_each(|(k, &value)| a[k * columns + column] = value.into());
                }
                Ok(Unpacked { a, b, rank, scale: 1.0 })
            }
            _ => Err(Error::unsupported(self.method.name, "the method has no factors").adapter(adapter)),
        }
    }
}
