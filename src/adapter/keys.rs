//! Names of an adapter's tensors: which module and which half of a pair a key stands for.

/// Which half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Half {
    /// `lora_A`, shape (rank, in).
    A,
    /// `lora_B`, shape (out, rank).
    B,
}

/// What a key stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Key<'a> {
    /// Half of the pair of a layer.
    Factor {
        /// Path of the module in the model, without PEFT's and wrappers' prefixes. If several parameters of the module have factors, it ends in
        /// `base_layer` once for each wrapper outside the factors' own.
        module: String,
        /// Which half.
        half: Half,
        /// Whether it is of an embedding, whose factors have names of their own.
        embedding: bool,
        /// The adapter's name, if the key has one.
        adapter: Option<&'a str>,
    },
    /// The magnitudes of a DoRA layer's outputs.
    Magnitude {
        /// Path of the module.
        module: String,
    },
    /// A bias of `lora_B` (`lora_bias`).
    BiasOfB {
        /// Path of the module.
        module: String,
    },
    /// Trained rows of an embedding (`trainable_token_indices`).
    Tokens {
        /// Path of the module.
        module: String,
    },
    /// The weight of a layer as it was trained on, which PEFT saves with an adapter of the output layer, and loads in place of
    /// the base's.
    BaseWeight {
        /// Path of the module.
        module: String,
    },
    /// A whole parameter, which replaces the base's: one of `modules_to_save`, a bias, or an embedding after the vocabulary was resized.
    Whole {
        /// Path of the module.
        module: String,
        /// The module's parameter.
        parameter: &'a str,
    },
    /// Something that only training needed (state of VeLoRA and MonteCLoRA, the base's copy beside a saved module).
    TrainingState,
    /// A kind of tensor that changes the result and cannot be merged yet, with its name.
    Unsupported(&'static str),
}

/// Names that training wrappers (`torch.compile`, FSDP, activation checkpointing) leave inside module paths.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Parts of a path that begin like this are used only in training. PEFT's merge ignores them, too.
const TRAINING_STATE: [&str; 3] = ["lora_velora_embed", "lora_monteclora_sampler", "original_module"];

/// Parts of a path that begin like this are known and not implemented.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("lora_diag", "a KaSA diagonal"),
    ("hada_w", "a LoHa factor"),
    ("lokr_w", "a LoKr factor"),
    ("ia3_l", "an IA3 vector"),
    ("oft_", "an OFT rotation"),
    ("vera_", "a VeRA vector"),
];

/// Whole parts of a path that are known and not implemented.
const UNSUPPORTED_PARTS: [(&str, &str); 4] = [
    ("lora_down", "a kohya factor"),
    ("lora_up", "a kohya factor"),
    ("lora_a", "an MLX factor"),
    ("lora_b", "an MLX factor"),
];

/// A module without wrappers around its parameters.
fn unwrapped<'p, 'a>(mut module: &'p [&'a str]) -> &'p [&'a str] {
    while let [outer @ .., "base_layer"] = module {
        module = outer;
    }
    module
}

/// The parts of a key after PEFT's and wrappers' prefixes.
pub(crate) fn path(key: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = key.split('.').filter(|part| !WRAPPERS.contains(part)).collect();
    if parts.first() == Some(&"module") {
        parts.remove(0);
    }
    // The prefix is there twice if the model had been wrapped before the training.
    while parts.starts_with(&["base_model", "model"]) {
        parts.drain(..2);
    }
    parts
}

/// The name of what was trained of a layer. The adapter's name may follow it.
const NAMED: [&str; 7] = [
    "lora_A",
    "lora_B",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "trainable_tokens_delta",
    "modules_to_save",
];

/// The adapter's name in a key of LoRA, if it has one.
pub(crate) fn adapter_of(key: &str) -> Option<&str> {
    let path = path(key);
    let at = path.iter().rposition(|part| NAMED.contains(part))?;
    named(path.get(at + 1..)?)
}

/// If a key is of an output projection of an nn.MultiheadAttention, that attention. PEFT wraps both, one inside the other.
pub(crate) fn attention_of(key: &str) -> Option<String> {
    let path = path(key);
    in_attention(&path).map(|at| path[..at].join("."))
}

/// The position of PEFT's part before an attention's output projection.
fn in_attention(path: &[&str]) -> Option<usize> {
    path.windows(2).rposition(|parts| parts == ["base_layer", "out_proj"])
}

/// The adapter's name, if what follows the name of a tensor begins with one.
pub(crate) fn named<'a>(rest: &[&'a str]) -> Option<&'a str> {
    rest.first().copied().filter(|part| !matches!(*part, "weight" | "bias"))
}

impl<'a> Key<'a> {
    /// Read a key of an adapter file.
    pub fn parse(key: &'a str) -> Key<'a> {
        let mut path = path(key);
        if let Some(at) = in_attention(&path) {
            path.remove(at);
        }
        let path = &path[..];
        if path.iter().any(|part| TRAINING_STATE.iter().any(|mark| part.starts_with(mark))) {
            return Key::TrainingState;
        }
        match path {
            [module @ .., "base_layer", "weight"] => return Key::BaseWeight { module: unwrapped(module).join(".") },
            [module @ .., "base_layer", parameter] if !parameter.starts_with("lora_") => {
                return Key::Whole { module: unwrapped(module).join("."), parameter };
            }
            [.., "base_layer", _] => {}
            [module @ .., "modules_to_save", parameter] | [module @ .., "modules_to_save", _, parameter] => {
                return Key::Whole { module: module.join("."), parameter };
            }
            [module @ .., "token_adapter", "trainable_tokens_delta"]
            | [module @ .., "token_adapter", "trainable_tokens_delta", _]
            | [module @ .., "trainable_tokens_delta"]
            | [module @ .., "trainable_tokens_delta", _] => return Key::Tokens { module: module.join(".") },
            _ => {}
        }
        // `to_q.lora.down.weight`, and `processor.to_q_lora.down.weight` of 2023.
        if let [.., part, "down" | "up", "weight"] = path
            && (*part == "lora" || part.ends_with("_lora"))
        {
            return Key::Unsupported("a factor in diffusers' old spelling (lora.down, lora.up)");
        }
        // PEFT saves this tensor without a suffix, and loads it with one.
        if let [module @ .., "lora_magnitude_vector"]
        | [module @ .., "lora_magnitude_vector", "weight"]
        | [module @ .., "lora_magnitude_vector", _, "weight"] = path
        {
            return Key::Magnitude { module: module.join(".") };
        }
        let kinds = UNSUPPORTED.iter().filter(|row| path.iter().any(|part| part.starts_with(row.0)));
        if let Some(kind) = kinds.chain(UNSUPPORTED_PARTS.iter().filter(|row| path.contains(&row.0))).next() {
            return Key::Unsupported(kind.1);
        }
        let rest = path.strip_suffix(&["weight"]).unwrap_or(path);
        let half = |part: &str| match part {
            "lora_A" => Some((Half::A, false)),
            "lora_B" => Some((Half::B, false)),
            "lora_embedding_A" => Some((Half::A, true)),
            "lora_embedding_B" => Some((Half::B, true)),
            _ => None,
        };
        let found = |module: &[&str], part: &str, adapter| {
            half(part).map(|(half, embedding)| Key::Factor { module: module.join("."), half, embedding, adapter })
        };
        let factor = match (rest, path) {
            (_, [module @ .., "lora_B", "bias"] | [module @ .., "lora_B", _, "bias"]) => {
                Some(Key::BiasOfB { module: module.join(".") })
            }
            ([module @ .., part], _) if half(part).is_some() => found(module, part, None),
            ([module @ .., part, adapter], _) => found(module, part, Some(*adapter)),
            _ => None,
        };
        match (factor, path) {
            (Some(factor), _) => factor,
            (None, [.., parameter]) if parameter.starts_with("lora_") => {
                Key::Unsupported("a tensor of an unknown kind")
            }
            (None, [module @ .., parameter]) if !module.is_empty() => {
                Key::Whole { module: module.join("."), parameter }
            }
            _ => Key::Unsupported("a tensor of no module"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for key in [
            "base_model.model.model.layers.0.q_proj.lora_A.weight",
            "base_model.model.model.layers.0.q_proj.lora_A.default.weight",
            "model.layers.0.q_proj.lora_A.weight",
            "module.base_model.model._orig_mod.model.layers.0._checkpoint_wrapped_module.q_proj.lora_A.weight",
            "_orig_mod.base_model.model.model.layers.0.q_proj.lora_A.weight",
            "base_model.model.base_model.model.model.layers.0.q_proj.lora_A.weight",
        ] {
            assert_eq!(
                Key::parse(key),
                Key::Factor {
                    module: "model.layers.0.q_proj".into(),
                    half: Half::A,
                    embedding: false,
                    adapter: key.contains("default").then_some("default")
                },
                "{key}"
            );
        }
        for module in
            ["layers.0.soft_gate", "nohada_w.lowvera_proj", "x.my_base_layer", "lora_backbone.q", "lora_bridge"]
        {
            let key = format!("base_model.model.{module}.lora_A.weight");
            let found = Key::parse(&key);
            assert_eq!(
                found,
                Key::Factor { module: module.into(), half: Half::A, embedding: false, adapter: None },
                "{key}"
            );
        }
        let key = "base_model.model.lm_head.base_layer.weight";
        assert_eq!(Key::parse(key), Key::BaseWeight { module: "lm_head".into() });
        for key in [
            "x.q.lora_magnitude_vector",
            "x.q.lora_magnitude_vector.weight",
            "x.q.lora_magnitude_vector.default.weight",
        ] {
            assert_eq!(Key::parse(key), Key::Magnitude { module: "x.q".into() }, "{key}");
        }
        for key in ["m.q.lora_velora_embed", "m.q.lora_monteclora_sampler.std_prior"] {
            assert_eq!(Key::parse(key), Key::TrainingState, "{key}");
        }
        for key in [
            "base_model.model.x.lm.score.weight",
            "x.lm.score.modules_to_save.weight",
            "x.lm.score.modules_to_save.default.weight",
        ] {
            assert_eq!(Key::parse(key), Key::Whole { module: "x.lm.score".into(), parameter: "weight" }, "{key}");
        }
        assert_eq!(Key::parse("x.q.base_layer.bias"), Key::Whole { module: "x.q".into(), parameter: "bias" });
        assert_eq!(Key::parse("x.q.lora_B.bias"), Key::BiasOfB { module: "x.q".into() });
        for key in ["x.e.token_adapter.trainable_tokens_delta", "x.e.trainable_tokens_delta.default"] {
            assert_eq!(Key::parse(key), Key::Tokens { module: "x.e".into() }, "{key}");
        }
        let key = Key::parse("x.e.base_layer.base_layer.lora_A.weight");
        assert!(matches!(&key, Key::Factor { module, .. } if module == "x.e.base_layer.base_layer"), "{key:?}");
        let bias = Key::Whole { module: "x.e".into(), parameter: "gate_up_proj_bias" };
        assert_eq!(Key::parse("x.e.base_layer.base_layer.gate_up_proj_bias"), bias);
        let embedding = Key::Factor { module: "x".into(), half: Half::B, embedding: true, adapter: None };
        assert_eq!(Key::parse("x.lora_embedding_B"), embedding);
        for key in [
            "x.lora_a",
            "x.lora_down.weight",
            "x.to_q.lora.up.weight",
            "x.to_q_lora.down.weight",
            "x.lora_diag",
            "weight",
        ] {
            assert!(matches!(Key::parse(key), Key::Unsupported(_)), "{key}");
        }
    }
}
