//! The output layer, which a model may tie to its embedding: a delta on it is lost if whoever loads the merged model ties the
//! two again.

use super::tensor::{MergeSpec, PlannedTensor};
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::config_json::Config;

/// Output layers that only config.json ties: it can untie them.
const TIED_BY_CONFIG: [&str; 2] = ["lm_head", "embed_out"];
/// Output layers of models that tie more by the same field (biases, the embeddings of encoder and decoder, the scale of T5's
/// logits).
const TIED_WITH_MORE: [&str; 2] = ["predictions.decoder", "lm_head.decoder"];
/// What else models of an encoder and a decoder call it.
const OF_DECODERS: [&str; 2] = ["proj_out", "output_projection"];

/// Whether config.json must untie the output layer from the embedding, because one of `tensors` has a delta on it.
///
/// # Errors
/// `unsupported` where that would change more than the output layer.
pub(crate) fn must_untie(tensors: &[PlannedTensor], model: &Model, findings: &mut Vec<Finding>) -> Result<bool> {
    if model.tied == Some(false) {
        return Ok(false);
    }
    let mut deltas = tensors.iter().filter_map(|tensor| tensor.merge.as_ref()).filter(|merge| !merge.terms.is_empty());
    let ties_more = |merge: &&MergeSpec| {
        is_one_of(&TIED_WITH_MORE, merge)
            || model.encoder_decoder && (is_one_of(&TIED_BY_CONFIG, merge) || is_one_of(&OF_DECODERS, merge))
    };
    if let Some(merge) = deltas.clone().find(ties_more) {
        return Err(Error::unsupported(merge.tensor.clone(), format!(
                "this model ties its output layer to its embedding, and {}: false would change more; untie and save it first",
                Config::TIED
            )).adapter(merge.terms[0].adapter.clone()).tensor(merge.tensor.clone()));
    }
    let Some(merge) = deltas.find(|merge| is_one_of(&TIED_BY_CONFIG, merge)) else { return Ok(false) };
    let message = format!("{} is merged, so config.json no longer ties it to the embedding", merge.tensor);
    findings.push(Finding::warning("untied", None, message));
    Ok(true)
}

fn is_one_of(layers: &[&str], merge: &MergeSpec) -> bool {
    let path = merge.tensor.strip_suffix(".weight").unwrap_or(&merge.tensor);
    layers.iter().any(|layer| path.strip_suffix(layer).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}
