//! What weight files hold: headers of safetensors and of torch's own format, the index of shards, and which files of a folder make up a
//! checkpoint. What is written is safetensors.
//!
//! The reader and writer are our own, because offsets must be `u64` on every target, and only the header may be read. The tests compare them
//! with the `safetensors` crate.

pub mod checkpoint;
mod companions;
mod entry;
mod foreign;
mod format;
pub mod header;
pub mod index;
pub mod limits;
mod memory;
mod scanner;
mod texts;
pub mod torch;
pub mod writer;

pub use checkpoint::CheckpointFiles;
pub(crate) use companions::says_quantised;
pub(crate) use foreign::foreign;
pub use format::{Format, INDEX_SUFFIX};
pub use header::{Header, TensorInfo};
pub use index::ShardIndex;
pub use writer::{HeaderWriter, IndexWriter};
