//! Names of adapter tensors: which module and which half of a pair a key stands for.

/// Which half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Half {
    /// `lora_A`, shape (rank, in).
    A,
    /// `lora_B`, shape (out, rank).
    B,
}

/// What a key is.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// Half of a linear layer's pair.
    Factor {
        /// Path of the module in the model, without PEFT's and wrappers' prefixes.
        module: String,
        /// Which half.
        half: Half,
    },
    /// What a method kept for its training (VeLoRA, MonteCLoRA): the result is the pair's alone.
    TrainingState,
    /// A kind of tensor that changes the result and cannot be merged yet; says what it is.
    Unsupported(&'static str),
}

/// Names that training wrappers (`torch.compile`, FSDP, activation checkpointing) leave inside module paths.
const WRAPPERS: [&str; 3] = ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"];

/// Marks of tensors that only training has a use for: PEFT's merge leaves them aside too.
const TRAINING_STATE: [&str; 2] = [".lora_velora_embed", ".lora_monteclora_sampler."];

/// Marks of tensors that are known and not implemented: beginnings of parts of the path.
const UNSUPPORTED: &[(&str, &str)] = &[
    (".lora_embedding_", "LoRA on an embedding"),
    (".lora_magnitude_vector", "a DoRA magnitude"),
    (".lora_B.bias", "a bias of lora_B"),
    (".lora_diag", "a KaSA diagonal"),
    (".trainable_tokens_delta", "trained rows of the embedding"),
    (".base_layer.", "a copy of a base tensor, stored in the adapter"),
    (".modules_to_save", "a module that the adapter replaces"),
    (".lora_down", "a kohya factor"),
    (".lora_up", "a kohya factor"),
    (".hada_w", "a LoHa factor"),
    (".lokr_w", "a LoKr factor"),
    (".lora_a", "an MLX factor"),
    (".lora_b", "an MLX factor"),
    (".ia3_l", "an IA3 vector"),
    (".oft_", "an OFT rotation"),
    (".vera_", "a VeRA vector"),
];

impl Key {
    /// Read a key of an adapter file.
    pub fn parse(key: &str) -> Key {
        let path = key.split('.').filter(|part| !WRAPPERS.contains(part)).collect::<Vec<_>>().join(".");
        let path = path.strip_prefix("module.").unwrap_or(&path);
        let path = path.strip_prefix("base_model.model.").unwrap_or(path);
        if TRAINING_STATE.iter().any(|mark| path.contains(mark)) {
            return Key::TrainingState;
        }
        // Where a part begins: the module `soft_gate` is no `oft_`.
        let dotted = format!(".{path}");
        if let Some(kind) = UNSUPPORTED.iter().find(|row| dotted.contains(row.0)) {
            return Key::Unsupported(kind.1);
        }
        for (mark, half) in [(".lora_A", Half::A), (".lora_B", Half::B)] {
            if let Some((module, rest)) = path.rsplit_once(mark)
                && is_weight(rest)
            {
                return Key::Factor { module: module.into(), half };
            }
        }
        Key::Unsupported("a whole tensor (modules_to_save, or a copy of a base tensor)")
    }
}

/// `.weight`, or `.NAME.weight` with the adapter's name left in, or nothing.
fn is_weight(rest: &str) -> bool {
    let rest = rest.strip_suffix(".weight").unwrap_or(rest);
    rest.is_empty() || rest.strip_prefix('.').is_some_and(|name| !name.is_empty() && !name.contains('.'))
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
        ] {
            assert_eq!(Key::parse(key), Key::Factor { module: "model.layers.0.q_proj".into(), half: Half::A }, "{key}");
        }
        for module in ["layers.0.soft_gate", "nohada_w.lowvera_proj", "x.my_base_layer"] {
            let key = format!("base_model.model.{module}.lora_A.weight");
            assert_eq!(Key::parse(&key), Key::Factor { module: module.into(), half: Half::A }, "{key}");
        }
        for key in ["m.q.lora_velora_embed", "m.q.lora_monteclora_sampler.std_prior"] {
            assert_eq!(Key::parse(key), Key::TrainingState, "{key}");
        }
        for key in ["base_model.model.lm_head.weight", "x.lora_embedding_A", "x.lora_magnitude_vector", "x.lora_B.bias"]
        {
            assert!(matches!(Key::parse(key), Key::Unsupported(_)), "{key}");
        }
    }
}
