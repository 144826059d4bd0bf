//! Merges folders into a folder on a machine with files and threads.

mod builder;
mod cancel;
mod factors;
mod files;
mod merge;
mod output;
mod receipt;
mod threads;
mod unmerge;
mod verify;

pub use builder::{AdapterFolder, MergeBuilder};
pub use cancel::Cancel;
pub use factors::NewAdapter;
pub use merge::{Merge, Merged, Progress};
pub use receipt::ReceiptMetadata;
pub use unmerge::{Inexact, Unmerged};
