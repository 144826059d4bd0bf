//! The list of methods, and what dispatches over it.

use std::ops::Range;

use super::*;
use crate::wire::wire_enum;

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
    /// OLoRA: LoRA on a weight without its first columns' part.
    #[cfg(feature = "rare")]
    Olora,
    /// BD-LoRA: LoRA with a factor of blocks on the diagonal.
    #[cfg(feature = "rare")]
    BdLora,
    /// LoRA on some parts of a fused layer, as PEFT had it in 2023.
    #[cfg(feature = "rare")]
    MergedLinear,
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
    #[cfg(feature = "rare")]
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
    /// DEFT and PaRa: a part of the weight gives way to what was trained.
    #[cfg(feature = "rare")]
    Deft = deft::Peft,
    /// PEANuT: what a small network makes of the weight is added.
    #[cfg(feature = "rare")]
    Peanut = peanut::Peft,
}
