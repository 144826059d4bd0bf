//! Activation functions by their names in transformers, in f64, from libm, so that they give the same bits on every machine.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// A function of one number.
pub(super) type Activation = fn(f64) -> f64;

/// The names of the functions.
pub(super) fn names() -> String {
    FUNCTIONS.each_ref().map(|(name, _)| *name).join(", ")
}

/// The functions and their names.
pub(super) static FUNCTIONS: [(&str, Activation); 14] = [
    ("gelu", |x| x * 0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2))),
    ("gelu_fast", gelu_tanh),
    ("gelu_new", gelu_tanh),
    ("gelu_python", |x| x * 0.5 * (1.0 + libm::erf(x * FRAC_1_SQRT_2))),
    ("gelu_pytorch_tanh", gelu_tanh),
    ("leaky_relu", |x| if x > 0.0 { x } else { 0.01 * x }),
    ("linear", |x| x),
    ("quick_gelu", |x| x * sigmoid(1.702 * x)),
    ("relu", |x| x.max(0.0)),
    ("relu6", |x| x.clamp(0.0, 6.0)),
    ("sigmoid", sigmoid),
    ("silu", |x| x * sigmoid(x)),
    ("swish", |x| x * sigmoid(x)),
    ("tanh", libm::tanh),
];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

fn gelu_tanh(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::tanh((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Torch's results in float64 for −1.5 and 0.75.
    #[test]
    fn functions_are_torchs() {
        let known: &[(&str, [f64; 2])] = &[
            ("gelu", [-0.10021080190328704, 0.5800294857173489]),
            ("gelu_fast", [-0.1004284230206536, 0.5799605551650409]),
            ("gelu_new", [-0.10042842301976707, 0.5799605551656203]),
            ("gelu_python", [-0.10021080190328713, 0.5800294857173488]),
            ("gelu_pytorch_tanh", [-0.10042842301976707, 0.5799605551656203]),
            ("leaky_relu", [-0.015, 0.75]),
            ("linear", [-1.5, 0.75]),
            ("quick_gelu", [-0.10833780155292341, 0.5863900575346379]),
            ("relu", [0.0, 0.75]),
            ("relu6", [0.0, 0.75]),
            ("sigmoid", [0.18242552380635635, 0.679178699175393]),
            ("silu", [-0.2736382857095345, 0.5093840243815447]),
            ("swish", [-0.2736382857095345, 0.5093840243815447]),
            ("tanh", [-0.9051482536448664, 0.6351489523872873]),
        ];
        assert_eq!(known.len(), FUNCTIONS.len());
        for (name, expected) in known {
            let (_, function) = FUNCTIONS.iter().find(|(known, _)| known == name).unwrap();
            for (x, expected) in [-1.5, 0.75].into_iter().zip(expected) {
                assert!((function(x) - expected).abs() < 1e-9, "{name}({x}) is {}, not {expected}", function(x));
            }
        }
    }
}
