//! The layer that factors are for, and how PEFT calls and shapes them.

use std::fmt;

use crate::op::LayerShape;

/// PEFT's prefix of every key.
const PREFIX: &str = "base_model.model.";

/// A layer of a model, as LoRA sees it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    /// Outputs: rows of the delta.
    pub(crate) outputs: u64,
    /// Inputs.
    pub(crate) inputs: u64,
    /// The sides of a convolution's kernel.
    pub(crate) kernel: Vec<u64>,
    /// An embedding, whose factors have names of their own.
    pub(crate) embedding: bool,
}

impl Layer {
    /// That of an update, where the adapter tells both sides.
    pub(crate) fn of(shape: &LayerShape) -> Option<Layer> {
        let (outputs, inputs) = (shape.outputs?, shape.inputs?);
        (!shape.vector).then(|| Layer { outputs, inputs, kernel: shape.kernel.clone(), embedding: shape.embedding })
    }

    /// Columns of the delta: inputs, times the kernel. Nothing where they overflow.
    pub(crate) fn columns(&self) -> Option<u64> {
        self.kernel.iter().try_fold(self.inputs, |product, side| product.checked_mul(*side))
    }

    /// The sides of the delta. Nothing where they are beyond memory.
    pub(crate) fn sides(&self) -> Option<(usize, usize)> {
        let (rows, cols) = (usize::try_from(self.outputs).ok()?, usize::try_from(self.columns()?).ok()?);
        rows.checked_mul(cols)?;
        Some((rows, cols))
    }

    /// The shape of its weight, in a model that stores outputs first; that of an embedding has them last.
    pub(crate) fn stored(&self) -> Vec<u64> {
        match self.embedding {
            true => vec![self.inputs, self.outputs],
            false => [self.outputs, self.inputs].into_iter().chain(self.kernel.iter().copied()).collect(),
        }
    }

    /// The keys of A and of B.
    pub(crate) fn keys(&self, module: &str) -> [String; 2] {
        let ends = match self.embedding {
            true => ["lora_embedding_A", "lora_embedding_B"],
            false => ["lora_A.weight", "lora_B.weight"],
        };
        ends.map(|end| format!("{PREFIX}{module}.{end}"))
    }

    /// The shapes of A and of B.
    pub(crate) fn shapes(&self, rank: u64) -> [Vec<u64>; 2] {
        let a = [rank, self.inputs].into_iter().chain(self.kernel.iter().copied());
        let b = [self.outputs, rank].into_iter().chain(self.kernel.iter().map(|_| 1));
        [a.collect(), b.collect()]
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let sides = [self.outputs, self.inputs].into_iter().chain(self.kernel.iter().copied());
        write!(f, "{:?}", sides.collect::<Vec<_>>())
    }
}

/// The key of a parameter that is saved as a whole.
pub(crate) fn saved_key(module: &str, parameter: &str) -> String {
    format!("{PREFIX}{module}.{parameter}")
}
