//! Reads what a plan needs of a base: headers, indexes and configurations, never weights.

use std::collections::HashMap;

use super::elsewhere::elsewhere;
use crate::container::checkpoint::find_index;
use crate::container::index::is_plain_name;
use crate::container::{CheckpointFiles, Format, Header, ShardIndex, TensorInfo, foreign, header, limits, torch};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{FileInfo, Inputs, Listing, UNKNOWN_SIZE, read_whole, try_buffer};
use crate::json::repeated;
use crate::tensor::Float;
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
    /// The sha256 of its bytes in hex, if its source knows it.
    pub sha256: Option<String>,
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
    /// Files that are copied, each with the number of its input. Empty once the plan is made.
    pub others: Vec<(usize, FileInfo)>,
    /// Files of the folder that stay behind, and folders inside it.
    pub left_behind: Vec<String>,
    /// (name, version) of each file whose source gives it a version.
    pub versions: Vec<(String, String)>,
    /// Where it can be had again, for the recipe.
    pub origin: Option<String>,
    /// What the user should know about its files.
    pub findings: Vec<Finding>,
}

wire!(Shard { input, name, header, sha256 });
wire!(Base { name, format, shards, index, config, left_behind, versions, origin } without { others, findings });
impl Base {
    /// Call `visit` with the name of each tensor.
    pub(super) fn each_name<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.shards.iter().for_each(|shard| shard.header.iter().for_each(|tensor| visit(tensor.name)));
    }

    /// Give each tensor the names that `names` adds to its list. With no name it is left out; several names make copies.
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

    /// Do not copy the files for which `stays` returns true.
    pub(crate) fn leave_behind(&mut self, stays: impl Fn(&str) -> bool) {
        let left = self.others.extract_if(.., |(_, file)| stays(&file.name)).map(|(_, file)| file.name);
        self.left_behind.extend(left);
    }
}

/// Read the headers of a base.
///
/// # Errors
/// Those of [`CheckpointFiles::of`], [`Header::parse`] and [`ShardIndex::parse`]; `bad-header` when index and shards disagree;
/// `wrong-input` for an adapter, or for a file of another kind; `bad-option` for a file that is listed twice.
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
    let sizes: Vec<u64> = folder.files.iter().map(|file| file.size).collect();
    let layout = CheckpointFiles::of(&names, &sizes, index.as_ref().map(|(at, index)| (*at, index)));
    let layout = layout.map_err(|error| elsewhere(folder, error, false))?;
    // The output has files with these names.
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
        let header = read_header(inputs, folder, file, layout.format).await;
        // torch gives the files of all models the same name.
        let header = header
            .map_err(|error| if layout.format == Format::Torch { error.in_folder(&folder.name) } else { error })?;
        check_gathered(names[file], &header, false)?;
        let sha256 = folder.files[file].sha256.clone();
        shards.push(Shard { input: folder.first_input + file, name: names[file].into(), header, sha256 });
    }
    let index = index.map(|(at, index)| (names[at].to_string(), index));
    let mut findings = Vec::new();
    check_names(&mut shards, index.as_ref(), &mut findings)?;
    if !layout.not_chosen.is_empty() {
        let chosen = layout.index.unwrap_or(layout.shards[0]);
        let others: Vec<&str> = layout.not_chosen.iter().map(|&i| names[i]).collect();
        let message = format!("of several weights those of {} are merged, not {}", names[chosen], others.join(", "));
        findings.push(Finding::warning("other-weights", None, message));
    }
    let config = match layout.config {
        None => None,
        Some(file) => Some(read_json(inputs, folder, file, limits::CONFIG_BYTES).await?),
    };
    let others = layout.others.iter().map(|&i| (folder.first_input + i, folder.files[i].clone())).collect();
    let mut used = vec![false; names.len()];
    let known = layout.shards.iter().chain(&layout.others).chain(&layout.index).chain(&layout.config);
    known.chain(&layout.not_chosen).for_each(|&i| used[i] = true);
    let files = (0..names.len()).filter(|&i| !used[i]).map(|i| names[i].to_string());
    let left_behind = files.chain(folder.folders.iter().map(|name| format!("{name}/"))).collect();
    let versions =
        folder.files.iter().filter_map(|file| Some((file.name.clone(), file.version.clone()?))).collect::<Vec<_>>();
    let format = layout.format;
    let (name, origin) = (folder.name.clone(), folder.origin.clone());
    Ok(Base { name, format, shards, index, config, others, left_behind, versions, origin, findings })
}

/// The error of opening a model that is not the base, which says what was expected in its place.
#[inline(never)]
pub(crate) fn in_place_of(role: &'static str, error: Error) -> Error {
    let facts = error.facts();
    if facts.kind != Some(ErrorKind::AdapterAsBase) {
        return error;
    }
    let reason = format!("this is an adapter, not {role}: it has adapter_config.json and no config.json");
    Error::wrong_input(facts.file.clone().unwrap_or_default(), reason)
        .kind(ErrorKind::AdapterAsBase)
        .found("an adapter")
        .expected(role)
        .fix(format!("give {role} in its place"))
}

/// A training run that spreads weights over machines and saves without gathering them leaves all or most tensors empty. With `some` (for
/// adapters), some empty tensors are enough for an error.
pub(super) fn check_gathered(file: &str, header: &Header, some: bool) -> Result<()> {
    let empty = || header.iter().filter(|tensor| tensor.shape == [0] && Float::of(tensor.dtype).is_some());
    let (Some(first), count) = (empty().next(), empty().count()) else { return Ok(()) };
    if !some && count * 2 <= header.len() {
        return Ok(());
    }
    let reason = format!(
        "{count} tensors are empty ({}, …), as when a ZeRO-3 run saves without gathering its weights",
        first.name
    );
    Err(Error::wrong_input(file, reason)
        .tensor(first.name)
        .found(format!("{:?}", first.shape))
        .fix("save it with stage3_gather_16bit_weights_on_model_save, or convert it with DeepSpeed's zero_to_fp32.py"))
}

/// No file is listed twice.
pub(super) fn check_listing(folder: &Listing) -> Result<()> {
    match repeated(folder.files.iter().map(|file| file.name.as_str()).collect()) {
        Some(name) => Err(Error::bad_option("source", format!("it lists {name} twice")).file(name)),
        None => Ok(()),
    }
}

/// Every tensor is there once, in the shard that the index names; copies in other shards are left out. A tensor that the index does not name
/// stays, as in transformers.
fn check_names(shards: &mut [Shard], index: Option<&(String, ShardIndex)>, findings: &mut Vec<Finding>) -> Result<()> {
    let listed = |tensor: &str| index.and_then(|(_, index)| index.shard_of(tensor));
    let (mut places, mut superseded, mut unlisted) = (HashMap::new(), Vec::new(), Vec::new());
    for (number, shard) in shards.iter().enumerate() {
        for tensor in shard.header.iter() {
            let wanted = listed(tensor.name);
            if wanted.is_none() {
                unlisted.push(tensor.name);
            }
            let Some(other) = places.insert(tensor.name, number) else { continue };
            let Some(wanted) = wanted else {
                let reason = format!("this tensor is in {} and in {}", shards[other].name, shard.name);
                return Err(Error::bad_header(shard.name.clone(), reason).tensor(tensor.name));
            };
            superseded.push(tensor.name);
            if wanted != shard.name {
                places.insert(tensor.name, other);
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
    let rows = [
        ("unlisted-tensor", &unlisted, "that the index does not name: kept, as transformers keeps them"),
        ("superseded-tensor", &superseded, "that the index names in another shard: left out"),
    ];
    for (code, tensors, what) in rows {
        if let Some(first) = tensors.first() {
            let message = format!("{file}: shards have {} tensors ({first}, …) {what}", tensors.len());
            findings.push(Finding { tensor: Some(first.to_string()), ..Finding::warning(code, None, message) });
        }
    }
    if superseded.is_empty() {
        return Ok(());
    }
    for Shard { name, header, .. } in shards {
        let kept = |(number, tensor): (usize, TensorInfo)| {
            index.shard_of(tensor.name).is_none_or(|shard| shard == name).then(|| (tensor.name.into(), number))
        };
        *header = header.of_tensors(name, &header.iter().enumerate().filter_map(kept).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// Read a JSON file as a whole.
pub(super) async fn read_json(inputs: &impl Inputs, folder: &Listing, file: usize, limit: u64) -> Result<Vec<u8>> {
    let json = read_whole(inputs, folder, file, limit).await?;
    match foreign(&folder.files[file].name, &json) {
        Some(error) => Err(error),
        None => Ok(json),
    }
}

/// Bytes of the first read of a weight file, if its size is known. Most headers are shorter, and then need no second read.
const HEAD_BYTES: u64 = 1 << 16;

pub(super) async fn read_header(inputs: &impl Inputs, folder: &Listing, file: usize, format: Format) -> Result<Header> {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::container::{HeaderWriter, TensorInfo};
    use crate::tensor::Dtype;

    /// One file in memory, and what was read of it: first byte and number of bytes.
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

    /// The reads that it takes to get the header of a file with `tensors` empty tensors, and the length of that header.
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
        // If the file may be as short as its header, nothing beyond the header is read.
        let (found, length) = reads(3, false);
        assert_eq!(found, [(0, 8), (8, length - 8)]);
    }
}
