//! The folder that a merge writes to. The files stay hidden until all are complete. Then either all get their names, or the folder stays
//! as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::files::{InputFile, with_kind};
use crate::container::checkpoint::{is_unfinished, model_weights};
use crate::container::limits::INDEX_BYTES;
use crate::error::{self, Error, Result};

/// Counts the merges of this process, because each has hidden files of its own.
static MERGES: AtomicU64 = AtomicU64::new(0);

/// The longest name, in bytes, that fits into a hidden name unchanged.
const LONGEST: usize = 200;

/// An output folder, and the hidden files of one merge in it. If this is dropped before they are published, they are removed.
pub(super) struct OutputFolder {
    path: PathBuf,
    /// Names of the output's files, by number.
    names: Vec<String>,
    /// Replace a model that is there.
    force: bool,
    /// Distinguishes this merge's hidden files from those of others.
    token: String,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
    published: bool,
}

impl OutputFolder {
    /// Make the folder, if it does not exist.
    ///
    /// # Errors
    /// `bad-option` if it is a file, is not empty and `force` is not set, has a folder where the model has a file, or has
    /// files that the merge reads; `write-failed` if it cannot be made.
    pub(super) fn open(path: &Path, names: Vec<String>, inputs: &[InputFile], force: bool) -> Result<OutputFolder> {
        if let Some(file) = path.ancestors().find(|path| path.exists()).filter(|path| !path.is_dir()) {
            return Err(bad_output(file, "is a file, not a folder"));
        }
        refuse_inputs(path, inputs)?;
        let token = format!("{}-{}", std::process::id(), MERGES.fetch_add(1, Ordering::Relaxed));
        let mut folder =
            OutputFolder { path: path.to_path_buf(), names, force, token, made: Vec::new(), published: false };
        folder.replaced()?;
        let mut missing: Vec<&Path> =
            path.ancestors().take_while(|path| *path != Path::new("") && !path.exists()).collect();
        missing.reverse();
        for path in missing {
            fs::create_dir(path).map_err(|e| write_failed(path, &e))?;
            folder.made.push(path.to_path_buf());
        }
        Ok(folder)
    }

    /// Where a file is written, by its number.
    pub(super) fn partial(&self, file: usize) -> PathBuf {
        self.hidden(&self.names[file], &self.token)
    }

    /// Make the hidden file of that number, `size` bytes long.
    pub(super) fn create(&self, file: usize, size: u64) -> Result<()> {
        let path = self.partial(file);
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        made.and_then(|file: File| file.set_len(size)).map_err(|e| write_failed(&path, &e))
    }

    /// Give all files their names. The old configuration and index, which make a folder a model, are removed first, and the new ones get their names
    /// last. So no tool can take the folder for a model while only some of its files are there.
    ///
    /// # Errors
    /// `bad-option` if somebody wrote to the folder meanwhile; `write-failed`. The folder is then as it was before.
    pub(super) fn publish(mut self) -> Result<()> {
        let mut old = self.replaced()?;
        old.sort_by_key(|name| std::cmp::Reverse(standing(name)));
        let mut new = self.names.clone();
        new.sort_by_key(|name| standing(name));
        let aside = format!("{}-replaced", self.token);
        let away = old.iter().map(|name| (self.path.join(name), self.hidden(name, &aside)));
        let into_place = new.iter().map(|name| (self.hidden(name, &self.token), self.path.join(name)));
        let mut moved = Vec::new();
        for (from, to) in away.chain(into_place) {
            if let Err(error) = fs::rename(&from, &to) {
                let error = write_failed(&to, &error);
                // In reverse, so that what makes it a model comes back last, and only if everything else did. The first error says more.
                moved.iter().rev().all(|(from, to): &(PathBuf, PathBuf)| fs::rename(to, from).is_ok());
                return Err(error);
            }
            moved.push((from, to));
        }
        self.published = true;
        for name in &old {
            // The model is complete, and the rest of the old one is hidden.
            let _ = fs::remove_file(self.hidden(name, &aside));
        }
        Ok(())
    }

    fn hidden(&self, name: &str, token: &str) -> PathBuf {
        // A long name is replaced by its hash, because file names have at most 255 bytes.
        if name.len() > LONGEST {
            let hash: String = Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
            return self.hidden(&hash, token);
        }
        self.path.join(format!(".{name}.{token}.partial"))
    }

    /// The files that the model replaces: those with the same names, and the weights of the old model, which tools would take for
    /// part of the new one.
    fn replaced(&self) -> Result<Vec<String>> {
        let names = names_in(&self.path)?;
        if !self.force && !names.is_empty() {
            return Err(bad_output(&self.path, "is not empty")
                .kind(error::ErrorKind::OutputNotEmpty)
                .fix("give another folder, or set force to replace the model in it"));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let weights = model_weights(&names, |name| {
            let path = self.path.join(name);
            let small = fs::metadata(&path).is_ok_and(|data| data.len() <= INDEX_BYTES);
            if small { fs::read(&path).unwrap_or_default() } else { Vec::new() }
        });
        let mut replaced = Vec::new();
        for &name in &names {
            if !weights.contains(&name) && !self.names.iter().any(|other| other == name) {
                continue;
            }
            let path = self.path.join(name);
            if path.is_dir() {
                return Err(bad_output(&path, "is a folder, where the model has a file"));
            }
            replaced.push(name.to_string());
        }
        Ok(replaced)
    }
}

impl Drop for OutputFolder {
    /// This is best effort: the first error is the one that is reported.
    fn drop(&mut self) {
        if self.published {
            return;
        }
        for file in 0..self.names.len() {
            let _ = fs::remove_file(self.partial(file));
        }
        for path in self.made.iter().rev() {
            let _ = fs::remove_dir(path);
        }
    }
}

/// Ranks the files that make a folder a model, or an adapter: without these, no tool takes it for one.
fn standing(name: &str) -> u8 {
    if name == "config.json" || name == "adapter_config.json" { 2 } else { u8::from(name.ends_with(".index.json")) }
}

/// The content of a folder, except for the hidden files of merges that run or were killed. Empty if the folder does not exist.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| write_failed(folder, &e))?,
    };
    let name = |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: io::Result<Vec<String>> = entries.map(name).collect();
    let mut names = names.map_err(|e| write_failed(folder, &e))?;
    names.retain(|name| !is_unfinished(name));
    Ok(names)
}

/// Check that the output does not replace its own inputs. Different paths and links may lead to the same folder.
fn refuse_inputs(out: &Path, inputs: &[InputFile]) -> Result<()> {
    let Ok(folder) = fs::canonicalize(out) else { return Ok(()) };
    let lies_there = |path: PathBuf| path.parent().is_some_and(|parent| parent == folder);
    let reads = |InputFile { path, .. }: &InputFile| {
        let parent = path.parent().map(|parent| if parent == Path::new("") { Path::new(".") } else { parent });
        let beside = parent.is_some_and(|parent| fs::canonicalize(parent).is_ok_and(|parent| parent == folder));
        beside || fs::canonicalize(path).is_ok_and(lies_there)
    };
    if inputs.iter().any(reads) {
        return Err(bad_output(out, "is a folder that the merge reads")
            .kind(error::ErrorKind::OutputIsInput)
            .fix("give another one"));
    }
    Ok(())
}

fn bad_output(path: &Path, reason: &str) -> Error {
    let path = path.display().to_string();
    Error::bad_option("out", format!("{path} {reason}")).file(path)
}

/// A write that failed: `out-of-space` or `write-failed`.
pub(super) fn write_failed(path: &Path, error: &io::Error) -> Error {
    let file = path.display().to_string();
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Error::out_of_space(file, error.to_string())
        }
        _ => with_kind(Error::write_failed(file, error.to_string()), error),
    }
}
