//! The element types of the safetensors format: the list of the crate `safetensors`.

pub use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

/// The element type that a safetensors header calls `name`.
pub fn dtype_named(name: &str) -> Option<Dtype> {
    Dtype::deserialize(StrDeserializer::<Error>::new(name)).ok()
}
