//! Every limit that protects a reader's memory from a file, in one place.

/// Largest header in bytes (the format's own limit).
pub const HEADER_BYTES: u64 = 100_000_000;
/// Largest `*.index.json`, in bytes. The largest published ones have 60 MB.
pub const INDEX_BYTES: u64 = 100_000_000;
/// Largest `metadata` of an index, in bytes. It holds a few numbers.
pub const INDEX_METADATA_BYTES: usize = 64 << 10;
/// Largest configuration file.
pub const CONFIG_BYTES: u64 = 16 << 20;
/// Largest model card that is edited.
pub const CARD_BYTES: u64 = 1 << 20;
/// Most tensors in one file.
pub const TENSORS: usize = 1_000_000;
/// Longest name of a tensor or shard in bytes.
pub const NAME_BYTES: usize = 4096;
/// Most dimensions of a tensor.
pub const DIMENSIONS: usize = 32;
/// Most shards of a model.
pub const SHARDS: usize = 10_000;
/// Largest size or offset: what JavaScript numbers hold exactly.
pub const FILE_BYTES: u64 = 1 << 53;
/// Largest pickle of a file of torch; a tensor has about 250 bytes in it.
pub const PICKLE_BYTES: u64 = 32 << 20;
/// Most values on the stack of a pickle; Python writes a thousand items of a dictionary at a time.
pub const PICKLE_STACK: usize = 1 << 16;
/// Largest directory of a zip archive; a tensor has about 100 bytes in it.
pub const DIRECTORY_BYTES: u64 = 16 << 20;
/// Most bytes that the tensors of a file may have together, where several may share them.
pub const SHARED_BYTES: u64 = 1 << 50;
