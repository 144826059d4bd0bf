//! Methods: what an update does to a weight. Every method is a file here and a line of `methods!`, which also says how PEFT spells it
//! where it has a `peft_type` of its own.
//!
//! An update is planned as an [`Op`]: which tensors of the adapter it reads, and the numbers of its configuration. Before the first block
//! its operands are read and prepared; then it is applied to one tile of the weight after another.

mod adalora;
mod add_bias;
mod beft;
mod boft;
#[cfg(feature = "rare")]
mod c3a;
#[cfg(feature = "rare")]
mod delora;
mod dense;
mod dora;
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
mod hra;
mod ia3;
mod layer;
mod ln_tuning;
mod loha;
mod lokr;
mod low_rank;
mod matmul;
#[cfg(feature = "rare")]
mod miss;
mod numbers;
mod oft;
mod orthogonal;
pub(crate) mod peft;
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
pub use boft::Boft;
#[cfg(feature = "rare")]
pub use c3a::C3a;
#[cfg(feature = "rare")]
pub use delora::Delora;
pub use dora::Dora;
#[cfg(feature = "rare")]
pub use fourierft::Fourierft;
#[cfg(feature = "rare")]
pub use gralora::Gralora;
#[cfg(feature = "rare")]
pub use hira::{Hira, HiraLayer};
#[cfg(feature = "rare")]
pub use hra::Hra;
pub use ia3::Ia3;
pub use layer::LayerShape;
pub use loha::Loha;
pub use lokr::{KroneckerFactor, Lokr};
pub use low_rank::LowRank;
#[cfg(feature = "rare")]
pub use miss::{Miss, MissForm};
pub use oft::{Oft, Rotation};
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
pub use vblora::Vblora;
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

/// The closed list of methods: dispatch over it is written once.
macro_rules! methods {
    ($($(#[doc = $doc:literal])* $(#[cfg($cfg:meta)])? $name:ident $(= $($spelling:path)|+)?),+ $(,)?) => {
        /// How PEFT spells each method that has a `peft_type` of its own.
        pub(crate) const PEFT: &[&[&dyn peft::Spelling]] = &[$($(#[cfg($cfg)])? &[$($(&$spelling),+)?]),+];

        /// An update of one weight, as planned.
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum Op { $($(#[doc = $doc])* $(#[cfg($cfg)])? $name($name)),+ }

        wire_enum!(Op { $($(#[cfg($cfg)])? $name(part)),+ });

        /// An update with its operands in memory.
        pub(crate) enum Prepared { $($(#[cfg($cfg)])? $name(<$name as Method>::Prepared)),+ }

        impl Op {
            pub(crate) fn low_rank(&self) -> Option<&LowRank> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.low_rank()),+ }
            }

            /// What is read once, as a whole.
            pub fn operands(&self) -> Vec<&Operand> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.operands()),+ }
            }

            /// Number of the adapter's file among all inputs.
            pub(crate) fn input(&self) -> Option<usize> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.input()),+ }
            }

            /// What is read beside the weight's own bytes for some elements of it.
            pub(crate) fn reads(&self, elements: Range<u64>) -> Vec<Span> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.reads(elements)),+ }
            }

            /// The parameter that is taken as it is, where the method does no more.
            pub(crate) fn replacement(&self) -> Option<&Replace> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.replacement()),+ }
            }

            /// What it must know of the weight for some elements.
            pub fn footprint(&self) -> Footprint {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.footprint()),+ }
            }

            /// What it must know of the whole weight.
            pub fn fact(&self) -> Option<Fact> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.fact()),+ }
            }

            /// The weight that it is for.
            pub fn layer(&self) -> LayerShape {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.layer()),+ }
            }

            pub(crate) fn fit(&self, shape: &[u64]) -> Fit {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.fit(shape)),+ }
            }

            pub(crate) fn refuses(&self, shape: &[u64]) -> Option<&'static str> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.refuses(shape)),+ }
            }

            pub(crate) fn transpose(&mut self, transposed: bool) {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.transpose(transposed)),+ }
            }

            /// Whether it takes the weight as stored (in, out).
            pub fn transposed(&self) -> bool {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.transposed()),+ }
            }

            /// What a report calls the method.
            pub fn name(&self) -> &'static str {
                match self { $($(#[cfg($cfg)])? Op::$name(_) => $name::NAME),+ }
            }

            /// What a report says of its size, where it has a scale.
            pub fn scale(&self) -> Option<Scale> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.scale()),+ }
            }

            pub(crate) fn packed_rank(&self) -> u64 {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.packed_rank()),+ }
            }

            pub(crate) fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Prepared> {
                match self { $($(#[cfg($cfg)])? Op::$name(op) => op.prepare(place, operands, adapter).map(Prepared::$name)),+ }
            }
        }

        impl Prepared {
            pub(crate) fn bytes(&self) -> u64 {
                match self { $($(#[cfg($cfg)])? Prepared::$name(op) => op.bytes()),+ }
            }

            pub(crate) fn gather<R: Real>(&self, tile: &Tile<R>, changed: &mut Vec<R>, sums: &mut [f64]) {
                match self { $($(#[cfg($cfg)])? Prepared::$name(op) => op.gather(tile, changed, sums)),+ }
            }

            pub(crate) fn learn(&mut self, fact: &[f64]) {
                match self { $($(#[cfg($cfg)])? Prepared::$name(op) => op.learn(fact)),+ }
            }

            pub(crate) fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
                match self { $($(#[cfg($cfg)])? Prepared::$name(op) => op.apply(tile, out)),+ }
            }
        }
    };
}

methods! {
    /// LoRA: a low-rank product is added.
    LowRank,
    /// DoRA: the same, and every output has a trained length.
    Dora,
    /// A bias of `lora_B`, added to the layer's.
    AddBias = beft::Peft,
    /// A whole parameter of the adapter in place of the base's.
    Replace = ln_tuning::Peft,
    /// Trained rows of an embedding.
    Rows = rows::Peft,
    /// LoHa: the product of two low-rank products, element by element.
    Loha = loha::Peft,
    /// OFT: the layer's input is rotated in blocks.
    Oft = oft::Peft,
    /// BOFT: it is rotated by butterfly factors, and every output has a scale.
    Boft = boft::Peft,
    /// HRA: it is reflected.
    #[cfg(feature = "rare")]
    Hra = hra::Peft,
    /// RoAd: pairs of outputs are turned.
    #[cfg(feature = "rare")]
    Road = road::Peft,
    /// IA3: every output, or every input, is multiplied with a number.
    Ia3 = ia3::Peft,
    /// VeRA and PVeRA: two projections that all modules share, between vectors of each module.
    Vera = vera::Peft | vera::Probabilistic,
    /// AdaLoRA: a low-rank product with a diagonal between its factors.
    Adalora = adalora::Peft,
    /// RandLoRA: projections that all modules share, weighed into a product of full rank.
    #[cfg(feature = "rare")]
    Randlora = randlora::Peft,
    /// VB-LoRA: a low-rank product whose factors are mixed from a bank of vectors.
    #[cfg(feature = "rare")]
    Vblora = vblora::Peft,
    /// DeLoRA: a low-rank product of trained length.
    #[cfg(feature = "rare")]
    Delora = delora::Peft,
    /// GraLoRA: a low-rank product of its own for each block of the weight.
    #[cfg(feature = "rare")]
    Gralora = gralora::Peft,
    /// LoKr: a Kronecker product is added.
    Lokr = lokr::Peft,
    /// C3A: blocks of circulant matrices are added.
    #[cfg(feature = "rare")]
    C3a = c3a::Peft,
    /// MiSS: a small block is added everywhere, or multiplied.
    #[cfg(feature = "rare")]
    Miss = miss::Peft,
    /// SHiRA: values are added at few places.
    #[cfg(feature = "rare")]
    Shira = shira::Peft,
    /// HiRA: a low-rank product of the weight itself is added, element by element.
    #[cfg(feature = "rare")]
    Hira = hira::Peft,
    /// Super-Tuning: values are added at few places, and a low-rank product.
    #[cfg(feature = "rare")]
    Supertuning = supertuning::Peft,
    /// Uni-LoRA: a low-rank product, whose elements are those of one vector.
    #[cfg(feature = "rare")]
    Unilora = unilora::Peft,
    /// FourierFT: an inverse Fourier transform of few values is added.
    #[cfg(feature = "rare")]
    Fourierft = fourierft::Peft,
    /// WaveFT: an inverse wavelet transform of few values is added.
    #[cfg(feature = "rare")]
    Waveft = waveft::Peft,
}
