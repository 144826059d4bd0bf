//! Headers and indexes against other implementations: the reader of headers against the format's own crate, the reader of JSON
//! and what is written against `serde_json` and its maps.
#![cfg(not(target_arch = "wasm32"))]

use crate::model::{Model, Random};
use lorafold::container::{Header, HeaderWriter, IndexWriter, ShardIndex, TensorInfo};
use lorafold::tensor::Dtype;
use proptest::prelude::*;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

fn ours(bytes: &[u8]) -> Option<Header> {
    let prefix = bytes.get(..8)?.try_into().ok()?;
    let length = Header::json_bytes("f", prefix, bytes.len() as u64).ok()?;
    Header::parse("f", &bytes[8..8 + length as usize], bytes.len() as u64).ok()
}

/// Both read `bytes` alike, except for what we are stricter about on purpose: a key given twice.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (ours(bytes), SafeTensors::deserialize(bytes)) {
        (Some(header), Ok(theirs)) => {
            prop_assert_eq!(header.len(), theirs.len());
            for tensor in header.iter() {
                let view = theirs.tensor(tensor.name).unwrap();
                prop_assert_eq!(view.shape().iter().map(|&size| size as u64).collect::<Vec<_>>(), tensor.shape);
                let start = (header.data_start + tensor.start) as usize;
                prop_assert_eq!(view.data(), &bytes[start..start + tensor.bytes() as usize]);
            }
        }
        (None, Err(_)) => {}
        (Some(_), Err(error)) => return Err(TestCaseError::fail(format!("only we read it: {error}"))),
        (None, Ok(theirs)) => {
            let json = String::from_utf8_lossy(&bytes[8..]).into_owned();
            let twice = theirs.names().iter().any(|name| json.matches(&format!("\"{name}\":")).count() > 1);
            prop_assert!(twice, "only they read it: {}", json);
        }
    }
    Ok(())
}

/// A header as `serde_json` writes it from a map.
fn header_of_maps(tensors: &[TensorInfo], metadata: &[(String, String)]) -> Vec<u8> {
    let mut object = Map::new();
    if !metadata.is_empty() {
        let entries: Map<_, _> = metadata.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        object.insert("__metadata__".into(), entries.into());
    }
    for tensor in tensors {
        let entry = json!({
            "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [tensor.start, tensor.end],
        });
        object.insert(tensor.name.into(), entry);
    }
    let mut json = serde_json::to_vec(&object).unwrap();
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes(), json.as_slice()].concat()
}

/// An index as `serde_json` writes it from a map.
fn index_of_maps(metadata: &Map<String, Value>, weight_map: &[(String, String)]) -> Vec<u8> {
    let map: Map<_, _> = weight_map.iter().map(|(tensor, shard)| (tensor.clone(), shard.as_str().into())).collect();
    let mut json = serde_json::to_vec_pretty(&json!({ "metadata": metadata, "weight_map": map })).unwrap();
    json.push(b'\n');
    json
}

fn pairs(pairs: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> + Clone {
    pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// Names, each once, with whatever characters.
fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    let text = prop_oneof![any::<String>(), "[a-z\"\\\\/\u{0}-\u{1f}\u{7f}é😀]{0,20}"];
    proptest::collection::btree_map(text.clone(), text, 0..8).prop_map(|map| map.into_iter().collect())
}

proptest! {
    #[test]
    fn headers_are_written_as_from_a_map(
        names in texts(), metadata in texts(), shapes in proptest::collection::vec(proptest::collection::vec(0u64..9, 0..4), 8),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
    ) {
        let mut at = 0;
        let tensors: Vec<TensorInfo> = names.iter().zip(&shapes).map(|((name, _), shape)| {
            let start = at;
            at += shape.iter().product::<u64>() * 4;
            TensorInfo { name, dtype: Dtype::F32, shape, start, end: at }
        }).collect();
        let expected = header_of_maps(&tensors, &metadata);
        let writer = HeaderWriter::new(tensors.iter().copied(), pairs(&metadata));
        prop_assert_eq!(writer.bytes(), expected.len() as u64);
        prop_assert_eq!(&writer.read("f", 0..writer.bytes()).unwrap(), &expected);
        let (one, other) = (cut.0.index(expected.len()), cut.1.index(expected.len()));
        let (start, end) = (one.min(other), one.max(other));
        prop_assert_eq!(&writer.read("f", start as u64..end as u64).unwrap(), &expected[start..end]);
        let header = Header::parse("f", &expected[8..], expected.len() as u64 + at).unwrap();
        prop_assert!(header.iter().eq(tensors.iter().copied()));
        prop_assert!(header.metadata().eq(pairs(&metadata)));
        for (number, (name, _)) in names.iter().enumerate() {
            prop_assert_eq!(header.find(name), Some(number));
        }
    }

    #[test]
    fn indexes_are_written_as_from_a_map(
        weight_map in texts(), total in any::<u64>(), more in any::<Option<f64>>(), note in any::<String>(),
    ) {
        for metadata in [json!({}), json!({ "total_size": total, "more": [more, { "note": note }, [], {}] })] {
            let metadata = metadata.as_object().unwrap();
            let expected = index_of_maps(metadata, &weight_map);
            let writer = IndexWriter::new(metadata, pairs(&weight_map));
            prop_assert_eq!(writer.bytes(), expected.len() as u64);
            prop_assert_eq!(&writer.read("i", 0..writer.bytes()).unwrap(), &expected);
            let half = expected.len() as u64 / 2;
            let halves = [writer.read("i", 0..half).unwrap(), writer.read("i", half..writer.bytes()).unwrap()];
            prop_assert_eq!(halves.concat(), expected);
        }
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them(
        parts in proptest::collection::vec(prop::sample::select(vec![
            "\\", "\\u", "\\n", "\\\"", "\\ud83d", "\\ude00", "\\u00fc", "\\u0000", "\"", "u", "0", "d8", "é", "😀", "\u{1}", "\t", " ",
        ]), 0..6),
    ) {
        let name = parts.concat();
        let json = format!(r#"{{"{name}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#);
        let theirs = serde_json::from_str::<Map<String, Value>>(&json).ok();
        let ours = Header::parse("f", json.as_bytes(), json.len() as u64 + 8).ok();
        let name_read = ours.as_ref().map(|header| header.tensor(0).name);
        prop_assert_eq!(name_read, theirs.as_ref().and_then(|map| map.keys().next()).map(String::as_str), "{}", json);
    }

    #[test]
    fn indexes_with_bytes_changed(
        at in any::<[prop::sample::Index; 2]>(), bytes in prop::sample::select(b"{}[]\",:.0-+eE truefalsn\\\n\xff".to_vec()),
    ) {
        let mut json = br#"{"metadata": {"total_size": 18e0}, "x": [-0.5, 10, true, false, null, {}, "\n"], "weight_map": {"one.w": "a", "two.w": "b"}}"#.to_vec();
        let at = at.map(|at| at.index(json.len()));
        json[at[0]] = bytes;
        json.swap(at[0], at[1]);
        let theirs = serde_json::from_slice::<Value>(&json).ok();
        let theirs = theirs.as_ref().and_then(|index| index.get("weight_map")?.as_object());
        let text = String::from_utf8_lossy(&json).into_owned();
        match ShardIndex::parse("i", &json) {
            Ok(index) => {
                let theirs = theirs.map(|map| map.iter().map(|(name, shard)| (name.as_str(), shard.as_str().unwrap())).collect());
                prop_assert_eq!(Some(index.iter().collect::<Vec<_>>()), theirs, "{}", text);
            }
            Err(error) => {
                // What is JSON and refused all the same: a key twice, and shards or metadata of another kind.
                let known = ["twice", "plain file name", "not a string", "not an object", "0 shards"];
                prop_assert!(theirs.is_none() || known.iter().any(|part| error.to_string().contains(part)), "{error}: {text}");
            }
        }
    }

    #[test]
    fn what_random_models_hold(seed in 0u64..10_000) {
        for file in Model::random(seed).inputs.0.iter().filter(|file| file.get(8) == Some(&b'{')) {
            agree(file)?;
        }
    }

    #[test]
    fn files_with_a_byte_changed(seed in 0u64..2_000, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let model = Model::random(seed);
        let mut file = model.inputs.0.last().unwrap().clone();
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let at = at.index(header);
        file[at] = byte;
        agree(&file)?;
    }

    #[test]
    fn files_cut_short(seed in 0u64..2_000, at in any::<prop::sample::Index>()) {
        let file = Model::random(seed).inputs.0.last().unwrap().clone();
        agree(&file[..at.index(file.len())])?;
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        agree(&bytes)?;
    }
}

#[test]
fn offsets_shuffled_in_the_header_are_fine() {
    let mut random = Random(1);
    let a = random.below(5) * 4;
    let json = format!(
        r#"{{"z":{{"dtype":"F32","shape":[1],"data_offsets":[{a},{}]}},"a":{{"dtype":"U8","shape":[{a}],"data_offsets":[0,{a}]}}}}"#,
        a + 4
    );
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(bytes.len() + a as usize + 4, 7);
    let header = ours(&bytes).unwrap();
    assert_eq!(header.tensor(0).name, "z");
    assert_eq!(header.data_order("f").unwrap(), [1, 0]);
    assert!(SafeTensors::deserialize(&bytes).is_ok());
}
