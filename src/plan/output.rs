//! The files of the output: which tensors each holds, and their headers.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;

use super::open::Base;
use super::tensor::PlannedTensor;
use crate::container::{HeaderWriter, IndexWriter, TensorInfo, checkpoint};
use crate::error::Result;
use crate::json;

/// One file of the output.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// Name in the output folder.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// What it is made of.
    pub body: Body,
}

/// What an output file is made of.
#[derive(Debug, Clone)]
pub enum Body {
    /// Bytes that the plan holds (config.json, the index).
    Bytes(Vec<u8>),
    /// A file of the base, as it is.
    Input(usize),
    /// Weights.
    Weights {
        /// Length, JSON and padding.
        header: Vec<u8>,
        /// The tensors in the order of their bytes.
        tensors: Vec<Placed>,
    },
}

/// A tensor's place in an output file.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed {
    /// Number in [`MergePlan::tensors`](super::MergePlan).
    pub tensor: usize,
    /// Its bytes in the file.
    pub range: Range<u64>,
}

/// Lay out every output file except the weights' headers' recipe-dependent text, which `metadata` provides.
pub(crate) fn weight_files(
    base: &Base,
    tensors: &[PlannedTensor],
    groups: Vec<Group>,
    recipe: &Value,
) -> Result<Vec<OutputFile>> {
    groups.into_iter().map(|group| weight_file(base, tensors, group, recipe)).collect()
}

/// The tensors of one output shard.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Shard of the base that gives the metadata and, when whole, the order of the header.
    pub(crate) shard: usize,
    /// Numbers of the tensors, in the order of the header.
    pub(crate) tensors: Vec<usize>,
}

/// The base's own shards, as (name, shard, tensors in header order), or new ones of at most `max_bytes` of tensors.
pub(crate) fn group(base: &Base, tensors: &[PlannedTensor], max_bytes: Option<u64>) -> Vec<Group> {
    let mut next = 0;
    let shards: Vec<Group> = base
        .shards
        .iter()
        .enumerate()
        .map(|(shard, file)| {
            let first = next;
            next += file.header.len();
            Group { name: file.name.clone(), shard, tensors: (first..next).collect() }
        })
        .collect();
    let Some(max) = max_bytes else { return shards };
    let mut groups: Vec<Group> = Vec::new();
    let mut filled = 0;
    for shard in &shards {
        let mut order = shard.tensors.clone();
        order.sort_by_key(|&i| [tensors[i].start, 0, 0]);
        for tensor in order {
            let bytes = tensors[tensor].bytes_out;
            match groups.last_mut() {
                Some(group) if filled + bytes <= max => {
                    group.tensors.push(tensor);
                    filled += bytes;
                }
                _ => {
                    groups.push(Group { name: String::new(), shard: shard.shard, tensors: vec![tensor] });
                    filled = bytes;
                }
            }
        }
    }
    let stem = stem(base);
    let total = groups.len();
    for (number, group) in groups.iter_mut().enumerate() {
        group.name = match total {
            1 => format!("{stem}.safetensors"),
            _ => format!("{stem}-{:05}-of-{total:05}.safetensors", number + 1),
        };
    }
    groups
}

/// What the names of the base's weight files begin with.
fn stem(base: &Base) -> &str {
    if let Some((name, _)) = &base.index {
        return name.strip_suffix(checkpoint::INDEX_SUFFIX).unwrap_or("model");
    }
    match base.shards.as_slice() {
        [single] => checkpoint::stem(&single.name),
        _ => "model",
    }
}

fn weight_file(base: &Base, tensors: &[PlannedTensor], group: Group, recipe: &Value) -> Result<OutputFile> {
    // Positions in the group.
    let mut order: Vec<usize> = (0..group.tensors.len()).collect();
    let tensor = |position: usize| &tensors[group.tensors[position]];
    if group.tensors.iter().all(|&i| tensors[i].from == tensors[i].to) {
        order.sort_by_key(|&i| [tensor(i).input as u64, tensor(i).start, tensor(i).bytes_in]);
    } else {
        // Types have changed: wide ones first keeps every tensor aligned to its type, as safetensors itself lays out.
        order.sort_by_key(|&i| [u64::MAX - tensor(i).to.bits(), tensor(i).input as u64, tensor(i).start]);
    }
    let mut starts = vec![0; order.len()];
    let mut end = 0;
    for &position in &order {
        starts[position] = end;
        end += tensor(position).bytes_out;
    }
    let infos: Vec<TensorInfo> = group
        .tensors
        .iter()
        .zip(&starts)
        .map(|(&i, &start)| {
            let tensor = &tensors[i];
            TensorInfo {
                name: &tensor.name,
                dtype: tensor.to,
                shape: &tensor.shape,
                start,
                end: start + tensor.bytes_out,
            }
        })
        .collect();
    let recipe = json::text(recipe);
    let mut metadata: Vec<(&str, &str)> = base.shards[group.shard].header.metadata().collect();
    metadata.retain(|(key, _)| *key != super::recipe::KEY);
    // Without a format transformers 4 does not load a file; this one is laid out as torch lays it out.
    if !metadata.iter().any(|(key, _)| *key == "format") {
        metadata.push(("format", "pt"));
    }
    metadata.push((super::recipe::KEY, &recipe));
    let writer = HeaderWriter::new(infos.iter().copied(), metadata.iter().copied());
    let header = writer.read(&group.name, 0..writer.bytes())?;
    let data_start = header.len() as u64;
    let placed = order
        .into_iter()
        .map(|position| {
            let start = data_start + starts[position];
            Placed { tensor: group.tensors[position], range: start..start + tensor(position).bytes_out }
        })
        .collect();
    Ok(OutputFile { name: group.name, size: data_start + end, body: Body::Weights { header, tensors: placed } })
}

/// The index of the output, where the base had one or there are several shards.
pub(crate) fn index_file(base: &Base, files: &[OutputFile], tensors: &[PlannedTensor]) -> Result<Option<OutputFile>> {
    if base.index.is_none() && files.len() < 2 {
        return Ok(None);
    }
    let mut file_of: HashMap<&str, &str> = HashMap::new();
    for file in files {
        if let Body::Weights { tensors: placed, .. } = &file.body {
            for placed in placed {
                file_of.insert(&tensors[placed.tensor].name, &file.name);
            }
        }
    }
    let mut names: Vec<&str> = match &base.index {
        Some((_, index)) => index.iter().map(|(tensor, _)| tensor).collect(),
        None => file_of.keys().copied().collect(),
    };
    if base.index.is_none() {
        names.sort_unstable();
    }
    let mut metadata = base.index.as_ref().map(|(_, index)| index.metadata.clone()).unwrap_or_default();
    let total: u64 = tensors.iter().map(|tensor| tensor.bytes_out).sum();
    metadata.insert("total_size".into(), total.into());
    let weight_map: Vec<(&str, &str)> =
        names.into_iter().filter_map(|name| Some((name, *file_of.get(name)?))).collect();
    let name = base
        .index
        .as_ref()
        .map_or_else(|| format!("{}{}", stem(base), checkpoint::INDEX_SUFFIX), |(name, _)| name.clone());
    let writer = IndexWriter::new(&metadata, weight_map.iter().copied());
    let bytes = writer.read(&name, 0..writer.bytes())?;
    Ok(Some(OutputFile::bytes(name, bytes)))
}

impl OutputFile {
    pub(crate) fn bytes(name: String, bytes: Vec<u8>) -> OutputFile {
        OutputFile { name, size: bytes.len() as u64, body: Body::Bytes(bytes) }
    }

    /// The bytes of the file that the plan itself holds: all of a small file, the header of a weight file.
    pub fn plan_bytes(&self) -> &[u8] {
        match &self.body {
            Body::Bytes(bytes) | Body::Weights { header: bytes, .. } => bytes,
            Body::Input(_) => &[],
        }
    }
}
