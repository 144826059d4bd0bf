//! The files of the output: which tensors each holds, and their headers.

use std::ops::Range;

use serde_json::Value;

use super::open::{Base, Shard};
use super::tensors::Tensors;
use crate::container::names::Names;
use crate::container::{Header, ShardIndex, TensorInfo, checkpoint};
use crate::inputs::Span;
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
pub(crate) fn weight_files(base: &Base, tensors: &Tensors, groups: Vec<Group>, recipe: &Value) -> Vec<OutputFile> {
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
pub(crate) fn group(base: &Base, tensors: &Tensors, max_bytes: Option<u64>) -> Vec<Group> {
    let named = |(shard, file): (usize, &Shard)| Group { name: file.name.clone(), shard, tensors: Vec::new() };
    let mut shards: Vec<Group> = base.shards.iter().enumerate().map(named).collect();
    for number in 0..tensors.len() {
        shards[tensors.shard(number)].tensors.push(number);
    }
    let Some(max) = max_bytes else { return shards };
    let mut groups: Vec<Group> = Vec::new();
    let mut filled = 0;
    for shard in &shards {
        let mut order = shard.tensors.clone();
        order.sort_by_key(|&i| tensors.view(base, i).source.start);
        for tensor in order {
            let bytes = tensors.view(base, tensor).bytes();
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

fn weight_file(base: &Base, tensors: &Tensors, group: Group, recipe: &Value) -> OutputFile {
    // Positions in the group.
    let mut order: Vec<usize> = (0..group.tensors.len()).collect();
    let tensor = |position: usize| tensors.view(base, group.tensors[position]);
    if (0..order.len()).all(|i| tensor(i).from == tensor(i).to) {
        order.sort_by_key(|&i| {
            let Span { input, start, bytes } = tensor(i).source;
            [input as u64, start, bytes]
        });
    } else {
        // Types have changed: wide ones first keeps every tensor aligned to its type, as safetensors itself lays out.
        order.sort_by_key(|&i| {
            let Span { input, start, .. } = tensor(i).source;
            [u64::MAX - tensor(i).to.bitsize() as u64, input as u64, start]
        });
    }
    let mut starts = vec![0; order.len()];
    let mut end = 0;
    for &position in &order {
        starts[position] = end;
        end += tensor(position).bytes();
    }
    let infos: Vec<TensorInfo> = group
        .tensors
        .iter()
        .zip(&starts)
        .map(|(&i, &start)| {
            let tensor = tensors.view(base, i);
            TensorInfo {
                name: tensor.name.into(),
                dtype: tensor.to,
                shape: tensor.shape.to_vec(),
                start,
                end: start + tensor.bytes(),
            }
        })
        .collect();
    let mut metadata = base.shards[group.shard].header.metadata.clone().unwrap_or_default();
    metadata.retain(|(key, _)| key != super::recipe::KEY);
    // Without a format transformers 4 does not load a file; this one is laid out as torch lays it out.
    if !metadata.iter().any(|(key, _)| key == "format") {
        metadata.push(("format".into(), "pt".into()));
    }
    metadata.push((super::recipe::KEY.into(), json::text(recipe)));
    let header = Header::write(&infos, &metadata);
    let data_start = header.len() as u64;
    let placed = order
        .into_iter()
        .map(|position| {
            let start = data_start + starts[position];
            Placed { tensor: group.tensors[position], range: start..start + tensor(position).bytes() }
        })
        .collect();
    OutputFile { name: group.name, size: data_start + end, body: Body::Weights { header, tensors: placed } }
}

/// The index of the output, where the base had one or there are several shards.
pub(crate) fn index_file(base: &Base, files: &[OutputFile], tensors: &Tensors) -> Option<OutputFile> {
    if base.index.is_none() && files.len() < 2 {
        return None;
    }
    let mut file_of = Names::default();
    for (number, file) in files.iter().enumerate() {
        if let Body::Weights { tensors: placed, .. } = &file.body {
            for placed in placed {
                file_of.insert(tensors.view(base, placed.tensor).name, number);
            }
        }
    }
    let mut index = match &base.index {
        Some((_, index)) => index.clone(),
        None => ShardIndex {
            metadata: serde_json::Map::new(),
            weight_map: file_of.sorted().into_iter().map(|name| (name.into(), String::new())).collect(),
        },
    };
    let total: u64 = (0..tensors.len()).map(|number| tensors.view(base, number).bytes()).sum();
    index.metadata.insert("total_size".into(), total.into());
    for (name, shard) in &mut index.weight_map {
        if let Some(file) = file_of.get(name) {
            shard.clone_from(&files[file].name);
        }
    }
    let name = base
        .index
        .as_ref()
        .map_or_else(|| format!("{}{}", stem(base), checkpoint::INDEX_SUFFIX), |(name, _)| name.clone());
    Some(OutputFile::bytes(name, index.to_json()))
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
