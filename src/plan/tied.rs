//! The output layer, which a model may tie to its embedding. If the two were still tied when the merged model is loaded, a delta on one of them
//! would be lost, or reach the other one.

use std::collections::HashMap;

use super::change::Change;
use super::open::Base;
use super::options::Tied;
use super::program::Program;
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::Model;
use crate::model::config_json::Config;

/// What the user can do if an adapter changes a tied output layer.
pub(crate) const FIX: &str =
    "give the output layer a weight of its own (tie_word_embeddings: false), save the base, and merge into that";

/// Output layers that only config.json ties: it can untie them.
const TIED_BY_CONFIG: [&str; 2] = ["lm_head", "embed_out"];
/// Output layers of models in which the same field ties more (biases, the embeddings of encoder and decoder, the scale of T5's
/// logits).
const TIED_WITH_MORE: [&str; 2] = ["predictions.decoder", "lm_head.decoder"];
/// Other names of it in models with an encoder and a decoder.
const OF_DECODERS: [&str; 2] = ["proj_out", "output_projection"];

/// The name of an output layer that is tied if it is absent.
const HEAD: &str = "lm_head.weight";
/// What models call the embedding of their tokens.
const EMBEDDINGS: [&str; 4] = ["embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight"];
/// What models call their output layer, and its bias.
const HEADS: [&str; 4] = [HEAD, "embed_out.weight", "lm_head.bias", "embed_out.bias"];

/// Others with a row for each token, of which some models keep a copy.
const COPIES: [&str; 4] =
    ["shared.weight", "predictions.bias", "predictions.decoder.weight", "predictions.decoder.bias"];

/// Whether a tensor has one row for each token of the vocabulary.
pub(crate) fn is_vocabulary(name: &str) -> bool {
    ends_in_one_of(name, &EMBEDDINGS) || ends_in_one_of(name, &HEADS) || ends_in_one_of(name, &COPIES)
}

/// Whether a tensor is the embedding of a model's tokens.
pub(super) fn is_embedding(name: &str) -> bool {
    ends_in_one_of(name, &EMBEDDINGS)
}

/// Whether a tensor is the weight of an output layer.
pub(super) fn is_head(name: &str) -> bool {
    ends_in_one_of(name, &HEADS[..2])
}

/// An output layer that the base does not have, because it is the embedding.
pub(crate) struct TiedHead {
    /// Shard of the embedding.
    pub(crate) shard: usize,
    /// Number of the embedding in that shard.
    pub(crate) index: usize,
}

impl TiedHead {
    /// The tied output layer of `base`, if config.json says that there is one. Otherwise the layer may be absent because the base is only the body
    /// of a model.
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
        // If there are several, nothing says which one it is.
        if embeddings.len() == 1 { embeddings.pop() } else { None }
    }

    /// The embedding under the name of the output layer.
    pub(crate) fn info<'a>(&self, base: &'a Base) -> TensorInfo<'a> {
        TensorInfo { name: HEAD, ..base.shards[self.shard].header.tensor(self.index) }
    }
}

/// The numbers of the embedding and of the output layer that config.json ties to it, counted through all shards. An output layer that the base
/// does not have gets the number after the last.
fn numbers(base: &Base, head: Option<&TiedHead>, model: &Model) -> Option<(usize, usize)> {
    if model.tied != Some(true) || model.encoder_decoder {
        return None;
    }
    let names = base.shards.iter().flat_map(|shard| shard.header.iter()).map(|tensor| tensor.name);
    let all = |ends: &[&str]| -> Vec<usize> {
        names.clone().enumerate().filter(|(_, name)| ends_in_one_of(name, ends)).map(|(number, _)| number).collect()
    };
    match (all(&EMBEDDINGS).as_slice(), all(&HEADS[..2]).as_slice(), head) {
        (&[embedding], [], Some(_)) => Some((embedding, names.count())),
        (&[embedding], &[head], _) => Some((embedding, head)),
        _ => None,
    }
}

/// Decide what becomes of an output layer that is tied to the embedding: whether it changes with it, and whether the two must be untied. The
/// output layer gets the updates that it had in training: its own, and those of the embedding's that it followed. Nothing where neither changes, or
/// no such two are there.
pub(crate) fn resolve(
    base: &Base,
    head: Option<&TiedHead>,
    model: &Model,
    option: Tied,
    changes: &mut HashMap<usize, Change>,
    findings: &mut Vec<Finding>,
) -> Option<bool> {
    let (embedding, output) = numbers(base, head, model)?;
    let (Some(mut ours), mut theirs) = (
        changes.remove(&embedding).or_else(|| changes.get(&output).map(|_| Change::default())),
        changes.remove(&output),
    ) else {
        return None;
    };
    let is_copy = |change: &Change| change.follows.iter().all(|&follows| follows);
    // Both have the same update if they were one tensor: PEFT saves both when the vocabulary was resized, and when it ties what it trains.
    if let Some(copy) = theirs.take_if(|change| option == Tied::Share || option == Tied::Auto && is_copy(change))
        && (option == Tied::Share || ours.updates.is_empty())
    {
        ours.updates.extend(copy.updates);
        ours.follows.extend(copy.follows);
        ours.base = ours.base.or(copy.base);
        ours.shape = ours.shape.take().or(copy.shape);
    }
    let follows = |number: usize| option == Tied::Share || option == Tied::Auto && ours.follows[number];
    let stays = theirs.is_none() && (0..ours.updates.len()).all(follows);
    let mut followed = Change {
        updates: (0..ours.updates.len())
            .filter(|&number| follows(number))
            .map(|number| ours.updates[number].clone())
            .collect(),
        base: ours.base,
        shape: ours.shape.clone(),
        follows: Vec::new(),
        stack: false,
    };
    if let Some(theirs) = theirs {
        followed.updates.extend(theirs.updates);
        followed.base = theirs.base.or(followed.base);
        followed.shape = theirs.shape.or(followed.shape);
    }
    let name = if head.is_some() { HEAD } else { "the output layer" };
    findings.push(finding(stays, option, name));
    if !ours.updates.is_empty() {
        changes.insert(embedding, ours);
    }
    // If the two stay one tensor, only a base that stores it twice needs the second.
    if !stays || head.is_none() {
        changes.insert(output, followed);
    }
    Some(!stays)
}

/// What is said of an output layer that was tied to the embedding, of which something changes.
#[inline(never)] // In the WebAssembly it is in the second half.
fn finding(stays: bool, option: Tied, name: &str) -> Finding {
    if stays {
        let message = "the output layer is tied to the embedding, and changes with it";
        return Finding::warning("tied-shared", None, message.into());
    }
    let what = match option {
        Tied::Untie => "it gets only what changes the output layer itself, as was asked for",
        Tied::Auto | Tied::Share => "it keeps the value that it had in training",
    };
    Finding::warning(
        "untied",
        None,
        format!("{name} is no longer the embedding: {what}, and config.json unties the two"),
    )
}

/// Whether config.json must untie the output layer from the embedding, because one of `programs` changes it.
///
/// # Errors
/// `unsupported` if that would change more than the output layer.
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
