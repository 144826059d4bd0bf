//! Files as inputs.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::error::{self, Error, Result};
use crate::inputs::{FileInfo, Inputs, Listing};

/// Input files by number, each opened when it is first read. One for every thread.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    open: RefCell<HashMap<usize, File>>,
}

impl Files {
    /// Inputs in the order of their numbers.
    pub fn new(paths: Vec<PathBuf>) -> Files {
        Files { paths, open: RefCell::default() }
    }

    fn read_now(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let Some(path) = self.paths.get(input) else {
            return Err(Error::internal(format!("there is no input {input}")));
        };
        let mut open = self.open.borrow_mut();
        let file = match open.entry(input) {
            std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(File::open(path).map_err(|e| failed(path, &e))?)
            }
        };
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(buffer)).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => Error::source_changed(
                path.display().to_string(),
                format!("it ends before byte {}", start + buffer.len() as u64),
            ),
            _ => failed(path, &e),
        })
    }
}

impl Inputs for Files {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        self.read_now(input, start, buffer)
    }
}

/// What reading `path` gave, as one of our errors.
fn failed(path: &Path, error: &std::io::Error) -> Error {
    with_kind(Error::fetch_failed(path.display().to_string(), error.to_string()), error)
}

/// What writing `path` gave, as one of our errors.
pub(super) fn write_failed(path: &Path, error: &std::io::Error) -> Error {
    let file = path.display().to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::out_of_space(file, error.to_string())
        }
        _ => with_kind(Error::write_failed(file, error.to_string()), error),
    }
}

fn with_kind(failed: Error, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound => failed.kind(error::ErrorKind::NotFound),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => failed.kind(error::ErrorKind::AccessDenied),
        _ => failed,
    }
}

/// List a folder, or a file as a folder of one, as the inputs from `paths.len()` on; their paths are appended to `paths`.
///
/// # Errors
/// `fetch-failed` when it cannot be listed.
pub fn list_folder(path: &Path, paths: &mut Vec<PathBuf>) -> Result<Listing> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut found = Vec::new();
    let mut folders = Vec::new();
    let data = std::fs::metadata(path).map_err(|e| failed(path, &e))?;
    if data.is_dir() {
        for entry in std::fs::read_dir(path).map_err(|e| failed(path, &e))? {
            let path = entry.map_err(|e| failed(path, &e))?.path();
            let data = std::fs::metadata(&path).map_err(|e| failed(&path, &e))?;
            if data.is_file() {
                found.push((path, data.len()));
            } else if data.is_dir() {
                folders.push(name(&path));
            }
        }
    } else {
        found.push((path.to_path_buf(), data.len()));
    }
    found.sort();
    folders.retain(|name| !name.starts_with('.'));
    folders.sort();
    let first_input = paths.len();
    let files = found.iter().map(|(path, size)| FileInfo { name: name(path), size: *size, version: None }).collect();
    paths.extend(found.into_iter().map(|(path, _)| path));
    Ok(Listing { name: name(path), first_input, files, folders })
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
