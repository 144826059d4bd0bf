//! Which files of a folder make up a model, and which are only copied along.

use super::companions::travels;
use super::format::Format;
use super::index::{ShardIndex, is_plain_name};
use super::limits;
use crate::error::{Error, ErrorKind, Result};
use crate::order::sort_by;

/// The files of a model folder by their purpose, as positions in its listing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckpointFiles {
    /// The format of the weight files.
    pub format: Format,
    /// The weight files, in order of name.
    pub shards: Vec<usize>,
    /// The index, where there is one.
    pub index: Option<usize>,
    /// `config.json`, where there is one.
    pub config: Option<usize>,
    /// Other files of a loadable model: copied to the output as they are.
    pub others: Vec<usize>,
    /// Weights and indexes of the same format that do not belong to this model: another variant, or leftovers.
    pub not_chosen: Vec<usize>,
}

/// Find the index among `names`: `model.safetensors.index.json` first, else the only one that is not of a variant (`x.fp16.safetensors.index.json`
/// beside `x.safetensors.index.json`); of torch files, `pytorch_model.bin.index.json`.
///
/// # Errors
/// `wrong-input` when several could be meant.
pub fn find_index(names: &[&str]) -> Result<Option<usize>> {
    let format = Format::of_model(names);
    let found: Vec<usize> = (0..names.len()).filter(|&i| format.is_index(names[i])).collect();
    let model = found.iter().copied().find(|&i| names[i].strip_suffix(".index.json") == Some(format.single()));
    let stem = |&i: &usize| names[i].strip_suffix(format.index_suffix()).unwrap_or_default();
    match (model.or_else(|| plain(&found, stem)), found.as_slice()) {
        (Some(index), _) => Ok(Some(index)),
        (None, []) => Ok(None),
        (None, [first, ..]) => Err(several_models(names[*first], format!("{} indexes in one folder", found.len()))),
    }
}

/// The one whose variants all others are, judged by their stems: `x` beside `x.fp16`.
fn plain<'a>(files: &[usize], stem: impl Fn(&usize) -> &'a str) -> Option<usize> {
    let plainest = *files.iter().min_by_key(|file| stem(file).len())?;
    let is_variant = |file: &&usize| stem(file).strip_prefix(stem(&plainest)).is_some_and(|rest| rest.starts_with('.'));
    (files.iter().filter(is_variant).count() + 1 == files.len()).then_some(plainest)
}

impl CheckpointFiles {
    /// Sort the files of a folder, whose sizes in bytes are `sizes`. `index` is the parsed index and its position, when [`find_index`] found one.
    ///
    /// # Errors
    /// `wrong-input` when there are no weights or it is unclear which are meant, `truncated` when a shard is missing.
    pub fn of(names: &[&str], sizes: &[u64], index: Option<(usize, &ShardIndex)>) -> Result<CheckpointFiles> {
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        sort_by(&mut by_name, |&one, &other| names[one].cmp(names[other]));
        let position = |name: &str| by_name.binary_search_by_key(&name, |&i| names[i]).ok().map(|at| by_name[at]);
        let format = Format::of_model(names);
        let mut weights: Vec<usize> = (0..names.len()).filter(|&i| format.is_weights(names[i])).collect();
        if format == Format::Torch && names.len() == 1 {
            weights = vec![0];
        }
        let mut shards = match index {
            Some((at, index)) => indexed(names[at], index, position)?,
            None => unindexed(names, &weights, format)?,
        };
        sort_by(&mut shards, |&one, &other| names[one].cmp(names[other]));
        let config = position("config.json");
        let is_other = |i: usize| Some(i) != config && !shards.contains(&i) && index.is_none_or(|(at, _)| at != i);
        let of_format = |name: &str| format.is_weights(name) || format.is_index(name);
        let others = (0..names.len())
            .filter(|&i| is_other(i) && is_plain_name(names[i]) && !of_format(names[i]))
            .filter(|&i| travels(names[i], sizes.get(i).copied().unwrap_or(0)))
            .collect();
        let not_chosen = (0..names.len()).filter(|&i| is_other(i) && of_format(names[i])).collect();
        Ok(CheckpointFiles { format, shards, index: index.map(|(at, _)| at), config, others, not_chosen })
    }
}

/// The shards of an adapter's weights among the files `names` of its folder, in order; empty if the weights are not in shards.
///
/// # Errors
/// `truncated` when a shard is missing, `wrong-input` when they are of several adapters.
pub(crate) fn adapter_shards(names: &[&str], format: Format) -> Result<Vec<usize>> {
    let is_shard = |name: &str| Numbered::of(name, format).is_some_and(|numbered| numbered.stem == "adapter_model");
    let shards: Vec<usize> = (0..names.len()).filter(|&i| is_shard(names[i])).collect();
    if shards.is_empty() { Ok(shards) } else { unindexed(names, &shards, format) }
}

/// The weights of the model among the files `names` of a folder, their indexes, and an adapter's configuration. Beside another model, tools would
/// take the weights for part of it, and would add the adapter to it. Other weights (those of an adapter, a checkpoint in one file) are not the
/// model's. `read` gives the bytes of an index.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn model_weights<'a>(names: &[&'a str], read: impl Fn(&str) -> Vec<u8>) -> Vec<&'a str> {
    let is_index = |name: &str| Format::Safetensors.is_index(name);
    let indexes = names.iter().filter(|name| is_index(name)).map(|name| ShardIndex::parse(name, &read(name)));
    let indexes: Vec<ShardIndex> = indexes.filter_map(Result::ok).collect();
    // Tools write the numbers with five digits.
    let is_padded =
        |name: &str, Numbered { stem, .. }: Numbered| name.len() >= stem.len() + "-00001-of-00001.safetensors".len();
    let is_shard = |name: &str| {
        let numbered = Numbered::of(name, Format::Safetensors).is_some_and(|numbered| is_padded(name, numbered));
        let indexed = name.ends_with(".safetensors") && indexes.iter().any(|index| index.has_shard(name));
        name == "model.safetensors" || (numbered && !name.starts_with("adapter_")) || indexed
    };
    names.iter().copied().filter(|name| is_index(name) || is_shard(name) || *name == "adapter_config.json").collect()
}

/// Whether a file is one that an unfinished merge keeps in this folder.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(".partial") || name.starts_with(".lorafold-"))
}

fn indexed(file: &str, index: &ShardIndex, position: impl Fn(&str) -> Option<usize>) -> Result<Vec<usize>> {
    index
        .shards()
        .map(|shard| {
            position(shard).ok_or_else(|| missing_shard(shard, format!("{file} names this shard, which is missing")))
        })
        .collect()
}

fn unindexed(names: &[&str], weights: &[usize], format: Format) -> Result<Vec<usize>> {
    if let Some(&single) = weights.iter().find(|&&i| names[i] == format.single()) {
        return Ok(vec![single]);
    }
    // If variants are side by side, the plain one is meant. Shards count as the file that they are shards of.
    let stem = |&i: &usize| match Numbered::of(names[i], format) {
        Some(numbered) => numbered.stem,
        None => names[i].strip_suffix(format.suffix()).unwrap_or_default(),
    };
    let firsts = |&&i: &&usize| Numbered::of(names[i], format).is_none_or(|numbered| numbered.number == 1);
    let models: Vec<usize> = weights.iter().filter(firsts).copied().collect();
    let chosen = plain(&models, stem).map(|file| stem(&file));
    let weights: Vec<usize> =
        weights.iter().filter(|file| chosen.is_none_or(|chosen| stem(file) == chosen)).copied().collect();
    let mut numbered: Vec<(usize, Numbered)> =
        weights.iter().filter_map(|&i| Numbered::of(names[i], format).map(|n| (i, n))).collect();
    sort_by(&mut numbered, |(_, one), (_, other)| one.number.cmp(&other.number));
    let Some((at, first)) = numbered.first() else {
        return match weights.as_slice() {
            [] => Err(Error::wrong_input("base", "there is no .safetensors file, and no pytorch_model.bin")
                .kind(ErrorKind::NoWeights)
                .expected("a .safetensors file")),
            [single] => Ok(vec![*single]),
            [first, ..] => Err(several_models(names[*first], format!("{} weight files and no index", weights.len()))),
        };
    };
    if let Some((i, _)) = numbered.iter().find(|(_, n)| n.stem != first.stem || n.total != first.total) {
        return Err(several_models(names[*i], "shards of two models and no index"));
    }
    let is_there = |number: &u32| numbered.binary_search_by_key(number, |(_, n)| n.number).is_ok();
    if let Some(number) = (1..=first.total).find(|number| !is_there(number)) {
        let name = format!("{}-{number:05}-of-{:05}{}", first.stem, first.total, format.suffix());
        return Err(missing_shard(&name, "this shard is missing"));
    }
    if numbered.len() != first.total as usize {
        let reason = format!("{} shards where their names say {}", numbered.len(), first.total);
        return Err(several_models(names[*at], reason));
    }
    Ok(numbered.into_iter().map(|(i, _)| i).collect())
}

fn missing_shard(file: &str, reason: impl Into<String>) -> Error {
    Error::truncated(file, reason).kind(ErrorKind::MissingShard).fix("give all files of the model")
}

fn several_models(file: &str, reason: impl Into<String>) -> Error {
    Error::wrong_input(file, reason).kind(ErrorKind::SeveralModels).fix("give the files of one model")
}

/// What a safetensors file is called, without its suffix and its number among several.
pub fn stem(name: &str) -> &str {
    Numbered::of(name, Format::Safetensors)
        .map_or_else(|| name.strip_suffix(".safetensors").unwrap_or("model"), |numbered| numbered.stem)
}

/// `stem-00001-of-00003.safetensors` taken apart, or the same of another format.
struct Numbered<'a> {
    stem: &'a str,
    number: u32,
    total: u32,
}

impl<'a> Numbered<'a> {
    fn of(name: &'a str, format: Format) -> Option<Numbered<'a>> {
        let (rest, total) = name.strip_suffix(format.suffix())?.rsplit_once('-')?;
        let (stem, number) = rest.strip_suffix("-of")?.rsplit_once('-')?;
        Some(Numbered {
            stem,
            number: number.parse().ok()?,
            total: total.parse().ok().filter(|&total: &u32| total as usize <= limits::SHARDS)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_or_shards() {
        let names = [
            "config.json",
            "model.safetensors",
            "tokenizer.json",
            "pytorch_model.bin",
            ".config.json.0a1b.partial",
            ".lorafold-part-1-of-2.json",
        ];
        let layout = CheckpointFiles::of(&names, &[], None).unwrap();
        let format = Format::Safetensors;
        let (others, not_chosen) = (vec![2], vec![]);
        assert_eq!(
            layout,
            CheckpointFiles { format, shards: vec![1], index: None, config: Some(0), others, not_chosen }
        );

        let names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"];
        assert_eq!(CheckpointFiles::of(&names, &[], None).unwrap().shards, [1, 0]);
        assert_eq!(CheckpointFiles::of(&names[..1], &[], None).unwrap_err().code(), "truncated");
    }

    #[test]
    fn files_of_torch_where_no_safetensors_are() {
        let names = [
            "config.json",
            "pytorch_model.bin",
            "pytorch_model.fp16.bin",
            "training_args.bin",
            "adapter_model.safetensors",
        ];
        let layout = CheckpointFiles::of(&names, &[], None).unwrap();
        let format = Format::Torch;
        let (others, not_chosen) = (vec![], vec![2]);
        assert_eq!(
            layout,
            CheckpointFiles { format, shards: vec![1], index: None, config: Some(0), others, not_chosen }
        );

        let names =
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"];
        assert_eq!(CheckpointFiles::of(&names[..2], &[], None).unwrap().shards, [0, 1]);
        assert_eq!(CheckpointFiles::of(&names[..1], &[], None).unwrap_err().facts().file.as_deref(), Some(names[1]));
        assert_eq!(find_index(&names), Ok(Some(2)));
        assert_eq!(find_index(&["model.safetensors", names[2]]), Ok(None));
    }

    #[test]
    fn of_variants_the_plain_one_is_taken() {
        let chosen = |names: &[&str]| {
            let layout = CheckpointFiles::of(names, &[], None).unwrap();
            (layout.shards, layout.not_chosen)
        };
        let names = ["x.fp16.safetensors", "x.non_ema.safetensors", "x.safetensors", "._x.safetensors"];
        assert_eq!(chosen(&names), (vec![2], vec![0, 1]));
        let names = ["x-1-of-2.safetensors", "x-2-of-2.safetensors", "x.fp16-1-of-1.safetensors"];
        assert_eq!(chosen(&names), (vec![0, 1], vec![2]));
        assert_eq!(chosen(&["x.fp16.safetensors"]), (vec![0], vec![]));
        let [plain, variant] = ["x.safetensors.index.json", "x.fp16.safetensors.index.json"];
        assert_eq!(find_index(&[variant, plain]), Ok(Some(1)));
        assert_eq!(find_index(&["adapter_model.safetensors.index.json", plain]), Ok(Some(1)));
        let index = ShardIndex::parse("i", br#"{"weight_map":{"a":"x-1.safetensors"}}"#).unwrap();
        let names = ["model.safetensors.index.json", "model.safetensors", "x-1.safetensors"];
        let layout = CheckpointFiles::of(&names, &[], Some((0, &index))).unwrap();
        assert_eq!((layout.shards, layout.not_chosen), (vec![2], vec![1]), "the index decides");
    }

    #[test]
    fn unclear_folders_are_refused() {
        let several = [
            CheckpointFiles::of(&["a.fp16.safetensors", "a.non_ema.safetensors"], &[], None),
            CheckpointFiles::of(&["a.safetensors", "b.safetensors"], &[], None),
            CheckpointFiles::of(&["a-1-of-1.safetensors", "b-1-of-1.safetensors"], &[], None),
            CheckpointFiles::of(&["a-1-of-1.safetensors", "a-2-of-1.safetensors"], &[], None),
            find_index(&["a.safetensors.index.json", "b.safetensors.index.json"]).map(|_| CheckpointFiles::default()),
        ];
        for error in several.map(Result::unwrap_err) {
            assert_eq!(error.code(), "wrong-input", "{error}");
            assert_eq!(error.facts().kind, Some(ErrorKind::SeveralModels), "{error}");
        }
        let error = CheckpointFiles::of(&["readme.md"], &[], None).unwrap_err();
        assert_eq!(error.code(), "wrong-input");
        assert_eq!(error.facts().kind, Some(ErrorKind::NoWeights));
    }
}
