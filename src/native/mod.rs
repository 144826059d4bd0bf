//! Folders to folder on a machine with files and threads: the driver that native programs, tests and benchmarks use.

mod files;
mod merge;

pub use files::{Files, list_folder};
pub use merge::{MergeOptions, Merged, merge_folders, plan_folders};
