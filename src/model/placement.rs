//! Finding an adapter's modules in the base when the two spell them differently.
//!
//! A checkpoint saved without its head lacks the prefix of the model's body (`transformer.`, `model.`), one saved by a
//! wrapper has one too many, and an adapter of a part of the model (an encoder, a vision tower) knows nothing of the rest.
//! Besides, transformers 5 has other names in memory than in files (`renames.rs`). One rewriting is chosen for the whole adapter,
//! or one for each part of a model whose parts have been renamed. What is taken away is one of the known prefixes; what comes
//! in its place is whatever the base has, if only one thing fits: a model with two towers has the same paths in both.
//!
//! What has its place says where the rest is (`relatives.rs`), so that a layer that the base lacks lands in no other tower.

use super::relatives::{Place, Relatives};
use super::renames::{Renames, Spelling};
use crate::findings::Finding;
use crate::json::sorted;

/// Prefixes that models and tools are known to add, the plainest first. A model's type is one, too.
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

/// Prefixes that say nothing about which part of a model is meant.
const PLAIN: [&str; 2] = ["", "model."];

/// No model has more parts: whatever config.json and the adapter say, the search ends soon.
const MANY: usize = 16;

/// A change to module paths: their spelling, then their beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// How the paths are read.
    pub spelling: Spelling,
    /// Taken away.
    pub strip: String,
    /// Put in its place.
    pub add: String,
}

impl Rewrite {
    /// Which of the base's prefixes that fit stands for `strip`, unless nothing tells.
    fn only_one<'a>(strip: &str, fitting: &[&'a str]) -> Option<&'a str> {
        // `language_model.model.` has become `model.language_model.`, and is never the vision tower.
        let named = strip.split('.').find(|part| !part.is_empty() && *part != "model");
        let mut alike = fitting.iter().filter(|prefix| prefix.split('.').any(|part| Some(part) == named));
        match (fitting, alike.next(), alike.next()) {
            ([add], ..) | (_, Some(add), None) => Some(add),
            _ => None,
        }
    }

    fn apply(&self, spelled: &str) -> Option<String> {
        spelled.strip_prefix(self.strip.as_str()).map(|rest| format!("{}{rest}", self.add))
    }

    /// Whether it brings in a name of which neither what it takes away nor an earlier rewriting says that the part is meant.
    fn brings_a_name(strip: &str, add: &str, earlier: &[Rewrite]) -> bool {
        let has = |prefix: &str, name: &str| prefix.split('.').any(|part| part == name);
        let is_known = |name: &str| {
            name.is_empty() || name == "model" || has(strip, name) || earlier.iter().any(|known| has(&known.add, name))
        };
        !add.split('.').all(is_known)
    }
}

/// A module that does not fit as it stands, in one of its spellings.
struct Spelled<'a> {
    name: String,
    module: &'a str,
}

/// Where an adapter's modules are in the base: as they stand (heads have no body's prefix), or rewritten.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// In the order in which they were found.
    pub rewrites: Vec<Rewrite>,
    places: Relatives,
}

impl Placement {
    /// Place `modules` among the paths of `base`, a model of these `types`: as they stand, then as transformers 5 renames them,
    /// then by the rewriting that places the most of what is left, the plainest if several do, and so on.
    ///
    /// # Errors
    /// The prefixes of the base that fit equally well, when nothing tells which of them is meant.
    pub fn choose<'a>(modules: &[&str], base: &[&'a str], types: &[String]) -> Result<Placement, Vec<&'a str>> {
        let paths = sorted(base.to_vec());
        let in_base = |path: &str| paths.binary_search(&path).is_ok();
        let (there, lost): (Vec<&str>, Vec<&str>) =
            sorted(modules.to_vec()).into_iter().partition(|path| in_base(path));
        let mut placement = Placement::default();
        for module in there {
            placement.places.add(module, Place { spelled: module.into(), path: module.into(), rewrite: None });
        }
        let renames = Renames::of(types);
        let mut lost = [Spelling::Own, Spelling::InFiles, Spelling::InMemory].map(|spelling| {
            let respelled = |&module: &&str| match spelling {
                Spelling::Own => Some(module.to_string()),
                _ => renames.respell(module, spelling),
            };
            let names = lost.iter().filter_map(|module| Some((respelled(module)?, *module)));
            (spelling, names.map(|(name, module)| Spelled { name, module }).collect::<Vec<_>>())
        });
        for spelling in [Spelling::InFiles, Spelling::InMemory] {
            let rewrite = Rewrite { spelling, strip: String::new(), add: String::new() };
            placement.add(rewrite, &mut lost, in_base);
        }
        let types = types.iter().take(MANY).map(|name| format!("{}.", name.replace('-', "_")));
        let prefixes: Vec<String> = PREFIXES.map(String::from).into_iter().chain(types).collect();
        while placement.rewrites.len() < MANY
            && let Some((spelling, strip, fitting)) = placement.best(&lost, &paths, &prefixes)
        {
            let Some(add) = Rewrite::only_one(strip, &fitting) else {
                return Err(fitting);
            };
            let rewrite = Rewrite { spelling, strip: strip.into(), add: add.into() };
            if let Some(plain) = placement.plainer(&rewrite, &lost, &prefixes, in_base) {
                return Err(vec![plain, add]);
            }
            placement.add(rewrite, &mut lost, in_base);
        }
        Ok(placement)
    }

    /// The path of `module`, one of those that were to be placed, in the base.
    pub fn place(&self, module: &str) -> Option<&str> {
        self.places.place(module)
    }

    /// What the user should know of the rewritings.
    pub(crate) fn findings(&self, adapter: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, Rewrite { spelling, strip, add }) in self.rewrites.iter().enumerate() {
            let (module, place) = self.places.example(number).unwrap_or_default();
            let names = match spelling {
                Spelling::Own => None,
                Spelling::InFiles => Some("transformers 5 has in memory"),
                Spelling::InMemory => Some("files had before transformers 5"),
            };
            if let Some(names) = names {
                let message = format!("its modules have the names that {names}: {module:?} is {place:?} in the base");
                findings.push(Finding::info("modules-renamed", adapter, message));
            }
            if strip != add {
                let message = format!("its modules begin with {strip:?} where the base has {add:?}");
                findings.push(Finding::info("prefix-rewritten", adapter, message));
            }
        }
        findings
    }

    /// Give a place to all that a rewriting leads to one. They leave `lost`.
    fn add(&mut self, rewrite: Rewrite, lost: &mut [(Spelling, Vec<Spelled>)], in_base: impl Fn(&str) -> bool) {
        let mut placed = Vec::new();
        for Spelled { name, module } in lost.iter().filter(|some| some.0 == rewrite.spelling).flat_map(|some| &some.1) {
            let place = rewrite.apply(name).filter(|path| in_base(path));
            if let Some(place) = place.filter(|place| self.allows(module, &rewrite.strip, &rewrite.add, place)) {
                placed
                    .push((*module, Place { spelled: name.clone(), path: place, rewrite: Some(self.rewrites.len()) }));
            }
        }
        if !placed.is_empty() {
            placed.into_iter().for_each(|(module, place)| self.places.add(module, place));
            self.rewrites.push(rewrite);
            lost.iter_mut().for_each(|some| some.1.retain(|name| self.places.place(name.module).is_none()));
        }
    }

    /// Whether a module may have its place where this rewriting leads it.
    fn allows(&self, module: &str, strip: &str, add: &str, place: &str) -> bool {
        self.places.allow(module, place, Rewrite::brings_a_name(strip, add, &self.rewrites))
    }

    /// The prefix to take away that places the most of what is lost, with the base's prefixes that do.
    fn best<'a, 'p>(
        &self,
        lost: &[(Spelling, Vec<Spelled>)],
        paths: &[&'a str],
        prefixes: &'p [String],
    ) -> Option<(Spelling, &'p str, Vec<&'a str>)> {
        let all = lost.iter().map(|some| some.1.len()).max().unwrap_or(0);
        let (mut most, mut best) = (0, None);
        for (spelling, names) in lost {
            for strip in prefixes {
                // But for the one that changes the spelling alone.
                let is_same =
                    |known: &Rewrite| known.spelling == *spelling && known.strip == *strip && known.add != *strip;
                let rests = names.iter().filter_map(|one| Some((one.name.strip_prefix(strip.as_str())?, one.module)));
                let mut rests: Vec<_> = rests.collect();
                if rests.is_empty() || self.rewrites.iter().any(is_same) {
                    continue;
                }
                rests.sort_unstable();
                let (count, fitting) =
                    fitting(&rests, paths, |module, add, place| self.allows(module, strip, add, place));
                if count > most {
                    (most, best) = (count, Some((*spelling, strip.as_str(), fitting)));
                }
                if most == all {
                    return best;
                }
            }
        }
        best
    }

    /// A prefix that names no part, under which the base has some of what a rewriting would place in a part that nothing names. That the
    /// part has more of it does not say that it is meant: the base may lack layers.
    fn plainer(
        &self,
        rewrite: &Rewrite,
        lost: &[(Spelling, Vec<Spelled>)],
        prefixes: &[String],
        in_base: impl Fn(&str) -> bool,
    ) -> Option<&'static str> {
        if !Rewrite::brings_a_name(&rewrite.strip, &rewrite.add, &self.rewrites) {
            return None;
        }
        let names = lost.iter().filter(|some| some.0 == rewrite.spelling).flat_map(|some| &some.1);
        let mut taken = names.filter(|name| rewrite.apply(&name.name).is_some_and(|path| in_base(&path)));
        taken.find_map(|Spelled { name, module }| {
            let rests = prefixes.iter().filter_map(|strip| Some((strip, name.strip_prefix(strip.as_str())?)));
            let places = rests.flat_map(|(strip, rest)| PLAIN.map(|add| (strip, add, format!("{add}{rest}"))));
            let mut plain =
                places.filter(|(strip, add, place)| in_base(place) && self.allows(module, strip, add, place));
            plain.next().map(|(_, add, _)| add)
        })
    }
}

/// How many of `rests`, which are in order, the paths of the base end in behind one prefix, and the prefixes that have the most. Beside each
/// rest stands its module, which `allows` gets with the prefix and the path.
fn fitting<'a>(
    rests: &[(&str, &str)],
    paths: &[&'a str],
    allows: impl Fn(&str, &str, &str) -> bool,
) -> (usize, Vec<&'a str>) {
    // Each prefix of the base as often as it places a module.
    let mut prefixes = Vec::new();
    for path in paths {
        let mut at = 0;
        for part in path.split_inclusive('.') {
            let (prefix, rest) = path.split_at_checked(at).unwrap_or_default();
            if let Ok(found) = rests.binary_search_by_key(&rest, |pair| pair.0)
                && allows(rests[found].1, prefix, path)
            {
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

    fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Vec<Rewrite>, Vec<&'a str>> {
        Placement::choose(modules, base, &[]).map(|placement| placement.rewrites)
    }

    fn rewrites(all: &[(&str, &str)]) -> Result<Vec<Rewrite>, Vec<&'static str>> {
        let rewrite = |&(strip, add): &(&str, &str)| spelled(Spelling::Own, strip, add);
        Ok(all.iter().map(rewrite).collect())
    }

    fn spelled(spelling: Spelling, strip: &str, add: &str) -> Rewrite {
        Rewrite { spelling, strip: strip.into(), add: add.into() }
    }

    /// Where the modules are in a base of one model type.
    fn places<'a>(modules: &[&str], base: &[&'a str], model_type: &str) -> Vec<Option<&'a str>> {
        let placement = Placement::choose(modules, base, &[model_type.into()]).unwrap();
        let find = |path: &str| base.iter().copied().find(|known| *known == path);
        modules.iter().map(|module| placement.place(module).and_then(find)).collect()
    }

    #[test]
    fn one_rewriting_places_every_module() {
        let base = ["h.0.attn", "h.1.attn", "lm_head"];
        let modules = ["transformer.h.0.attn", "transformer.h.1.attn", "lm_head", "transformer.h.2.attn"];
        assert_eq!(choose(&modules, &base), rewrites(&[("transformer.", "")]));
        let found = [Some("h.0.attn"), Some("h.1.attn"), Some("lm_head"), None];
        assert_eq!(places(&modules, &base, "gpt2"), found);
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
        let found = ["language_model.model.layers.0.q", "vision_tower.layers.0.q", "language_model.lm_head"].map(Some);
        for model_type in ["", "llava"] {
            assert_eq!(places(&modules, &llava, model_type), found);
        }
    }

    /// Layers beyond the base's last are not looked for in another tower.
    #[test]
    fn a_base_with_too_few_layers_places_no_more() {
        let base = ["layers.0.q", "layers.1.q", "vision.layers.0.q", "vision.layers.2.q"];
        let modules = ["model.layers.0.q", "model.layers.1.q", "model.layers.2.q"];
        assert_eq!(choose(&modules, &base), Err(vec!["", "vision."]));
        assert_eq!(choose(&modules, &base[..3]), rewrites(&[("model.", "")]));
    }

    /// What fits as it stands says which tower is meant.
    #[test]
    fn a_layer_that_the_base_lacks_lands_in_no_other_tower() {
        for (prefix, tower) in [("", "vision."), ("model.", "vision."), ("model.", "draft.")] {
            let base: Vec<String> = ["layers.0.q", "layers.1.q"]
                .iter()
                .map(|module| format!("{prefix}{module}"))
                .chain((0..4).map(|layer| format!("{prefix}{tower}layers.{layer}.q")))
                .chain([format!("{prefix}{tower}layers.1.k"), format!("{prefix}{tower}norm")])
                .collect();
            let base: Vec<&str> = base.iter().map(String::as_str).collect();
            // Layers beyond the last; one that the base has only elsewhere; what stands beside the list.
            for lost in ["layers.2.q", "layers.1.k", "norm"] {
                let modules = [format!("{prefix}layers.0.q"), format!("{prefix}{lost}")];
                let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
                assert_eq!(places(&modules, &base, ""), [Some(base[0]), None], "{modules:?}");
            }
        }
        // Behind another prefix, too: the deeper tower is not meant because it is deeper.
        let base = ["layers.0.q", "vision.layers.0.q", "vision.layers.1.q"];
        assert_eq!(choose(&["model.layers.0.q", "model.layers.1.q"], &base), Err(vec!["", "vision."]));
        let modules = ["model.layers.0.q", "model.layers.1.q", "model.layers.1.k", "model.layers.2.k"];
        let base = ["layers.0.q", "layers.1.q", "layers.1.k", "vision.layers.2.k"];
        assert_eq!(places(&modules, &base, ""), [Some(base[0]), Some(base[1]), Some(base[2]), None]);
    }

    /// ViT: the whole model, its body alone, and a base of which only the body was saved.
    #[test]
    fn names_in_memory_are_those_of_files_behind_any_prefix() {
        let file = ["layernorm_before", "attention.attention.query"].map(|name| format!("encoder.layer.0.{name}"));
        let memory = ["layernorm_before", "attention.q_proj"].map(|name| format!("layers.0.{name}"));
        let prefixed = |prefix: &str, names: &[String; 2]| names.clone().map(|name| format!("{prefix}{name}"));
        let (whole, body) = (prefixed("vit.", &file), prefixed("", &file));
        for (trained, base, strip, add) in
            [("vit.", &whole, "", ""), ("vit.", &body, "vit.", ""), ("", &whole, "", "vit."), ("", &body, "", "")]
        {
            let modules = prefixed(trained, &memory);
            let [modules, base] = [&modules, base].map(|names| names.each_ref().map(String::as_str));
            let placement = Placement::choose(&modules, &base, &["vit".into()]).unwrap();
            assert_eq!(placement.rewrites, [spelled(Spelling::InFiles, strip, add)]);
            assert_eq!(places(&modules, &base, "vit"), base.map(Some));
            // And the other way round: an adapter of transformers 4, a base whose file has the new names.
            let placement = Placement::choose(&base, &modules, &["vit".into()]).unwrap();
            assert_eq!(placement.rewrites, [spelled(Spelling::InMemory, add, strip)]);
            assert_eq!(places(&base, &modules, "vit"), modules.map(Some));
            assert!(Placement::choose(&modules, &base, &["llama".into()]).unwrap().rewrites.is_empty());
        }
    }

    /// Swin: some modules of a layer have other names, others have not.
    #[test]
    fn a_layer_may_be_renamed_in_part() {
        let modules = ["attention.q_proj", "attention.o_proj", "layernorm_before", "mlp.fc1"];
        let file = ["attention.self.query", "attention.output.dense", "layernorm_before", "intermediate.dense"];
        for (trained, saved) in [("swin.", "swin."), ("swin.", ""), ("", "swin.")] {
            let path = |prefix: &str, name: &str| format!("{prefix}encoder.layers.0.blocks.1.{name}");
            let (modules, base) = (modules.map(|name| path(trained, name)), file.map(|name| path(saved, name)));
            let [modules, base] = [&modules, &base].map(|names| names.each_ref().map(String::as_str));
            assert_eq!(places(&modules, &base, "swin"), base.map(Some), "{trained} {saved}");
        }
    }

    #[test]
    fn a_finding_says_what_is_called_otherwise() {
        let placement = Placement::choose(
            &["vit.layers.0.attention.q_proj"],
            &["encoder.layer.0.attention.attention.query"],
            &["vit".into()],
        )
        .unwrap();
        let findings = placement.findings("adapter");
        assert_eq!(
            findings.iter().map(|finding| finding.code).collect::<Vec<_>>(),
            ["modules-renamed", "prefix-rewritten"]
        );
        assert_eq!(
            findings[0].message,
            "its modules have the names that transformers 5 has in memory: \"vit.layers.0.attention.q_proj\" is \
             \"encoder.layer.0.attention.attention.query\" in the base"
        );
    }
}
