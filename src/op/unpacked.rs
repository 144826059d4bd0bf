//! The factors of an update by themselves, for what is computed of them without a weight.

use super::dense::Delta;
use super::{Given, Op, Place, Prepared, RowOrder};
use crate::error::{Error, ErrorKind, Result};

/// Factors in f64: the delta is scale · B @ A, outputs × columns, whichever way round the weight is stored.
#[derive(Debug, Clone)]
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
        self.method.unpack.is_some()
    }

    /// The factors, of a layer with so many outputs and columns (inputs, times the kernel of a convolution).
    ///
    /// # Errors
    /// `non-finite` for a value that is NaN or infinite, `unsupported` where there are no factors, `limit-exceeded` where memory does not
    /// suffice, `internal` where the bytes are not those of the layer's factors.
    pub(crate) fn unpacked(
        &self,
        outputs: usize,
        columns: usize,
        bytes: &[Vec<u8>],
        adapter: &str,
    ) -> Result<Unpacked> {
        let Some(unpack) = self.method.unpack else {
            return Err(Error::unsupported(self.method.name, "the method has no factors").adapter(adapter));
        };
        let straight = Op { transposed: false, ..self.clone() };
        let place = Place { rows: 0..outputs, of: outputs, cols: columns, order: RowOrder::AsIs };
        let unpacked = unpack(&Given { op: &straight, place: &place, bytes, adapter })?;
        let Unpacked { a, b, rank, .. } = &unpacked;
        if Some(a.len()) != columns.checked_mul(*rank) || Some(b.len()) != outputs.checked_mul(*rank) {
            return Err(Error::internal("the factors of an update are not those of its layer"));
        }
        Ok(unpacked)
    }
}

/// Those of LoRA: what the file has.
pub(super) fn pair_factors(given: &Given) -> Result<Unpacked> {
    let (a, b) = (given.values(0)?, given.values(1)?);
    Ok(Unpacked { a, b, rank: given.size('r'), scale: given.op.scaling() })
}

/// Those of a method whose factors are packed for a merge: rounded to f32 as there.
pub(super) fn product_factors(given: &Given) -> Result<Unpacked> {
    match (given.op.method.prepare)(given)? {
        Prepared::Product(mut product) => {
            let (rank, columns) = (product.0.rank(), given.place.cols);
            let [left, right] = product.0.values();
            let b = left.into_iter().map(f64::from).collect();
            // Column by column: the other way round than A.
            let mut a = zeros(given, columns.checked_mul(rank))?;
            for (column, values) in right.chunks_exact(rank.max(1)).enumerate() {
                values.iter().enumerate().for_each(|(k, &value)| a[k * columns + column] = value.into());
            }
            Ok(Unpacked { a, b, rank, scale: 1.0 })
        }
        _ => Err(Error::internal("a product of factors is none")),
    }
}

/// Those of any delta: all of it, and an identity on its shorter side. No factors of a matrix that may have any values have less rank.
pub(super) fn dense_factors(given: &Given, delta: &dyn Delta) -> Result<Unpacked> {
    let (outputs, columns) = (given.place.of, given.place.cols);
    let mut all = zeros(given, outputs.checked_mul(columns))?;
    for (output, row) in all.chunks_exact_mut(columns.max(1)).enumerate() {
        delta.output(output, 0, row);
    }
    let rank = outputs.min(columns);
    let mut identity = zeros(given, rank.checked_mul(rank))?;
    identity.iter_mut().step_by(rank + 1).for_each(|value| *value = 1.0);
    let (a, b) = if columns <= outputs { (identity, all) } else { (all, identity) };
    Ok(Unpacked { a, b, rank, scale: 1.0 })
}

/// `count` zeros for the factors of an update.
///
/// # Errors
/// `limit-exceeded` where memory does not suffice, or the count overflows.
pub(super) fn zeros(given: &Given, count: Option<usize>) -> Result<Vec<f64>> {
    let mut values = Vec::new();
    match count.filter(|&count| values.try_reserve_exact(count).is_ok()) {
        Some(count) => {
            values.resize(count, 0.0);
            Ok(values)
        }
        None => {
            let error = Error::limit_exceeded(given.key(), "there is not enough memory for its factors");
            Err(error.kind(ErrorKind::NoMemory).adapter(given.adapter))
        }
    }
}
