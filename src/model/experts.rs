//! Experts: matrices that transformers 5 stacks into one parameter in memory, and files store one by one.
//!
//! In memory `experts.gate_up_proj` has shape (experts, 2 · width, inputs); in files each expert has a `gate_proj` (or `w1`) and an `up_proj` (or
//! `w3`). `tests/fixtures/renames.py` proves the table on every model class.

/// A parameter in memory, and the names of the equal parts of its rows in files, in order, each in every spelling.
const PARTS: [(&str, &[&[&str]]); 3] = [
    ("gate_up_proj", &[&["gate_proj", "up_proj"], &["w1", "w3"], &["fc1", "fc3"]]),
    ("down_proj", &[&["down_proj"], &["w2"], &["fc2"]]),
    ("up_proj", &[&["up_proj"]]),
];

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

/// Whether the experts of a model of these types say `is_transposed`.
pub(crate) fn is_transposed(types: &[String]) -> bool {
    types.iter().any(|name| TRANSPOSED.iter().any(|known| name.strip_suffix("_text").unwrap_or(name) == *known))
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
    }
}
