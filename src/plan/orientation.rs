//! Which way round the base stores a weight.
//!
//! PEFT decides by layer class: `nn.Linear` is (out, in), GPT-2's `Conv1D` (in, out). Files have no classes; the shapes
//! tell, except for square weights.

/// The model types whose layers are `Conv1D`.
const CONV1D_MODELS: [&str; 5] = ["gpt2", "openai-gpt", "imagegpt", "decision_transformer", "clvp"];
/// The names those layers have.
const CONV1D_LAYERS: [&str; 4] = ["c_attn", "c_proj", "c_fc", "q_attn"];

/// What the shapes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// (out, in).
    Straight,
    /// (in, out).
    Transposed,
    /// Square: both fit.
    Either,
    /// Neither fits.
    Neither,
}

/// Compare a weight of `rows` × `cols` with a pair that maps `inputs` to `outputs`.
pub fn fit(rows: u64, cols: u64, inputs: u64, outputs: u64) -> Fit {
    match ((rows, cols) == (outputs, inputs), (rows, cols) == (inputs, outputs)) {
        (true, true) => Fit::Either,
        (true, false) => Fit::Straight,
        (false, true) => Fit::Transposed,
        (false, false) => Fit::Neither,
    }
}

/// What is known when a weight is square.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// `model_type` of the base's config.json.
    pub model_type: Option<&'a str>,
    /// Whether weights of the same model that are not square are transposed.
    pub others: Option<bool>,
    /// `fan_in_fan_out` of the adapter's configuration.
    pub flag: bool,
}

/// Whether the square weight of `module` is stored transposed.
pub fn square_is_transposed(module: &str, evidence: Evidence) -> bool {
    let layer = module.rsplit('.').next().unwrap_or(module);
    match evidence.model_type {
        Some(model) if CONV1D_MODELS.contains(&model) => CONV1D_LAYERS.contains(&layer),
        // The shapes of its neighbours are facts of the base; the flag is only what a training script said.
        _ => evidence.others.unwrap_or(evidence.flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_decide_and_squares_ask() {
        assert_eq!(fit(6, 2, 2, 6), Fit::Straight);
        assert_eq!(fit(2, 6, 2, 6), Fit::Transposed);
        assert_eq!(fit(4, 4, 4, 4), Fit::Either);
        assert_eq!(fit(4, 5, 4, 4), Fit::Neither);
        let gpt2 = Evidence { model_type: Some("gpt2"), others: None, flag: false };
        assert!(square_is_transposed("h.0.attn.c_proj", gpt2));
        assert!(!square_is_transposed("score", Evidence { flag: true, ..gpt2 }));
        let llama = Evidence { model_type: Some("llama"), others: Some(false), flag: true };
        assert!(!square_is_transposed("q_proj", llama));
        assert!(square_is_transposed("x", Evidence { model_type: None, others: None, flag: true }));
    }
}
