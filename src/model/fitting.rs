//! The prefixes of a base's names under which most of an adapter's modules are found, in time linear in the length of all names.

use super::paths::Paths;
use super::relatives::Reach;
use super::suffixes::SuffixIndex;

/// How many fitting prefixes of the base are kept.
pub(super) const KEPT: usize = 8;

/// The prefixes of the base under which most of an adapter's modules are found.
#[derive(Default)]
pub(super) struct Fitting<'a> {
    /// How many modules are under each of them.
    pub(super) most: usize,
    /// How many such prefixes there are.
    pub(super) prefixes: usize,
    /// The first of them, [`KEPT`] at most.
    pub(super) first: Vec<&'a str>,
    /// The first two that share a part with the prefix that is taken away: `language_model.model.` has become
    /// `model.language_model.`, and is never the vision tower.
    pub(super) alike: Vec<&'a str>,
}

/// A prefix of the current path, up to a dot.
#[derive(Clone, Copy, Default)]
struct Prefix {
    bytes: usize,
    /// How many modules are under it, in the paths so far.
    modules: usize,
    /// See [`Fitting::alike`].
    alike: bool,
    /// Whether it has a name that nothing points to.
    brings_a_name: bool,
}

/// The end of a module's name to look for, and where the module may be.
pub(super) struct Rest<'n> {
    pub(super) text: &'n str,
    pub(super) reach: &'n Reach,
}

impl<'a> Fitting<'a> {
    /// Compare the `rests` of modules after `strip` with the paths of the base. `names`, in order, are the parts that something points to. Takes
    /// time proportional to the length of all of them together; `steps` grows by the characters and prefixes of the base that were looked
    /// at.
    pub(super) fn of(strip: &str, rests: &[Rest], paths: &Paths<'a>, names: &[&str], steps: &mut usize) -> Fitting<'a> {
        let mut fitting = Fitting::default();
        let named = rests.iter().zip(0..).filter(|(rest, _)| !rest.text.is_empty());
        let index = SuffixIndex::new(named.map(|(rest, number)| (rest.text.as_bytes().to_vec(), number)));
        let known = strip.split('.').find(|part| !part.is_empty() && *part != "model");
        // Paths that begin alike are neighbours, so those under one prefix come one after another.
        let mut open: Vec<Prefix> = Vec::new();
        let mut before = "";
        for (place, path) in paths.all().iter().enumerate() {
            let shared = path.bytes().zip(before.bytes()).take_while(|(one, other)| one == other).count();
            fitting.close(&mut open, before, Some(shared));
            *steps += shared;
            let mut last = open.last().copied().unwrap_or_default();
            if open.is_empty() {
                open.push(last);
            }
            // The last part is not a prefix.
            while let Some(part) = path.get(last.bytes..).and_then(|rest| rest.split_once('.')).map(|(part, _)| part)
                && last.bytes + part.len() + 1 < path.len()
            {
                last.bytes += part.len() + 1;
                last.modules = 0;
                last.alike |= Some(part) == known;
                last.brings_a_name |= names.binary_search(&part).is_err();
                open.push(last);
                *steps += part.len() + 1;
            }
            *steps += index.visit_all(path, &mut |number, _| {
                let Rest { text, reach } = &rests[number];
                if let Ok(at) = open.binary_search_by_key(&(path.len() - text.len()), |prefix| prefix.bytes)
                    && reach.allows(place, open[at].brings_a_name)
                {
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
    use super::super::relatives::Relatives;
    use super::*;
    use crate::json::sorted;

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
            let reach = Relatives::default().reach("", &Paths::new(&paths));
            let rests: Vec<Rest> = rests.iter().map(|text| Rest { text, reach: &reach }).collect();
            let fitting = Fitting::of("", &rests, &Paths::new(&paths), &[], &mut 0);
            let rests: Vec<&str> = rests.iter().map(|rest| rest.text).collect();
            assert_eq!((fitting.most, fitting.prefixes), tried(&rests, &paths), "{rests:?} {paths:?}");
        }
    }
}
