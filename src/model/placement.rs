//! Finding an adapter's modules in the base when the two spell the beginning of the path differently.
//!
//! A checkpoint saved without its head lacks the prefix of the model's body (`transformer.`, `model.`), one saved by a
//! wrapper has one too many, and an adapter of a part of the model (an encoder, a vision tower) knows nothing of the rest.
//! One rewriting is chosen for the whole adapter, or one for each part of a model whose parts have been renamed. What is taken
//! away is one of the known prefixes; what comes in its place is whatever the base has, if only one thing fits: a model with
//! two towers has the same paths in both.

use crate::json::sorted;

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

/// A change to the beginning of module paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken away.
    pub strip: &'static str,
    /// Put in its place.
    pub add: String,
}

impl Rewrite {
    /// The rewriting of `strip` into what fits of the base's prefixes, or all of these when nothing tells which is meant.
    fn into_one_of<'a>(strip: &'static str, fitting: Vec<&'a str>) -> Result<Rewrite, Vec<&'a str>> {
        // `language_model.model.` has become `model.language_model.`, and is never the vision tower.
        let named = strip.split('.').find(|part| !part.is_empty() && *part != "model");
        let mut alike = fitting.iter().filter(|prefix| prefix.split('.').any(|part| Some(part) == named));
        match (fitting.as_slice(), alike.next(), alike.next()) {
            ([add], ..) | (_, Some(add), None) => Ok(Rewrite { strip, add: (*add).into() }),
            _ => Err(fitting),
        }
    }

    fn apply(&self, module: &str) -> Option<String> {
        module.strip_prefix(self.strip).map(|rest| format!("{}{rest}", self.add))
    }
}

/// Where an adapter's modules are in the base: as they stand (heads have no body's prefix), or rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// The first of them that leads to a module of the base counts.
    pub rewrites: Vec<Rewrite>,
}

impl Placement {
    /// The rewriting that places the most of `modules` among the paths of `base`, the plainest if several do. For what is
    /// left then (the other tower), one of another beginning, if it places all that begins so.
    ///
    /// # Errors
    /// The prefixes of the base that fit equally well, when nothing tells which of them is meant.
    pub fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Placement, Vec<&'a str>> {
        let paths = sorted(base.to_vec());
        let in_base = |path: &str| paths.binary_search(&path).is_ok();
        let mut placement = Placement::default();
        let mut lost = sorted(modules.to_vec());
        lost.retain(|module| !in_base(module));
        loop {
            let (mut most, mut best) = (0, ("", Vec::new()));
            for strip in PREFIXES {
                let rests: Vec<&str> = lost.iter().filter_map(|module| module.strip_prefix(strip)).collect();
                let (count, fitting) = fitting(&rests, &paths);
                let is_other = count == rests.len() && placement.rewrites.iter().all(|known| known.strip != strip);
                if count > most && (is_other || placement.rewrites.is_empty()) {
                    (most, best) = (count, (strip, fitting));
                }
                if most == lost.len() {
                    break;
                }
            }
            if most == 0 {
                return Ok(placement);
            }
            let rewrite = Rewrite::into_one_of(best.0, best.1)?;
            lost.retain(|module| !rewrite.apply(module).is_some_and(|path| in_base(&path)));
            placement.rewrites.push(rewrite);
        }
    }

    /// The path of `module` in the base.
    pub fn place(&self, module: &str, in_base: impl Fn(&str) -> bool) -> Option<String> {
        let rewritten = self.rewrites.iter().filter_map(|rewrite| rewrite.apply(module));
        std::iter::once(module.to_string()).chain(rewritten).find(|path| in_base(path))
    }
}

/// How many of `rests`, which are in order, the paths of the base end in behind one prefix, and the prefixes that have the most.
fn fitting<'a>(rests: &[&str], paths: &[&'a str]) -> (usize, Vec<&'a str>) {
    // Each prefix of the base as often as it places a module.
    let mut prefixes = Vec::new();
    for path in paths {
        let mut at = 0;
        for part in path.split_inclusive('.') {
            let (prefix, rest) = path.split_at_checked(at).unwrap_or_default();
            if rests.binary_search(&rest).is_ok() {
                prefixes.push(prefix);
            }
            at += part.len();
        }
    }
    prefixes.sort_unstable();
    let (mut most, mut fitting) = (0, Vec::new());
    for alike in prefixes.chunk_by(|one, other| one == other) {
        if alike.len() > most {
            (most, fitting) = (alike.len(), Vec::new());
        }
        if alike.len() == most {
            fitting.push(alike[0]);
        }
    }
    (most, fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Placement, Vec<&'a str>> {
        Placement::choose(modules, base)
    }

    fn rewrites(all: &[(&'static str, &str)]) -> Result<Placement, Vec<&'static str>> {
        Ok(Placement { rewrites: all.iter().map(|&(strip, add)| Rewrite { strip, add: add.into() }).collect() })
    }

    #[test]
    fn one_rewriting_places_every_module() {
        let base = ["h.0.attn", "h.1.attn", "lm_head"];
        let in_base = |path: &str| base.contains(&path);
        let modules = ["transformer.h.0.attn", "transformer.h.1.attn", "lm_head"];
        assert_eq!(choose(&modules, &base), rewrites(&[("transformer.", "")]));
        let placement = choose(&modules, &base).unwrap();
        assert_eq!(placement.place("lm_head", in_base).as_deref(), Some("lm_head"));
        assert_eq!(placement.place("transformer.h.2.attn", in_base), None);
        assert_eq!(choose(&base, &base), rewrites(&[]));
        assert_eq!(choose(&["x.y"], &base), rewrites(&[]));
    }

    /// The encoder of Whisper alone, a tower of SigLIP alone: the decoder has the same paths.
    #[test]
    fn a_part_that_could_be_several_is_none() {
        let whisper = ["model.decoder.layers.0.q_proj", "model.encoder.layers.0.q_proj", "proj_out"];
        assert_eq!(choose(&["layers.0.q_proj"], &whisper), Err(vec!["model.decoder.", "model.encoder."]));
        assert_eq!(choose(&["model.layers.0.q_proj"], &whisper), Err(vec!["model.decoder.", "model.encoder."]));
        assert_eq!(choose(&["encoder.layers.0.q_proj"], &whisper), rewrites(&[("", "model.")]));
        // More of one than the other has: no doubt.
        let deeper = ["model.decoder.layers.0.q", "model.decoder.layers.1.q", "model.encoder.layers.0.q"];
        assert_eq!(choose(&["layers.0.q", "layers.1.q"], &deeper), rewrites(&[("", "model.decoder.")]));
        // As it stands it fits: the same path elsewhere does not matter.
        let nested = ["layers.0.q_proj", "teacher.layers.0.q_proj"];
        assert_eq!(choose(&["layers.0.q_proj"], &nested), rewrites(&[]));
    }

    #[test]
    fn a_part_is_known_by_its_name() {
        let llava = ["model.language_model.layers.0.q_proj", "model.vision_tower.encoder.layers.0.q_proj", "lm_head"];
        let add = "model.language_model.";
        let placed = choose(&["language_model.model.layers.0.q_proj"], &llava);
        assert_eq!(placed, rewrites(&[("language_model.model.", add)]));
        assert_eq!(choose(&["vision_tower.encoder.layers.0.q_proj", "lm_head"], &llava), rewrites(&[("", "model.")]));
    }

    /// What transformers 5 calls the parts in memory, and the hub's files do not: Qwen2.5-VL, LLaVA.
    #[test]
    fn every_part_has_a_rewriting_of_its_own() {
        let modules = ["model.language_model.layers.0.q", "model.language_model.layers.1.q", "model.visual.blocks.0.q"];
        let qwen = ["model.layers.0.q", "model.layers.1.q", "visual.blocks.0.q", "lm_head"];
        let whole = [("model.language_model.", "model."), ("model.", "")];
        assert_eq!(choose(&modules, &qwen), rewrites(&whole));
        // The larger tower first, and the same places.
        let seen = ["model.language_model.layers.0.q", "model.visual.blocks.0.q", "model.visual.blocks.1.q"];
        let deep = ["model.layers.0.q", "visual.blocks.0.q", "visual.blocks.1.q"];
        assert_eq!(choose(&seen, &deep), rewrites(&[("model.", ""), ("model.language_model.", "model.")]));

        let llava = ["language_model.model.layers.0.q", "language_model.lm_head", "vision_tower.layers.0.q"];
        let modules = ["model.language_model.layers.0.q", "model.vision_tower.layers.0.q", "lm_head"];
        let placement = choose(&modules, &llava).unwrap();
        let places: Vec<_> =
            modules.iter().map(|module| placement.place(module, |path| llava.contains(&path))).collect();
        assert_eq!(
            places,
            ["language_model.model.layers.0.q", "vision_tower.layers.0.q", "language_model.lm_head"]
                .map(|path| Some(path.into()))
        );
    }

    /// Layers beyond the base's last are not looked for in another tower.
    #[test]
    fn a_base_with_too_few_layers_places_no_more() {
        let base = ["layers.0.q", "layers.1.q", "vision.layers.0.q", "vision.layers.2.q"];
        let modules = ["model.layers.0.q", "model.layers.1.q", "model.layers.2.q"];
        assert_eq!(choose(&modules, &base), Err(vec!["", "vision."]));
        assert_eq!(choose(&modules, &base[..3]), rewrites(&[("model.", "")]));
    }
}
