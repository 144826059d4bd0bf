//! Tensors that a model keeps as one in memory, and that PEFT knows as parameters of several modules: what is saved of one is saved of all.
//!
//! PEFT (0.21) takes an embedding in `modules_to_save` apart from what is tied to it: without a copy for the output layer it fails to load the adapter
//! (`ensure_weight_tying`), or computes the output with the base's.

/// A module whose parameters are those of others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Copies {
    /// Its path.
    pub(crate) module: String,
    /// For each of its parameters the tensor that it is, and its own name.
    pub(crate) parameters: Vec<(String, &'static str)>,
}

/// The ends of the names of embeddings that output layers are tied to.
const EMBEDDINGS: [&str; 4] = ["embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight"];

/// The modules whose parameters are copies, in a model with tensors of these `names`. `tied`: the output layer is the embedding; `architecture`: the
/// model's class.
pub(super) fn copies(names: &[&str], tied: bool, architecture: Option<&str>) -> Vec<Copies> {
    let mut all = Vec::new();
    let shared = only(names, &["shared.weight"]);
    if let Some(shared) = shared {
        let prefix = shared.trim_end_matches("shared.weight");
        for side in ["encoder", "decoder"] {
            let inside = format!("{prefix}{side}.");
            let module = format!("{inside}embed_tokens");
            let own = format!("{module}.weight");
            if names.iter().any(|name| name.starts_with(&inside)) && !names.contains(&own.as_str()) {
                all.push(Copies { module, parameters: vec![(shared.into(), "weight")] });
            }
        }
    }
    let Some(embedding) = shared.or_else(|| only(names, &EMBEDDINGS)).filter(|_| tied) else { return all };
    let has = |name: &&str| names.contains(name);
    let with_bias = |module: &str, bias: &str| Copies {
        module: module.into(),
        parameters: vec![(embedding.into(), "weight"), (bias.into(), "bias")],
    };
    let generates =
        |name: &str| ["ForCausalLM", "LMHeadModel", "ForConditionalGeneration"].iter().any(|end| name.ends_with(end));
    if has(&"cls.predictions.bias") {
        all.extend(
            (!has(&"cls.predictions.decoder.weight"))
                .then(|| with_bias("cls.predictions.decoder", "cls.predictions.bias")),
        );
    } else if has(&"lm_head.dense.weight") {
        all.extend((!has(&"lm_head.decoder.weight")).then(|| with_bias("lm_head.decoder", "lm_head.bias")));
    } else if architecture.is_some_and(generates) {
        let module = if architecture.is_some_and(|name| name.starts_with("Whisper")) { "proj_out" } else { "lm_head" };
        all.push(Copies { module: module.into(), parameters: vec![(embedding.into(), "weight")] });
    }
    all
}

/// The one name that is, or ends with a dot and, one of these.
fn only<'a>(names: &[&'a str], ends: &[&str]) -> Option<&'a str> {
    let is = |name: &str| {
        ends.iter().any(|end| name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    };
    let mut found = names.iter().copied().filter(|name| is(name));
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::copies;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_family_has_its_copies() {
        let of = |names: &[&str], tied: bool, architecture: &str| {
            let found = copies(names, tied, Some(architecture));
            found
                .into_iter()
                .map(|copy| format!("{} {:?}", copy.module, copy.parameters))
                .collect::<Vec<_>>()
                .join("; ")
        };
        let llama = ["model.embed_tokens.weight", "model.norm.weight"];
        assert_eq!(of(&llama, true, "LlamaForCausalLM"), r#"lm_head [("model.embed_tokens.weight", "weight")]"#);
        assert_eq!(of(&llama, false, "LlamaForCausalLM"), "");
        assert_eq!(of(&llama, true, "LlamaForSequenceClassification"), "");
        let t5 = ["shared.weight", "encoder.block.0.q.weight", "decoder.block.0.q.weight"];
        let found = of(&t5, false, "T5ForConditionalGeneration");
        assert_eq!(
            found,
            r#"encoder.embed_tokens [("shared.weight", "weight")]; decoder.embed_tokens [("shared.weight", "weight")]"#
        );
        assert!(of(&t5, true, "T5ForConditionalGeneration").ends_with(r#"lm_head [("shared.weight", "weight")]"#));
        let bert = ["bert.embeddings.word_embeddings.weight", "cls.predictions.bias"];
        let found = of(&bert, true, "BertForMaskedLM");
        assert!(
            found.starts_with("cls.predictions.decoder") && found.contains(r#"("cls.predictions.bias", "bias")"#),
            "{found}"
        );
    }
}
