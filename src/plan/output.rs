//! The files of the output: which tensors each holds, and where. Headers and the index are written only when they are asked for, because
//! those of a large model have megabytes.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::build::MergePlan;
use super::open::{Base, Shard};
use super::recipe::Recipe;
use super::tensors::Tensors;
use crate::container::header::PREFIX_BYTES;
use crate::container::limits::HEADER_BYTES;
use crate::container::{HeaderWriter, INDEX_SUFFIX, IndexWriter, TensorInfo, checkpoint};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::json;
use crate::order::{sort, sort_numbers};
use crate::wire::{Wire, wire};

/// One file of the output.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// Name in the output folder.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// What it is made of.
    pub(crate) body: Body,
}

/// What an output file is made of.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// Bytes that the plan holds (config.json).
    Bytes(Vec<u8>),
    /// A file of the base, as it is.
    Input(usize),
    /// Weights.
    Weights(Weights),
    /// The index of the shards.
    Index,
}

/// The tensors of a weight file.
#[derive(Debug, Clone)]
pub(crate) struct Weights {
    /// Shard of the base that gives the metadata.
    shard: usize,
    /// Bytes of the header.
    header: u64,
    /// Numbers of the tensors, in the order of the header.
    order: Vec<u32>,
    /// The tensors in the order of their bytes.
    placed: Vec<Placed>,
}

/// A tensor's place in a weight file: it ends where the next begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Placed {
    tensor: u32,
    /// First byte in the file.
    start: u64,
}

wire!(OutputFile { name, size, body });
wire!(Weights { shard, header, order, placed });
wire!(Placed { tensor, start });

impl Wire for Body {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Body::Bytes(bytes) => (0u8, bytes.clone()).put(out),
            Body::Input(input) => (1u8, *input).put(out),
            Body::Weights(weights) => {
                2u8.put(out);
                weights.put(out);
            }
            Body::Index => 3u8.put(out),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(match u8::take(from)? {
            0 => Body::Bytes(Wire::take(from)?),
            1 => Body::Input(Wire::take(from)?),
            2 => Body::Weights(Wire::take(from)?),
            3 => Body::Index,
            _ => return None,
        })
    }
}

impl Weights {
    /// The tensors that `range` of a file of `size` bytes touches, and the bytes that each has in the file.
    pub(crate) fn touched(&self, range: &Range<u64>, size: u64) -> impl Iterator<Item = (usize, Range<u64>)> {
        let (start, end) = (range.start, range.end);
        let first = self.placed.partition_point(|placed| placed.start <= start).saturating_sub(1);
        let place = move |index: usize| {
            let placed = self.placed.get(index)?;
            let next = self.placed.get(index + 1).map_or(size, |next| next.start);
            (placed.start < end).then_some((placed.tensor as usize, placed.start..next))
        };
        (first..).map_while(place).filter(move |(_, place)| place.end > start)
    }
}

/// The tensors of one output shard.
struct Group {
    name: String,
    /// Shard of the base that gives the metadata and, if all of it goes here, the order of the header.
    shard: usize,
    /// Numbers of the tensors, in the order of the header.
    tensors: Vec<u32>,
}

/// Every weight file: the base's own shards, or new shards with at most `max_bytes` of tensors. Also their index, if the base has one or there
/// are several files.
pub(crate) fn weight_files(
    base: &Base,
    tensors: &Tensors,
    max_bytes: Option<u64>,
    recipe: &Recipe,
) -> Result<Vec<OutputFile>> {
    let groups = group(base, tensors, max_bytes);
    let mut files: Vec<OutputFile> =
        groups.into_iter().map(|group| weight_file(base, tensors, group, recipe)).collect();
    // The recipe makes it longer than the base's header. A header beyond the limit could not be read.
    if let Some(file) = files.iter().find(|file| file.planned() > PREFIX_BYTES + HEADER_BYTES) {
        let bytes = file.planned() - PREFIX_BYTES;
        let reason = format!("its header would have {bytes} bytes, more than the format's {HEADER_BYTES}");
        return Err(Error::limit_exceeded(&file.name, reason).fix("give a smaller size for shards"));
    }
    if base.index.is_some() || files.len() > 1 {
        let names = || format!("{}{INDEX_SUFFIX}", stem(base));
        let name = base.index.as_ref().map_or_else(names, |(name, _)| base.format.output_name(name).into());
        let size = write_index(base, tensors, &files, |writer| writer.bytes());
        files.push(OutputFile { name, size, body: Body::Index });
    }
    Ok(files)
}

fn group(base: &Base, tensors: &Tensors, max_bytes: Option<u64>) -> Vec<Group> {
    let named = |(shard, file): (usize, &Shard)| Group {
        name: base.format.output_name(&file.name).into(),
        shard,
        tensors: Vec::new(),
    };
    let mut shards: Vec<Group> = base.shards.iter().enumerate().map(named).collect();
    for number in 0..tensors.len() {
        shards[tensors.shard(number)].tensors.push(number as u32);
    }
    let Some(max) = max_bytes else { return shards };
    let mut groups: Vec<Group> = Vec::new();
    let mut filled = 0;
    for shard in &shards {
        let mut order = shard.tensors.clone();
        let start = |tensor: u32| tensors.view(base, tensor as usize).source.start;
        sort_numbers(&mut order, &|one, other| start(one).cmp(&start(other)));
        for tensor in order {
            let bytes = tensors.view(base, tensor as usize).bytes();
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
fn stem(base: &Base) -> String {
    if let Some((name, _)) = &base.index {
        return base.format.output_name(name).strip_suffix(INDEX_SUFFIX).unwrap_or("model").into();
    }
    match base.shards.as_slice() {
        [single] => checkpoint::stem(&base.format.output_name(&single.name)).into(),
        _ => "model".into(),
    }
}

fn weight_file(base: &Base, tensors: &Tensors, group: Group, recipe: &Recipe) -> OutputFile {
    let mut order = group.tensors.clone();
    let view = |tensor: u32| tensors.view(base, tensor as usize);
    if base.shards[group.shard].header.tiled && order.iter().all(|&tensor| view(tensor).from == view(tensor).to) {
        let key = |tensor: u32| {
            let Span { input, start, bytes } = view(tensor).source;
            [input as u64, start, bytes]
        };
        sort_numbers(&mut order, &|one, other| key(one).cmp(&key(other)));
    } else {
        // Types have changed, or there was no such order. Wide types first keep every tensor aligned to its type, as safetensors itself does.
        let key = |tensor: u32| {
            let Span { input, start, .. } = view(tensor).source;
            [u64::MAX - view(tensor).to.bitsize() as u64, input as u64, start]
        };
        sort_numbers(&mut order, &|one, other| key(one).cmp(&key(other)));
    }
    let mut end = 0;
    let place = |tensor: u32| {
        let start = end;
        end += view(tensor).bytes();
        Placed { tensor, start }
    };
    let placed = order.into_iter().map(place).collect();
    let mut weights = Weights { shard: group.shard, header: 0, order: group.tensors, placed };
    weights.header = write_header(base, tensors, &weights, recipe, |writer| writer.bytes());
    weights.placed.iter_mut().for_each(|placed| placed.start += weights.header);
    OutputFile { name: group.name, size: weights.header + end, body: Body::Weights(weights) }
}

/// Hand the writer of a weight file's header to `use_writer`.
fn write_header<T>(
    base: &Base,
    tensors: &Tensors,
    weights: &Weights,
    recipe: &Recipe,
    use_writer: impl FnOnce(&dyn Written) -> T,
) -> T {
    let recipe = json::text(recipe);
    let mut metadata: Vec<(&str, &str)> = base.shards[weights.shard].header.metadata().collect();
    metadata.retain(|(key, _)| *key != super::recipe::KEY);
    // transformers 4 does not load a file without a format. This file has torch's layout.
    if !metadata.iter().any(|(key, _)| *key == "format") {
        metadata.push(("format", "pt"));
    }
    metadata.push((super::recipe::KEY, &recipe));
    // Offsets count from the end of the header.
    let mut starts: Vec<(u32, u64)> =
        weights.placed.iter().map(|placed| (placed.tensor, placed.start - weights.header)).collect();
    sort(&mut starts);
    let start_of = |tensor: u32| starts.binary_search_by_key(&tensor, |start| start.0).map_or(0, |at| starts[at].1);
    let infos = weights.order.iter().map(|&tensor| {
        let view = tensors.view(base, tensor as usize);
        let start = start_of(tensor);
        TensorInfo { name: view.name, dtype: view.to, shape: view.shape, start, end: start + view.bytes() }
    });
    use_writer(&HeaderWriter::new(infos, metadata.iter().copied()))
}

/// Hand the writer of the index to `use_writer`.
fn write_index<T>(
    base: &Base,
    tensors: &Tensors,
    files: &[OutputFile],
    use_writer: impl FnOnce(&dyn Written) -> T,
) -> T {
    let mut file_of: HashMap<&str, usize> = HashMap::with_capacity(tensors.len());
    for (number, file) in files.iter().enumerate() {
        if let Body::Weights(weights) = &file.body {
            for &tensor in &weights.order {
                file_of.insert(tensors.view(base, tensor as usize).name, number);
            }
        }
    }
    let mut names: Vec<&str> = match &base.index {
        Some((_, index)) => index.iter().map(|(tensor, _)| tensor).collect(),
        None => Vec::new(),
    };
    // Tensors that the base's index does not name.
    let known = base.index.as_ref().map(|(_, index)| index);
    let unlisted = file_of.keys().filter(|name| known.is_none_or(|index| index.shard_of(name).is_none()));
    names.extend(json::sorted(unlisted.copied().collect()));
    let mut metadata: Map<String, Value> = known.map(|index| index.metadata.clone()).unwrap_or_default();
    let total: u64 = (0..tensors.len()).map(|number| tensors.view(base, number).bytes()).sum();
    metadata.insert("total_size".into(), total.into());
    let weight_map = names.iter().filter_map(|name| Some((*name, files[*file_of.get(name)?].name.as_str())));
    use_writer(&IndexWriter::new(&metadata, weight_map))
}

/// A text that is written when it is asked for.
trait Written {
    fn bytes(&self) -> u64;
    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>>;
}

impl<'t, T, M> Written for HeaderWriter<T, M>
where
    T: Iterator<Item = TensorInfo<'t>> + Clone,
    M: Iterator<Item = (&'t str, &'t str)> + Clone,
{
    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.read(file, range)
    }
}

impl<'t, W: Iterator<Item = (&'t str, &'t str)> + Clone> Written for IndexWriter<'_, W> {
    fn bytes(&self) -> u64 {
        self.bytes()
    }

    fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.read(file, range)
    }
}

impl OutputFile {
    pub(crate) fn bytes(name: String, bytes: Vec<u8>) -> OutputFile {
        OutputFile { name, size: bytes.len() as u64, body: Body::Bytes(bytes) }
    }

    /// How many bytes at the start of the file the plan itself holds or writes: all of config.json and of the index, the header of a
    /// weight file, none of a copied file.
    pub fn planned(&self) -> u64 {
        match &self.body {
            Body::Bytes(_) | Body::Index => self.size,
            Body::Weights(weights) => weights.header,
            Body::Input(_) => 0,
        }
    }
}

impl MergePlan {
    /// The bytes `range` of a file, within those that the plan itself holds; see [`OutputFile::planned`].
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice.
    pub fn planned_bytes(&self, file: &OutputFile, range: Range<u64>) -> Result<Vec<u8>> {
        let range = range.start.min(file.planned())..range.end.min(file.planned());
        let read = |writer: &dyn Written| writer.read(&file.name, range.clone());
        match &file.body {
            Body::Bytes(bytes) => Ok(bytes[range.start as usize..range.end as usize].to_vec()),
            Body::Input(_) => Ok(Vec::new()),
            Body::Weights(weights) => write_header(&self.base, &self.tensors, weights, &self.recipe, read),
            Body::Index => write_index(&self.base, &self.tensors, &self.files, read),
        }
    }
}
