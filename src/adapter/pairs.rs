//! The pairs of factors in an adapter file.

use super::keys::Key;
use crate::container::{Header, TensorInfo};
use crate::encoding::Operand;
use crate::error::{Error, ErrorKind, Result};
use crate::inputs::Span;
use crate::json::sorted;
use crate::tensor::Float;

/// `lora_A` (rank, in) and `lora_B` (out, rank) of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Path of the module, without PEFT's prefix.
    pub module: String,
    /// Shape (rank, inputs).
    pub a: Operand,
    /// Shape (outputs, rank).
    pub b: Operand,
    /// Rank, from the shapes.
    pub rank: u64,
    /// Width of the module's input.
    pub inputs: u64,
    /// Width of the module's output.
    pub outputs: u64,
    /// The lengths of the outputs, shape (outputs,), where it is a DoRA pair.
    pub magnitude: Option<Operand>,
    /// The weight that the pair was trained on and its shape, where the file brings it along.
    pub base: Option<(Operand, Vec<u64>)>,
}

/// Read every pair out of the header of an adapter's file, which is number `input` among all inputs, in the order of the module names.
///
/// # Errors
/// `unsupported` for a tensor of another kind, `missing-pair` for half a pair, `shape-mismatch` for halves that do not
/// fit each other, `wrong-input` for an adapter without factors, `bad-header` for one with a factor given twice.
pub fn pairs(adapter: &str, file: &str, input: usize, header: &Header) -> Result<Vec<Pair>> {
    let mut factors = Vec::with_capacity(header.len());
    let mut bases = Vec::new();
    let mut magnitudes = Vec::new();
    for tensor in header.iter() {
        match Key::parse(tensor.name) {
            Key::Factor { module, half, adapter } => factors.push((module, half, (tensor, adapter))),
            Key::Magnitude { module } => magnitudes.push((module, tensor)),
            Key::BaseWeight { module } => bases.push((module, tensor)),
            Key::TrainingState => {}
            Key::Unsupported(kind) => return Err(unsupported(adapter, &tensor, kind)),
        }
    }
    if factors.is_empty() {
        let error = Error::wrong_input(file, "it has no LoRA factors").kind(ErrorKind::NoWeights);
        return Err(error.expected("tensors such as …lora_A.weight"));
    }
    let modules = sorted(factors.iter().map(|(module, ..)| module.as_str()).collect());
    let mut halves: Vec<[Option<Named>; 2]> = vec![[None; 2]; modules.len()];
    for (module, half, named) in &factors {
        let place = modules.binary_search(&module.as_str()).ok().and_then(|at| halves.get_mut(at));
        if let Some(other) = place.and_then(|halves| halves[*half as usize].replace(*named)) {
            return Err(Error::bad_header(
                file,
                format!("{:?} and {:?} are the same factor", other.0.name, named.0.name),
            ));
        }
    }
    let each = modules.into_iter().zip(halves);
    let mut pairs = each
        .map(|(module, halves)| pair(adapter, input, header, module.into(), halves))
        .collect::<Result<Vec<Pair>>>()?;
    for (module, tensor) in bases {
        let Some(pair) = find(&mut pairs, &module) else {
            return Err(unsupported(adapter, &tensor, "a copy of a base tensor, without factors"));
        };
        pair.base = Some((factor(adapter, input, header, &tensor)?, tensor.shape.into()));
    }
    for (module, tensor) in magnitudes {
        let Some(pair) = find(&mut pairs, &module) else {
            return Err(Error::missing_pair(adapter, tensor.name, format!("{module}.lora_A.weight")));
        };
        if tensor.shape != [pair.outputs] {
            let reason = format!("its shape is {:?}, the layer has {} outputs", tensor.shape, pair.outputs);
            let error = Error::shape_mismatch(adapter, tensor.name, reason).found(format!("{:?}", tensor.shape));
            return Err(error.expected(format!("[{}]", pair.outputs)));
        }
        let magnitude = factor(adapter, input, header, &tensor)?;
        if let Some(other) = pair.magnitude.replace(magnitude) {
            let reason = format!("{:?} and {:?} are the same magnitude", other.key, tensor.name);
            return Err(Error::bad_header(file, reason));
        }
    }
    Ok(pairs)
}

/// The pair of a module; pairs are in the order of their modules.
fn find<'a>(pairs: &'a mut [Pair], module: &str) -> Option<&'a mut Pair> {
    pairs.binary_search_by(|pair| pair.module.as_str().cmp(module)).ok().map(|at| &mut pairs[at])
}

fn unsupported(adapter: &str, tensor: &TensorInfo, kind: &str) -> Error {
    Error::unsupported(tensor.name, format!("{kind} cannot be merged yet"))
        .kind(ErrorKind::NotImplemented)
        .adapter(adapter)
        .tensor(tensor.name)
        .found(kind)
}

/// A factor, and the adapter's name in its key.
type Named<'a> = (TensorInfo<'a>, Option<&'a str>);

fn pair(adapter: &str, input: usize, header: &Header, module: String, halves: [Option<Named>; 2]) -> Result<Pair> {
    let missing = |there: &TensorInfo, [from, to]: [&str; 2]| {
        let parts = there.name.split('.').map(|part| if part == from { to } else { part });
        let missing = parts.collect::<Vec<_>>().join(".");
        Error::missing_pair(adapter, there.name, missing)
    };
    let (a, b) = match halves {
        [Some((a, of)), Some((b, also_of))] if of == also_of => (a, b),
        // Also where there are halves of two adapters.
        [Some((a, _)), _] => return Err(missing(&a, ["lora_A", "lora_B"])),
        [None, Some((b, _))] => return Err(missing(&b, ["lora_B", "lora_A"])),
        [None, None] => {
            return Err(Error::internal(format!("{module} has no factors")));
        }
    };
    let (&[rank, inputs], &[outputs, rank_b]) = (a.shape, b.shape) else {
        let shapes = format!("{:?} and {:?}", a.shape, b.shape);
        let reason = format!("factors of shapes {shapes} are not of a linear layer, and cannot be merged yet");
        let error = Error::unsupported(a.name, reason).kind(ErrorKind::NotImplemented);
        return Err(error.adapter(adapter).tensor(a.name).found(shapes));
    };
    if rank != rank_b || rank == 0 {
        let reason = format!("the ranks differ or are 0: lora_A is {:?}, lora_B {:?}", a.shape, b.shape);
        let error = Error::shape_mismatch(adapter, b.name, reason);
        return Err(error.found(format!("{:?}", b.shape)).expected(format!("[{outputs}, {rank}]")));
    }
    let (a, b) = (factor(adapter, input, header, &a)?, factor(adapter, input, header, &b)?);
    Ok(Pair { module, a, b, rank, inputs, outputs, magnitude: None, base: None })
}

fn factor(adapter: &str, input: usize, header: &Header, tensor: &TensorInfo) -> Result<Operand> {
    if Float::of(tensor.dtype).is_none() {
        return Err(unsupported(adapter, tensor, &format!("a factor of type {}", tensor.dtype)));
    }
    let at = Span { input, start: header.data_start + tensor.start, bytes: tensor.bytes() };
    Ok(Operand { key: tensor.name.into(), at, dtype: tensor.dtype })
}
