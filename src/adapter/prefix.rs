//! Finding an adapter's modules in the base when the two spell the beginning of the path differently.
//!
//! A checkpoint saved without its head lacks the prefix of the model's body (`transformer.`, `model.`), one saved by a
//! wrapper has one too many. One rewriting is chosen for the whole adapter: either it places every module, or the
//! adapter does not fit.

/// Prefixes that models and tools are known to add or to leave out.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// Taken away where it is there.
    pub strip: &'static str,
    /// Put in its place.
    pub add: &'static str,
}

impl Rewrite {
    /// The rewriting that places the most of `modules`, the plainest of them if several do.
    /// `in_base` tells whether the base has a module of that path.
    pub fn choose<'a>(modules: impl Iterator<Item = &'a str> + Clone, in_base: impl Fn(&str) -> bool) -> Rewrite {
        let mut best = (0, Rewrite { strip: "", add: "" });
        let total = modules.clone().count();
        for strip in PREFIXES {
            for add in PREFIXES {
                let rewrite = Rewrite { strip, add };
                let placed = modules.clone().filter(|module| rewrite.place(module, &in_base).is_some()).count();
                if placed > best.0 {
                    best = (placed, rewrite);
                }
                if placed == total {
                    return rewrite;
                }
            }
        }
        best.1
    }

    /// The path of `module` in the base: rewritten, or as it stands (heads have no body's prefix).
    pub fn place(&self, module: &str, in_base: impl Fn(&str) -> bool) -> Option<String> {
        let rewritten = module.strip_prefix(self.strip).map(|rest| format!("{}{rest}", self.add));
        rewritten.into_iter().chain([module.to_string()]).find(|path| in_base(path))
    }

    /// Whether paths stay as they are.
    pub fn is_identity(&self) -> bool {
        self.strip == self.add
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rewriting_places_every_module() {
        let base = ["h.0.attn", "h.1.attn", "lm_head"];
        let in_base = |path: &str| base.contains(&path);
        let modules = ["transformer.h.0.attn", "transformer.h.1.attn", "lm_head"];
        let rewrite = Rewrite::choose(modules.into_iter(), in_base);
        assert_eq!(rewrite, Rewrite { strip: "transformer.", add: "" });
        assert_eq!(rewrite.place("lm_head", in_base).as_deref(), Some("lm_head"));
        assert_eq!(rewrite.place("transformer.h.2.attn", in_base), None);
        assert!(Rewrite::choose(base.into_iter(), in_base).is_identity());
    }
}
