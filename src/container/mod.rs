//! The safetensors format: headers, the index of shards, and which files of a folder make up a checkpoint.
//!
//! Own reader and writer, because offsets must be `u64` on every target and only the header may be read; the
//! `safetensors` crate is the oracle in the tests.

pub mod checkpoint;
pub mod header;
pub mod index;
pub mod limits;
pub(crate) mod names;

pub use checkpoint::CheckpointFiles;
pub use header::{Header, TensorInfo};
pub use index::ShardIndex;
