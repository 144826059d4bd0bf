//! `model.safetensors.index.json`: which shard holds which tensor.

use serde_json::{Map, Value};

use super::limits;
use super::memory::reserve;
use super::scanner::{RawText, Scanner};
use super::texts::{Texts, TextsSize};
use super::writer::IndexWriter;
use crate::error::{Error, Result};
use crate::json;
use crate::wire::wire;

/// A checked index of shards. A tensor takes 12 bytes besides its name; a shard's name is kept once.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardIndex {
    /// `metadata` as it stands (`total_size` and whatever else).
    pub metadata: Map<String, Value>,
    /// Tensors in the order of the file.
    tensors: Texts,
    /// Numbers of the tensors, sorted by name.
    by_name: Vec<u32>,
    /// The number of each tensor's shard.
    shard_of: Vec<u32>,
    shards: Shards,
}

impl ShardIndex {
    /// Parse an index.
    ///
    /// # Errors
    /// `bad-header` when it is not valid, names a tensor twice, or names a shard outside the folder; `limit-exceeded` when
    /// its metadata is larger than [`limits::INDEX_METADATA_BYTES`] or there is not enough memory.
    pub fn parse(file: &str, json: &[u8]) -> Result<ShardIndex> {
        let bad = |reason: &str| Error::bad_header(file, reason);
        // Read twice: the first time says how large the tables are, so that no memory is spent on growing them.
        let (mut size, mut metadata_text, mut tensors_seen) = (TextsSize::default(), None, false);
        read_fields(file, json, |scanner, field| match field {
            Field::Metadata if metadata_text.is_some() => Err(bad("the key \"metadata\" is given twice")),
            Field::Metadata => {
                let start = scanner.position();
                scanner.skip()?;
                metadata_text = Some(scanner.since(start));
                Ok(())
            }
            Field::WeightMap if std::mem::replace(&mut tensors_seen, true) => {
                Err(bad("the key \"weight_map\" is given twice"))
            }
            Field::WeightMap => read_weight_map(file, scanner, |tensor, _| {
                size.add(tensor);
                Ok(())
            }),
        })?;
        let mut index = ShardIndex {
            metadata: metadata_text.map_or(Ok(Map::new()), |text| parse_metadata(file, text))?,
            tensors: Texts::with_room(file, &size)?,
            by_name: Vec::new(),
            shard_of: Vec::new(),
            shards: Shards::default(),
        };
        reserve(file, &mut index.shard_of, size.count())?;
        read_fields(file, json, |scanner, field| match field {
            Field::Metadata => scanner.skip(),
            Field::WeightMap => read_weight_map(file, scanner, |tensor, shard| {
                index.shard_of.push(index.shards.number(file, tensor, shard)?);
                index.tensors.push(tensor);
                Ok(())
            }),
        })?;
        if index.shard_of.is_empty() {
            return Err(bad("the index's weight_map names 0 shards"));
        }
        index.by_name = index.tensors.sorted(file)?;
        Ok(index)
    }

    /// (tensor, shard) in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.tensors.len())
            .map(|tensor| (self.tensors.get(tensor), self.shards.names.get(self.shard_of[tensor] as usize)))
    }

    /// The shard that holds `tensor`: a binary search.
    pub fn shard_of(&self, tensor: &str) -> Option<&str> {
        let tensor = self.tensors.find(&self.by_name, tensor)?;
        Some(self.shards.names.get(self.shard_of[tensor] as usize))
    }

    /// The names of the shards, sorted, each once.
    pub fn shards(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.shards.by_name.iter().map(|&shard| self.shards.names.get(shard as usize))
    }

    /// Whether `name` is one of the shards.
    pub fn has_shard(&self, name: &str) -> bool {
        self.shards.names.find(&self.shards.by_name, name).is_some()
    }

    /// The writer of this index as JSON.
    pub fn writer(&self) -> IndexWriter<'_, impl Iterator<Item = (&str, &str)> + Clone> {
        IndexWriter::new(&self.metadata, self.iter())
    }
}

/// The names of the shards, each once.
#[derive(Debug, Clone, PartialEq, Default)]
struct Shards {
    names: Texts,
    /// Their numbers, sorted by name.
    by_name: Vec<u32>,
    /// The shard of the previous tensor, which is mostly that of the next one, too.
    last: u32,
}

wire!(ShardIndex { metadata, tensors, by_name, shard_of, shards });
wire!(Shards { names, by_name, last });

impl Shards {
    /// The number of `shard`, which holds `tensor`; a new one if it is new.
    fn number(&mut self, file: &str, tensor: RawText, shard: RawText) -> Result<u32> {
        if self.names.len() > 0 && shard.is(self.names.get(self.last as usize)) {
            return Ok(self.last);
        }
        if shard.bytes() > limits::NAME_BYTES || !is_plain_name(&shard.decoded()) {
            let (tensor, shard) = (tensor.short(), shard.short());
            let reason = format!("tensor {tensor:?} is in {shard:?}, which is not a plain file name");
            return Err(Error::bad_header(file, reason));
        }
        self.last = match self.names.position(&self.by_name, &shard.decoded()) {
            Ok(at) => self.by_name[at],
            Err(at) => {
                let number = self.names.len() as u32;
                if self.names.len() == limits::SHARDS {
                    let reason = format!("the index's weight_map names more than {} shards", limits::SHARDS);
                    return Err(Error::bad_header(file, reason));
                }
                let mut size = TextsSize::default();
                size.add(shard);
                self.names.make_room(file, &size)?;
                self.names.push(shard);
                reserve(file, &mut self.by_name, 1)?;
                self.by_name.insert(at, number);
                number
            }
        };
        Ok(self.last)
    }
}

/// The fields of an index that mean something here.
enum Field {
    Metadata,
    WeightMap,
}

/// Hand over each known field of an index, which `each` must read, and skip the others.
fn read_fields<'a>(
    file: &'a str,
    json: &'a [u8],
    mut each: impl FnMut(&mut Scanner<'a>, Field) -> Result<()>,
) -> Result<()> {
    let mut scanner = Scanner::new(file, "the index", json)?;
    scanner.object(|scanner, key| {
        if key.is("metadata") {
            each(scanner, Field::Metadata)
        } else if key.is("weight_map") {
            each(scanner, Field::WeightMap)
        } else {
            scanner.skip()
        }
    })?;
    scanner.end()
}

/// Hand over each tensor and its shard.
fn read_weight_map<'a>(
    file: &str,
    scanner: &mut Scanner<'a>,
    mut each: impl FnMut(RawText<'a>, RawText<'a>) -> Result<()>,
) -> Result<()> {
    if scanner.peek() != Some(b'{') {
        return Err(Error::bad_header(file, "the index's weight_map: not an object"));
    }
    scanner.object(|scanner, tensor| match scanner.text()? {
        Some(shard) => each(tensor, shard.here()),
        None => Err(Error::bad_header(file, format!("the index's weight_map: {:?} is not a string", tensor.short()))),
    })
}

/// The metadata is the one part that is kept as a tree, so it must be small.
fn parse_metadata(file: &str, text: &str) -> Result<Map<String, Value>> {
    if text.len() > limits::INDEX_METADATA_BYTES {
        let limit = limits::INDEX_METADATA_BYTES;
        let reason = format!("the index's metadata has {} bytes, more than {limit}", text.len());
        return Err(Error::limit_exceeded(file, reason).file(file));
    }
    match json::parse(text.as_bytes()) {
        Ok(Value::Object(metadata)) => Ok(metadata),
        Ok(_) => Err(Error::bad_header(file, "the index's metadata is not an object")),
        Err(reason) => Err(Error::bad_header(file, format!("the index's metadata is {reason}"))),
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
        let json =
            br#"{"metadata":{"total_size":8},"more":[{"a":[1.5e3,null]}],"weight_map":{"b":"2","a":"1","c":"2"}}"#;
        let index = ShardIndex::parse("i", json).unwrap();
        assert!(index.shards().eq(["1", "2"]));
        assert!(index.iter().eq([("b", "2"), ("a", "1"), ("c", "2")]));
        assert_eq!([index.shard_of("a"), index.shard_of("d")], [Some("1"), None]);
        assert_eq!([index.has_shard("2"), index.has_shard("b")], [true, false]);
        let written = index.writer().read("i", 0..index.writer().bytes()).unwrap();
        assert_eq!(ShardIndex::parse("i", &written).unwrap(), index);
    }

    #[test]
    fn what_other_tools_write() {
        let json = "\u{FEFF}{\"metadata\":{\"total_size\":NaN},\"more\":[-Infinity],\"weight_map\":{\"a\":\"./x\"}}";
        let index = ShardIndex::parse("i", json.as_bytes()).unwrap();
        assert_eq!(index.shard_of("a"), Some("x"));
        assert!(index.has_shard("x"));
    }

    #[test]
    fn metadata_is_bounded() {
        let json = format!(r#"{{"metadata":{{"a":[{}1]}},"weight_map":{{"a":"1"}}}}"#, "[],".repeat(1 << 15));
        assert_eq!(ShardIndex::parse("i", json.as_bytes()).unwrap_err().code(), "limit-exceeded");
        let deep = format!(r#"{{"metadata":{}{},"weight_map":{{"a":"1"}}}}"#, "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert_eq!(ShardIndex::parse("i", deep.as_bytes()).unwrap_err().code(), "bad-header");
    }

    #[test]
    fn bad_indexes() {
        for json in [
            "{}",
            "[1]",
            r#"{"weight_map":{}}"#,
            r#"{"weight_map":{"a":"../x"}}"#,
            r#"{"weight_map":{"a":"1","a":"2"}}"#,
            r#"{"weight_map":{"a":"1"},"weight_map":{"b":"2"}}"#,
            r#"{"weight_map":{"a":1}}"#,
            r#"{"weight_map":["a"]}"#,
            r#"{"metadata":[],"weight_map":{"a":"1"}}"#,
            r#"{"weight_map":{"a":"1"}} ."#,
        ] {
            assert_eq!(ShardIndex::parse("i", json.as_bytes()).unwrap_err().code(), "bad-header", "{json}");
        }
    }
}
