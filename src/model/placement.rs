//! Finding an adapter's modules in the base when the two spell them differently.
//!
//! A checkpoint that was saved without its head lacks the prefix of the model's body (`transformer.`, `model.`). One that was saved by a
//! wrapper has one prefix too many. An adapter of a part of the model (an encoder, a vision tower) does not know the rest.
//! Besides, transformers 5 has other names in memory than in files (`renames.rs`). One rewriting is chosen for the whole adapter,
//! or one for each part of a model whose parts have been renamed. A rewriting takes away one of the known prefixes, and puts in its place
//! whatever the base has, if only one prefix fits: a model with two towers has the same paths in both.
//!
//! Modules that have a place say where the rest belongs (`relatives.rs`), so that a layer that the base lacks never lands in another tower.

use super::fitting::{Fitting, Rest};
use super::paths::{Behind, Paths};
use super::relatives::{Place, Reach, Relatives};
use super::renames::{Renames, Spelling};
use crate::findings::Finding;
use crate::json::sorted;

/// Prefixes that models and tools are known to add, the plainest first. A model's type is also one.
const PREFIXES: [&str; 17] = [
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
    // Parts of a diffusers pipeline; "transformer." is also one.
    "unet.",
    "text_encoder.",
    "text_encoder_2.",
];

/// Prefixes that say nothing about which part of a model is meant.
const PLAIN: [&str; 2] = ["", "model."];

/// No model has more parts. This bounds the search, whatever config.json and the adapter say.
const MANY: usize = 16;

/// A change of names: first of their spelling, then of their beginning.
#[derive(Debug, Clone)]
struct Rewrite {
    /// How the names are read.
    spelling: Spelling,
    /// Taken away.
    strip: String,
    /// What is put in its place.
    add: String,
    /// What the base has after that.
    behind: Behind,
    /// Whether it adds a name that neither the prefix that it takes away nor an earlier rewriting points to.
    brings_a_name: bool,
}

impl Rewrite {
    /// The number of the base's path that a name in this spelling is rewritten to.
    fn place(&self, spelled: &str, paths: &Paths) -> Option<usize> {
        paths.find(&self.behind, spelled.strip_prefix(self.strip.as_str())?)
    }
}

/// Parts of the base that the adapter fits equally well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeveralParts<'a> {
    /// The prefixes of some of them.
    pub prefixes: Vec<&'a str>,
    /// How many there are.
    pub all: usize,
}

/// A name that does not fit unchanged, in one of its spellings.
struct Lost<'a> {
    spelling: Spelling,
    spelled: String,
    name: &'a str,
    reach: Reach,
}

/// The rewriting that places most of the remaining names, and the base's prefixes that do so.
struct Best<'a, 'p> {
    spelling: Spelling,
    strip: &'p str,
    fitting: Fitting<'a>,
}

/// Where an adapter's tensors are in the base: under their own names (heads do not have the body's prefix), or rewritten.
#[derive(Debug, Clone, Default)]
pub struct Placement<'a> {
    paths: Paths<'a>,
    renames: Renames,
    /// In the order in which they were found.
    rewrites: Vec<Rewrite>,
    places: Relatives<'a>,
    /// The names that have no place, in order.
    nowhere: Vec<&'a str>,
}

impl<'a> Placement<'a> {
    /// Place `names` among those of `base`, a model of these `types`: first unchanged, then as transformers 5 renames them,
    /// then by the rewriting that places most of the rest (the plainest of several), and so on.
    ///
    /// # Errors
    /// The parts of the base that fit equally well, when nothing tells which of them is meant.
    pub fn choose(names: &[&'a str], base: &[&'a str], types: &[String]) -> Result<Placement<'a>, SeveralParts<'a>> {
        Placement::choose_counted(names, base, types, &mut 0)
    }

    /// [`choose`](Self::choose); `steps` grows by the characters and prefixes of the base that were looked at.
    fn choose_counted(
        names: &[&'a str],
        base: &[&'a str],
        types: &[String],
        steps: &mut usize,
    ) -> Result<Placement<'a>, SeveralParts<'a>> {
        let paths = Paths::new(base);
        let mut placement = Placement { paths, renames: Renames::of(types), ..Placement::default() };
        let mut lost = placement.as_they_stand(sorted(names.to_vec()));
        for spelling in [Spelling::InFiles, Spelling::InMemory] {
            let rewrite = placement.rewrite(spelling, "", "");
            placement.add(rewrite, &mut lost);
        }
        let mut prefixes: Vec<String> = PREFIXES.iter().map(|prefix| prefix.to_string()).collect();
        for name in types.iter().take(MANY) {
            prefixes.push(name.split('-').collect::<Vec<_>>().join("_") + ".");
        }
        while placement.rewrites.len() < MANY
            && let Some(Best { spelling, strip, fitting }) = placement.best(&lost, &prefixes, steps)
        {
            let (([add], _) | (_, [add])) = (fitting.first.as_slice(), fitting.alike.as_slice()) else {
                return Err(SeveralParts { prefixes: sorted(fitting.first), all: fitting.prefixes });
            };
            let rewrite = placement.rewrite(spelling, strip, add);
            if let Some(plain) = placement.plainer(&rewrite, &lost, &prefixes) {
                return Err(SeveralParts { prefixes: vec![plain, add], all: 2 });
            }
            if !placement.add(rewrite, &mut lost) {
                break;
            }
        }
        lost.retain(|lost| lost.spelling == Spelling::Own);
        placement.nowhere = lost.iter().map(|lost| lost.name).collect();
        Ok(placement)
    }

    /// The name in the base of one of the placed names, or of another name by the same rules.
    pub fn place(&self, name: &str) -> Option<&'a str> {
        if let Some(path) = self.places.place(name) {
            return Some(path);
        }
        if self.nowhere.binary_search(&name).is_ok() {
            return None;
        }
        if let Some(path) = self.paths.find(&self.paths.behind(""), name) {
            return Some(self.paths.get(path));
        }
        let reach = self.places.reach(name, &self.paths);
        self.rewrites.iter().enumerate().find_map(|(number, rewrite)| {
            let path = rewrite.place(&self.renames.spell(name, rewrite.spelling)?, &self.paths)?;
            // With its nearest relative, or where that one points.
            let may = reach.rewrite == Some(number) || reach.allows(path, rewrite.brings_a_name);
            may.then(|| self.paths.get(path))
        })
    }

    /// What the user should know about the rewritings.
    pub(crate) fn findings(&self, adapter: &str) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (number, Rewrite { spelling, strip, add, .. }) in self.rewrites.iter().enumerate() {
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

    /// Place the names that the base has. The others are returned, in each of their spellings.
    fn as_they_stand(&mut self, names: Vec<&'a str>) -> Vec<Lost<'a>> {
        let (mut there, mut lost) = (Vec::new(), Vec::new());
        let all = self.paths.behind("");
        for name in names {
            if let Some(path) = self.paths.find(&all, name) {
                there.push(Place { module: name, spelled: name.into(), path: self.paths.get(path), rewrite: None });
                continue;
            }
            for spelling in [Spelling::Own, Spelling::InFiles, Spelling::InMemory] {
                let spelled = self.renames.spell(name, spelling);
                lost.extend(spelled.map(|spelled| Lost { spelling, spelled, name, reach: Reach::default() }));
            }
        }
        self.places.add(there);
        self.see_reach(&mut lost);
        lost
    }

    fn see_reach(&self, lost: &mut [Lost]) {
        lost.iter_mut().for_each(|lost| lost.reach = self.places.reach(lost.name, &self.paths));
    }

    fn rewrite(&self, spelling: Spelling, strip: &str, add: &str) -> Rewrite {
        let names = self.names(strip);
        let brings_a_name = add.split('.').any(|part| names.binary_search(&part).is_err());
        Rewrite { spelling, strip: strip.into(), add: add.into(), behind: self.paths.behind(add), brings_a_name }
    }

    /// The names that `strip` or the rewritings so far point to, in order.
    fn names<'p>(&'p self, strip: &'p str) -> Vec<&'p str> {
        let mut names = vec!["", "model"];
        for known in self.rewrites.iter().map(|known| known.add.as_str()).chain([strip]) {
            names.extend(known.split('.'));
        }
        sorted(names)
    }

    /// Place all names for which a rewriting finds a path, and remove them from `lost`. Returns whether there were any.
    fn add(&mut self, rewrite: Rewrite, lost: &mut Vec<Lost<'a>>) -> bool {
        let mut placed = Vec::new();
        for Lost { spelled, name, reach, .. } in lost.iter().filter(|lost| lost.spelling == rewrite.spelling) {
            if let Some(path) = rewrite.place(spelled, &self.paths)
                && reach.allows(path, rewrite.brings_a_name)
            {
                let path = self.paths.get(path);
                placed.push(Place { module: name, spelled: spelled.clone(), path, rewrite: Some(self.rewrites.len()) });
            }
        }
        let any = !placed.is_empty();
        if any {
            self.places.add(placed);
            self.rewrites.push(rewrite);
            lost.retain(|lost| self.places.place(lost.name).is_none());
            self.see_reach(lost);
        }
        any
    }

    /// The prefix to take away that places most of the remaining names.
    fn best<'p>(&self, lost: &[Lost], prefixes: &'p [String], steps: &mut usize) -> Option<Best<'a, 'p>> {
        let all = lost.iter().filter(|lost| lost.spelling == Spelling::Own).count();
        let (mut most, mut best) = (0, None);
        for spelling in [Spelling::Own, Spelling::InFiles, Spelling::InMemory] {
            for strip in prefixes {
                // Except for the rewriting that changes only the spelling.
                let is_same =
                    |known: &Rewrite| known.spelling == spelling && known.strip == *strip && known.add != *strip;
                let rests = lost.iter().filter(|lost| lost.spelling == spelling).filter_map(|lost| {
                    Some(Rest { text: lost.spelled.strip_prefix(strip.as_str())?, reach: &lost.reach })
                });
                let rests: Vec<Rest> = rests.collect();
                if rests.is_empty() || self.rewrites.iter().any(is_same) {
                    continue;
                }
                let fitting = Fitting::of(strip, &rests, &self.paths, &self.names(strip), steps);
                if fitting.most > most {
                    (most, best) = (fitting.most, Some(Best { spelling, strip, fitting }));
                }
                if most >= all {
                    return best;
                }
            }
        }
        best
    }

    /// A prefix that names no part, under which the base has some of the modules that a rewriting would place in a part that nothing points to. If the
    /// part has more of them, that is no proof that it is meant: the base may lack layers.
    fn plainer(&self, rewrite: &Rewrite, lost: &[Lost], prefixes: &[String]) -> Option<&'static str> {
        if !rewrite.brings_a_name {
            return None;
        }
        let plain = PLAIN.map(|add| (add, self.paths.behind(add)));
        let taken = lost.iter().filter(|lost| lost.spelling == rewrite.spelling);
        let mut taken = taken.filter(|lost| rewrite.place(&lost.spelled, &self.paths).is_some());
        taken.find_map(|Lost { spelled, reach, .. }| {
            let mut rests = prefixes.iter().filter_map(|strip| spelled.strip_prefix(strip.as_str()));
            rests.find_map(|rest| {
                let there = |behind| self.paths.find(behind, rest).is_some_and(|path| reach.allows(path, false));
                plain.iter().find(|(_, behind)| there(behind)).map(|(add, _)| *add)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The spelling of a rewriting, what it takes away, what it puts in its place.
    type Change = (Spelling, String, String);

    fn choose<'a>(modules: &[&'a str], base: &[&'a str]) -> Result<Vec<Change>, Vec<&'a str>> {
        let placement = Placement::choose(modules, base, &[]);
        placement.map(|placement| changes(&placement)).map_err(|several| several.prefixes)
    }

    fn changes(placement: &Placement) -> Vec<Change> {
        placement.rewrites.iter().map(|one| (one.spelling, one.strip.clone(), one.add.clone())).collect()
    }

    fn rewrites(all: &[(&str, &str)]) -> Result<Vec<Change>, Vec<&'static str>> {
        Ok(all.iter().map(|&(strip, add)| spelled(Spelling::Own, strip, add)).collect())
    }

    fn spelled(spelling: Spelling, strip: &str, add: &str) -> Change {
        (spelling, strip.into(), add.into())
    }

    /// Where the modules are, in a base of one model type.
    fn places<'a>(modules: &[&'a str], base: &[&'a str], model_type: &str) -> Vec<Option<&'a str>> {
        let placement = Placement::choose(modules, base, &[model_type.into()]).unwrap();
        modules.iter().map(|module| placement.place(module)).collect()
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
            assert_eq!(changes(&placement), [spelled(Spelling::InFiles, strip, add)]);
            assert_eq!(places(&modules, &base, "vit"), base.map(Some));
            // And the other way round: an adapter of transformers 4, a base whose file has the new names.
            let placement = Placement::choose(&base, &modules, &["vit".into()]).unwrap();
            assert_eq!(changes(&placement), [spelled(Spelling::InMemory, add, strip)]);
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

    /// What may be absent has no say, and goes where the rest is.
    #[test]
    fn further_names_are_placed_by_the_same_rules() {
        let base =
            ["layers.0.q.weight", "layers.0.q.bias", "layers.1.q.weight", "vision.layers.2.q.bias", "head.weight"];
        let names = ["model.layers.0.q.weight", "model.layers.3.q.weight"];
        let placement = Placement::choose(&names, &base, &[]).unwrap();
        let found =
            ["model.layers.0.q.bias", "model.layers.2.q.bias", "model.layers.3.q.weight", "head.weight", "head.bias"];
        let found = found.map(|name| placement.place(name));
        assert_eq!(found, [Some("layers.0.q.bias"), None, None, Some("head.weight"), None]);
        // Of a layer that is renamed in part, too.
        let base = ["query.weight", "query.bias", "key.bias"]
            .map(|name| format!("encoder.layer.0.attention.attention.{name}"));
        let base = base.each_ref().map(String::as_str);
        let placement = Placement::choose(&["vit.layers.0.attention.q_proj.weight"], &base, &["vit".into()]).unwrap();
        let biases = ["vit.layers.0.attention.q_proj.bias", "vit.layers.0.attention.k_proj.bias"];
        assert_eq!(biases.map(|name| placement.place(name)), [Some(base[1]), Some(base[2])]);
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
            findings.iter().map(|finding| &*finding.code).collect::<Vec<_>>(),
            ["modules-renamed", "prefix-rewritten"]
        );
        assert_eq!(
            findings[0].message,
            "its modules have the names that transformers 5 has in memory: \"vit.layers.0.attention.q_proj\" is \
             \"encoder.layer.0.attention.attention.query\" in the base"
        );
    }

    /// An adapter that fits many places is told so without listing all of them.
    #[test]
    fn of_many_parts_a_few_are_named() {
        let names: Vec<String> = (0..1000).map(|part| format!("part{part:03}.q")).collect();
        let base: Vec<&str> = names.iter().map(String::as_str).collect();
        let several = Placement::choose(&["model.q"], &base, &[]).unwrap_err();
        assert_eq!((several.all, several.prefixes[..2].to_vec()), (1000, vec!["part000.", "part001."]));
        assert_eq!(several.prefixes.len(), super::super::fitting::KEPT);
        // The one that is named as what is taken away may be any of them.
        let mut with_tower = base.clone();
        with_tower.push("tower.language_model.q");
        assert_eq!(
            choose(&["language_model.model.q"], &with_tower),
            rewrites(&[("language_model.model.", "tower.language_model.")])
        );
    }

    /// Paths of thousands of parts, each of which ends in every module of the adapter.
    #[test]
    fn the_work_grows_with_the_length_of_all_names() {
        let work = |parts: usize, paths: usize| {
            let modules: Vec<String> = (1..=parts / 8).map(|depth| format!("model.{}q", "a.".repeat(depth))).collect();
            let base: Vec<String> = (0..paths).map(|path| format!("{path:04}.{}q", "a.".repeat(parts))).collect();
            let (mut steps, bytes) = (0, base.iter().map(String::len).sum::<usize>());
            let [modules, base] =
                [&modules, &base].map(|names| names.iter().map(String::as_str).collect::<Vec<&str>>());
            let several = Placement::choose_counted(&modules, &base, &[], &mut steps).unwrap_err();
            assert!(several.all >= paths, "{}", several.all);
            (steps, bytes)
        };
        for (parts, paths) in [(250, 20), (2000, 20), (2000, 160)] {
            let (steps, bytes) = work(parts, paths);
            // Twice for each prefix that is tried, and once for what neighbours have in common.
            assert!(
                steps <= PREFIXES.len() * 3 * bytes,
                "{parts} parts, {paths} paths: {steps} steps for {bytes} bytes"
            );
        }
    }
}
