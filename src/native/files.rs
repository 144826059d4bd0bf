//! Files as inputs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use super::cancel::Cancel;
use crate::error::{self, Error, Result};
use crate::inputs::{FileInfo, Inputs, Listing};

/// A file that a merge reads, and how to recognise that it is still the listed one.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputFile {
    pub(super) path: PathBuf,
    size: u64,
    /// Nothing on systems that do not record it.
    modified: Option<SystemTime>,
}

impl InputFile {
    fn new(path: PathBuf, data: &Metadata) -> InputFile {
        InputFile { path, size: data.len(), modified: data.modified().ok() }
    }

    /// `source-changed` if size or time of modification of the file are not those that were listed.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let now = fs::metadata(&self.path).map_err(|e| read_failed(&self.path, &e))?;
        if InputFile::new(self.path.clone(), &now) == *self {
            return Ok(());
        }
        let reason = "its size or time of modification has changed since the merge began";
        Err(Error::source_changed(self.path.display().to_string(), reason).fix("merge again"))
    }
}

/// Input files by number, each opened when it is first read. One for every thread.
pub(super) struct Files<'a> {
    files: &'a [InputFile],
    cancel: &'a Cancel,
    open: RefCell<HashMap<usize, File>>,
}

impl<'a> Files<'a> {
    /// Inputs in the order of their numbers. Reads fail with `aborted` once `cancel` is set.
    pub(super) fn new(files: &'a [InputFile], cancel: &'a Cancel) -> Files<'a> {
        Files { files, cancel, open: RefCell::default() }
    }

    fn read_now(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        self.cancel.check()?;
        let Some(InputFile { path, .. }) = self.files.get(input) else {
            return Err(Error::internal(format!("there is no input {input}")));
        };
        let mut open = self.open.borrow_mut();
        let file = match open.entry(input) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(File::open(path).map_err(|e| read_failed(path, &e))?),
        };
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(buffer)).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let end = start.saturating_add(buffer.len() as u64);
                Error::source_changed(path.display().to_string(), format!("it ends before byte {end}"))
            }
            _ => read_failed(path, &e),
        })
    }
}

impl Inputs for Files<'_> {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_now(input, start, buffer)
    }

    async fn pause(&self) -> Result<()> {
        self.cancel.check()
    }
}

fn read_failed(path: &Path, error: &io::Error) -> Error {
    with_kind(Error::fetch_failed(path.display().to_string(), error.to_string()), error)
}

/// The same error with the kind that programs branch on.
pub(super) fn with_kind(failed: Error, error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => failed.kind(error::ErrorKind::NotFound),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => failed.kind(error::ErrorKind::AccessDenied),
        _ => failed,
    }
}

/// List a folder, or a file as a folder of one, as the inputs from `files.len()` on; they are appended to `files`.
///
/// # Errors
/// `fetch-failed` when it cannot be listed.
pub(super) fn list_folder(path: &Path, files: &mut Vec<InputFile>) -> Result<Listing> {
    let mut found = Vec::new();
    let mut folders = Vec::new();
    let data = fs::metadata(path).map_err(|e| read_failed(path, &e))?;
    if data.is_dir() {
        for entry in fs::read_dir(path).map_err(|e| read_failed(path, &e))? {
            let path = entry.map_err(|e| read_failed(path, &e))?.path();
            let data = fs::metadata(&path).map_err(|e| read_failed(&path, &e))?;
            if data.is_file() {
                found.push(InputFile::new(path, &data));
            } else if data.is_dir() {
                folders.push(file_name(&path));
            }
        }
    } else {
        found.push(InputFile::new(path.to_path_buf(), &data));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    folders.retain(|name| !name.starts_with('.'));
    folders.sort();
    let first_input = files.len();
    let listed = found.iter().map(|file| FileInfo::new(file_name(&file.path), file.size)).collect();
    files.extend(found);
    Ok(Listing { folders, ..Listing::new(file_name(path), first_input, listed) })
}

/// The last part of a path. For `.` and the like, the name of the folder that it means.
fn file_name(path: &Path) -> String {
    let real = || fs::canonicalize(path).ok().and_then(|path| Some(path.file_name()?.to_owned()));
    let name = path.file_name().map(ToOwned::to_owned).or_else(real);
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The result of a future that only ever waits for files.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
