//! Finding an adapter's modules in the base when the two spell the beginning of the path differently.
//!
//! A checkpoint saved without its head lacks the prefix of the model's body (`transformer.`, `model.`), one saved by a
//! wrapper has one too many, and an adapter of a part of the model (an encoder, a vision tower) knows nothing of the rest.
//! One rewriting is chosen for the whole adapter. What is taken away is one of the known prefixes; what comes in its place
//! is whatever the base has, if only one thing fits: a model with two towers has the same paths in both.

use crate::safetensors::json::sorted;
use crate::safetensors::order::sort_names;

/// Prefixes that models and tools are known to add, the plainest first.
const PREFIXES: [&str; 14] = [
    "",
    "model.",
    "transformer.",
    "language_model.",
    "model.language_model.",
    "language_model.model.",
    "model.model.",
    "base_model.",
    "bert.",
    "roberta.",
    "gpt_neox.",
    "decoder.",
    "model.decoder.",
    "text_model.",
];

/// A change to the beginning of every module path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken away where it is there.
    pub strip: &'static str,
    /// Put in its place.
    pub add: String,
}

impl Rewrite {
    /// The rewriting that places the most of `modules` among the paths of `base`, the plainest of them if several do.
    ///
    /// # Errors
    /// The prefixes of the base that fit equally well, when nothing tells which of them is meant.
    pub fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Rewrite, Vec<&'a str>> {
        let modules = sorted(modules.to_vec());
        let as_they_stand = sorted(base.iter().copied().filter(|path| modules.binary_search(path).is_ok()).collect());
        let (mut most, mut best) = (as_they_stand.len(), ("", vec![""]));
        for strip in PREFIXES {
            if most == modules.len() {
                break;
            }
            let lost = modules.iter().filter(|module| as_they_stand.binary_search(module).is_err());
            let rests = sorted(lost.filter_map(|module| module.strip_prefix(strip)).collect());
            // Each prefix of the base as often as it places a module that is lost.
            let mut prefixes = Vec::new();
            for path in base {
                let mut at = 0;
                for part in path.split_inclusive('.') {
                    let (prefix, rest) = path.split_at(at);
                    if rests.binary_search(&rest).is_ok() {
                        prefixes.push(prefix);
                    }
                    at += part.len();
                }
            }
            sort_names(&mut prefixes);
            for alike in prefixes.chunk_by(|one, other| one == other) {
                let (prefix, count) = (alike[0], as_they_stand.len() + alike.len());
                if count > most {
                    (most, best) = (count, (strip, vec![prefix]));
                } else if count == most && best.0 == strip {
                    best.1.push(prefix);
                }
            }
        }
        let (strip, fitting) = best;
        // `language_model.model.` has become `model.language_model.`, and is never the vision tower.
        let named = strip.split('.').find(|part| !part.is_empty() && *part != "model");
        let mut alike = fitting.iter().filter(|prefix| prefix.split('.').any(|part| Some(part) == named));
        match (fitting.as_slice(), alike.next(), alike.next()) {
            ([add], ..) | (_, Some(add), None) => Ok(Rewrite { strip, add: (*add).into() }),
            _ => Err(fitting),
        }
    }

    /// The path of `module` in the base: as it stands (heads have no body's prefix), or rewritten.
    pub fn place(&self, module: &str, in_base: impl Fn(&str) -> bool) -> Option<String> {
        let rewritten = module.strip_prefix(self.strip).map(|rest| format!("{}{rest}", self.add));
        std::iter::once(module.to_string()).chain(rewritten).find(|path| in_base(path))
    }

    /// Whether paths stay as they are.
    pub fn is_identity(&self) -> bool {
        self.strip == self.add
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Rewrite, Vec<&'a str>> {
        Rewrite::choose(modules, base)
    }

    fn rewrite(strip: &'static str, add: &str) -> Result<Rewrite, Vec<&'static str>> {
        Ok(Rewrite { strip, add: add.into() })
    }

    #[test]
    fn one_rewriting_places_every_module() {
        let base = ["h.0.attn", "h.1.attn", "lm_head"];
        let in_base = |path: &str| base.contains(&path);
        let modules = ["transformer.h.0.attn", "transformer.h.1.attn", "lm_head"];
        let rewrite = choose(&modules, &base).unwrap();
        assert_eq!(rewrite, Rewrite { strip: "transformer.", add: String::new() });
        assert_eq!(rewrite.place("lm_head", in_base).as_deref(), Some("lm_head"));
        assert_eq!(rewrite.place("transformer.h.2.attn", in_base), None);
        assert!(choose(&base, &base).unwrap().is_identity());
        assert!(choose(&["x.y"], &base).unwrap().is_identity());
    }

    /// The encoder of Whisper alone, a tower of SigLIP alone: the decoder has the same paths.
    #[test]
    fn a_part_that_could_be_several_is_none() {
        let whisper = ["model.decoder.layers.0.q_proj", "model.encoder.layers.0.q_proj", "proj_out"];
        assert_eq!(choose(&["layers.0.q_proj"], &whisper), Err(vec!["model.decoder.", "model.encoder."]));
        assert_eq!(choose(&["model.layers.0.q_proj"], &whisper), Err(vec!["model.decoder.", "model.encoder."]));
        assert_eq!(choose(&["encoder.layers.0.q_proj"], &whisper), rewrite("", "model."));
        // More of one than the other has: no doubt.
        let deeper = ["model.decoder.layers.0.q", "model.decoder.layers.1.q", "model.encoder.layers.0.q"];
        assert_eq!(choose(&["layers.0.q", "layers.1.q"], &deeper), rewrite("", "model.decoder."));
        // As it stands it fits: the same path elsewhere does not matter.
        let nested = ["layers.0.q_proj", "teacher.layers.0.q_proj"];
        assert!(choose(&["layers.0.q_proj"], &nested).unwrap().is_identity());
    }

    #[test]
    fn a_part_is_known_by_its_name() {
        let llava = ["model.language_model.layers.0.q_proj", "model.vision_tower.encoder.layers.0.q_proj", "lm_head"];
        let add = "model.language_model.";
        assert_eq!(choose(&["language_model.model.layers.0.q_proj"], &llava), rewrite("language_model.model.", add));
        assert_eq!(choose(&["vision_tower.encoder.layers.0.q_proj", "lm_head"], &llava), rewrite("", "model."));
    }
}
