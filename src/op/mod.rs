//! Methods: what an update does to a weight. Every method is a file here and a line of the list in `methods.rs`, which also says how PEFT
//! spells it where it has a `peft_type` of its own.
//!
//! An update is planned as an [`Op`]: which tensors of the adapter it reads, and the numbers of its configuration. Before the first block
//! its operands are read and prepared; then it is applied to one tile of the weight after another.

#[cfg(feature = "rare")]
mod activation;
mod adalora;
mod add_bias;
#[cfg(feature = "rare")]
mod bd_lora;
mod beft;
#[cfg(feature = "rare")]
mod boft;
#[cfg(feature = "rare")]
mod c3a;
#[cfg(feature = "rare")]
mod deft;
#[cfg(feature = "rare")]
mod delora;
mod dense;
mod dora;
mod expert;
mod factored;
#[cfg(feature = "rare")]
mod fourier;
#[cfg(feature = "rare")]
mod fourierft;
#[cfg(feature = "rare")]
mod gralora;
#[cfg(feature = "rare")]
mod hira;
#[cfg(feature = "rare")]
mod householder;
#[cfg(feature = "rare")]
mod hra;
mod ia3;
mod layer;
mod ln_tuning;
mod loha;
mod lokr;
mod low_rank;
mod matmul;
#[cfg(feature = "rare")]
mod merged_linear;
mod methods;
#[cfg(feature = "rare")]
mod miss;
mod numbers;
mod oft;
#[cfg(feature = "rare")]
mod olora;
mod orthogonal;
#[cfg(feature = "rare")]
mod peanut;
pub(crate) mod peft;
#[cfg(feature = "rare")]
mod projected;
#[cfg(feature = "rare")]
mod randlora;
mod replace;
#[cfg(feature = "rare")]
mod road;
mod rows;
#[cfg(feature = "rare")]
mod scatter;
#[cfg(feature = "rare")]
mod shira;
#[cfg(feature = "rare")]
mod supertuning;
#[cfg(feature = "rare")]
mod torch_random;
mod turn;
#[cfg(feature = "rare")]
mod unilora;
#[cfg(feature = "rare")]
mod vblora;
mod vera;
#[cfg(feature = "rare")]
mod waveft;
#[cfg(feature = "rare")]
mod wavelet;

use std::ops::Range;

pub use adalora::Adalora;
pub use add_bias::AddBias;
#[cfg(feature = "rare")]
pub use bd_lora::{BdLora, Side};
#[cfg(feature = "rare")]
pub use boft::Boft;
#[cfg(feature = "rare")]
pub use c3a::C3a;
#[cfg(feature = "rare")]
pub use deft::{Deft, DeftDecomposition};
#[cfg(feature = "rare")]
pub use delora::Delora;
pub use dora::Dora;
pub use expert::Packing;
#[cfg(feature = "rare")]
pub use fourierft::Fourierft;
#[cfg(feature = "rare")]
pub use gralora::Gralora;
#[cfg(feature = "rare")]
pub use hira::{Hira, HiraLayer};
#[cfg(feature = "rare")]
pub use hra::Hra;
pub use ia3::{Ia3, Parameter};
pub use layer::LayerShape;
pub use loha::Loha;
pub use lokr::{KroneckerFactor, Lokr};
pub use low_rank::LowRank;
#[cfg(feature = "rare")]
pub use merged_linear::MergedLinear;
pub use methods::Op;
pub(crate) use methods::{PEFT, Prepared};
#[cfg(feature = "rare")]
pub use miss::{Miss, MissForm};
pub use oft::{Oft, Rotation};
#[cfg(feature = "rare")]
pub use olora::Olora;
#[cfg(feature = "rare")]
pub use peanut::Peanut;
#[cfg(feature = "rare")]
pub use randlora::Randlora;
pub use replace::Replace;
#[cfg(feature = "rare")]
pub use road::{Road, Variant};
pub use rows::Rows;
#[cfg(feature = "rare")]
pub use shira::Shira;
#[cfg(feature = "rare")]
pub use supertuning::{Supertuning, SupraProduct};
#[cfg(feature = "rare")]
pub use unilora::Unilora;
#[cfg(feature = "rare")]
pub use vblora::{Mixture, Vblora};
pub use vera::Vera;
#[cfg(feature = "rare")]
pub use waveft::Waveft;

use crate::encoding::Operand;
use crate::error::Result;
use crate::inputs::Span;
use crate::kernel::Real;
use crate::model::orientation::Fit;
use crate::wire::wire_enum;

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
}

/// Some rows of a weight that an update covers, and which of its own rows stand there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The rows, counted in the order of the weight from the first that the update covers.
    pub(crate) rows: Range<usize>,
    /// Rows that the update covers in all.
    pub(crate) of: usize,
    /// Columns as stored.
    pub(crate) cols: usize,
    /// Which of its rows stands where.
    pub(crate) order: RowOrder,
}

impl Place {
    /// The update's row that stands in each of [`rows`](Self::rows).
    pub(crate) fn sources(&self) -> impl Iterator<Item = usize> + '_ {
        self.rows.clone().map(|row| match self.order {
            RowOrder::AsIs => row,
            RowOrder::SwapHalves => (row + self.of / 2) % self.of,
        })
    }

    /// Whether the rows are all of the update's, in its order.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows == (0..self.of) && self.order == RowOrder::AsIs
    }
}

/// In which order the rows of an update stand in the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowOrder {
    /// As in the update.
    #[default]
    AsIs,
    /// The second half first: scale and shift, gate and up, that two tools name the other way round.
    SwapHalves,
}

wire_enum!(RowOrder { AsIs, SwapHalves });

/// What a report says of the size of an update that is scaled by its rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Rank.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r or α/√r.
    pub scale: f64,
}

/// A run of elements of a weight.
pub(crate) struct Tile<'a, R> {
    /// First row, counted from the first of the [`Place`] that was prepared.
    pub(crate) row: usize,
    /// First column in that row: 0 where an update needs whole rows.
    pub(crate) col: usize,
    /// Columns.
    pub(crate) cols: usize,
    /// The weight's values, row by row.
    pub(crate) base: &'a [R],
    /// The bytes of what the method [reads](Method::reads) beside them.
    pub(crate) beside: &'a [&'a [u8]],
}

impl<R> Tile<'_, R> {
    /// Its parts by row: the row, the first column in it, and which values.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, usize, Range<usize>)> + use<R> {
        let (cols, length) = (self.cols, self.base.len());
        let (mut row, mut col, mut at) = (self.row, self.col, 0);
        std::iter::from_fn(move || {
            let part = (row, col, at..(at + cols.saturating_sub(col)).min(length));
            (row, col, at) = (row + 1, 0, part.2.end);
            (!part.2.is_empty()).then_some(part)
        })
    }
}

/// A method, as planned.
pub(crate) trait Method {
    /// What a report calls it.
    const NAME: &'static str;

    /// The method with its operands in memory.
    type Prepared: Apply;

    /// The update as a low-rank product alone, where it is no more: those of all adapters are packed together.
    fn low_rank(&self) -> Option<&LowRank> {
        None
    }

    /// What is read once, as a whole.
    fn operands(&self) -> Vec<&Operand>;

    /// Number of the adapter's file among all inputs.
    fn input(&self) -> Option<usize> {
        self.operands().first().map(|operand| operand.at.input)
    }

    /// What is read beside the weight's own bytes for some elements of it: of a method whose operand is as large as the weight. Such a
    /// method covers the whole weight.
    fn reads(&self, _elements: Range<u64>) -> Vec<Span> {
        Vec::new()
    }

    /// The parameter that is taken as it is, where the method does no more.
    fn replacement(&self) -> Option<&Replace> {
        None
    }

    /// What it must know of the weight for some elements.
    fn footprint(&self) -> Footprint {
        Footprint::Elements
    }

    /// What it must know of the whole weight.
    fn fact(&self) -> Option<Fact> {
        None
    }

    /// The weight that it is for.
    fn layer(&self) -> LayerShape;

    /// How a weight of this shape would have to be stored for the update to fit.
    fn fit(&self, shape: &[u64]) -> Fit {
        self.layer().fit(shape)
    }

    /// Why a weight of this shape cannot be merged into, although the update [fits](Self::fit).
    fn refuses(&self, _shape: &[u64]) -> Option<&'static str> {
        None
    }

    /// Take the weight as stored (in, out) instead of (out, in).
    fn transpose(&mut self, _transposed: bool) {}

    /// Whether it takes the weight as stored (in, out).
    fn transposed(&self) -> bool {
        false
    }

    /// What a report says of its size, where it has a scale.
    fn scale(&self) -> Option<Scale> {
        None
    }

    /// Rank of the factors that it packs, for the memory that they will take.
    fn packed_rank(&self) -> u64 {
        0
    }

    /// Make ready to be applied. `operands` are the bytes of [`operands`](Self::operands).
    ///
    /// # Errors
    /// `non-finite` for an operand that is NaN or infinite, `limit-exceeded` where memory does not suffice.
    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Self::Prepared>;
}

/// A method with its operands in memory.
pub(crate) trait Apply {
    /// Bytes of memory.
    fn bytes(&self) -> u64;

    /// Add the partial fact of the rows of `tile` to `sums`. `_changed` is memory for the changed rows, kept from tile to tile so that it is
    /// allocated once.
    fn gather<R: Real>(&self, _tile: &Tile<R>, _changed: &mut Vec<R>, _sums: &mut [f64]) {}

    /// Take the fact of the whole weight, where there is one.
    fn learn(&mut self, _fact: &[f64]) {}

    /// The weight as the update alone would make it, into `out`, which has the size of the tile.
    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]);
}
