//! Factors of bare parameters (`target_parameters`): which parameter a pair is of, and of how many experts, as far as the adapters tell without the
//! base.
//!
//! PEFT names the module and how many wrappers are around a pair's own. Its `add_weighted_adapter` refuses such adapters.

use super::layer::Layer;
use super::parts::refused;
use super::plan::{Body, Given, Part};
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::stack::{Candidate, Wrapper};
use crate::error::{Error, Result};
use crate::model::experts::registered;
use crate::op::{Op, Packing};
use crate::order::sort_by;

/// What is known of a stack of factors.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stack {
    /// The layer of one expert, as its factors see it.
    pub(crate) layer: Layer,
    /// How many there are.
    pub(crate) experts: u64,
    /// How many wrappers are around this one.
    pub(crate) around: usize,
    /// The parameters that it may be of: one, where that is known.
    pub(crate) parameters: Vec<String>,
    /// How each adapter orders the columns of `lora_B`.
    pub(crate) packings: Vec<Packing>,
}

impl Stack {
    /// The path of the module that has the factors.
    pub(crate) fn path(&self, module: &str) -> String {
        format!("{module}{}", ".base_layer".repeat(self.around))
    }

    /// What a report calls it.
    pub(crate) fn name(&self, module: &str) -> String {
        match self.parameters.as_slice() {
            [one] => format!("{module}.{one}"),
            _ => self.path(module),
        }
    }
}

/// The pairs of one module that adapters have for bare parameters.
pub(super) struct Wrapped<'a> {
    pub(super) adapters: &'a [Given],
    pub(super) updates: Vec<(usize, ModuleUpdate)>,
}

/// A pair, its wrapper, and the parameters that it may be of.
struct Pair {
    adapter: usize,
    update: ModuleUpdate,
    wrapper: Wrapper,
    candidates: Vec<Candidate>,
}

impl Wrapped<'_> {
    /// A part for each parameter.
    ///
    /// # Errors
    /// `unsupported` where nothing tells which parameter a pair is of, or the adapters change different ones; `shape-mismatch`.
    pub(super) fn parts(self) -> Result<Vec<Part>> {
        let Wrapped { adapters, updates } = self;
        let mut pairs = Vec::with_capacity(updates.len());
        for (adapter, update) in updates {
            let Some(wrapper) = update.wrapper.as_deref().cloned() else { continue };
            pairs.push(Pair { adapter, candidates: wrapper.candidates.clone(), update, wrapper });
        }
        let name = |pair: &Pair| adapters.get(pair.adapter).map_or("", |adapter| adapter.name.as_str());
        // By adapter, the parameter that was registered first at the beginning: it has the most wrappers around.
        sort_by(&mut pairs, |one, other| (one.adapter, other.wrapper.around).cmp(&(other.adapter, one.wrapper.around)));
        for of_adapter in pairs.chunk_by_mut(|one, other| one.adapter == other.adapter) {
            if let Some(pair) = settle(of_adapter) {
                let what = "nothing tells which of the parameters in target_parameters its factors are of, and the ranks differ";
                let pair = &of_adapter[pair];
                return Err(refused(name(pair), &pair.update.key, what));
            }
        }
        sort_by(&mut pairs, |one, other| (other.wrapper.around, one.adapter).cmp(&(one.wrapper.around, other.adapter)));
        let count = |adapter: usize| pairs.iter().filter(|pair| pair.adapter == adapter).count();
        if let Some(pair) = pairs.first()
            && let Some(other) = pairs.iter().find(|other| count(other.adapter) != count(pair.adapter))
        {
            let what =
                "the adapters change different parameters of this module, and PEFT tells them by their number alone";
            return Err(refused(name(other), &other.update.key, what));
        }
        let mut parts = Vec::new();
        for of_parameter in pairs.chunk_by(|one, other| one.wrapper.around == other.wrapper.around) {
            parts.push(part(of_parameter, &name)?);
        }
        Ok(parts)
    }
}

/// Leave to each pair of one adapter the parameter that it is of; several where it does not matter. Gives the number of the first pair for which
/// that is not known.
fn settle(pairs: &mut [Pair]) -> Option<usize> {
    let mut named: Vec<String> = Vec::new();
    for Candidate { parameter, .. } in pairs.iter().flat_map(|pair| &pair.candidates) {
        if !named.contains(parameter) {
            named.push(parameter.clone());
        }
    }
    let order = |name: &str| registered(name).unwrap_or(usize::MAX);
    sort_by(&mut named, |one, other| order(one).cmp(&order(other)));
    let known = named.len() == pairs.len() && (named.len() == 1 || named.iter().all(|name| registered(name).is_some()));
    for (number, pair) in pairs.iter_mut().enumerate() {
        if known {
            pair.candidates.retain(|candidate| candidate.parameter == named[number]);
        }
        let same = |one: &Candidate, other: &Candidate| (one.rank, one.scale) == (other.rank, other.scale);
        let Some(first) = pair.candidates.first() else { return Some(number) };
        if !pair.candidates.iter().all(|other| same(first, other)) {
            return Some(number);
        }
    }
    None
}

/// The part that the pairs of one parameter become.
fn part<'a>(pairs: &[Pair], name: &dyn Fn(&Pair) -> &'a str) -> Result<Part> {
    let (mut stack, mut ops): (Option<Stack>, Vec<(usize, Op)>) = (None, Vec::new());
    let mut square = None;
    for pair in pairs {
        let Pair { update, wrapper, candidates, .. } = pair;
        let (Some(Candidate { rank, alpha, scale, .. }), Some(layer)) =
            (candidates.first(), Layer::of(&update.op.layer))
        else {
            return Err(Error::internal("a wrapper has no parameters"));
        };
        let columns = update.op.operands.first().map_or(0, |a| a.at.bytes * 8 / (a.dtype.bitsize() as u64).max(1));
        let experts = columns / layer.inputs.max(1) / (*rank).max(1);
        if experts == 0 || layer.outputs == 0 || layer.inputs == 0 {
            return Err(refused(name(pair), &update.key, "the layer has no elements"));
        }
        let mut parameters: Vec<String> = candidates.iter().map(|candidate| candidate.parameter.clone()).collect();
        match &mut stack {
            None => {
                let (around, packings) = (wrapper.around, vec![wrapper.packing]);
                stack = Some(Stack { layer, experts, around, parameters, packings });
            }
            Some(stack) if stack.layer == layer && stack.experts == experts => {
                // What all may be: several names only where all leave them open.
                parameters.retain(|parameter| stack.parameters.contains(parameter));
                if parameters.is_empty() {
                    let what = "it is of another parameter than the factors of another adapter with the same key";
                    return Err(refused(name(pair), &update.key, what));
                }
                stack.parameters = parameters;
                stack.packings.push(wrapper.packing);
            }
            Some(stack) => {
                let reason =
                    "it is for another number of experts, or experts of another shape, than those of another adapter";
                return Err(Error::shape_mismatch(name(pair), update.key.clone(), reason)
                    .found(format!("{experts} experts of {}", update.op.layer))
                    .expected(format!("{} experts of {}", stack.experts, stack.layer))
                    .fix("combine adapters of the same base"));
            }
        }
        let is_square = update.op.layer.inputs == update.op.layer.outputs && experts > 1;
        if is_square && *square.get_or_insert(wrapper.square) != wrapper.square {
            let what =
                "its square matrices are (in, out) in one adapter and (out, in) in another: versions of PEFT differ";
            return Err(refused(name(pair), &update.key, what));
        }
        ops.push((pair.adapter, update.op.clone().of_rank(*rank, *alpha, *scale)));
    }
    match (stack, pairs.first()) {
        (Some(stack), Some(pair)) => {
            Ok(Part { module: pair.update.module.clone(), body: Body::Stack(Box::new(stack), ops) })
        }
        _ => Err(Error::internal("a parameter has no factors")),
    }
}

/// That no adapter has a stack where another one has a pair for each expert: PEFT knows them as one or the other.
///
/// # Errors
/// `unsupported`.
pub(super) fn check_alone(parts: &[Part], adapters: &[Given]) -> Result<()> {
    for Part { module, body } in parts {
        let Body::Stack(..) = body else { continue };
        // The parts come in the order of their modules.
        let path = format!("{module}.");
        let first = parts.partition_point(|part| part.module < path);
        let inner = parts.get(first).filter(|part| part.module.starts_with(&path));
        if let Some(Part { module: inner, body: Body::Factors(_, ops) }) = inner {
            let adapter = ops.first().and_then(|(number, _)| adapters.get(*number)).map_or("", |adapter| &adapter.name);
            let what = format!("it has factors of its own for what another adapter has in the stack of {module}");
            return Err(refused(adapter, inner, &what));
        }
    }
    Ok(())
}
