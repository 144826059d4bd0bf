//! Experts: fits an adapter's updates to the way in which the base stores its matrices. transformers may stack in memory what files store as one
//! tensor for each expert, and the other way round.

use std::borrow::Cow;

use super::adapter::Adapter;
use super::program::{COMMON_ROWS, Region, Update};
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::stack::{Candidate, Share};
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::experts::{is_transposed, parts, registered, whole_of};
use crate::model::orientation::Fit;
use crate::model::renames::{Renames, Spelling, is_number};
use crate::op::{LayerShape, Op, RowOrder, Sizes};
use crate::order::sort_by;

/// Where the base has a parameter.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    /// As one tensor of this shape.
    Whole(Vec<u64>),
    /// As matrices of this shape, one for each expert and each of these parts.
    Parts(&'static [&'static str], Vec<u64>),
}

/// The ways to read a path of the adapter.
const SPELLINGS: [Spelling; 3] = [Spelling::Own, Spelling::InFiles, Spelling::InMemory];

/// What the base has of experts.
pub(super) struct Experts<'a> {
    infos: &'a [TensorInfo<'a>],
    renames: Renames,
    is_transposed: bool,
    /// The ends of paths that were looked up before: the layers of a model are alike.
    known: Vec<(String, Option<Found>)>,
}

impl<'a> Experts<'a> {
    pub(super) fn of(infos: &'a [TensorInfo<'a>], types: &[String]) -> Experts<'a> {
        Experts { infos, renames: Renames::of(types), is_transposed: is_transposed(types), known: Vec::new() }
    }

    /// The adapter's updates, each of one tensor of the base.
    ///
    /// # Errors
    /// `unmatched-key` if the base has none of the parameters that the factors may belong to, `unsupported` if nothing tells which of them it is.
    pub(super) fn updates<'u>(
        &mut self,
        adapter: &'u Adapter,
        findings: &mut Vec<Finding>,
    ) -> Result<Cow<'u, [ModuleUpdate]>> {
        if !adapter.updates.iter().any(|update| update.wrapper.is_some() || of_expert(update).is_some()) {
            return Ok(Cow::Borrowed(&adapter.updates));
        }
        self.expand(adapter, findings).map(Cow::Owned)
    }

    #[inline(never)] // In the WebAssembly it is in the second half.
    fn expand(&mut self, adapter: &Adapter, findings: &mut Vec<Finding>) -> Result<Vec<ModuleUpdate>> {
        let mut updates = Vec::with_capacity(adapter.updates.len());
        let mut squares = 0;
        // They are in the order of their modules.
        for of_module in adapter.updates.chunk_by(|one, other| one.module == other.module) {
            let (mut wrapped, plain): (Vec<_>, Vec<_>) = of_module.iter().partition(|update| update.wrapper.is_some());
            updates.extend(plain.into_iter().map(|update| self.of_stack(update)));
            let around = |one: &ModuleUpdate| one.wrapper.as_ref().map_or(0, |wrapper| wrapper.around);
            sort_by(&mut wrapped, |one, other| around(other).cmp(&around(one)));
            let mut left = self.candidates(&wrapped);
            for update in wrapped {
                squares += self.resolve(adapter, update, &mut left, &mut updates)?;
            }
        }
        if squares > 0 {
            let way = if updates.iter().any(is_in_out) { "(in, out)" } else { "(out, in)" };
            let message = format!(
                "{squares} stacks of square matrices are taken as {way}: the version of PEFT and the model's type say so"
            );
            findings.push(Finding::warning("expert-layout-assumed", Some(&adapter.name), message));
        }
        Ok(updates)
    }

    /// The parameters of a module that its factors may belong to, and where the base has them; in the order of registration, as far as it is known.
    fn candidates(&mut self, wrapped: &[&ModuleUpdate]) -> Vec<(String, Found)> {
        let mut there: Vec<(String, Found)> = Vec::new();
        for ModuleUpdate { module, wrapper, .. } in wrapped {
            for Candidate { parameter, .. } in wrapper.iter().flat_map(|wrapper| &wrapper.candidates) {
                if !there.iter().any(|(known, _)| known == parameter) {
                    there.extend(self.find(module, parameter).map(|found| (parameter.clone(), found)));
                }
            }
        }
        let order = |name: &str| registered(name).unwrap_or(usize::MAX);
        sort_by(&mut there, |(one, _), (other, _)| order(one).cmp(&order(other)));
        there
    }

    /// Where the base has a parameter, as far as the end of its path tells.
    fn find(&mut self, module: &str, parameter: &str) -> Option<Found> {
        let path = format!("{module}.{parameter}");
        let end = last(&path, 2);
        if let Some((_, found)) = self.known.iter().find(|(known, _)| known == end) {
            return found.clone();
        }
        let found = SPELLINGS.into_iter().find_map(|spelling| {
            let path = self.renames.spell(&path, spelling)?;
            let (module, parameter) = path.rsplit_once('.')?;
            let whole = self.infos.iter().find(|info| last(info.name, 2) == last(&path, 2));
            let whole = whole.map(|info| Found::Whole(info.shape.into()));
            whole.or_else(|| {
                parts(parameter).iter().find_map(|leaves| {
                    let part = |info: &&TensorInfo| expert_of(info.name, module, leaves[0]);
                    self.infos.iter().find(part).map(|info| Found::Parts(leaves, info.shape.into()))
                })
            })
        });
        self.known.push((end.into(), found.clone()));
        found
    }

    /// The number of experts in a module of the base that is a list of their layers.
    fn count(&self, module: &str, leaf: &str) -> u64 {
        let spelled = SPELLINGS.into_iter().filter_map(|spelling| self.renames.spell(module, spelling));
        let spelled: Vec<String> = spelled.collect();
        let experts = self.infos.iter().filter(|info| {
            let is_of = |path: &str| spelled.iter().any(|spelled| last(spelled, 3) == last(path, 3));
            expert_of(info.name, module, leaf) && info.name.rsplitn(4, '.').nth(3).is_some_and(is_of)
        });
        experts.count() as u64
    }

    /// Add the updates of factors that belong to one of the parameters `left`. Returns for how many only the version of PEFT tells which way
    /// round they are.
    fn resolve(
        &self,
        adapter: &Adapter,
        update: &ModuleUpdate,
        left: &mut Vec<(String, Found)>,
        updates: &mut Vec<ModuleUpdate>,
    ) -> Result<usize> {
        let (Some(wrapper), [_, b, ..]) = (&update.wrapper, update.op.operands.as_slice()) else { return Ok(0) };
        let layer = &update.op.layer;
        let (inputs, outputs) = (layer.inputs.unwrap_or(0), layer.outputs.unwrap_or(0));
        let columns = b.at.bytes * 8 / b.dtype.bitsize() as u64 / outputs.max(1);
        let candidate = |name: &str| wrapper.candidates.iter().find(|one| one.parameter == name);
        let fits = |(name, found): &(String, Found)| {
            let experts = candidate(name).map_or(0, |one| columns / one.rank);
            match found {
                Found::Whole(shape) if shape.len() == 2 => experts == 1 && *shape == [outputs, inputs],
                Found::Whole(shape) => stack_fit(layer, shape, experts) != Fit::Neither,
                Found::Parts(leaves, shape) => part_fit(layer, shape, leaves.len() as u64) != Fit::Neither,
            }
        };
        // The parameter that was registered first is innermost. If none fits, the error is about the first that is left.
        let at = left.iter().position(fits).unwrap_or(0);
        let doubtful = |one: &(String, Found)| registered(&one.0).is_none() && fits(one);
        if left.get(at).is_some_and(doubtful) && left.iter().skip(at + 1).any(fits) {
            let names: Vec<&str> = left.iter().map(|(name, _)| name.as_str()).collect();
            let reason = format!(
                "its factors fit several parameters of the module ({}), and nothing tells which",
                names.join(", ")
            );
            return Err(Error::unsupported(update.key.clone(), reason)
                .adapter(adapter.name.clone())
                .kind(ErrorKind::NotImplemented)
                .field("target_parameters")
                .fix("merge this adapter with PEFT"));
        }
        let mut base =
            ModuleUpdate { wrapper: None, share: Some(Share::Matrix { transposed: false }), ..update.clone() };
        if left.is_empty() {
            // The base has nothing of this name.
            base.op.sizes = Sizes::of(&[('r', columns)]);
            updates.push(base);
            return Ok(0);
        }
        let (parameter, found) = left.remove(at);
        let Some(Candidate { rank, alpha, scale, .. }) = candidate(&parameter) else {
            let reason = format!("its factors are not those of {parameter}");
            return Err(
                Error::shape_mismatch(adapter.name.clone(), update.key.clone(), reason).fix(adapter.right_base())
            );
        };
        let experts = columns / rank;
        let there = match &found {
            Found::Whole(shape) if shape.len() < 3 => 1,
            Found::Whole(shape) => shape[0],
            Found::Parts(leaves, _) => self.count(&update.module, leaves[0]),
        };
        if experts != there {
            let reason = format!(
                "with rank {rank} its factors are those of {experts} experts, and the base's {parameter} has {there}"
            );
            return Err(Error::shape_mismatch(adapter.name.clone(), update.key.clone(), reason)
                .found(experts.to_string())
                .expected(there.to_string())
                .fix(adapter.right_base()));
        }
        let op = update.op.clone().of_rank(*rank, *alpha, *scale);
        base.parameter = parameter;
        match found {
            Found::Whole(shape) if shape.len() < 3 => {
                // PEFT takes a matrix as (out, in), however its layer stores it.
                updates.push(ModuleUpdate { op, ..base });
                Ok(0)
            }
            Found::Whole(shape) => {
                // PEFT does not transpose the product of a single expert.
                let in_out = experts > 1 && wrapper.square.is_in_out(self.is_transposed);
                let share = Share::All { experts, packing: wrapper.packing, in_out };
                let is_square = experts > 1 && stack_fit(&op.layer, &shape, experts) == Fit::Either;
                updates.push(ModuleUpdate { op, share: Some(share), ..base });
                Ok(is_square.into())
            }
            Found::Parts(leaves, shape) => {
                let count = leaves.len() as u64;
                let fit = part_fit(&op.layer, &shape, count);
                let transposed = match fit {
                    Fit::Either => wrapper.square.is_in_out(self.is_transposed),
                    fit => fit == Fit::Transposed,
                };
                let op = Op { transposed, ..op };
                let share = Some(Share::Matrix { transposed });
                for expert in 0..experts {
                    for (number, leaf) in (0..).zip(leaves) {
                        let op = op.of_expert(expert, experts, wrapper.packing, (number, count));
                        let (module, parameter) = (format!("{}.{expert}.{leaf}", base.module), "weight".into());
                        updates.push(ModuleUpdate { module, parameter, op, share, ..base.clone() });
                    }
                }
                Ok((fit == Fit::Either).into())
            }
        }
    }

    /// Whether a tensor of a whole model may be an expert's matrix, or a stack of them, by its name and shape.
    pub(super) fn may_be_of_experts(&self, update: &ModuleUpdate) -> bool {
        of_expert(update).is_some() || is_stack(update)
    }

    /// If an update of a whole model is of a stack of which the base has the matrices one by one: their names in each expert, their shape, and the
    /// number of experts.
    pub(super) fn matrices(&mut self, update: &ModuleUpdate) -> Option<(&'static [&'static str], Vec<u64>, u64)> {
        match self.find(&update.module, &update.parameter).filter(|_| is_stack(update))? {
            Found::Parts(leaves, shape) => Some((leaves, shape, self.count(&update.module, leaves[0]))),
            Found::Whole(_) => None,
        }
    }

    /// How many matrices a stack has that an update is a part of.
    pub(super) fn in_stack(&mut self, update: &ModuleUpdate) -> u64 {
        match self.find(&update.module, &update.parameter) {
            Some(Found::Whole(shape)) => shape.first().copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// An update of one expert's layer; if the base has a stack, of that expert's part of it.
    pub(super) fn of_stack(&mut self, update: &ModuleUpdate) -> ModuleUpdate {
        let Some((module, expert, leaf)) = of_expert(update) else { return update.clone() };
        for (parameter, part) in whole_of(leaf) {
            if let Some(Found::Whole(shape)) = self.find(module, parameter)
                && shape.len() == 3
            {
                let share = Some(Share::One { expert, part, in_out: self.is_transposed });
                let (module, parameter) = (module.to_string(), parameter.to_string());
                return ModuleUpdate { module, parameter, share, ..update.clone() };
            }
        }
        update.clone()
    }
}

/// If an update is of an expert: the list of experts, the number and the layer.
fn of_expert(update: &ModuleUpdate) -> Option<(&str, u64, &str)> {
    let mut names = update.module.rsplitn(3, '.');
    let (leaf, number, module) = (names.next()?, names.next()?, names.next()?);
    let is_matrix = update.op.is_low_rank() || update.op.is_task_vector();
    let may_be = is_matrix && update.parameter == "weight" && is_number(number);
    let expert = number.parse().ok().filter(|_| may_be && whole_of(leaf).next().is_some())?;
    Some((module, expert, leaf))
}

/// Whether an update may be of a stack of experts' matrices that a whole model has.
fn is_stack(update: &ModuleUpdate) -> bool {
    let has_matrices = || update.op.replacement.as_ref().is_some_and(|replace| replace.shape.len() == 3);
    update.op.is_task_vector() && !parts(&update.parameter).is_empty() && has_matrices()
}

fn is_in_out(update: &ModuleUpdate) -> bool {
    matches!(update.share, Some(Share::All { in_out: true, .. } | Share::Matrix { transposed: true }))
}

/// The last parts of a path.
fn last(path: &str, parts: usize) -> &str {
    let mut dots = path.rmatch_indices('.').map(|(at, _)| at + 1);
    dots.nth(parts - 1).map_or(path, |at| &path[at..])
}

/// Whether a name is that of the layer `leaf` of an expert in a list such as `module`.
fn expert_of(name: &str, module: &str, leaf: &str) -> bool {
    let mut names = name.rsplit('.');
    names.next() == Some("weight")
        && names.next() == Some(leaf)
        && names.next().is_some_and(is_number)
        && names.next() == module.rsplit('.').next()
}

/// How a stack of matrices would have to be stored for the factors of each to fit.
fn stack_fit(layer: &LayerShape, shape: &[u64], experts: u64) -> Fit {
    match shape {
        [count, matrix @ ..] if *count == experts => layer.fit(matrix),
        _ => Fit::Neither,
    }
}

/// The same for a matrix whose rows are stored as so many parts of this shape.
fn part_fit(layer: &LayerShape, shape: &[u64], parts: u64) -> Fit {
    match shape {
        [rows, cols] => layer.fit(&[rows.saturating_mul(parts), *cols]),
        _ => Fit::Neither,
    }
}

impl Share {
    /// The tensor that the update is for, written as a shape.
    pub(super) fn layer(&self, op: &Op) -> String {
        let layer = op.layer.to_string();
        match self {
            Share::All { experts, .. } => format!("{experts} experts of {layer}"),
            _ => layer,
        }
    }

    /// How a tensor of this shape would have to be stored for the update to fit. Nothing else has to be looked up.
    pub(super) fn fit(&self, op: &Op, shape: &[u64]) -> Fit {
        let (fit, in_out) = match *self {
            Share::Matrix { transposed } => {
                let fit = op.fit(shape);
                let wrong = if transposed { Fit::Straight } else { Fit::Transposed };
                (if fit == wrong { Fit::Neither } else { fit }, transposed)
            }
            Share::All { experts, in_out, .. } => (stack_fit(&op.layer, shape, experts), in_out),
            // Whole models have matrices one by one as (out, in).
            Share::One { in_out: true, .. } if op.is_task_vector() => (Fit::Neither, false),
            Share::One { expert, part: (_, parts), in_out } => match *shape {
                [experts, rows, cols] if expert < experts && rows.is_multiple_of(parts) => {
                    (op.fit(&[rows / parts, cols]), in_out && parts == 1)
                }
                _ => (Fit::Neither, false),
            },
        };
        match fit {
            Fit::Straight => Fit::Certain { transposed: false },
            // If a matrix is stored (in, out), its parts are columns.
            Fit::Transposed if matches!(self, Share::One { part: (_, 2..), .. }) => Fit::Neither,
            Fit::Transposed => Fit::Certain { transposed: true },
            Fit::Either => Fit::Certain { transposed: in_out },
            fit => fit,
        }
    }

    /// Whether the update is of a stack.
    pub(super) fn is_of_stack(&self) -> bool {
        !matches!(self, Share::Matrix { .. })
    }

    /// `update`, which is of a stack of this shape, as one update for each matrix.
    pub(super) fn updates(&self, update: Update, shape: &[u64]) -> Vec<Update> {
        let rows = shape.get(1).copied().unwrap_or(1);
        let region = |start: u64, rows: u64| Region { rows: start..start + rows, order: RowOrder::AsIs };
        match *self {
            Share::All { experts, packing, .. } => {
                let one = |expert: u64| Update {
                    region: region(expert * rows, rows),
                    op: update.op.of_expert(expert, experts, packing, (0, 1)),
                    adapter: update.adapter.clone(),
                    weight: update.weight,
                };
                (0..experts).map(one).collect()
            }
            Share::One { expert, part: (number, parts), .. } => {
                let part = rows / parts;
                // Values of a whole model are not the whole tensor's.
                let op = match update.op.is_task_vector() {
                    true => update.op.clone().with(COMMON_ROWS, part),
                    false => update.op.clone(),
                };
                vec![Update { region: region(expert * rows + number * part, part), op, ..update }]
            }
            Share::Matrix { .. } => vec![update],
        }
    }
}
