//! Reading what a plan needs of a base and of adapters: headers, indexes and configurations, never weights.
//! (Adapters are read once as a whole, for the hash that the recipe records.)

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::options::AdapterOptions;
use super::recipe::FileDigest;
use crate::adapter::choice::CHOOSE;
use crate::adapter::dialect::{self, AdapterFiles, Mismatch, ModuleUpdate, Summary, Updates};
use crate::adapter::pattern::PatternBudget;
use crate::container::checkpoint::find_index;
use crate::container::index::is_plain_name;
use crate::container::{CheckpointFiles, Format, Header, ShardIndex, foreign, header, limits, torch};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing, UNKNOWN_SIZE, read_whole, try_buffer};
use crate::json::repeated;
use crate::wire::wire;

/// One weight file of the base.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Number among all inputs.
    pub input: usize,
    /// File name.
    pub name: String,
    /// Its header.
    pub header: Header,
}

/// A base model, without its weights.
#[derive(Debug, Clone)]
pub struct Base {
    /// What errors and reports call it.
    pub name: String,
    /// The format of its weight files.
    pub format: Format,
    /// Weight files in order of name.
    pub shards: Vec<Shard>,
    /// The index and its file name.
    pub index: Option<(String, ShardIndex)>,
    /// `config.json`.
    pub config: Option<Vec<u8>>,
    /// Files that are copied: (input, name, size).
    pub others: Vec<(usize, String, u64)>,
    /// Files of the folder that stay behind, and folders inside it.
    pub left_behind: Vec<String>,
    /// (name, version) of each file whose source tells versions apart.
    pub versions: Vec<(String, String)>,
}

impl Base {
    /// Call `visit` with the name of each tensor.
    pub(super) fn each_name<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.shards.iter().for_each(|shard| shard.header.iter().for_each(|tensor| visit(tensor.name)));
    }

    /// Give each tensor the names that `names` adds to its list: none leaves it out, several make copies.
    ///
    /// # Errors
    /// Those of [`Header::of_tensors`].
    pub(super) fn rename(&mut self, names: &dyn Fn(&str, &mut Vec<String>)) -> Result<()> {
        for Shard { header, name, .. } in &mut self.shards {
            let mut tensors = Vec::with_capacity(header.len());
            let mut of_one = Vec::new();
            for (number, tensor) in header.iter().enumerate() {
                names(tensor.name, &mut of_one);
                tensors.extend(of_one.drain(..).map(|name| (name, number)));
            }
            *header = header.of_tensors(name, &tensors)?;
        }
        Ok(())
    }
}

/// An adapter, without its weights.
#[derive(Debug, Clone)]
pub struct Adapter {
    /// What errors and reports call it.
    pub name: String,
    /// Factor on its whole delta.
    pub weight: f64,
    /// Which one of the adapters in its file or folder it is, where that was asked for.
    pub wanted: Option<String>,
    /// Whether the base is the one that its initialisation has changed, where that was said.
    pub residual_base: Option<bool>,
    /// What it does to each module, where the plan is being made.
    pub updates: Vec<ModuleUpdate>,
    /// How many modules that are.
    pub modules: usize,
    /// What reports say of it as a whole.
    pub summary: Summary,
    /// `layer_replication`: the layers of the base, from each first to before each last, that it was trained on.
    pub replication: Vec<[u64; 2]>,
    /// Where its configuration and its file do not agree.
    pub mismatches: Vec<Mismatch>,
    /// What the user should know of it.
    pub findings: Vec<Finding>,
    /// Number of the weight file among all inputs.
    pub input: usize,
    /// Its files, for the recipe.
    pub digests: Vec<FileDigest>,
}

wire!(Shard { input, name, header });
wire!(Base { name, format, shards, index, config, others, left_behind, versions });
// The rest is in the programs and the findings of the plan.
wire!(Adapter { name, weight, wanted, residual_base, modules, summary, input, digests } without { updates, replication, mismatches, findings });

/// Read the headers of a base.
///
/// # Errors
/// Those of [`CheckpointFiles::of`], [`Header::parse`] and [`ShardIndex::parse`]; `bad-header` when index and shards disagree;
/// `wrong-input` for an adapter, or a file that is something else; `bad-option` for a file that is listed twice.
pub async fn open_base(inputs: &impl Inputs, folder: &Listing) -> Result<Base> {
    check_listing(folder)?;
    let names: Vec<&str> = folder.files.iter().map(|file| file.name.as_str()).collect();
    if names.contains(&"adapter_config.json") && !names.contains(&"config.json") {
        let reason = "this is an adapter, not a base: it has adapter_config.json and no config.json";
        return Err(Error::wrong_input(folder.name.clone(), reason)
            .kind(ErrorKind::AdapterAsBase)
            .found("an adapter")
            .expected("a base")
            .fix("give the model that it was trained on as the base"));
    }
    let index = match find_index(&names)? {
        None => None,
        Some(at) => {
            let json = read_json(inputs, folder, at, limits::INDEX_BYTES).await?;
            Some((at, ShardIndex::parse(names[at], &json)?))
        }
    };
    let layout = CheckpointFiles::of(&names, index.as_ref().map(|(at, index)| (*at, index)))?;
    // The output has files of these names.
    if let Some(&file) = layout.shards.iter().chain(&layout.index).find(|&&file| !is_plain_name(names[file])) {
        return Err(Error::bad_header(names[file], "this is not a plain file name").expected("a name without / or \\"));
    }
    let outputs: Vec<_> = layout.shards.iter().map(|&file| layout.format.output_name(names[file])).collect();
    if let Some(name) = repeated(outputs.iter().map(|name| name.as_ref()).collect()) {
        let reason = format!("two of its weight files would become {name}");
        return Err(Error::wrong_input(folder.name.clone(), reason).kind(ErrorKind::SeveralModels).found(name));
    }
    let mut shards = Vec::with_capacity(layout.shards.len());
    for &file in &layout.shards {
        let header = read_header(inputs, folder, file, layout.format).await?;
        shards.push(Shard { input: folder.first_input + file, name: names[file].into(), header });
    }
    let index = index.map(|(at, index)| (names[at].to_string(), index));
    check_names(&shards, index.as_ref())?;
    let config = match layout.config {
        None => None,
        Some(file) => Some(read_json(inputs, folder, file, limits::CONFIG_BYTES).await?),
    };
    let others =
        layout.others.iter().map(|&i| (folder.first_input + i, names[i].to_string(), folder.files[i].size)).collect();
    let mut used = vec![false; names.len()];
    layout.shards.iter().chain(&layout.others).chain(&layout.index).chain(&layout.config).for_each(|&i| used[i] = true);
    let files = (0..names.len()).filter(|&i| !used[i]).map(|i| names[i].to_string());
    let left_behind = files.chain(folder.folders.iter().map(|name| format!("{name}/"))).collect();
    let versions =
        folder.files.iter().filter_map(|file| Some((file.name.clone(), file.version.clone()?))).collect::<Vec<_>>();
    let format = layout.format;
    Ok(Base { name: folder.name.clone(), format, shards, index, config, others, left_behind, versions })
}

/// Every file once.
fn check_listing(folder: &Listing) -> Result<()> {
    match repeated(folder.files.iter().map(|file| file.name.as_str()).collect()) {
        Some(name) => Err(Error::bad_option("source", format!("it lists {name} twice")).file(name)),
        None => Ok(()),
    }
}

/// Every tensor once, and where the index says it is.
fn check_names(shards: &[Shard], index: Option<&(String, ShardIndex)>) -> Result<()> {
    let mut places = HashMap::new();
    for (number, shard) in shards.iter().enumerate() {
        for tensor in shard.header.iter() {
            if let Some(other) = places.insert(tensor.name, number) {
                let reason = format!("this tensor is in {} and in {}", shards[other].name, shard.name);
                return Err(Error::bad_header(shard.name.clone(), reason).tensor(tensor.name));
            }
        }
    }
    let Some((file, index)) = index else { return Ok(()) };
    for (tensor, shard) in index.iter() {
        if places.get(tensor).is_none_or(|&place| shards[place].name != *shard) {
            let reason = format!("{file} says that this tensor is in {shard}, where it is not");
            return Err(Error::bad_header(file.clone(), reason).tensor(tensor).expected(shard));
        }
    }
    let mut tensors = shards.iter().flat_map(|shard| shard.header.iter());
    if let Some(tensor) = tensors.find(|tensor| index.shard_of(tensor.name).is_none()) {
        let reason = format!("this tensor is in a shard, but not in {file}");
        return Err(Error::bad_header(file.clone(), reason).tensor(tensor.name));
    }
    Ok(())
}

/// Read an adapter's configuration and header, and hash its files. Its patterns take their steps from `budget`.
///
/// # Errors
/// `bad-config`, `bad-header`, `truncated`, `wrong-input`, `missing-pair`, `shape-mismatch`, `unsupported`, `bad-option`,
/// `limit-exceeded`, and whatever reading gives.
pub async fn open_adapter(
    inputs: &impl Inputs,
    folder: &Listing,
    options: &AdapterOptions,
    budget: &mut PatternBudget,
) -> Result<Adapter> {
    open_in(inputs, folder, options, budget).await.map_err(|error| error.in_adapter(&folder.name))
}

async fn open_in(
    inputs: &impl Inputs,
    folder: &Listing,
    options: &AdapterOptions,
    budget: &mut PatternBudget,
) -> Result<Adapter> {
    let name = &folder.name;
    let weight = finite("weight", options.weight.unwrap_or(1.0))?;
    let alpha = options.alpha.map(|alpha| finite("alpha", alpha)).transpose()?;
    let packing = options.packing()?;
    let wanted = options.adapter.as_deref();
    let residual = options.residual_base.unwrap_or(false);
    let out_proj_once = match options.out_proj.as_deref() {
        None | Some("twice") => false,
        Some("once") => true,
        Some(other) => {
            let expected = "twice, once";
            let error = Error::bad_option("outProj", format!("{other:?} is none of {expected}"));
            return Err(error.found(other).expected(expected));
        }
    };
    check_listing(folder)?;
    let position = |wanted: &str| folder.files.iter().position(|file| file.name == wanted);
    if position("config.json").is_some()
        && ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"]
            .iter()
            .all(|name| position(name).is_none())
    {
        let reason = "this is a base model, not an adapter: it has config.json and no adapter_config.json";
        return Err(Error::wrong_input(name.clone(), reason)
            .kind(ErrorKind::BaseAsAdapter)
            .found("a base model")
            .expected("an adapter")
            .fix("give it as the base"));
    }
    let (weights, format) = adapter_weights(folder)?;
    let mut digests = Vec::new();
    let config = match position("adapter_config.json") {
        None => None,
        Some(at) => {
            let json = read_json(inputs, folder, at, limits::CONFIG_BYTES).await?;
            digests.push(FileDigest { name: folder.files[at].name.clone(), sha256: hex(&Sha256::digest(&json)) });
            Some((folder.files[at].name.as_str(), json))
        }
    };
    let file = &folder.files[weights].name;
    let header = read_header(inputs, folder, weights, format).await;
    let input = folder.first_input + weights;
    let config = config.as_ref().map(|(file, json)| (*file, json.as_slice()));
    let Updates { updates, summary, replication, mismatches, findings } = dialect::read(
        &AdapterFiles { adapter: name, file, input, config, alpha, residual, out_proj_once, wanted, packing },
        header,
        budget,
    )?;
    digests.push(FileDigest { name: file.clone(), sha256: digest(inputs, folder, weights).await? });
    let modules = updates.len();
    let (name, wanted) = (name.clone(), options.adapter.clone());
    let residual_base = options.residual_base;
    Ok(Adapter {
        name,
        weight,
        wanted,
        residual_base,
        updates,
        modules,
        summary,
        replication,
        mismatches,
        findings,
        input,
        digests,
    })
}

fn adapter_weights(folder: &Listing) -> Result<(usize, Format)> {
    let names: Vec<&str> = folder.files.iter().map(|file| file.name.as_str()).collect();
    Format::of_adapter(&names).map_err(|found| {
        let reason = match found {
            0 => "there is no adapter_model.safetensors, and no adapter_model.bin".into(),
            found => format!("there is no adapter_model.safetensors, but {found} other .safetensors files"),
        };
        let folders = folder.folders.join(", ");
        if !folders.is_empty() {
            let error = Error::wrong_input(folder.name.clone(), format!("{reason}; there are the folders {folders}"));
            return error.kind(ErrorKind::SeveralAdapters).found(folders).fix(CHOOSE);
        }
        Error::wrong_input(folder.name.clone(), reason).kind(ErrorKind::NoWeights).expected("adapter_model.safetensors")
    })
}

/// Read a JSON file as a whole.
async fn read_json(inputs: &impl Inputs, folder: &Listing, file: usize, limit: u64) -> Result<Vec<u8>> {
    let json = read_whole(inputs, folder, file, limit).await?;
    match foreign(&folder.files[file].name, &json) {
        Some(error) => Err(error),
        None => Ok(json),
    }
}

/// Bytes that are read first of a weight file, where its size is known: most headers are shorter, and then need no second read.
const HEAD_BYTES: u64 = 1 << 16;

async fn read_header(inputs: &impl Inputs, folder: &Listing, file: usize, format: Format) -> Result<Header> {
    let info = &folder.files[file];
    let input = folder.first_input + file;
    if format == Format::Torch {
        return torch::read_header(inputs, input, info).await;
    }
    if info.size < header::PREFIX_BYTES {
        let reason = format!("it has {} bytes, too few for a safetensors header", info.size);
        return Err(Error::truncated(info.name.clone(), reason).found(info.size.to_string()));
    }
    let first = if info.size == UNKNOWN_SIZE { header::PREFIX_BYTES } else { HEAD_BYTES.min(info.size) };
    let mut head = try_buffer(&info.name, first)?;
    inputs.read(input, 0, &mut head).await?;
    let (prefix, head) = head.split_first_chunk().ok_or_else(|| Error::internal("a head has no prefix"))?;
    let length = Header::json_bytes(&info.name, *prefix, info.size)?;
    if let Some(json) = usize::try_from(length).ok().and_then(|length| head.get(..length)) {
        return Header::parse(&info.name, json, info.size);
    }
    let mut json = try_buffer(&info.name, length)?;
    let (known, rest) = json.split_at_mut(head.len());
    known.copy_from_slice(head);
    inputs.read(input, first, rest).await?;
    Header::parse(&info.name, &json, info.size)
}

/// Bytes hashed at a time.
const HASH_STEP: u64 = 1 << 20;

async fn digest(inputs: &impl Inputs, folder: &Listing, file: usize) -> Result<String> {
    if let Some(sha256) = inputs.sha256(folder.first_input + file).await? {
        return Ok(sha256);
    }
    let size = folder.files[file].size;
    let mut buffer = try_buffer(&folder.files[file].name, HASH_STEP.min(size))?;
    let mut hash = Sha256::new();
    let mut at = 0;
    while at < size {
        let step = HASH_STEP.min(size - at);
        let part = &mut buffer[..step as usize];
        inputs.read(folder.first_input + file, at, part).await?;
        hash.update(&*part);
        at += step;
    }
    Ok(hex(&hash.finalize()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn finite(option: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        return Ok(value);
    }
    // `Display` of all numbers, for these three, would be 7 kB of the module.
    let found = if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "inf"
    } else {
        "-inf"
    };
    Err(Error::bad_option(option, format!("{found} is not a finite number")).found(found).expected("a finite number"))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::container::{HeaderWriter, TensorInfo};
    use crate::inputs::FileInfo;
    use crate::tensor::Dtype;

    /// One file in memory, and the reads of it: first byte and number of bytes.
    struct Watched {
        bytes: Vec<u8>,
        reads: RefCell<Vec<(u64, usize)>>,
    }

    impl Inputs for Watched {
        async fn read(&self, _: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
            self.reads.borrow_mut().push((start, buffer.len()));
            buffer.copy_from_slice(&self.bytes[start as usize..][..buffer.len()]);
            Ok(())
        }
    }

    /// The reads that the header of a file of `tensors` empty tensors takes, and the length of that header.
    fn reads(tensors: usize, size_known: bool) -> (Vec<(u64, usize)>, usize) {
        let names: Vec<String> = (0..tensors).map(|number| format!("tensor {number}")).collect();
        let infos = names.iter().map(|name| TensorInfo { name, dtype: Dtype::F32, shape: &[0], start: 0, end: 0 });
        let writer = HeaderWriter::new(infos, std::iter::empty());
        let file = Watched { bytes: writer.read("f", 0..writer.bytes()).unwrap(), reads: RefCell::default() };
        let length = file.bytes.len();
        let size = if size_known { length as u64 } else { UNKNOWN_SIZE };
        let folder = Listing::new("folder", 0, vec![FileInfo::new("model.safetensors", size)]);
        let poll =
            pin!(read_header(&file, &folder, 0, Format::Safetensors)).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(header) = poll else { panic!("it waits") };
        assert!(header.unwrap().iter().map(|tensor| tensor.name.to_string()).eq(names));
        (file.reads.into_inner(), length)
    }

    #[test]
    fn a_header_is_read_at_once_where_it_is_short() {
        let (found, length) = reads(3, true);
        assert_eq!(found, [(0, length)]);
        let (found, length) = reads(2000, true);
        assert_eq!(found, [(0, 65536), (65536, length - 65536)]);
        // Where the file may be as short as its header, nothing beyond that is asked for.
        let (found, length) = reads(3, false);
        assert_eq!(found, [(0, 8), (8, length - 8)]);
    }
}
