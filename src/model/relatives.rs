//! Modules that have a place in the base, and what they tell about those that have none yet.
//!
//! A list of layers stays together: if one of its layers has a place, the others are beside it or nowhere. Other modules of one parent
//! (`model.language_model`, `model.visual`) are parts, each of which may have been renamed in its own way, but not to a part that nothing points to.

use super::paths::Paths;
use super::renames::is_number;
use crate::order::sort_by;
use std::ops::Range;

/// Where a module is.
#[derive(Debug, Clone)]
pub(super) struct Place<'a> {
    pub(super) module: &'a str,
    /// The module's path as the rewriting spells it.
    pub(super) spelled: String,
    /// The path in the base.
    pub(super) path: &'a str,
    /// The number of the rewriting that leads there.
    pub(super) rewrite: Option<usize>,
}

/// Where a module may be, as far as its relatives tell.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// The numbers of the base's paths that it may have.
    paths: Range<usize>,
    /// Whether a rewriting may lead there although it adds a name that nothing points to.
    by_any: bool,
    /// The rewriting that placed its nearest relative.
    pub(super) rewrite: Option<usize>,
}

impl Reach {
    /// Whether a module may be at a path of this number, reached by a rewriting that brings in a name that nothing says is meant, or by another.
    pub(super) fn allows(&self, path: usize, brings_a_name: bool) -> bool {
        self.paths.contains(&path) && (self.by_any || !brings_a_name)
    }
}

/// The placed modules.
#[derive(Debug, Clone, Default)]
pub(super) struct Relatives<'a> {
    /// In the order of the modules.
    places: Vec<Place<'a>>,
    /// Whether one of them is in a list of layers.
    in_lists: bool,
}

impl<'a> Relatives<'a> {
    pub(super) fn add(&mut self, places: Vec<Place<'a>>) {
        self.in_lists |= places.iter().any(|place| place.module.split('.').any(is_number));
        self.places.extend(places);
        sort_by(&mut self.places, |one, other| one.module.cmp(other.module));
    }

    pub(super) fn place(&self, module: &str) -> Option<&'a str> {
        let number = self.before(module);
        self.places.get(number).filter(|place| place.module == module).map(|place| place.path)
    }

    /// A module that a rewriting has placed, and its path in the base.
    pub(super) fn example(&self, rewrite: usize) -> Option<(&str, &str)> {
        let placed = self.places.iter().find(|place| place.rewrite == Some(rewrite));
        placed.map(|place| (place.module, place.path))
    }

    /// Where a module without a place may be. Takes time proportional to the length of its name, and one lookup.
    pub(super) fn reach(&self, module: &str, paths: &Paths) -> Reach {
        let anywhere = 0..paths.all().len();
        let Some((container, place)) = self.nearest(module) else {
            return Reach { paths: anywhere, by_any: !self.in_lists, rewrite: None };
        };
        let next = module[container.len()..].split('.').next().unwrap_or_default();
        let in_list = is_number(next) || container.split('.').any(is_number);
        let paths = if in_list {
            image(container, place.module, place).map_or(0..0, |image| paths.behind(image).numbers)
        } else {
            anywhere
        };
        Reach { paths, by_any: in_list, rewrite: place.rewrite }
    }

    /// The number of modules before one, in their order.
    fn before(&self, module: &str) -> usize {
        self.places.partition_point(|place| place.module < module)
    }

    /// The longest path that `module` shares with a placed one, dot included, and the place of that one. In sorted order it is right before
    /// `module`, or right after it.
    fn nearest<'m>(&self, module: &'m str) -> Option<(&'m str, &Place<'a>)> {
        let at = self.before(module);
        let related = self.places.get(at.saturating_sub(1)..).unwrap_or_default().iter().take(2);
        let related = related.map(|place| (shared(module, place.module), place));
        related.max_by_key(|(container, _)| container.len()).filter(|(container, _)| !container.is_empty())
    }
}

/// The common beginning of two paths, up to a dot.
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
fn image<'a>(container: &str, module: &str, place: &Place<'a>) -> Option<&'a str> {
    let Place { spelled, path, .. } = place;
    // The part that the spelling does not change: the end of the name, or its beginning.
    let end = &module[container.len()..];
    let within = if spelled.ends_with(end) { Some(end) } else { spelled.strip_prefix(container) };
    path.strip_suffix(within?).filter(|image| image.is_empty() || image.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<'a>(placed: &[(&'a str, &str, &'a str)]) -> Relatives<'a> {
        let mut relatives = Relatives::default();
        for &(module, spelled, path) in placed {
            relatives.add(vec![Place { module, spelled: spelled.into(), path, rewrite: None }]);
        }
        relatives
    }

    impl Relatives<'_> {
        /// Whether a module may be at a path of the base, given its relatives.
        fn allow(&self, module: &str, path: &str, brings_a_name: bool) -> bool {
            let paths = Paths::new(&["a", path, "layers.0.q", "vision", "zz"]);
            let number = paths.all().iter().position(|other| *other == path).unwrap();
            self.reach(module, &paths).allows(number, brings_a_name)
        }
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
