//! What no reader would take is refused before a byte of it is written.
#![cfg(not(target_arch = "wasm32"))]

use crate::model::Model;
use lorafold::PlanOptions;

/// The most bytes of JSON that the format allows in a header.
const HEADER_BYTES: usize = 100_000_000;

/// A model whose file has a header of this many bytes, nearly all of them a remark.
fn with_header(bytes: usize) -> Model {
    let mut model = (0..).map(Model::random).find(|model| {
        let names = |name: &str| model.base.files.iter().any(|file| file.name == name);
        names("model.safetensors")
    });
    let model_ref = model.as_mut().unwrap();
    let at = model_ref.base.files.iter().position(|file| file.name == "model.safetensors").unwrap();
    let file = &mut model_ref.inputs.0[model_ref.base.first_input + at];
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let json = std::str::from_utf8(&file[8..8 + length]).unwrap();
    let opening = r#"{"__metadata__":{"#;
    let rest = json.strip_prefix(opening).unwrap();
    let remark = bytes - length - r#""remark":"","#.len();
    let mut longer = (bytes as u64).to_le_bytes().to_vec();
    longer.extend_from_slice(format!(r#"{opening}"remark":"{}",{rest}"#, "x".repeat(remark)).as_bytes());
    longer.extend_from_slice(&file[8 + length..]);
    model_ref.base.files[at].size = longer.len() as u64;
    *file = longer;
    model.unwrap()
}

#[test]
fn a_header_that_the_recipe_makes_too_long_is_refused_when_it_is_planned() {
    let error = with_header(HEADER_BYTES).plan(&PlanOptions::default()).unwrap_err();
    assert_eq!(error.code(), "limit-exceeded", "{error}");
    assert!(error.to_string().starts_with("model.safetensors: its header would have 100000"), "{error}");
    // The recipe is not as long as this.
    with_header(HEADER_BYTES - 10_000).plan(&PlanOptions::default()).unwrap();
}
