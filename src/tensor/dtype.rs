//! The element types of the safetensors format, as the crate `safetensors` lists them.

pub use safetensors::Dtype;
use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};

use crate::wire::Wire;

/// The element type that a safetensors header calls `name`.
pub fn dtype_named(name: &str) -> Option<Dtype> {
    Dtype::deserialize(StrDeserializer::<Error>::new(name)).ok()
}

/// Every element type. The crate has no such list.
pub(super) const ALL: [Dtype; 22] = {
    use Dtype::*;
    [
        BOOL,
        F4,
        F6_E2M3,
        F6_E3M2,
        U8,
        I8,
        F8_E5M2,
        F8_E4M3,
        F8_E8M0,
        F8_E4M3FNUZ,
        F8_E5M2FNUZ,
        I16,
        U16,
        F16,
        BF16,
        I32,
        U32,
        F32,
        C64,
        F64,
        I64,
        U64,
    ]
};

impl Wire for Dtype {
    fn put(&self, out: &mut Vec<u8>) {
        let number = ALL.iter().position(|dtype| dtype == self);
        number.map_or(u8::MAX, |number| number as u8).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        ALL.get(usize::from(u8::take(from)?)).copied()
    }
}
