//! The safetensors format: headers, the index of shards, and which files of a folder make up a checkpoint.
//!
//! Own reader and writer, because offsets must be `u64` on every target and only the header may be read; the
//! `safetensors` crate is the oracle in the tests.

pub mod checkpoint;
mod entry;
mod foreign;
pub mod header;
pub mod index;
pub mod limits;
mod memory;
mod scanner;
mod texts;
pub mod writer;

pub use checkpoint::CheckpointFiles;
pub(crate) use foreign::foreign;
pub use header::{Header, TensorInfo};
pub use index::ShardIndex;
pub use writer::{HeaderWriter, IndexWriter};
