//! Merges folders into a folder on a machine with files and threads.

mod builder;
mod cancel;
mod files;
mod merge;
mod output;
mod threads;
mod unmerge;
mod verify;

pub use builder::{AdapterFolder, MergeBuilder};
pub use cancel::Cancel;
pub use merge::{Merge, Merged, Progress};
pub use unmerge::{Inexact, Unmerged};
