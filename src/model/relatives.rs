//! Modules that have a place in the base, and what they say about those that have none.
//!
//! A list of layers is one thing: where one of its layers has a place, the others are beside it or nowhere. Other modules of one parent
//! (`model.language_model`, `model.visual`) are parts that may have been renamed each in its way, but into no part that nothing names.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::renames::is_number;

/// Where a module is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The module's path as the rewriting spells it.
    pub(super) spelled: String,
    /// The path in the base.
    pub(super) path: String,
    /// The number of the rewriting that leads there.
    pub(super) rewrite: Option<usize>,
}

/// Modules and their places.
#[derive(Debug, Clone, Default)]
pub(super) struct Relatives {
    places: BTreeMap<String, Place>,
    /// Whether one of them is in a list.
    in_lists: bool,
}

impl Relatives {
    pub(super) fn add(&mut self, module: &str, place: Place) {
        self.in_lists |= module.split('.').any(is_number);
        self.places.insert(module.into(), place);
    }

    pub(super) fn place(&self, module: &str) -> Option<&str> {
        self.places.get(module).map(|place| place.path.as_str())
    }

    /// A module that a rewriting has placed, and its path in the base.
    pub(super) fn example(&self, rewrite: usize) -> Option<(&str, &str)> {
        let mut placed = self.places.iter().filter(|(_, place)| place.rewrite == Some(rewrite));
        placed.next().map(|(module, place)| (module.as_str(), place.path.as_str()))
    }

    /// Whether a module may be at `path`, reached by a rewriting that brings in a name that nothing says is meant, or by another.
    pub(super) fn allow(&self, module: &str, path: &str, brings_a_name: bool) -> bool {
        let Some((container, relative, place)) = self.nearest(module) else {
            return !(brings_a_name && self.in_lists);
        };
        let next = module[container.len()..].split('.').next().unwrap_or_default();
        if is_number(next) || container.split('.').any(is_number) {
            image(container, relative, place).is_some_and(|image| path.starts_with(image))
        } else {
            !brings_a_name
        }
    }

    /// The path that `module` shares with the one that shares the most of it, dot included, and that one with its place. In order the nearest
    /// stands right before `module` or behind it.
    fn nearest<'a>(&'a self, module: &'a str) -> Option<(&'a str, &'a str, &'a Place)> {
        let before = self.places.range::<str, _>((Bound::Unbounded, Bound::Excluded(module))).next_back();
        let behind = self.places.range::<str, _>((Bound::Excluded(module), Bound::Unbounded)).next();
        let related = [before, behind].into_iter().flatten();
        let related = related.map(|(other, place)| (shared(module, other), other.as_str(), place));
        related.max_by_key(|(container, ..)| container.len()).filter(|(container, ..)| !container.is_empty())
    }
}

/// What two paths begin with in common, up to a dot.
fn shared<'a>(one: &'a str, other: &str) -> &'a str {
    let mut length = 0;
    for (part, same) in one.split_inclusive('.').zip(other.split_inclusive('.')) {
        if part != same || !part.ends_with('.') {
            break;
        }
        length += part.len();
    }
    &one[..length]
}

/// Where the beginning of a module's path is in the base, if its place tells.
fn image<'a>(container: &str, module: &str, place: &'a Place) -> Option<&'a str> {
    let Place { spelled, path, .. } = place;
    // What the spelling leaves alone: the end of the name, or its beginning.
    let end = &module[container.len()..];
    let within = if spelled.ends_with(end) { Some(end) } else { spelled.strip_prefix(container) };
    path.strip_suffix(within?).filter(|image| image.is_empty() || image.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(placed: &[(&str, &str, &str)]) -> Relatives {
        let mut relatives = Relatives::default();
        for &(module, spelled, path) in placed {
            relatives.add(module, Place { spelled: spelled.into(), path: path.into(), rewrite: None });
        }
        relatives
    }

    #[test]
    fn a_list_stays_together() {
        let relatives = of(&[("model.layers.0.q", "model.layers.0.q", "model.layers.0.q")]);
        assert!(!relatives.allow("model.layers.1.q", "model.vision.layers.1.q", false));
        assert!(!relatives.allow("model.layers.0.k", "layers.0.k", false));
        assert!(relatives.allow("model.layers.1.q", "model.layers.1.self.query", false));
        let moved = of(&[("model.layers.0.q", "model.layers.0.q", "text.layers.0.q")]);
        assert!(moved.allow("model.layers.1.q", "text.layers.1.query", true));
        assert!(!moved.allow("model.layers.1.q", "layers.1.q", false));
        // The list itself has another name in the base.
        let renamed = of(&[("vit.layers.0.norm", "vit.encoder.layer.0.norm", "encoder.layer.0.norm")]);
        assert!(renamed.allow("vit.layers.0.q", "encoder.layer.0.attention.query", true));
        assert!(!renamed.allow("vit.layers.0.q", "decoder.layer.0.attention.query", false));
        let within = of(&[("swin.layers.0.q_proj", "swin.layers.0.self.query", "layers.0.self.query")]);
        assert!(within.allow("swin.layers.0.norm", "layers.0.norm", false));
        assert!(!within.allow("swin.layers.0.norm", "decoder.layers.0.norm", false));
    }

    #[test]
    fn parts_may_be_apart_but_not_where_nothing_says_so() {
        let language = "model.language_model.layers.0.q";
        let relatives = of(&[(language, language, language)]);
        assert!(relatives.allow("model.visual.blocks.0.q", "visual.blocks.0.q", false));
        assert!(!relatives.allow("model.norm", "vision.norm", true));
        assert!(!relatives.allow("model.norm", "model.vision.norm", true));
        assert!(!relatives.allow("norm", "vision.norm", true));
        assert!(of(&[("lm_head", "lm_head", "lm_head")]).allow("layers.0.q", "model.text.layers.0.q", true));
        assert!(Relatives::default().allow("layers.0.q", "vision.layers.0.q", true));
    }

    #[test]
    fn the_nearest_relative_is_that_of_the_longest_path() {
        let relatives = of(&["a.b.c", "a.b0", "a.bc.d.e", "a.bc.d0", "b"].map(|module| (module, module, module)));
        assert_eq!(relatives.nearest("a.bc.d.f").unwrap().0, "a.bc.d.");
        assert_eq!(relatives.nearest("a.b.d").unwrap().0, "a.b.");
        assert_eq!(relatives.nearest("a").map(|found| found.0), None);
        assert!(relatives.nearest("c.d").is_none());
    }
}
