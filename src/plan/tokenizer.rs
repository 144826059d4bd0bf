//! Whose tokenizer the output has: the base's, or the one that was saved with an adapter.

use super::adapter::sha256;
use super::build::MergePlan;
use super::options::Whose;
use super::output::{Body, OutputFile};
use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{FileInfo, Inputs};

/// Files that hold a tokenizer's vocabulary: a tokenizer has at least one of these.
const WORDS: [&str; 5] = ["tokenizer.json", "vocab.json", "vocab.txt", "vocab.bpe", "merges.txt"];
/// Other files of a tokenizer.
const SETTINGS: [&str; 7] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.jinja2",
    "chat_template.json",
    "tokenizer.py",
];
/// Files that stand beside a tokenizer, each independent of the others.
const BESIDE: [&str; 5] = [
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "video_preprocessor_config.json",
    "audio_preprocessor_config.json",
];
fn has_words(name: &str) -> bool {
    WORDS.contains(&name) || [".model", ".spm", ".tiktoken"].iter().any(|end| name.ends_with(end))
}

/// Whether a file belongs to a tokenizer or stands beside it.
pub(super) fn is_tokenizer(name: &str) -> bool {
    has_words(name) || SETTINGS.contains(&name) || BESIDE.contains(&name)
}

/// Decide whose tokenizer the output has, and say if the adapter's is a different one. `brings` is the adapter that brings embeddings.
///
/// # Errors
/// Those of reading.
pub(super) async fn choose(
    inputs: &impl Inputs,
    plan: &mut MergePlan,
    whose: Whose,
    brings: Option<usize>,
) -> Result<()> {
    for number in 0..plan.adapters.len() {
        let companions = std::mem::take(&mut plan.adapters[number].companions);
        let mut other = Vec::new();
        for (input, file) in companions {
            let same = |known: &FileInfo| known.name == file.name && known.size == file.size;
            if let Some((known, base)) = plan.base.others.iter().find(|(_, known)| same(known))
                && sha256(inputs, *known, base).await? == sha256(inputs, input, &file).await?
            {
                continue;
            }
            other.push((input, file));
        }
        let names: Vec<&str> = other.iter().map(|(_, file)| file.name.as_str()).collect();
        let adapter = plan.adapters[number].name.clone();
        if names.is_empty() {
            continue;
        }
        let takes = whose == Whose::Adapter || whose == Whose::Auto && brings == Some(number);
        if !takes || plan.findings.iter().any(|finding| finding.code == TAKEN) {
            let message = format!(
                "the base's tokenizer and configurations are kept; the adapter's differ: {} (tokenizer \"adapter\" takes those)",
                names.join(", ")
            );
            plan.findings.push(Finding::info("tokenizer-differs", &adapter, message));
            continue;
        }
        let message = format!("taken from the adapter, in place of the base's: {}", names.join(", "));
        plan.findings.push(Finding::info(TAKEN, &adapter, message));
        // A tokenizer is saved as a whole. Files of the base's tokenizer that the adapter does not have would contradict it.
        let [words, settings] = [names.iter().any(|name| has_words(name)), names.contains(&SETTINGS[0])];
        plan.files.retain(|file| {
            let is_part =
                words && has_words(&file.name) || (words || settings) && SETTINGS.contains(&file.name.as_str());
            !(is_part || names.contains(&file.name.as_str())) || !matches!(file.body, Body::Input(_))
        });
        for (input, file) in other {
            // Like the versions of the base's files, it tells this file from another of the same size.
            plan.base.versions.push((file.name.clone(), sha256(inputs, input, &file).await?));
            plan.files.push(OutputFile { name: file.name, size: file.size, body: Body::Input(input) });
        }
    }
    Ok(())
}

/// The code of the finding that an adapter's tokenizer was taken.
const TAKEN: &str = "tokenizer-taken";
