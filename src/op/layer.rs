//! The shape of the weight that an update is for.

use std::fmt;

use crate::model::orientation::{self, Fit};
use crate::wire::wire;

/// A weight as its layer sees it, whichever way round it is stored. A dimension that the adapter's tensors do not tell is `None`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LayerShape {
    /// Outputs; rows of an embedding.
    pub outputs: Option<u64>,
    /// Inputs, or input channels of a convolution. A vector has none.
    pub inputs: Option<u64>,
    /// The dimensions of a convolution's kernel.
    pub kernel: Vec<u64>,
    /// Whether it is a vector with one number for each output, such as a bias or a norm.
    pub vector: bool,
    /// Whether the weight is always stored (inputs, outputs), as that of an embedding is.
    pub embedding: bool,
    /// Whether `inputs` counts all columns: those of a linear layer, or the inputs times the kernel of a convolution.
    pub flattened: bool,
}

wire!(LayerShape { outputs, inputs, kernel, vector, embedding, flattened });

impl LayerShape {
    /// A linear layer, stored (outputs, inputs), or (inputs, outputs) like GPT-2's Conv1D.
    pub fn linear(outputs: u64, inputs: u64) -> LayerShape {
        LayerShape { outputs: Some(outputs), inputs: Some(inputs), ..LayerShape::default() }
    }

    /// A vector of one number for each output.
    pub fn vector(outputs: u64) -> LayerShape {
        LayerShape { outputs: Some(outputs), vector: true, ..LayerShape::default() }
    }

    /// A convolution, stored (outputs, inputs, kernel…). For an update its weight is a matrix of outputs × (inputs · kernel).
    pub fn convolution(outputs: u64, inputs: u64, kernel: &[u64]) -> LayerShape {
        LayerShape { kernel: kernel.into(), ..LayerShape::linear(outputs, inputs) }
    }

    /// A linear layer of `columns` inputs, or a convolution with that many for each output, kernel included.
    pub fn flattened(outputs: u64, columns: u64) -> LayerShape {
        LayerShape { flattened: true, ..LayerShape::linear(outputs, columns) }
    }

    /// An embedding of `inputs` tokens, stored (inputs, outputs).
    pub fn embedding(inputs: u64, outputs: u64) -> LayerShape {
        LayerShape { embedding: true, ..LayerShape::linear(outputs, inputs) }
    }

    /// How a weight of this shape would have to be stored.
    pub(crate) fn fit(&self, shape: &[u64]) -> Fit {
        let is = |side: Option<u64>, found: u64| side.is_none_or(|side| side == found);
        match *shape {
            [outputs] if self.vector && is(self.outputs, outputs) => Fit::Certain { transposed: false },
            [rows, cols] if self.embedding && is(self.inputs, rows) && is(self.outputs, cols) => {
                Fit::Certain { transposed: true }
            }
            [rows, cols] if !self.vector && !self.embedding && self.kernel.is_empty() => {
                let (outputs, inputs) = (self.outputs, self.inputs);
                orientation::fit(is(outputs, rows) && is(inputs, cols), is(inputs, rows) && is(outputs, cols))
            }
            [outputs, inputs, ref kernel @ ..]
                if !kernel.is_empty()
                    && self.kernel == kernel
                    && is(self.outputs, outputs)
                    && is(self.inputs, inputs) =>
            {
                Fit::Certain { transposed: false }
            }
            [outputs, ref sides @ ..]
                if self.flattened
                    && sides.len() > 1
                    && is(self.outputs, outputs)
                    && self.inputs == sides.iter().try_fold(1, |product: u64, side| product.checked_mul(*side)) =>
            {
                Fit::Certain { transposed: false }
            }
            _ => Fit::Neither,
        }
    }
}

/// Written as a shape: `[outputs, inputs, kernel…]`, with `*` for what the adapter does not tell.
impl fmt::Display for LayerShape {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let side = |side: Option<u64>| side.map_or("*".into(), |side| side.to_string());
        let mut sides = vec![side(self.outputs)];
        if !self.vector {
            sides.push(side(self.inputs));
        }
        if self.embedding {
            sides.reverse();
        }
        sides.extend(self.kernel.iter().map(u64::to_string));
        write!(f, "[{}]", sides.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_decide() {
        let fit = |rows, cols, inputs, outputs| LayerShape::linear(outputs, inputs).fit(&[rows, cols]);
        assert_eq!(fit(6, 2, 2, 6), Fit::Straight);
        assert_eq!(fit(2, 6, 2, 6), Fit::Transposed);
        assert_eq!(fit(4, 4, 4, 4), Fit::Either);
        assert_eq!(fit(4, 5, 4, 4), Fit::Neither);
        let certain = |transposed| Fit::Certain { transposed };
        assert_eq!(LayerShape::embedding(9, 4).fit(&[9, 4]), certain(true));
        assert_eq!(LayerShape::embedding(9, 4).fit(&[4, 9]), Fit::Neither);
        assert_eq!(LayerShape::convolution(6, 2, &[3, 1]).fit(&[6, 2, 3, 1]), certain(false));
        assert_eq!(LayerShape::convolution(6, 2, &[3, 1]).fit(&[6, 2]), Fit::Neither);
        assert_eq!(LayerShape::linear(6, 2).fit(&[6, 2, 1, 1]), Fit::Neither);
        assert_eq!(LayerShape::flattened(6, 6).fit(&[6, 2, 3, 1]), certain(false));
        assert_eq!(LayerShape::flattened(6, 5).fit(&[6, 2, 3, 1]), Fit::Neither);
        assert_eq!(LayerShape::flattened(6, 2).fit(&[2, 6]), Fit::Transposed);
        assert_eq!(LayerShape::vector(6).fit(&[6]), certain(false));
        assert_eq!(LayerShape { inputs: None, ..LayerShape::linear(6, 2) }.fit(&[6, 5]), Fit::Straight);
    }

    #[test]
    fn shapes_read_as_in_a_header() {
        assert_eq!(LayerShape::convolution(6, 2, &[3, 1]).to_string(), "[6, 2, 3, 1]");
        assert_eq!(LayerShape::embedding(9, 4).to_string(), "[9, 4]");
        assert_eq!(LayerShape { inputs: None, ..LayerShape::linear(6, 2) }.to_string(), "[6, *]");
    }
}
