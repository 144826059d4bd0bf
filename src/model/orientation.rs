//! Which way round the base stores a weight.
//!
//! PEFT decides by layer class: `nn.Linear` is (out, in), GPT-2's `Conv1D` (in, out). Files have no classes, but the shapes
//! tell, except for square weights.

use std::collections::HashMap;

/// The model types whose layers are `Conv1D`.
const CONV1D_MODELS: [&str; 5] = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"];
/// The names of those layers.
const CONV1D_LAYERS: [&str; 4] = ["c_attn", "c_proj", "c_fc", "q_attn"];
/// The common kind of these layers.
const CONV1D: &str = "Conv1D";

/// What the shapes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// (out, in).
    Straight,
    /// (in, out).
    Transposed,
    /// Square: both fit.
    Either,
    /// It fits, and its orientation is certain: a vector, a convolution, an embedding.
    Certain {
        /// (in, out).
        transposed: bool,
    },
    /// Neither fits.
    Neither,
}

impl Fit {
    /// The same for a method that has no layers stored (in, out).
    pub fn straight(self) -> Fit {
        match self {
            Fit::Straight | Fit::Either => Fit::Certain { transposed: false },
            Fit::Transposed => Fit::Neither,
            other => other,
        }
    }
}

/// How a matrix fits, given whether it fits as it stands and transposed.
pub fn fit(straight: bool, transposed: bool) -> Fit {
    match (straight, transposed) {
        (true, true) => Fit::Either,
        (true, false) => Fit::Straight,
        (false, true) => Fit::Transposed,
        (false, false) => Fit::Neither,
    }
}

/// What is known about square weights, gathered from all adapters, because they all change the same base.
#[derive(Debug, Default)]
pub(crate) struct Evidence<'a> {
    /// Every `model_type` of the base's config.json, those of its parts included.
    model_types: &'a [String],
    /// Whether an adapter's configuration says `fan_in_fan_out`.
    flag: bool,
    /// For each kind of layer, how it is stored, known from the first weight of that kind that is not square.
    kinds: HashMap<&'a str, bool>,
    /// Whether some adapted layer has the name of a `Conv1D`.
    conv1d: bool,
    /// Whether some adapted layer with another name is certainly (out, in).
    linear: bool,
}

impl<'a> Evidence<'a> {
    /// The evidence before any shape is known.
    pub(crate) fn new(model_types: &'a [String], flag: bool) -> Evidence<'a> {
        Evidence { model_types, flag, ..Evidence::default() }
    }

    /// Note the shape of the weight of `module`.
    pub(crate) fn note(&mut self, module: &'a str, fit: Fit) {
        let kind = kind(module);
        self.conv1d |= kind == CONV1D;
        self.linear |= kind != CONV1D && fit == Fit::Straight;
        if matches!(fit, Fit::Straight | Fit::Transposed) {
            self.kinds.entry(kind).or_insert(fit == Fit::Transposed);
        }
    }

    /// Whether `module` may be stored transposed. If not, a weight that fits only transposed belongs to another base.
    pub(crate) fn may_be_transposed(&self, module: &str) -> bool {
        kind(module) == CONV1D
            || self.of_conv1d_model()
            || self.flag_means(module)
            || self.model_types.is_empty() && !self.linear
    }

    /// Whether the square weight of `module` is stored transposed, and whether only the flag says so.
    pub(crate) fn square_is_transposed(&self, module: &str) -> (bool, bool) {
        let kind = kind(module);
        match self.kinds.get(kind) {
            Some(&transposed) => (transposed, false),
            None if kind == CONV1D && self.of_conv1d_model() => (true, false),
            None => (self.flag_means(module), self.flag_means(module)),
        }
    }

    fn of_conv1d_model(&self) -> bool {
        self.model_types.iter().any(|model| CONV1D_MODELS.contains(&model.as_str()))
    }

    /// The flag only says what a training script set, and applies only to layers that need it: PEFT unsets it for others.
    fn flag_means(&self, module: &str) -> bool {
        self.flag && (kind(module) == CONV1D || !(self.conv1d || self.linear))
    }
}

/// The kind of a layer. Layers of one name are stored alike, and so are all with a name of a `Conv1D`.
fn kind(module: &str) -> &str {
    let layer = module.rsplit('.').next().unwrap_or(module);
    if CONV1D_LAYERS.contains(&layer) { CONV1D } else { layer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_ask_their_kind_then_the_model_then_the_flag() {
        let gpt2 = ["vision-encoder-decoder".into(), "vit".into(), "gpt2".into()];
        let mut both = Evidence::new(&gpt2, true);
        both.note("encoder.query", Fit::Either);
        both.note("decoder.h.0.attn.c_proj", Fit::Either);
        assert_eq!(both.square_is_transposed("decoder.h.0.attn.c_proj"), (true, false));
        assert_eq!(both.square_is_transposed("encoder.query"), (false, false));

        let bigcode = ["gpt_bigcode".into()];
        let mut straight = Evidence::new(&bigcode, true);
        straight.note("h.0.mlp.c_fc", Fit::Straight);
        assert_eq!(straight.square_is_transposed("h.0.attn.c_proj"), (false, false));

        // Llama with the flag: k_proj tells.
        let mut llama = Evidence::new(&[], true);
        llama.note("layers.0.k_proj", Fit::Straight);
        assert_eq!(llama.square_is_transposed("layers.0.q_proj"), (false, false));

        assert_eq!(Evidence::new(&[], true).square_is_transposed("x"), (true, true));
        assert_eq!(Evidence::new(&[], false).square_is_transposed("x"), (false, false));
    }

    #[test]
    fn what_fits_only_transposed_needs_a_reason() {
        let llama = ["llama".into()];
        let mut evidence = Evidence::new(&llama, false);
        assert!(!evidence.may_be_transposed("o_proj"));
        assert!(evidence.may_be_transposed("h.0.attn.c_attn"));
        assert!(Evidence::new(&["gpt2".into()], false).may_be_transposed("proj"));
        evidence = Evidence::new(&llama, true);
        assert!(evidence.may_be_transposed("o_proj"));
        evidence.note("k_proj", Fit::Straight);
        assert!(!evidence.may_be_transposed("o_proj"));
        assert!(Evidence::new(&[], false).may_be_transposed("of.an.unknown.model"));
    }
}
