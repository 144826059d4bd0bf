//! How the core asks for bytes: it never opens anything itself.

use crate::error::{Error, ErrorKind, Result};
use crate::json::from_json;
use crate::wire::wire;

/// One file that can be read at any position.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ListedFile"))]
#[non_exhaustive]
pub struct FileInfo {
    /// Name inside its folder.
    pub name: String,
    /// Size in bytes; [`UNKNOWN_SIZE`] if its server does not say.
    #[cfg_attr(test, ts(optional, as = "Option<u64>"))]
    pub size: u64,
    /// What its source calls this version of it (such as an ETag), if it does.
    #[cfg_attr(test, ts(optional))]
    pub version: Option<String>,
    /// The sha256 of its bytes in hex, if its source knows it.
    #[cfg_attr(test, ts(optional))]
    pub sha256: Option<String>,
}

from_json!(FileInfo { name, size or UNKNOWN_SIZE, version, sha256 });

impl FileInfo {
    /// A file of `size` bytes, of which neither version nor hash is known.
    pub fn new(name: impl Into<String>, size: u64) -> FileInfo {
        FileInfo { name: name.into(), size, version: None, sha256: None }
    }
}

/// The size of a weight file if its server does not say. It ends where its header says.
pub const UNKNOWN_SIZE: u64 = u64::MAX;

/// The files of one base or adapter, and their place among all inputs.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ListedFolder"))]
#[non_exhaustive]
pub struct Listing {
    /// What errors and reports call it.
    pub name: String,
    /// Number of the first file among all inputs; the others follow.
    #[cfg_attr(test, ts(skip))]
    pub first_input: usize,
    /// The files, in the order of the inputs.
    pub files: Vec<FileInfo>,
    /// Names of folders inside it. They are not read; the names are for the report.
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub folders: Vec<String>,
    /// Where it can be found again, for the recipe: `hf://org/name@commit`. Nothing for private places, such as a path of this machine.
    #[cfg_attr(test, ts(optional))]
    pub origin: Option<String>,
}

from_json!(Listing { name, files, folders, origin } without { first_input });

impl Listing {
    /// A folder without folders inside it, whose `files` are the inputs from number `first_input` on.
    pub fn new(name: impl Into<String>, first_input: usize, files: Vec<FileInfo>) -> Listing {
        Listing { name: name.into(), first_input, files, folders: Vec::new(), origin: None }
    }
}

/// The bytes `start .. start + bytes` of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Span {
    /// Number of the input.
    pub input: usize,
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub bytes: u64,
}

wire!(Span { input, start, bytes });

/// Random access to the bytes of every input file, by the file's number.
///
/// In native code a read is done when the future is first polled; in a browser it may take as long as a network request.
#[allow(async_fn_in_trait, reason = "inputs are not Send in a browser, and each native thread has its own")]
pub trait Inputs {
    /// Fill `buffer` with the bytes of `input` from `start` on.
    ///
    /// # Errors
    /// `source-changed` if the file ends too early; `fetch-failed` or `no-range-support`, as the platform reports it.
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()>;

    /// The sha256 of a whole file in hex, if the platform computes it faster than this crate.
    ///
    /// # Errors
    /// Those of reading.
    async fn sha256(&self, _input: usize) -> Result<Option<String>> {
        Ok(None)
    }

    /// Let the caller do something else for a moment, and learn whether the work is still wanted.
    ///
    /// Work that runs long without a read calls this from time to time, because only then can a page respond and an abort be
    /// noticed. Count the work instead of reading a clock: a few thousand tensors or modules between two pauses take about
    /// ten milliseconds. In native code it returns at once.
    ///
    /// # Errors
    /// `aborted` when the caller has asked to stop.
    async fn pause(&self) -> Result<()> {
        Ok(())
    }
}

/// A buffer of `bytes` zeros, or an error if there is not enough memory.
///
/// # Errors
/// `limit-exceeded` when the allocation fails.
pub fn try_buffer(subject: &str, bytes: u64) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    resize(&mut buffer, subject, bytes)?;
    Ok(buffer)
}

/// Make `buffer` `bytes` long, with arbitrary content. If it must grow, its old memory is freed first, and no more is allocated than is needed.
///
/// # Errors
/// `limit-exceeded` when the allocation fails.
pub(crate) fn resize(buffer: &mut Vec<u8>, subject: &str, bytes: u64) -> Result<()> {
    let fail = || {
        let reason = format!("there is not enough memory: {bytes} bytes are needed");
        Error::limit_exceeded(subject, reason).kind(ErrorKind::NoMemory)
    };
    let length = usize::try_from(bytes).map_err(|_| fail())?;
    if length > buffer.capacity() {
        *buffer = Vec::new();
        buffer.try_reserve_exact(length).map_err(|_| fail())?;
    }
    buffer.resize(length, 0);
    Ok(())
}

/// Read a whole small file.
///
/// # Errors
/// `limit-exceeded` when it is larger than `limit`, and whatever reading gives.
pub async fn read_whole(inputs: &impl Inputs, folder: &Listing, file: usize, limit: u64) -> Result<Vec<u8>> {
    let info = &folder.files[file];
    if info.size > limit {
        let error = Error::limit_exceeded(info.name.clone(), format!("it has {} bytes, more than {limit}", info.size));
        return Err(error
            .file(info.name.clone())
            .found(info.size.to_string())
            .expected(format!("at most {limit} bytes")));
    }
    let mut bytes = try_buffer(&info.name, info.size)?;
    inputs.read(folder.first_input + file, 0, &mut bytes).await?;
    Ok(bytes)
}
