//! `model.safetensors.index.json`: which shard holds which tensor.

use serde_json::{Map, Value};

use super::limits;
use crate::error::{Error, Result};
use crate::json::{self, Json};

/// A checked index of shards.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardIndex {
    /// `metadata` as it stands (`total_size` and whatever else).
    pub metadata: Map<String, Value>,
    /// (tensor, shard file) in the order of the file.
    pub weight_map: Vec<(String, String)>,
}

impl ShardIndex {
    /// Parse an index.
    ///
    /// # Errors
    /// `bad-header` when it is not valid, names a tensor twice, or names a shard outside the folder.
    pub fn parse(file: &str, json: &[u8]) -> Result<ShardIndex> {
        let bad = |reason: String| Error::bad_header(file, reason);
        let mut index = ShardIndex { metadata: Map::new(), weight_map: Vec::new() };
        let fields = Json::parse(json).and_then(Json::entries).map_err(|fault| bad(format!("the index is {fault}")))?;
        for (name, value) in fields {
            match name.as_str() {
                "metadata" => {
                    let Value::Object(metadata) = value.into() else {
                        return Err(bad("the index's metadata is not an object".into()));
                    };
                    index.metadata = metadata;
                }
                "weight_map" => {
                    index.weight_map =
                        value.texts().map_err(|fault| bad(format!("the index's weight_map: {fault}")))?;
                }
                _ => {}
            }
        }
        for (tensor, shard) in &index.weight_map {
            if !is_plain_name(shard) {
                return Err(bad(format!("tensor {tensor:?} is in {shard:?}, which is not a plain file name")));
            }
        }
        let shards = index.shards().len();
        if shards == 0 || shards > limits::SHARDS {
            return Err(bad(format!("the index's weight_map names {shards} shards")));
        }
        Ok(index)
    }

    /// The names of the shards, sorted, each once.
    pub fn shards(&self) -> Vec<&str> {
        json::sorted(self.weight_map.iter().map(|(_, shard)| shard.as_str()).collect())
    }

    /// The index as JSON, with the layout transformers writes (two spaces, newline at the end).
    pub fn to_json(&self) -> Vec<u8> {
        let map: Map<String, Value> =
            self.weight_map.iter().map(|(tensor, shard)| (tensor.clone(), shard.clone().into())).collect();
        let metadata = Value::Object(self.metadata.clone());
        json::pretty(&json::object([("metadata", metadata), ("weight_map", Value::Object(map))]))
    }
}

/// Whether `name` stays inside its folder on every platform.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let index = ShardIndex::parse("i", br#"{"metadata":{"total_size":8},"weight_map":{"b":"2","a":"1"}}"#).unwrap();
        assert_eq!(index.shards(), ["1", "2"]);
        assert_eq!(ShardIndex::parse("i", &index.to_json()).unwrap(), index);
    }

    #[test]
    fn bad_indexes() {
        for json in [
            "{}",
            "[1]",
            r#"{"weight_map":{}}"#,
            r#"{"weight_map":{"a":"../x"}}"#,
            r#"{"weight_map":{"a":"1","a":"2"}}"#,
        ] {
            assert_eq!(ShardIndex::parse("i", json.as_bytes()).unwrap_err().code(), "bad-header", "{json}");
        }
    }
}
