//! Finding an adapter's modules in the base when the two spell the beginning of the path differently.
//!
//! A checkpoint saved without its head lacks the prefix of the model's body (`transformer.`, `model.`), one saved by a
//! wrapper has one too many, and an adapter of a part of the model (an encoder, a vision tower) knows nothing of the rest.
//! One rewriting is chosen for the whole adapter, or one for each part of a model whose parts have been renamed. What is taken
//! away is one of the known prefixes; what comes in its place is whatever the base has, if only one thing fits: a model with
//! two towers has the same paths in both.

use super::suffixes::SuffixIndex;
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
    /// The rewriting of `strip` into what fits of the base's prefixes, or some of these when nothing tells which is meant.
    fn into_one_of<'a>(strip: &'static str, fitting: Fitting<'a>) -> Result<Rewrite, SeveralParts<'a>> {
        match (fitting.first.as_slice(), fitting.alike.as_slice()) {
            ([add], _) | (_, [add]) => Ok(Rewrite { strip, add: (*add).into() }),
            _ => Err(SeveralParts { prefixes: sorted(fitting.first), all: fitting.prefixes }),
        }
    }

    fn apply(&self, module: &str) -> Option<String> {
        module.strip_prefix(self.strip).map(|rest| format!("{}{rest}", self.add))
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
    /// The parts of the base that fit equally well, when nothing tells which of them is meant.
    pub fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Placement, SeveralParts<'a>> {
        Placement::choose_counted(modules, base, &mut 0)
    }

    /// [`choose`](Self::choose); `steps` grows by the characters and prefixes of the base that were looked at.
    fn choose_counted<'a>(
        modules: &[&str],
        base: &[&'a str],
        steps: &mut usize,
    ) -> Result<Placement, SeveralParts<'a>> {
        let paths = sorted(base.to_vec());
        let in_base = |path: &str| paths.binary_search(&path).is_ok();
        let mut placement = Placement::default();
        let mut lost = sorted(modules.to_vec());
        lost.retain(|module| !in_base(module));
        loop {
            let (mut most, mut best) = (0, ("", Fitting::default()));
            for strip in PREFIXES {
                let rests: Vec<&str> = lost.iter().filter_map(|module| module.strip_prefix(strip)).collect();
                let fitting = Fitting::of(strip, &rests, &paths, steps);
                let count = fitting.most;
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

/// Prefixes of the base that are kept of those that fit.
const KEPT: usize = 8;

/// The prefixes of the base behind which the most of an adapter's modules are.
#[derive(Default)]
struct Fitting<'a> {
    /// How many modules are behind each of them.
    most: usize,
    /// How many such prefixes there are.
    prefixes: usize,
    /// The first of them, [`KEPT`] at most.
    first: Vec<&'a str>,
    /// The first two with a part that is also one of the prefix that is taken away: `language_model.model.` has become
    /// `model.language_model.`, and is never the vision tower.
    alike: Vec<&'a str>,
}

/// A beginning of the path that is looked at, up to a dot.
struct Prefix {
    bytes: usize,
    /// How many modules are behind it, in the paths so far.
    modules: usize,
    /// See [`Fitting::alike`].
    alike: bool,
}

impl<'a> Fitting<'a> {
    /// Compare the `rests` of modules behind `strip` with the `paths` of the base, which are in order. Takes time in proportion to the
    /// length of all of them together.
    fn of(strip: &str, rests: &[&str], paths: &[&'a str], steps: &mut usize) -> Fitting<'a> {
        let mut fitting = Fitting::default();
        let named = rests.iter().zip(0..).filter(|(rest, _)| !rest.is_empty());
        let index = SuffixIndex::new(named.map(|(rest, number)| (rest.as_bytes().to_vec(), number)));
        let known = strip.split('.').find(|part| !part.is_empty() && *part != "model");
        // Paths that begin alike are neighbours, so those behind one prefix come one after another.
        let mut open: Vec<Prefix> = Vec::new();
        let mut before = "";
        for path in paths.iter().filter(|_| !rests.is_empty()) {
            let shared = path.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
            fitting.close(&mut open, before, Some(shared));
            *steps += shared;
            let (mut bytes, mut alike) = open.last().map_or((0, false), |prefix| (prefix.bytes, prefix.alike));
            if open.is_empty() {
                open.push(Prefix { bytes, modules: 0, alike });
            }
            // The last part is no prefix.
            while let Some(part) = path.get(bytes..).and_then(|rest| rest.split_once('.')).map(|(part, _)| part)
                && bytes + part.len() + 1 < path.len()
            {
                bytes += part.len() + 1;
                alike |= Some(part) == known;
                open.push(Prefix { bytes, modules: 0, alike });
                *steps += part.len() + 1;
            }
            *steps += index.visit_all(path, |number, _| {
                let rest = rests.get(number).map_or(0, |rest| rest.len());
                if let Ok(at) = open.binary_search_by_key(&(path.len() - rest), |prefix| prefix.bytes) {
                    open[at].modules += 1;
                }
            });
            before = path;
        }
        fitting.close(&mut open, before, None);
        fitting
    }

    /// Count the open prefixes of `path` that are longer than `shared` bytes, or all of them: no further path begins with them.
    fn close(&mut self, open: &mut Vec<Prefix>, path: &'a str, shared: Option<usize>) {
        while let Some(prefix) = open.pop_if(|prefix| shared.is_none_or(|shared| prefix.bytes > shared)) {
            if prefix.modules > self.most {
                *self = Fitting { most: prefix.modules, ..Fitting::default() };
            }
            if prefix.modules < self.most || self.most == 0 {
                continue;
            }
            let text = path.get(..prefix.bytes).unwrap_or_default();
            self.prefixes += 1;
            if self.first.len() < KEPT {
                self.first.push(text);
            }
            if prefix.alike && self.alike.len() < 2 {
                self.alike.push(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose<'a>(modules: &[&str], base: &[&'a str]) -> Result<Placement, Vec<&'a str>> {
        Placement::choose(modules, base).map_err(|several| several.prefixes)
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

    /// An adapter that fits many places is told so without listing all of them.
    #[test]
    fn of_many_parts_a_few_are_named() {
        let names: Vec<String> = (0..1000).map(|part| format!("part{part:03}.q")).collect();
        let base: Vec<&str> = names.iter().map(String::as_str).collect();
        let several = Placement::choose(&["model.q"], &base).unwrap_err();
        assert_eq!((several.all, several.prefixes[..2].to_vec()), (1000, vec!["part000.", "part001."]));
        assert_eq!(several.prefixes.len(), KEPT);
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
            let several = Placement::choose_counted(&modules, &base, &mut steps).unwrap_err();
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

    /// What [`Fitting::of`] finds, by trying every prefix of every path.
    fn tried(rests: &[&str], paths: &[&str]) -> (usize, usize) {
        let prefixes = paths.iter().flat_map(|path| {
            let ends = path.match_indices('.').map(|(at, _)| at + 1).filter(|&end| end < path.len());
            std::iter::once(0).chain(ends).map(|end| &path[..end])
        });
        let behind =
            |prefix: &str| rests.iter().filter(|rest| paths.contains(&(prefix.to_string() + *rest).as_str())).count();
        let counts: Vec<usize> = sorted(prefixes.collect()).into_iter().map(behind).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        (most, counts.iter().filter(|&&count| count == most && most > 0).count())
    }

    #[test]
    fn neighbours_are_counted_as_each_for_itself() {
        let mut state = 1u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2000 {
            let mut names = |count: u64| {
                let name = |length: u64, next: &mut dyn FnMut(u64) -> u64| -> String {
                    (0..length).map(|_| ["a", "b", ".", "é"][next(4) as usize]).collect()
                };
                (0..count).map(|_| name(next(7), &mut next)).collect::<Vec<String>>()
            };
            let (rests, paths) = (names(4), names(8));
            let [rests, paths] = [&rests, &paths].map(|names| sorted(names.iter().map(String::as_str).collect()));
            // No path is without a name.
            let [rests, paths] =
                [rests, paths].map(|names| names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>());
            let fitting = Fitting::of("", &rests, &paths, &mut 0);
            assert_eq!((fitting.most, fitting.prefixes), tried(&rests, &paths), "{rests:?} {paths:?}");
        }
    }
}
