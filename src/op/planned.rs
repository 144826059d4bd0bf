//! An update as planned: one record for all methods.

use std::ops::Range;

use super::add_bias::ADD_BIAS;
use super::dora::DORA;
use super::method::Needs;
use super::replace::REPLACE;
use super::rows::ROWS;
use super::{Fact, Footprint, LayerShape, METHODS, Method, Replace, TASK_VECTOR};
use crate::encoding::{Encoding, Operand, Plain};
use crate::inputs::Span;
use crate::model::orientation::Fit;
use crate::wire::{Wire, wire};

/// An update of one weight, as planned. What its operands, sizes and numbers are, the method's file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Op {
    /// The method.
    pub method: &'static Method,
    /// What is read once, as a whole.
    pub operands: Vec<Operand>,
    /// Whole numbers: sides of the operands, and what the configuration says.
    pub sizes: Sizes,
    /// Other numbers.
    pub numbers: Vec<f64>,
    /// Whole numbers of which there may be any count.
    pub list: Vec<u64>,
    /// The weight that it is for.
    pub layer: LayerShape,
    /// What a report says of its size, where it has a scale.
    pub scale: Option<Scale>,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
    /// The parameter that is taken as it is, where the method does no more.
    pub replacement: Option<Replace>,
    /// The weight of the layer whose bias is updated, (outputs, `i`), where the method needs it. A plan finds it.
    pub weight: Option<Plain>,
}

wire!(Op { method, operands, sizes, numbers, list, layer, scale, transposed, replacement, weight });

/// What a report says of the size of an update that is scaled by its rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Rank.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// What the product is multiplied with: α/r, as a rule.
    pub scale: f64,
}

wire!(Scale { rank, alpha, scale });

/// Whole numbers by their letters: `o` are the outputs of a layer, `i` its inputs, `r` the rank; the others are a method's own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sizes {
    /// A letter, then its number.
    pairs: Vec<u64>,
}

wire!(Sizes { pairs });

impl Sizes {
    /// These.
    pub fn of(sizes: &[(char, u64)]) -> Sizes {
        let mut all = Sizes::default();
        sizes.iter().for_each(|&(letter, size)| all.push(letter, size));
        all
    }

    fn push(&mut self, letter: char, size: u64) {
        self.pairs.extend([letter as u64, size]);
    }

    /// One of them.
    pub fn get(&self, letter: char) -> Option<u64> {
        let mut pairs = self.pairs.chunks_exact(2);
        pairs.find(|pair| pair[0] == letter as u64).map(|pair| pair[1])
    }

    /// One of them, which is `size` where it is not there yet.
    pub(crate) fn get_or(&mut self, letter: char, size: u64) -> u64 {
        self.get(letter).unwrap_or_else(|| {
            self.push(letter, size);
            size
        })
    }
}

impl Wire for &'static Method {
    fn put(&self, out: &mut Vec<u8>) {
        let number = METHODS.iter().position(|method| method == self).unwrap_or(METHODS.len());
        (number as u8).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<&'static Method> {
        METHODS.get(usize::from(u8::take(from)?)).copied()
    }
}

impl Op {
    /// An update by `method` that knows nothing yet.
    pub fn new(method: &'static Method) -> Op {
        Op {
            method,
            operands: Vec::new(),
            sizes: Sizes::default(),
            numbers: Vec::new(),
            list: Vec::new(),
            layer: LayerShape::default(),
            scale: None,
            transposed: false,
            replacement: None,
            weight: None,
        }
    }

    /// One of the sizes; 0 where it is not there.
    pub fn size(&self, letter: char) -> u64 {
        self.sizes.get(letter).unwrap_or(0)
    }

    /// The same with a size of another letter.
    #[must_use]
    pub fn with(mut self, letter: char, size: u64) -> Op {
        self.sizes.push(letter, size);
        self
    }

    /// The same, scaled by `scale`, which is made of `alpha` and the rank.
    #[must_use]
    pub fn scaled(mut self, rank: u64, alpha: f64, scale: f64) -> Op {
        self.scale = Some(Scale { rank, alpha, scale });
        self
    }

    /// What the product is multiplied with: 1 where nothing is said.
    pub(crate) fn scaling(&self) -> f64 {
        self.scale.map_or(1.0, |scale| scale.scale)
    }

    /// Number of the adapter's file among all inputs.
    pub(crate) fn input(&self) -> Option<usize> {
        let replacement = self.replacement.as_ref().map(|replace| replace.stored.input);
        replacement.or_else(|| self.operands.first().map(|operand| operand.at.input))
    }

    /// What is read beside the weight's own bytes for some elements of what the update covers.
    pub(crate) fn reads(&self, elements: Range<u64>) -> Vec<Span> {
        self.beside().map_or_else(Vec::new, |(stored, each)| stored.reads(elements.start * each..elements.end * each))
    }

    /// The tensor that is read beside the weight, and how many elements of it for each of the weight's: a parameter as large as that, or of each
    /// element of a bias the row of the layer's weight.
    pub(crate) fn beside(&self) -> Option<(Plain, u64)> {
        let parameter = self.replacement.as_ref().map(|replace| (replace.stored, 1));
        parameter.or_else(|| self.weight.map(|stored| (stored, self.size('i'))))
    }

    /// Whether it is of a bias, and computed from the layer's weight.
    pub(crate) fn needs_weight(&self) -> bool {
        self.method.needs == Needs::Weight
    }

    /// What it must know of the weight for some elements.
    pub fn footprint(&self) -> Footprint {
        self.method.needs.footprint(self)
    }

    /// What it must know of the whole weight.
    pub fn fact(&self) -> Option<Fact> {
        self.method.needs.fact(self)
    }

    /// Whether it is the delta of a whole model.
    pub(crate) fn is_task_vector(&self) -> bool {
        *self.method == TASK_VECTOR
    }

    /// Whether it gives each output a trained length.
    pub(crate) fn is_dora(&self) -> bool {
        *self.method == DORA
    }

    /// Whether it adds the bias of `lora_B`, times its first number, to that of the layer.
    pub(crate) fn adds_to_bias(&self) -> bool {
        *self.method == ADD_BIAS
    }

    /// Whether it puts trained values in the place of the weight's own, of all its rows or of some.
    pub(crate) fn brings_values(&self) -> bool {
        *self.method == REPLACE || *self.method == ROWS
    }

    /// How a weight of this shape would have to be stored for the update to fit.
    pub(crate) fn fit(&self, shape: &[u64]) -> Fit {
        (self.method.fit)(self, shape)
    }

    /// Rank of the factors that are in memory, for what they will take: as packed, in f32.
    pub(crate) fn packed_rank(&self) -> u64 {
        self.method.packed.saturating_mul(self.positions())
    }

    /// Rank positions of its product.
    pub(crate) fn positions(&self) -> u64 {
        self.sizes.get('p').unwrap_or(self.size('r'))
    }
}
