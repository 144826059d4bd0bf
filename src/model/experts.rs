//! Experts: matrices that transformers 5 stacks into one parameter in memory, and files store one by one.
//!
//! In memory `experts.gate_up_proj` has shape (experts, 2 · width, inputs); in files each expert has a `gate_proj` (or `w1`) and an `up_proj` (or
//! `w3`). `tests/fixtures/renames.py` proves the table on every model class.

use std::ops::Range;

/// A parameter in memory, and the names of the equal parts of its rows in files, in order, each in every spelling.
const PARTS: [(&str, &[&[&str]]); 3] = [
    ("gate_up_proj", &[&["gate_proj", "up_proj"], &["w1", "w3"], &["fc1", "fc3"]]),
    ("down_proj", &[&["down_proj"], &["w2"], &["fc2"]]),
    ("up_proj", &[&["up_proj"]]),
];

/// A parameter of all experts that files store as one or more stacks, under other names or in another order.
#[derive(Debug, PartialEq)]
pub(crate) struct Stacked {
    /// The end of its path in memory.
    memory: &'static str,
    /// The ends of the paths in files of the equal parts of its rows, in order.
    pub(crate) files: &'static [&'static str],
    /// The rows of both halves alternate in the file: of each pair the first is the first half's.
    pub(crate) alternating: bool,
}

impl Stacked {
    const fn of(memory: &'static str, files: &'static [&'static str]) -> Stacked {
        Stacked { memory, files, alternating: false }
    }

    /// The path in files of part number `part` of the parameter called `path` in memory.
    pub(crate) fn file(&self, path: &str, part: usize) -> String {
        let before = path.len().saturating_sub(self.memory.len());
        [path.get(..before).unwrap_or(""), self.files.get(part).copied().unwrap_or("")].concat()
    }
}

const STACKED: &[Stacked] = &[
    // Aria.
    Stacked::of("mlp.experts.gate_up_proj", &["mlp.experts.fc1.weight"]),
    Stacked::of("mlp.experts.down_proj", &["mlp.experts.fc2.weight"]),
    // Granite.
    Stacked::of("block_sparse_moe.experts.gate_up_proj", &["block_sparse_moe.input_linear.weight"]),
    Stacked::of("block_sparse_moe.experts.down_proj", &["block_sparse_moe.output_linear.weight"]),
    // Step-3.7.
    Stacked::of("mlp.experts.gate_up_proj", &["moe.gate_proj.weight", "moe.up_proj.weight"]),
    Stacked::of("mlp.experts.down_proj", &["moe.down_proj.weight"]),
    // Inkling.
    Stacked { alternating: true, ..Stacked::of("mlp.experts.gate_up_proj", &["mlp.experts.w13_weight"]) },
    Stacked::of("mlp.experts.down_proj", &["mlp.experts.w2_weight"]),
    // Nemo's language models of speech.
    Stacked::of("mixer.experts.up_proj", &["mixer.experts.gate_and_up_projs"]),
    Stacked::of("mixer.experts.down_proj", &["mixer.experts.down_projs"]),
];

/// The ways in which files may have the parameter called `path` in memory as stacks.
pub(crate) fn stacked(path: &str) -> impl Iterator<Item = &'static Stacked> + '_ {
    let ends = move |end: &str| path.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'));
    STACKED.iter().filter(move |stacked| ends(stacked.memory))
}

/// Half of the experts in a list: memory has two modules for what is one list in files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Half {
    First,
    Second,
}

impl Half {
    /// Which of `count` experts these are. The first half has the odd one.
    pub(crate) fn of(self, count: u64) -> Range<u64> {
        let middle = count.div_ceil(2);
        match self {
            Half::First => 0..middle,
            Half::Second => middle..count,
        }
    }
}

/// The modules in memory that have a half of the list `experts` of files each: ERNIE-4.5-VL's.
const HALVES: [(&str, Half); 2] = [("text_moe.experts", Half::First), ("vision_moe.experts", Half::Second)];

/// If files have the experts of `module` in one list with those of another module: the path of the list, and which half they are.
pub(crate) fn halved(module: &str) -> Option<(String, Half)> {
    HALVES.iter().find_map(|(end, half)| {
        let before = module.strip_suffix(end).filter(|before| before.is_empty() || before.ends_with('.'))?;
        Some((format!("{before}experts"), *half))
    })
}

/// Parameters in the order in which modules of experts register them.
const REGISTERED: [&str; 6] =
    ["gate_proj", "gate_up_proj", "gate_up_proj_bias", "up_proj", "down_proj", "down_proj_bias"];

/// The model types whose experts' class says `is_transposed`: their matrices are (in, out).
const TRANSPOSED: [&str; 3] = ["gpt_oss", "aria", "openai_privacy_filter"];

/// The spellings in files of the parts of a parameter with this name.
pub(crate) fn parts(parameter: &str) -> &'static [&'static [&'static str]] {
    PARTS.iter().find(|(name, _)| *name == parameter).map_or(&[], |(_, spellings)| *spellings)
}

/// The parameters that a matrix with this name in a file may be part of: their names, and which of how many parts.
pub(crate) fn whole_of(leaf: &str) -> impl Iterator<Item = (&'static str, (u64, u64))> {
    PARTS.iter().flat_map(move |(name, spellings)| {
        let places = spellings.iter().filter_map(move |leaves| {
            let part = leaves.iter().position(|other| *other == leaf)?;
            Some((part as u64, leaves.len() as u64))
        });
        places.map(|part| (*name, part))
    })
}

/// The place of a parameter in the order of registration, if it is known.
pub(crate) fn registered(parameter: &str) -> Option<usize> {
    REGISTERED.iter().position(|name| *name == parameter)
}

/// The model types whose files have the matrices of a stack the other way round than memory, square ones included. (Of Qwen3-VL's transformers turns only
/// those whose shape is another one.)
const TURNED: [&str; 1] = ["nemo_speechlm"];

/// Whether the experts of a model of these types say `is_transposed`.
pub(crate) fn is_transposed(types: &[String]) -> bool {
    is_one_of(types, &TRANSPOSED)
}

/// Whether files of these types have stacked matrices the other way round than memory.
pub(crate) fn is_turned_in_files(types: &[String]) -> bool {
    is_one_of(types, &TURNED)
}

fn is_one_of(types: &[String], known: &[&str]) -> bool {
    types.iter().any(|name| known.contains(&name.strip_suffix("_text").unwrap_or(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_wholes() {
        assert_eq!(parts("gate_up_proj")[1], ["w1", "w3"]);
        assert!(parts("weight").is_empty());
        assert_eq!(whole_of("w3").collect::<Vec<_>>(), [("gate_up_proj", (1, 2))]);
        assert_eq!(whole_of("up_proj").collect::<Vec<_>>(), [("gate_up_proj", (1, 2)), ("up_proj", (0, 1))]);
        assert!(registered("gate_up_proj") < registered("down_proj"));
        assert!(is_transposed(&["aria_text".into()]) && !is_transposed(&["mixtral".into()]));
        assert!(is_turned_in_files(&["nemo_speechlm".into()]) && !is_turned_in_files(&["qwen3_vl_moe".into()]));
    }

    #[test]
    fn stacks_of_other_names() {
        let files = |path: &str| {
            let all = stacked(path).flat_map(|stacked| (0..stacked.files.len()).map(|part| stacked.file(path, part)));
            all.collect::<Vec<_>>()
        };
        let of_granite = files("model.layers.1.block_sparse_moe.experts.down_proj");
        assert_eq!(of_granite, ["model.layers.1.block_sparse_moe.output_linear.weight"]);
        let expected =
            ["a.mlp.experts.fc1.weight", "a.moe.gate_proj.weight", "a.moe.up_proj.weight", "a.mlp.experts.w13_weight"];
        assert_eq!(files("a.mlp.experts.gate_up_proj"), expected);
        assert!(files("a.shared_mlp.experts.gate_up_proj").is_empty());
    }

    #[test]
    fn halves_of_a_list() {
        assert_eq!(halved("a.text_moe.experts"), Some(("a.experts".into(), Half::First)));
        assert_eq!(halved("a.vision_moe.experts"), Some(("a.experts".into(), Half::Second)));
        assert!(halved("a.experts").is_none() && halved("a.not_text_moe.experts").is_none());
        assert_eq!((Half::First.of(5), Half::Second.of(5), Half::Second.of(0)), (0..3, 3..5, 0..0));
    }
}
