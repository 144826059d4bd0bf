//! The header reader against the format's own crate: what one accepts the other does, and they read the same.
#![cfg(not(target_arch = "wasm32"))]

mod model;

use lorafold::container::Header;
use model::{Model, Random};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn ours(bytes: &[u8]) -> Option<Header> {
    let prefix = bytes.get(..8)?.try_into().ok()?;
    let length = Header::json_bytes("f", prefix, bytes.len() as u64).ok()?;
    Header::parse("f", &bytes[8..8 + length as usize], bytes.len() as u64).ok()
}

/// Both read `bytes` alike, except for what we are stricter about on purpose: a key given twice.
fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
    match (ours(bytes), SafeTensors::deserialize(bytes)) {
        (Some(header), Ok(theirs)) => {
            prop_assert_eq!(header.tensors.len(), theirs.len());
            for tensor in &header.tensors {
                let view = theirs.tensor(&tensor.name).unwrap();
                prop_assert_eq!(view.shape().iter().map(|&size| size as u64).collect::<Vec<_>>(), tensor.shape.clone());
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

proptest! {
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
    assert_eq!(header.tensors[0].name, "z");
    assert_eq!(header.data_order(), [1, 0]);
    assert!(SafeTensors::deserialize(&bytes).is_ok());
}
