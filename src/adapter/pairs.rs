//! The tensors in a LoRA adapter's file: pairs of factors, and whole parameters of the base.

use super::choice::choose;
use super::dialect::AdapterFiles;
use super::keys::{Key, adapter_of, attention_of};
use crate::container::{Header, TensorInfo};
use crate::encoding::Operand;
use crate::error::{Error, ErrorKind, Result};
use crate::json::sorted;
use crate::order::sort;
use crate::tensor::Float;

/// The factors of one module, and what belongs to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// Path of the module, without PEFT's prefix.
    pub module: String,
    /// Shape (rank, inputs), or (rank, inputs, kernel…) of a convolution.
    pub a: Operand,
    /// Shape (outputs, rank), or (outputs, rank, 1…) of a convolution.
    pub b: Operand,
    /// Rank: the rows of `lora_A`.
    pub rank: u64,
    /// The columns of `lora_B`: the rank, unless the configuration says that the factor is stored in blocks.
    pub rank_of_b: u64,
    /// Width of the module's input: channels of a convolution, tokens of an embedding.
    pub inputs: u64,
    /// Width of the module's output.
    pub outputs: u64,
    /// The size of a convolution's kernel, one number for each dimension.
    pub kernel: Vec<u64>,
    /// Whether it is of an embedding.
    pub embedding: bool,
    /// The magnitudes of a DoRA pair, one for each output.
    pub magnitude: Option<Operand>,
    /// The bias of `lora_B`, shape (outputs,).
    pub bias: Option<Operand>,
    /// The weight that the pair was trained on and its shape, if the file brings it along.
    pub base: Option<(Operand, Vec<u64>)>,
}

/// Everything in an adapter's file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors {
    /// The pairs, in the order of the module names.
    pub pairs: Vec<Pair>,
    /// Whole parameters of the base, by module and parameter.
    pub wholes: Vec<Whole>,
    /// The paths of nn.MultiheadAttention modules, in order. Their own pair belongs to the projections of queries, keys and values.
    pub attentions: Vec<String>,
    /// Trained rows of embeddings: module, rows and their shape.
    pub tokens: Vec<(String, Operand, Vec<u64>)>,
}

/// A whole parameter of the base.
#[derive(Debug, Clone, PartialEq)]
pub struct Whole {
    /// Path of the module, without PEFT's prefix.
    pub module: String,
    /// The module's parameter.
    pub parameter: String,
    /// Its values.
    pub values: Operand,
    /// Its shape.
    pub shape: Vec<u64>,
}

/// Read the chosen adapter from the header of its file.
///
/// # Errors
/// `unsupported` for a tensor of another kind, `missing-pair` for half a pair, `shape-mismatch` for halves that do not
/// fit each other, `wrong-input` for an adapter without tensors, `bad-header` for one with a tensor given twice; those of [`choose`].
pub(crate) fn tensors(files: &AdapterFiles, header: &Header) -> Result<Tensors> {
    let AdapterFiles { adapter, file, input, .. } = *files;
    let chosen = choose(files, header.iter().filter_map(|tensor| adapter_of(tensor.name)).collect())?;
    let mut factors = Vec::with_capacity(header.len());
    let mut found = Tensors::default();
    let (mut bases, mut magnitudes, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    let is_meant =
        |tensor: &TensorInfo| chosen.is_none() || adapter_of(tensor.name).is_none_or(|name| Some(name) == chosen);
    for tensor in header.iter().filter(is_meant) {
        found.attentions.extend(attention_of(tensor.name));
        match Key::parse(tensor.name) {
            Key::Factor { module, half, embedding, adapter } => {
                factors.push((module, half, Named { tensor, embedding, adapter }));
            }
            Key::Magnitude { module } => magnitudes.push((module, tensor)),
            Key::BiasOfB { module } => biases.push((module, tensor)),
            Key::BaseWeight { module } => bases.push((module, tensor)),
            Key::Tokens { module } => {
                found.tokens.push((module, factor(adapter, input, header, &tensor)?, tensor.shape.into()));
            }
            Key::Whole { module, parameter } => {
                found.wholes.push(whole(adapter, input, header, &tensor, module, parameter)?);
            }
            Key::TrainingState => {}
            Key::Unsupported(kind) => return Err(unsupported(adapter, &tensor, kind)),
        }
    }
    if factors.is_empty() && found.wholes.is_empty() && found.tokens.is_empty() && bases.is_empty() {
        let error = Error::wrong_input(file, "it has no LoRA factors").kind(ErrorKind::NoWeights);
        return Err(error.expected("tensors such as …lora_A.weight"));
    }
    let modules = sorted(factors.iter().map(|(module, ..)| module.as_str()).collect());
    let mut halves: Vec<[Option<Named>; 2]> = vec![[None; 2]; modules.len()];
    for (module, half, named) in &factors {
        let place = modules.binary_search(&module.as_str()).ok().and_then(|at| halves.get_mut(at));
        if let Some(other) = place.and_then(|halves| halves[*half as usize].replace(*named)) {
            return Err(twice(file, &other.tensor, &named.tensor, "factor"));
        }
    }
    // Collected as results, they would grow to twice their size.
    let mut pairs = Vec::with_capacity(halves.len());
    for (module, halves) in modules.into_iter().zip(halves) {
        pairs.push(pair(adapter, input, header, module.into(), halves)?);
    }
    drop(factors);
    for (module, tensor) in bases {
        match find(&mut pairs, &module) {
            Some(pair) => pair.base = Some((factor(adapter, input, header, &tensor)?, tensor.shape.into())),
            // The layer has other updates, or none. PEFT loads the weight in any case.
            None => found.wholes.push(whole(adapter, input, header, &tensor, module, "weight")?),
        }
    }
    for (module, tensor) in magnitudes {
        let pair = part_of(&mut pairs, adapter, &module, &tensor)?;
        if let Some(other) = pair.magnitude.replace(factor(adapter, input, header, &tensor)?) {
            let reason = format!("{:?} and {:?} are the same magnitude", other.key, tensor.name);
            return Err(Error::bad_header(file, reason));
        }
    }
    for (module, tensor) in biases {
        let pair = part_of(&mut pairs, adapter, &module, &tensor)?;
        pair.bias = Some(factor(adapter, input, header, &tensor)?);
    }
    found.pairs = pairs;
    sort(&mut found.attentions);
    Ok(found)
}

/// The pair that a tensor with one number for each output belongs to.
fn part_of<'a>(pairs: &'a mut [Pair], adapter: &str, module: &str, tensor: &TensorInfo) -> Result<&'a mut Pair> {
    let Some(pair) = find(pairs, module) else {
        return Err(Error::missing_pair(adapter, tensor.name, format!("{module}.lora_A.weight")));
    };
    // A convolution's magnitudes have as many dimensions as its weight.
    let of_convolution = match tensor.shape {
        [1, outputs, ones @ ..] => {
            !ones.is_empty()
                && *outputs == pair.outputs
                && ones.len() == pair.kernel.len()
                && ones.iter().all(|&side| side == 1)
        }
        _ => false,
    };
    if tensor.shape != [pair.outputs] && !of_convolution {
        let reason = format!("its shape is {:?}, the layer has {} outputs", tensor.shape, pair.outputs);
        let error = Error::shape_mismatch(adapter, tensor.name, reason).found(format!("{:?}", tensor.shape));
        return Err(error.expected(format!("[{}]", pair.outputs)));
    }
    Ok(pair)
}

fn whole(
    adapter: &str,
    input: usize,
    header: &Header,
    tensor: &TensorInfo,
    module: String,
    parameter: &str,
) -> Result<Whole> {
    let values = factor(adapter, input, header, tensor)?;
    Ok(Whole { module, parameter: parameter.into(), values, shape: tensor.shape.into() })
}

fn twice(file: &str, one: &TensorInfo, other: &TensorInfo, what: &str) -> Error {
    Error::bad_header(file, format!("{:?} and {:?} are the same {what}", one.name, other.name))
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

/// A factor, and what its key says about it.
#[derive(Debug, Clone, Copy)]
struct Named<'a> {
    tensor: TensorInfo<'a>,
    embedding: bool,
    /// The adapter's name.
    adapter: Option<&'a str>,
}

fn pair(adapter: &str, input: usize, header: &Header, module: String, halves: [Option<Named>; 2]) -> Result<Pair> {
    let missing = |there: &TensorInfo, [from, to]: [&str; 2]| {
        let renamed = |part: &str| {
            part.strip_suffix(from).filter(|rest| rest.starts_with("lora_")).map(|rest| format!("{rest}{to}"))
        };
        let parts = there.name.split('.').map(|part| renamed(part).unwrap_or_else(|| part.into()));
        let missing = parts.collect::<Vec<_>>().join(".");
        Error::missing_pair(adapter, there.name, missing)
    };
    let (a, b) = match halves {
        [Some(a), Some(b)] if a.adapter == b.adapter && a.embedding == b.embedding => (a, b),
        // This is also the case if there are halves of two adapters.
        [Some(a), _] => return Err(missing(&a.tensor, ["A", "B"])),
        [None, Some(b)] => return Err(missing(&b.tensor, ["B", "A"])),
        [None, None] => {
            return Err(Error::internal(format!("{module} has no factors")));
        }
    };
    let (embedding, a, b) = (a.embedding, a.tensor, b.tensor);
    let (&[rank, inputs, ref kernel @ ..], &[outputs, rank_b, ref ones @ ..]) = (a.shape, b.shape) else {
        return Err(misshapen(adapter, &a, &b));
    };
    // The old MergedLinear stores B as a convolution with a kernel of size 1.
    let is_merged = kernel.is_empty() && ones.len() == 1 && !embedding;
    if kernel.len() != ones.len() && !is_merged || ones.iter().any(|&side| side != 1) || embedding && !kernel.is_empty()
    {
        return Err(misshapen(adapter, &a, &b));
    }
    if rank_b != 0 && rank_b < rank && rank.is_multiple_of(rank_b) && !kernel.is_empty() {
        let reason = "the layer is a grouped convolution: its delta has weights between groups, which the base's tensor has no room for";
        let error = Error::unsupported(b.name, reason).adapter(adapter).tensor(b.name).found(format!("{:?}", b.shape));
        return Err(error.fix("load the adapter beside its base"));
    }
    if rank == 0 || rank_b == 0 {
        return Err(misshapen(adapter, &a, &b));
    }
    let kernel = kernel.to_vec();
    let (a, b) = (factor(adapter, input, header, &a)?, factor(adapter, input, header, &b)?);
    let (magnitude, bias, base) = (None, None, None);
    Ok(Pair { module, a, b, rank, rank_of_b: rank_b, inputs, outputs, kernel, embedding, magnitude, bias, base })
}

/// The error for factors that fit no kind of layer.
fn misshapen(adapter: &str, a: &TensorInfo, b: &TensorInfo) -> Error {
    let shapes = format!("{:?} and {:?}", a.shape, b.shape);
    let reason = format!("factors of shapes {shapes} are not those of a linear layer, a convolution or an embedding");
    Error::shape_mismatch(adapter, a.name, reason).found(shapes)
}

fn factor(adapter: &str, input: usize, header: &Header, tensor: &TensorInfo) -> Result<Operand> {
    if Float::of(tensor.dtype).is_none() {
        return Err(unsupported(adapter, tensor, &format!("a factor of type {}", tensor.dtype)));
    }
    Ok(Operand::whole(tensor.name, header.span(input, tensor), tensor.dtype))
}
