//! Indexes of shards.

use lorafold::container::ShardIndex;

/// The input is an index. Its shards are those that its tensors name, and it is read again as it was written.
pub fn index(json: &[u8]) {
    let Ok(index) = ShardIndex::parse("i", json) else { return };
    for (tensor, shard) in index.iter() {
        assert_eq!(index.shard_of(tensor), Some(shard));
        assert!(index.has_shard(shard) && !shard.contains('/'));
    }
    assert!(index.shards().all(|shard| index.iter().any(|(_, other)| other == shard)));
    let writer = index.writer();
    let written = writer.read("i", 0..writer.bytes()).unwrap();
    let again = ShardIndex::parse("i", &written).unwrap();
    assert!(again.iter().eq(index.iter()));
    assert_eq!(again.metadata, index.metadata);
}
