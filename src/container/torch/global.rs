//! The closed list of what a pickle of tensors may name. None of it is ever called: each name has a meaning here.

use crate::error::{Error, ErrorKind};
use crate::tensor::Dtype;

/// A class or function that a pickle names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Global {
    /// `collections.OrderedDict`: a dictionary.
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`: a view of a typed storage.
    Tensor,
    /// `torch._utils._rebuild_tensor_v3`: a view of a storage of bytes, with a type of its own.
    TypedTensor,
    /// `torch._utils._rebuild_parameter`: the tensor itself.
    Parameter,
    /// A storage class: the type of its elements, or nothing if it holds bytes.
    Storage(Option<Dtype>),
    /// An element type.
    Dtype(Dtype),
}

impl Global {
    /// What `module.name` means, or nothing if no tensor needs it.
    pub(super) fn of(module: &[u8], name: &[u8]) -> Option<Global> {
        use Dtype::*;
        let storage = |dtype| Some(Global::Storage(Some(dtype)));
        match (module, name) {
            (b"collections", b"OrderedDict") => Some(Global::OrderedDict),
            (b"torch._utils", b"_rebuild_tensor_v2") => Some(Global::Tensor),
            (b"torch._utils", b"_rebuild_tensor_v3") => Some(Global::TypedTensor),
            (b"torch._utils", b"_rebuild_parameter") => Some(Global::Parameter),
            (b"torch.storage", b"UntypedStorage") => Some(Global::Storage(None)),
            (b"torch", b"DoubleStorage") => storage(F64),
            (b"torch", b"FloatStorage") => storage(F32),
            (b"torch", b"HalfStorage") => storage(F16),
            (b"torch", b"BFloat16Storage") => storage(BF16),
            (b"torch", b"LongStorage") => storage(I64),
            (b"torch", b"IntStorage") => storage(I32),
            (b"torch", b"ShortStorage") => storage(I16),
            (b"torch", b"CharStorage") => storage(I8),
            (b"torch", b"ByteStorage") => storage(U8),
            (b"torch", b"BoolStorage") => storage(BOOL),
            (b"torch", b"ComplexFloatStorage") => storage(C64),
            (b"torch", b"uint16") => Some(Global::Dtype(U16)),
            (b"torch", b"uint32") => Some(Global::Dtype(U32)),
            (b"torch", b"uint64") => Some(Global::Dtype(U64)),
            (b"torch", b"float8_e4m3fn") => Some(Global::Dtype(F8_E4M3)),
            (b"torch", b"float8_e5m2") => Some(Global::Dtype(F8_E5M2)),
            (b"torch", b"float8_e8m0fnu") => Some(Global::Dtype(F8_E8M0)),
            _ => None,
        }
    }
}

/// The error for a name that no tensor needs.
pub(super) fn refused(file: &str, module: &[u8], name: &[u8]) -> Error {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes)).into_owned();
    let name = format!("{}.{}", text(module), text(name));
    let reason = format!(
        "its pickle names {name}, which tensors do not need: loading it might run code, so nothing of it was executed"
    );
    let fix = "get the weights as safetensors; or, if you trust whoever made the file, load it with torch and save its state dict as safetensors";
    Error::unsupported(file, reason).kind(ErrorKind::Pickle).file(file).found(name).fix(fix)
}
