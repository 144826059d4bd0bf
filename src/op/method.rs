//! What a method says of itself, and what becomes of an update once its operands are in memory.

use std::fmt;

use super::dora::Normalised;
use super::low_rank::Product;
use super::numbers::Numbers;
use super::peft::Spelling;
use super::{Op, Place, Tile, Unpacked};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::{Real, decode};
use crate::model::orientation::Fit;
use crate::tensor::Float;

/// A method.
pub struct Method {
    /// What a report calls it.
    pub name: &'static str,
    /// How PEFT spells it, where it has a `peft_type` for it.
    pub(crate) spellings: &'static [Spelling],
    /// What it must know of a weight.
    pub(crate) needs: Needs,
    /// How many f32 it holds for each rank position and each row and column, for the memory that it will take.
    pub(crate) packed: u64,
    /// How a weight of this shape would have to be stored for the update to fit.
    pub(crate) fit: fn(&Op, &[u64]) -> Fit,
    /// Why a weight of this shape cannot be merged into, although the update fits.
    pub(crate) refuses: fn(&[u64]) -> Option<&'static str>,
    /// Whether nothing changes where one of its operands is all zeros.
    pub(crate) vanishes: bool,
    /// Its factors by themselves, where its delta is a product of factors whatever the weight is.
    ///
    /// # Errors
    /// As `prepare`.
    pub(crate) unpack: Option<fn(&Given) -> Result<Unpacked>>,
    /// Make ready to be applied.
    ///
    /// # Errors
    /// `non-finite` for an operand that is NaN or infinite, `limit-exceeded` where memory does not suffice.
    pub(crate) prepare: fn(&Given) -> Result<Prepared>,
}

impl Method {
    /// A method that needs no more of a weight than its elements, for the weights that its [layer](Op::layer) says.
    pub(crate) const fn new(name: &'static str, prepare: fn(&Given) -> Result<Prepared>) -> Method {
        Method {
            name,
            spellings: &[],
            needs: Needs::Elements,
            packed: 0,
            fit: |op, shape| op.layer.fit(shape),
            refuses: |_| None,
            vanishes: false,
            unpack: None,
            prepare,
        }
    }
}

/// How a weight has to be stored for a method that has no layers stored (in, out).
pub(super) fn straight(op: &Op, shape: &[u64]) -> Fit {
    op.layer.fit(shape).straight()
}

impl PartialEq for Method {
    fn eq(&self, other: &Method) -> bool {
        std::ptr::eq(self, other)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// That an update is to be taken back: its method gives the inverse of what it does.
pub(crate) struct Inverse;

impl Inverse {
    /// The size that says so.
    pub(crate) const LETTER: char = 'u';

    /// Whether it is asked for.
    pub(crate) fn of(given: &Given) -> bool {
        given.size(Inverse::LETTER) == 1
    }
}

/// What a method must know of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The elements that are computed.
    Elements,
    /// Their rows.
    Rows,
    /// Their groups of rows, `g` rows each.
    Groups,
    /// The norms of the outputs, once they are changed: those of rows, or of columns, which are a fact.
    Norms,
    /// The rows, and the products of the first columns, as many as the rank, with all columns: a fact.
    Columns,
    /// The rows, and the leading singular vectors, as many as the rank: a fact that takes several rounds.
    Leading,
    /// The products of as many vectors as the rank with all columns of the outputs: a fact, or of a weight stored (in, out) its rows.
    Products,
    /// The same outputs' rows of the layer's weight: it is of the layer's bias.
    Weight,
}

impl Needs {
    pub(super) fn footprint(self, op: &Op) -> Footprint {
        match self {
            Needs::Rows | Needs::Norms | Needs::Columns | Needs::Leading => Footprint::Rows,
            Needs::Groups => Footprint::RowGroups(op.size('g')),
            Needs::Products if op.transposed => Footprint::Rows,
            Needs::Elements | Needs::Products | Needs::Weight => Footprint::Elements,
        }
    }

    pub(super) fn fact(self, op: &Op) -> Option<Fact> {
        match self {
            Needs::Norms => op.transposed.then_some(Fact::ColumnSquares),
            Needs::Columns => Some(Fact::Projection(op.size('r'))),
            Needs::Leading => Some(Fact::Leading(op.size('r'))),
            Needs::Products => (!op.transposed).then_some(Fact::Projection(op.size('r'))),
            _ => None,
        }
    }
}

/// What an update must know of a weight for some elements of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Footprint {
    /// The same elements.
    Elements,
    /// The whole rows that they are in.
    Rows,
    /// The whole groups of so many rows that they are in.
    RowGroups(u64),
}

/// What an update must know of the whole weight before any element can be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// For each column the sum of the squares of W + the update's low-rank product.
    ColumnSquares,
    /// The products of so many vectors with the weight from the left, one after another: each as long as a row.
    Projection(u64),
    /// So many right singular vectors, those of the largest singular values. It takes several rounds, each of which gathers the products of WᵀW
    /// with a block of vectors.
    Leading(u64),
}

/// An update whose operands have been read.
pub(crate) struct Given<'a> {
    /// The update.
    pub(crate) op: &'a Op,
    /// Where it stands in the weight.
    pub(crate) place: &'a Place,
    /// The bytes of its operands.
    pub(crate) bytes: &'a [Vec<u8>],
    /// What errors call the adapter.
    pub(crate) adapter: &'a str,
}

impl Given<'_> {
    /// One of the update's sizes; 0 where it is not there.
    pub(crate) fn size(&self, letter: char) -> usize {
        self.op.size(letter) as usize
    }

    /// One of the update's other numbers; 0 where it is not there.
    pub(crate) fn number(&self, at: usize) -> f64 {
        self.op.numbers.get(at).copied().unwrap_or(0.0)
    }

    /// Operand number `number` and its bytes.
    fn operand(&self, number: usize) -> Result<(&Operand, &[u8])> {
        match (self.op.operands.get(number), self.bytes.get(number)) {
            (Some(operand), Some(bytes)) => Ok((operand, bytes)),
            _ => Err(Error::internal("the update lacks an operand")),
        }
    }

    /// The values of operand number `number`.
    ///
    /// # Errors
    /// `non-finite` for one that is NaN or infinite.
    pub(crate) fn values(&self, number: usize) -> Result<Vec<f64>> {
        let (operand, bytes) = self.operand(number)?;
        operand.values(bytes, self.adapter)
    }

    /// Those of operand number `number` as indices into something of `length` elements.
    ///
    /// # Errors
    /// `shape-mismatch` for an index that is negative, or `length` or more.
    pub(crate) fn indices(&self, number: usize, length: u64) -> Result<Vec<usize>> {
        let (operand, bytes) = self.operand(number)?;
        operand.indices(bytes, length, self.adapter)
    }

    /// Those of operand number `number`, which has two rows, as indices into something of so many elements each.
    ///
    /// # Errors
    /// As [`indices`](Self::indices).
    pub(crate) fn index_pairs(&self, number: usize, lengths: [usize; 2]) -> Result<[Vec<usize>; 2]> {
        let (operand, bytes) = self.operand(number)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let [one, other] = lengths;
        Ok([operand.indices(first, one as u64, self.adapter)?, operand.indices(second, other as u64, self.adapter)?])
    }

    /// The values of all operands, read where they lie.
    ///
    /// # Errors
    /// `non-finite` for one that is NaN or infinite.
    pub(crate) fn numbers(&self) -> Result<Vec<Numbers<'_>>> {
        let mut numbers = Vec::with_capacity(self.bytes.len());
        for (operand, bytes) in self.op.operands.iter().zip(self.bytes) {
            numbers.push(Numbers::of(operand, bytes, self.adapter)?);
        }
        Ok(numbers)
    }

    /// The key of the first operand, for errors.
    pub(crate) fn key(&self) -> &str {
        self.op.operands.first().map_or("", |operand| &operand.key)
    }
}

/// An update with its operands in memory.
pub(crate) enum Prepared {
    /// A low-rank product, which is added in the type of the weight.
    Product(Product),
    /// The same, and every output has a trained length.
    Normalised(Normalised),
    /// The values of this type that are [read](Op::reads) beside the weight, in its place.
    Beside(Float),
    /// Anything else, which is computed in f64.
    Other(Box<dyn Apply>),
}

/// A method that computes in f64, with its operands in memory.
pub(crate) trait Apply {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Add the partial fact of the rows of `tile` to `sums`.
    fn gather(&self, _tile: &Tile<f64>, _sums: &mut [f64]) {}

    /// Take the fact of the whole weight, where there is one; while it is gathered in rounds, what the round needs.
    ///
    /// # Errors
    /// Where the weight has no such fact.
    fn learn(&mut self, _fact: &[f64]) -> Result<()> {
        Ok(())
    }

    /// The weight as the update alone would make it, into `out`, which has the size of the tile. It is rounded to the type of the weight
    /// afterwards; what must be rounded before, [`Tile::round`] rounds.
    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]);
}

impl Prepared {
    /// A method that computes in f64.
    pub(super) fn other(apply: impl Apply + 'static) -> Result<Prepared> {
        Ok(Prepared::Other(Box::new(apply)))
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Prepared::Product(product) => product.bytes(),
            Prepared::Normalised(normalised) => normalised.bytes(),
            Prepared::Beside(_) => 0,
            Prepared::Other(other) => other.bytes(),
        }
    }

    /// Add the partial fact of the rows of `tile` to `sums`. `changed` is memory for the changed rows, kept from tile to tile so that it is
    /// allocated once.
    pub(crate) fn gather<R: Real>(&self, tile: &Tile<R>, changed: &mut Vec<R>, sums: &mut [f64]) {
        match self {
            Prepared::Product(_) | Prepared::Beside(_) => {}
            Prepared::Normalised(normalised) => normalised.gather(tile, changed, sums),
            Prepared::Other(other) => {
                let base: Vec<f64> = tile.base.iter().map(|&value| value.into()).collect();
                other.gather(&tile.of(&base), sums);
            }
        }
    }

    /// Take the fact of the whole weight.
    ///
    /// # Errors
    /// Those of the method, where the weight has no such fact.
    pub(crate) fn learn(&mut self, fact: &[f64]) -> Result<()> {
        match self {
            Prepared::Product(_) | Prepared::Beside(_) => {}
            Prepared::Normalised(normalised) => normalised.learn(fact),
            Prepared::Other(other) => return other.learn(fact),
        }
        Ok(())
    }

    /// The weight as the update alone would make it, into `out`, which has the size of the tile.
    pub(crate) fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        match self {
            Prepared::Product(product) => product.apply(tile, out),
            Prepared::Normalised(normalised) => normalised.apply(tile, out),
            Prepared::Beside(float) => {
                if let [bytes] = tile.beside {
                    decode(*float, bytes, out);
                }
            }
            Prepared::Other(other) => {
                let base: Vec<f64> = tile.base.iter().map(|&value| value.into()).collect();
                let mut values = vec![0.0; out.len()];
                other.apply(&tile.of(&base), &mut values);
                out.iter_mut().zip(values).for_each(|(out, value)| *out = R::from_f64(value));
            }
        }
    }
}
