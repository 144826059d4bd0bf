//! PyTorch's own format, as `torch.save` has written it since version 1.6: a zip archive of stored entries. `data.pkl` names the tensors, and every
//! other entry holds the bytes of a storage. Nothing is ever executed: `pickle.rs` reads the few opcodes that tensors need.
//!
//! The layout is that of `torch/serialization.py` (`_save`) and `caffe2/serialize/inline_container.cc`.

mod archive;
mod bytes;
mod global;
mod opcode;
mod pickle;
mod state;
mod zip;

use self::archive::Archive;
use self::state::{State, Tensor};
use self::zip::{Directory, Place, TAIL_BYTES, shown};
use super::foreign::foreign;
use super::header::{Each, Header, TensorInfo};
use super::limits;
use super::memory::reserve;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::{FileInfo, Inputs, UNKNOWN_SIZE};

/// The entry that names the tensors.
const PICKLE: &[u8] = b"data.pkl";
/// How many bytes at the end of a file are read first. Most directories are shorter.
const FIRST_READ: u64 = 64 << 10;

/// What the user can do about a file that cannot be read: with this option torch reads it without running anything in it.
const CONVERT: &str = "convert it where torch is: import torch, safetensors.torch; \
tensors = torch.load(FILE, map_location=\"cpu\", weights_only=True); \
tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}; \
safetensors.torch.save_file(tensors, \"model.safetensors\", metadata={\"format\": \"pt\"})";

/// Read what a file of tensors holds, without the tensors' bytes. The tensors are those of one dictionary, in its order. Each has a span, which
/// need not be aligned; tensors with the same span are tied.
///
/// # Errors
/// `unsupported` for whatever tensors do not need (it is not executed), for the format from before 1.6, TorchScript, big-endian or compressed
/// files, and tensors whose elements do not follow one another; `bad-header` for an invalid archive or pickle; `truncated` for a file that
/// ends too early; `wrong-input` for a file of another format; `limit-exceeded` beyond [`limits`]; and whatever reading gives.
pub async fn read_header(inputs: &impl Inputs, input: usize, info: &FileInfo) -> Result<Header> {
    let file = info.name.as_str();
    if info.size == UNKNOWN_SIZE {
        let error =
            Error::fetch_failed(file, "its server does not say how long it is, and its list of tensors is at its end");
        return Err(error.fix("download it, and give the file"));
    }
    let archive = Archive { inputs, input, file };
    let tail_start = info.size.saturating_sub(FIRST_READ.max(TAIL_BYTES));
    let tail = archive.read(tail_start, info.size - tail_start).await?;
    let Some(place) = Place::find(file, &tail, info.size)? else {
        return Err(no_archive(file, &archive.read(0, info.size.min(16)).await?));
    };
    let text = match place.span.start.checked_sub(tail_start) {
        Some(start) => tail.get(start as usize..(place.span.end - tail_start) as usize).unwrap_or_default().to_vec(),
        None => {
            drop(tail);
            let bytes = place.span.end - place.span.start;
            check_limit(file, "the archive's directory", bytes, limits::DIRECTORY_BYTES)?;
            archive.read(place.span.start, bytes).await?
        }
    };
    let directory = Directory::parse(file, &text, &place)?;
    let parts = Parts::find(file, &directory)?;
    let mut wanted = Vec::new();
    reserve(file, &mut wanted, directory.entries.len())?;
    wanted.extend((0..directory.entries.len()).map(|number| number == parts.pickle || Some(number) == parts.byteorder));
    let starts = archive.starts(&directory, &wanted, place.span.start).await?;
    let mut contents = Vec::new();
    for number in [Some(parts.pickle), parts.byteorder].into_iter().flatten() {
        let (Some(entry), Some(&start)) = (directory.entries.get(number), starts.get(number)) else { continue };
        check_limit(file, "its pickle", entry.size, limits::PICKLE_BYTES)?;
        contents.push(archive.read(start, entry.size).await?);
    }
    if contents.get(1).is_some_and(|order| order != b"little") {
        return Err(refused(file, "its numbers are not little-endian").fix("save it on another kind of machine"));
    }
    let state = pickle::read(file, contents.first().map(Vec::as_slice).unwrap_or_default())?;
    let rows = rows(file, &state, &directory, &parts)?;
    wanted.fill(false);
    for row in &rows {
        wanted.get_mut(row.entry).into_iter().for_each(|wanted| *wanted = true);
    }
    let starts = archive.starts(&directory, &wanted, place.span.start).await?;
    let tensors = |each: Each| {
        rows.iter().try_for_each(|row| {
            let start = starts.get(row.entry).copied().unwrap_or_default() + row.start;
            let shape = state.shape(row.tensor);
            each(TensorInfo { name: row.name, dtype: row.tensor.dtype, shape, start, end: start + row.bytes })
        })
    };
    Header::of_spans(file, &tensors, info.size)
}

/// The entries of an archive other than the storages.
struct Parts<'a> {
    /// The folder that all entries are in, with its `/`.
    prefix: &'a [u8],
    /// Number of the entry of the pickle.
    pickle: usize,
    /// Number of the entry that says whether numbers are little-endian. Older versions of torch do not write it.
    byteorder: Option<usize>,
}

impl<'a> Parts<'a> {
    fn find(file: &str, directory: &Directory<'a>) -> Result<Parts<'a>> {
        let in_folder =
            |prefix: &[u8]| prefix.ends_with(b"/") && prefix.iter().filter(|&&byte| byte == b'/').count() == 1;
        let prefix_of = |number: usize| directory.name(directory.entries.get(number)?).strip_suffix(PICKLE);
        let numbers = 0..directory.entries.len();
        let mut found =
            numbers.filter_map(|number| Some((number, prefix_of(number).filter(|prefix| in_folder(prefix))?)));
        let (Some((pickle, prefix)), None) = (found.next(), found.next()) else {
            let reason = "this is a zip archive, but not one of torch.save: it does not have one folder/data.pkl";
            let error = Error::wrong_input(file, reason).kind(ErrorKind::OtherFormat).found("a zip archive");
            return Err(error.expected("a file of torch.save, or safetensors"));
        };
        let code = |name: &[u8]| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(b"code/"));
        if directory.find([prefix, b"constants.pkl"]).is_some()
            || directory.entries.iter().any(|entry| code(directory.name(entry)))
        {
            let error = Error::unsupported(file, "this is a TorchScript program, not a file of tensors");
            let error = error.kind(ErrorKind::OtherFormat).file(file).found("a TorchScript program");
            return Err(error.fix("load it with torch.jit.load, and save its state_dict() as safetensors"));
        }
        let byteorder = directory.find([prefix, b"byteorder"]).map(|(number, _)| number);
        Ok(Parts { prefix, pickle, byteorder })
    }
}

/// A tensor, and the entry that holds it.
struct Row<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    /// Number of the entry that is its storage.
    entry: usize,
    /// First byte, counted from the start of its storage.
    start: u64,
    bytes: u64,
}

/// Every tensor, in the order of the pickle.
fn rows<'a>(file: &str, state: &'a State, directory: &Directory, parts: &Parts) -> Result<Vec<Row<'a>>> {
    let folder = [parts.prefix, b"data/"].concat();
    let mut rows = Vec::new();
    reserve(file, &mut rows, state.tensors(file).count())?;
    let mut names = 0;
    for item in state.tensors(file) {
        let (name, tensor) = item?;
        // Names that are all different are all in the pickle.
        names += name.len();
        if names > state.pickle.len() {
            return Err(Error::bad_header(file, "it has several tensors of one name"));
        }
        rows.push(place(file, state, directory, &folder, (name, tensor))?);
    }
    Ok(rows)
}

/// Find the entry that holds a tensor, and the tensor's place in it.
fn place<'a>(
    file: &str,
    state: &'a State,
    directory: &Directory,
    folder: &[u8],
    (name, tensor): (&'a str, &'a Tensor),
) -> Result<Row<'a>> {
    let about = |reason: String| Error::bad_header(file, format!("tensor {}: {reason}", shown(name.as_bytes())));
    if !tensor.contiguous {
        let reason = "its elements do not follow one another, as in a transposed view";
        return Err(refused(file, &format!("tensor {}: {reason}", shown(name.as_bytes()))).tensor(name));
    }
    let shape = state.shape(tensor);
    let width = tensor.dtype.bitsize() as u64 / 8;
    let bytes = shape.iter().try_fold(width, |bytes, &size| bytes.checked_mul(size));
    let start = tensor.offset.checked_mul(width);
    let (Some(bytes), Some(start), Some(storage)) = (bytes, start, state.storage(tensor)) else {
        return Err(about(format!("the shape {shape:?} overflows")));
    };
    let key = state.text(storage.key);
    let Some((number, entry)) = directory.find([folder, key.as_bytes()]) else {
        return Err(about(format!("the archive does not have its bytes, data/{}", shown(key.as_bytes()))));
    };
    if storage.bytes() != Some(entry.size) {
        let found = format!("data/{} has {} bytes, not those of its elements", shown(key.as_bytes()), entry.size);
        return Err(about(found));
    }
    if start.checked_add(bytes).is_none_or(|end| end > entry.size) {
        return Err(about(format!("the shape {shape:?} from element {} on goes beyond its storage", tensor.offset)));
    }
    Ok(Row { name, tensor, entry: number, start, bytes })
}

fn check_limit(file: &str, what: &str, bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let error = Error::limit_exceeded(file, format!("{what} has {bytes} bytes, more than {limit}"));
    Err(error.file(file).found(bytes.to_string()).expected(format!("at most {limit} bytes")))
}

/// What a file is if it is not an archive, judged by its `beginning`.
fn no_archive(file: &str, beginning: &[u8]) -> Error {
    match beginning {
        [b'P', b'K', 3, 4, ..] => {
            Error::truncated(file, "the end of the archive, which lists its tensors, is not there")
                .fix("download it again, or copy it again")
        }
        [0x80, 2..=5, ..] => refused(file, "this is torch's format from before version 1.6, or another bare pickle")
            .kind(ErrorKind::Pickle)
            .found("a pickle file"),
        [_, _, _, _, _, _, _, 0, b'{', ..] => {
            Error::wrong_input(file, "this is a safetensors file, whatever its name says")
                .kind(ErrorKind::OtherFormat)
                .found("safetensors")
                .fix("give it a name that ends in .safetensors")
        }
        _ => foreign(file, beginning).unwrap_or_else(|| {
            Error::wrong_input(file, "this is not a file of torch.save")
                .kind(ErrorKind::OtherFormat)
                .expected("a zip archive, as torch.save writes")
        }),
    }
}

/// The error for a file of torch that cannot be read.
fn refused(file: &str, reason: &str) -> Error {
    Error::unsupported(file, reason).kind(ErrorKind::OtherFormat).file(file).fix(CONVERT)
}
