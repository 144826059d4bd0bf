//! The pairs of factors in an adapter file.

use super::keys::{Half, Key};
use crate::dtype::Float;
use crate::error::{Error, Result};
use crate::safetensors::json::sorted;
use crate::safetensors::{Header, TensorInfo};

/// Where one factor lies in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct FactorRef {
    /// The tensor's key in the adapter file.
    pub key: String,
    /// Element type.
    pub float: Float,
    /// First byte in the file.
    pub start: u64,
    /// Size in bytes.
    pub bytes: u64,
}

/// `lora_A` (rank, in) and `lora_B` (out, rank) of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Path of the module, without PEFT's prefix.
    pub module: String,
    /// Shape (rank, inputs).
    pub a: FactorRef,
    /// Shape (outputs, rank).
    pub b: FactorRef,
    /// Rank, from the shapes.
    pub rank: u64,
    /// Width of the module's input.
    pub inputs: u64,
    /// Width of the module's output.
    pub outputs: u64,
}

/// Read every pair out of an adapter's header, in the order of the module names.
///
/// # Errors
/// `unsupported` for a tensor of another kind, `missing-pair` for half a pair, `shape-mismatch` for halves that do not
/// fit each other, `bad-header` for an adapter without factors or with one given twice.
pub fn pairs(adapter: &str, file: &str, header: &Header) -> Result<Vec<Pair>> {
    let mut factors = Vec::with_capacity(header.tensors.len());
    for tensor in &header.tensors {
        match Key::parse(&tensor.name) {
            Key::Factor { module, half } => factors.push((module, half, tensor)),
            Key::TrainingState => {}
            Key::Unsupported(kind) => {
                return Err(Error::Unsupported {
                    subject: tensor.name.clone(),
                    adapter: Some(adapter.into()),
                    tensor: Some(tensor.name.clone()),
                    reason: format!("{kind}: cannot be merged yet"),
                });
            }
        }
    }
    if factors.is_empty() {
        return Err(Error::BadHeader { file: file.into(), reason: "no LoRA factors in this file".into() });
    }
    let modules = sorted(factors.iter().map(|(module, ..)| module.as_str()).collect());
    let mut halves: Vec<[Option<&TensorInfo>; 2]> = vec![[None; 2]; modules.len()];
    for (module, half, tensor) in &factors {
        let place = modules.binary_search(&module.as_str()).ok().and_then(|at| halves.get_mut(at));
        if let Some(other) = place.and_then(|halves| halves[*half as usize].replace(tensor)) {
            return Err(Error::BadHeader {
                file: file.into(),
                reason: format!("{:?} and {:?} are the same factor", other.name, tensor.name),
            });
        }
    }
    modules.into_iter().zip(halves).map(|(module, halves)| pair(adapter, header, module.into(), halves)).collect()
}

fn pair(adapter: &str, header: &Header, module: String, halves: [Option<&TensorInfo>; 2]) -> Result<Pair> {
    let missing = |there: &TensorInfo, half: Half| Error::MissingPair {
        adapter: adapter.into(),
        key: there.name.clone(),
        missing: match half {
            Half::A => there.name.replace("lora_B", "lora_A"),
            Half::B => there.name.replace("lora_A", "lora_B"),
        },
    };
    let (a, b) = match halves {
        [Some(a), Some(b)] => (a, b),
        [Some(a), None] => return Err(missing(a, Half::B)),
        [None, Some(b)] => return Err(missing(b, Half::A)),
        [None, None] => {
            return Err(Error::BadHeader { file: adapter.into(), reason: format!("{module} has no factors") });
        }
    };
    let (&[rank, inputs], &[outputs, rank_b]) = (a.shape.as_slice(), b.shape.as_slice()) else {
        return Err(Error::Unsupported {
            subject: a.name.clone(),
            adapter: Some(adapter.into()),
            tensor: Some(a.name.clone()),
            reason: format!(
                "factors of shapes {:?} and {:?} are not of a linear layer: cannot be merged yet",
                a.shape, b.shape
            ),
        });
    };
    if rank != rank_b || rank == 0 {
        return Err(Error::ShapeMismatch {
            adapter: adapter.into(),
            tensor: b.name.clone(),
            reason: format!("the ranks differ or are 0: lora_A is {:?}, lora_B {:?}", a.shape, b.shape),
        });
    }
    Ok(Pair { module, a: factor(adapter, header, a)?, b: factor(adapter, header, b)?, rank, inputs, outputs })
}

fn factor(adapter: &str, header: &Header, tensor: &TensorInfo) -> Result<FactorRef> {
    let float = tensor.dtype.float().ok_or_else(|| Error::Unsupported {
        subject: tensor.name.clone(),
        adapter: Some(adapter.into()),
        tensor: Some(tensor.name.clone()),
        reason: format!("a factor of type {} cannot be merged yet", tensor.dtype.name()),
    })?;
    Ok(FactorRef { key: tensor.name.clone(), float, start: header.data_start + tensor.start, bytes: tensor.bytes() })
}
