//! The output layer, which a model may tie to its embedding. A delta on it would be lost when the merged model is loaded, if the two were
//! tied again.

use super::open::Base;
use super::program::Program;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::config_json::Config;

/// What the user can do about an adapter of a tied output layer.
pub(crate) const FIX: &str =
    "give the output layer a weight of its own (tie_word_embeddings: false), save the base, and merge into that";

/// Output layers that only config.json ties: it can untie them.
const TIED_BY_CONFIG: [&str; 2] = ["lm_head", "embed_out"];
/// Output layers of models that tie more by the same field (biases, the embeddings of encoder and decoder, the scale of T5's
/// logits).
const TIED_WITH_MORE: [&str; 2] = ["predictions.decoder", "lm_head.decoder"];
/// What else models of an encoder and a decoder call it.
const OF_DECODERS: [&str; 2] = ["proj_out", "output_projection"];

/// The name of the output layer that is tied by its absence.
const HEAD: &str = "lm_head.weight";
/// What models call the embedding of their tokens.
const EMBEDDINGS: [&str; 4] = ["embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight"];

/// An output layer that the base does not have, because it is the embedding.
pub(crate) struct TiedHead {
    /// Shard of the embedding.
    pub(crate) shard: usize,
    /// Number of the embedding in that shard.
    pub(crate) index: usize,
}

impl TiedHead {
    /// The tied output layer of `base`, where config.json says that there is one: without that, the layer may be absent because the
    /// base is a model's body.
    pub(crate) fn of(base: &Base, model: &Model) -> Option<TiedHead> {
        if model.tied != Some(true) || model.encoder_decoder {
            return None;
        }
        let mut embeddings = Vec::new();
        for (shard, file) in base.shards.iter().enumerate() {
            for (index, tensor) in file.header.iter().enumerate() {
                if tensor.name == HEAD {
                    return None;
                }
                if ends_in_one_of(tensor.name, &EMBEDDINGS) {
                    embeddings.push(TiedHead { shard, index });
                }
            }
        }
        // Of several nobody can say which one it is.
        if embeddings.len() == 1 { embeddings.pop() } else { None }
    }

    /// The embedding under the name of the output layer.
    pub(crate) fn info<'a>(&self, base: &'a Base) -> TensorInfo<'a> {
        TensorInfo { name: HEAD, ..base.shards[self.shard].header.tensor(self.index) }
    }
}

/// Whether config.json must untie the output layer from the embedding, because one of `programs` changes it.
///
/// # Errors
/// `unsupported` where that would change more than the output layer.
pub(crate) fn must_untie(programs: &[Program], model: &Model, findings: &mut Vec<Finding>) -> Result<bool> {
    if model.tied == Some(false) {
        return Ok(false);
    }
    let ties_more = |program: &&Program| {
        is_one_of(&TIED_WITH_MORE, program)
            || model.encoder_decoder && (is_one_of(&TIED_BY_CONFIG, program) || is_one_of(&OF_DECODERS, program))
    };
    if let Some(program) = programs.iter().find(ties_more) {
        let reason =
            format!("this model ties its output layer to its embedding, and {}: false would change more", Config::TIED);
        let error = Error::unsupported(program.tensor.clone(), reason).tensor(program.tensor.clone());
        let adapters = program.updates.iter().map(|update| update.adapter.clone());
        return Err(adapters.take(1).fold(error, Error::adapter).kind(ErrorKind::TiedHead).fix(FIX));
    }
    let Some(program) = programs.iter().find(|program| is_one_of(&TIED_BY_CONFIG, program)) else { return Ok(false) };
    let message = format!("{} is merged, so config.json no longer ties it to the embedding", program.tensor);
    findings.push(Finding::warning("untied", None, message));
    Ok(true)
}

fn is_one_of(layers: &[&str], program: &Program) -> bool {
    let path = program.tensor.strip_suffix(".weight").unwrap_or(&program.tensor);
    ends_in_one_of(path, layers)
}

/// Whether the last parts of a path are one of `ends`.
fn ends_in_one_of(path: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}
