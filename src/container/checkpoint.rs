//! Which files of a folder make up a model, and which only travel with it.

use super::format::{Format, INDEX_SUFFIX};
use super::index::{ShardIndex, is_plain_name};
use super::limits;
use crate::error::{Error, ErrorKind, Result};
use crate::order::sort_by;

/// The files of a model folder by their use, as positions in its listing.
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
    /// Every other file: copied to the output as it is.
    pub others: Vec<usize>,
}

/// Find the index among `names`: `model.safetensors.index.json` first, else the only one there is; of torch files, `pytorch_model.bin.index.json`.
///
/// # Errors
/// `wrong-input` when several could be meant.
pub fn find_index(names: &[&str]) -> Result<Option<usize>> {
    let format = Format::of_model(names);
    let found: Vec<usize> = (0..names.len()).filter(|&i| names[i].ends_with(format.index_suffix())).collect();
    let model = found.iter().copied().find(|&i| names[i].strip_suffix(".index.json") == Some(format.single()));
    match (model, found.as_slice()) {
        (Some(index), _) => Ok(Some(index)),
        (None, []) => Ok(None),
        (None, [index]) => Ok(Some(*index)),
        (None, [first, ..]) => Err(several_models(names[*first], format!("{} indexes in one folder", found.len()))),
    }
}

impl CheckpointFiles {
    /// Sort the files of a folder. `index` is the parsed index and its position, when [`find_index`] found one.
    ///
    /// # Errors
    /// `wrong-input` when no weights are there or it is unclear which are meant, `truncated` when a shard is missing.
    pub fn of(names: &[&str], index: Option<(usize, &ShardIndex)>) -> Result<CheckpointFiles> {
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        sort_by(&mut by_name, |&one, &other| names[one].cmp(names[other]));
        let position = |name: &str| by_name.binary_search_by_key(&name, |&i| names[i]).ok().map(|at| by_name[at]);
        let format = Format::of_model(names);
        let mut weights: Vec<usize> = (0..names.len()).filter(|&i| format.is_weights(names[i])).collect();
        if format == Format::Torch && names.len() == 1 {
            weights = vec![0];
        }
        let mut shards = match index {
            Some((at, index)) => indexed(names, at, (index, format), position)?,
            None => unindexed(names, &weights, format)?,
        };
        sort_by(&mut shards, |&one, &other| names[one].cmp(names[other]));
        let config = position("config.json");
        // Weights that are not part of this model would be stale beside the merged ones: they stay behind.
        let others = (0..names.len())
            .filter(|&i| {
                Some(i) != config
                    && is_plain_name(names[i])
                    && !is_weights(names[i])
                    && !is_unfinished(names[i])
                    && !shards.contains(&i)
            })
            .collect();
        Ok(CheckpointFiles { format, shards, index: index.map(|(at, _)| at), config, others })
    }
}

/// The weights of the model among the files `names` of a folder, and their indexes: beside another model, tools would take them for part of
/// it. Other weights (an adapter, a checkpoint of one file) are not the model's. `read` gives the bytes of an index.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn model_weights<'a>(names: &[&'a str], read: impl Fn(&str) -> Vec<u8>) -> Vec<&'a str> {
    let is_index = |name: &str| name.ends_with(INDEX_SUFFIX) && !name.starts_with("adapter_");
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
    names.iter().copied().filter(|name| is_index(name) || is_shard(name)).collect()
}

/// Whether a file is what a merge into this folder keeps there while it has not finished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && (name.ends_with(".partial") || name.starts_with(".lorafold-"))
}

/// Whether a file holds weights (or an index or adapter) rather than something that describes the model.
fn is_weights(name: &str) -> bool {
    name.starts_with("adapter_")
        || Format::Torch.is_weights(name)
        || [
            ".safetensors",
            INDEX_SUFFIX,
            ".bin.index.json",
            ".gguf",
            ".pth",
            ".pt",
            ".ckpt",
            ".h5",
            ".msgpack",
            ".onnx",
        ]
        .iter()
        .any(|end| name.ends_with(end))
}

fn indexed(
    names: &[&str],
    at: usize,
    (index, format): (&ShardIndex, Format),
    position: impl Fn(&str) -> Option<usize>,
) -> Result<Vec<usize>> {
    // transformers loads model.safetensors when both are there, other tools the shards: nobody can know which is meant.
    let single = format.single();
    if !index.has_shard(single) && position(single).is_some() {
        let reason = format!("the folder has an index of shards and a {single} that is not one of them");
        return Err(Error::wrong_input(names[at], reason).kind(ErrorKind::SeveralModels).fix("remove the stale one"));
    }
    index
        .shards()
        .map(|shard| {
            position(shard)
                .ok_or_else(|| missing_shard(shard, format!("{} names this shard, which is missing", names[at])))
        })
        .collect()
}

fn unindexed(names: &[&str], weights: &[usize], format: Format) -> Result<Vec<usize>> {
    if let Some(&single) = weights.iter().find(|&&i| names[i] == format.single()) {
        return Ok(vec![single]);
    }
    let mut numbered: Vec<(usize, Numbered)> =
        weights.iter().filter_map(|&i| Numbered::of(names[i], format).map(|n| (i, n))).collect();
    sort_by(&mut numbered, |(_, one), (_, other)| one.number.cmp(&other.number));
    let Some((at, first)) = numbered.first() else {
        return match weights {
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
        let layout = CheckpointFiles::of(&names, None).unwrap();
        let format = Format::Safetensors;
        assert_eq!(layout, CheckpointFiles { format, shards: vec![1], index: None, config: Some(0), others: vec![2] });

        let names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"];
        assert_eq!(CheckpointFiles::of(&names, None).unwrap().shards, [1, 0]);
        assert_eq!(CheckpointFiles::of(&names[..1], None).unwrap_err().code(), "truncated");
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
        let layout = CheckpointFiles::of(&names, None).unwrap();
        let format = Format::Torch;
        assert_eq!(layout, CheckpointFiles { format, shards: vec![1], index: None, config: Some(0), others: vec![3] });

        let names =
            ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin", "pytorch_model.bin.index.json"];
        assert_eq!(CheckpointFiles::of(&names[..2], None).unwrap().shards, [0, 1]);
        assert_eq!(CheckpointFiles::of(&names[..1], None).unwrap_err().facts().file.as_deref(), Some(names[1]));
        assert_eq!(find_index(&names), Ok(Some(2)));
        assert_eq!(find_index(&["model.safetensors", names[2]]), Ok(None));
    }

    #[test]
    fn unclear_folders_are_refused() {
        let index = ShardIndex::parse("i", br#"{"weight_map":{"a":"x-1.safetensors"}}"#).unwrap();
        let names = ["model.safetensors.index.json", "model.safetensors", "x-1.safetensors"];
        let several = [
            CheckpointFiles::of(&names, Some((0, &index))),
            CheckpointFiles::of(&["a.safetensors", "b.safetensors"], None),
            CheckpointFiles::of(&["a-1-of-1.safetensors", "b-1-of-1.safetensors"], None),
            CheckpointFiles::of(&["a-1-of-1.safetensors", "a-2-of-1.safetensors"], None),
            find_index(&["a.safetensors.index.json", "b.safetensors.index.json"]).map(|_| CheckpointFiles::default()),
        ];
        for error in several.map(Result::unwrap_err) {
            assert_eq!(error.code(), "wrong-input", "{error}");
            assert_eq!(error.facts().kind, Some(ErrorKind::SeveralModels), "{error}");
        }
        let error = CheckpointFiles::of(&["readme.md"], None).unwrap_err();
        assert_eq!(error.code(), "wrong-input");
        assert_eq!(error.facts().kind, Some(ErrorKind::NoWeights));
    }
}
