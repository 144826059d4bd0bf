//! Experts: fits an adapter's updates to the way in which the base stores its matrices. transformers may stack in memory what files store as one
//! tensor for each expert, and the other way round.

use std::borrow::Cow;
use std::ops::Range;

use super::adapter::Adapter;
use super::share::stack_fit;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::stack::{Candidate, Share, SquareLayout, Wrapper};
use crate::container::TensorInfo;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::experts::{Stacked, halved, is_transposed, is_turned_in_files, parts, registered, stacked, whole_of};
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
    /// As one stack of this shape for each of its parts, called otherwise.
    Stacks(&'static Stacked, Vec<u64>),
}

/// The ways to read a path of the adapter.
const SPELLINGS: [Spelling; 3] = [Spelling::Own, Spelling::InFiles, Spelling::InMemory];

/// What the base has of experts.
pub(super) struct Experts<'a> {
    infos: &'a [TensorInfo<'a>],
    renames: Renames,
    /// The model's types.
    types: &'a [String],
    /// The ends of paths that were looked up before: the layers of a model are alike.
    known: Vec<(String, Option<Found>)>,
}

impl<'a> Experts<'a> {
    pub(super) fn of(infos: &'a [TensorInfo<'a>], types: &'a [String]) -> Experts<'a> {
        Experts { infos, renames: Renames::of(types), types, known: Vec::new() }
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
        let end = last(&path, 3);
        if let Some((_, found)) = self.known.iter().find(|(known, _)| known == end) {
            return found.clone();
        }
        let found = SPELLINGS.into_iter().find_map(|spelling| {
            let path = self.renames.spell(&path, spelling)?;
            let (module, parameter) = path.rsplit_once('.')?;
            let whole = self.infos.iter().find(|info| last(info.name, 2) == last(&path, 2));
            let whole = whole.map(|info| Found::Whole(info.shape.into()));
            whole.or_else(|| self.find_parts(module, parameter))
        });
        let found = found.or_else(|| self.find_stacks(&path));
        self.known.push((end.into(), found.clone()));
        found
    }

    /// The same, of layers of experts.
    fn find_parts(&self, module: &str, parameter: &str) -> Option<Found> {
        parts(parameter).iter().find_map(|leaves| {
            let (list, experts) = self.list(module, leaves[0]);
            let part = |info: &&TensorInfo| {
                let number = expert_of(info.name, &list, leaves[0]);
                number.is_some_and(|number| experts.as_ref().is_none_or(|experts| experts.contains(&number)))
            };
            self.infos.iter().find(part).map(|info| Found::Parts(leaves, info.shape.into()))
        })
    }

    /// The same, of stacks that are called otherwise than in memory.
    fn find_stacks(&self, path: &str) -> Option<Found> {
        stacked(path).find_map(|stacked| {
            let file = stacked.file(path, 0);
            let stack = |info: &&TensorInfo| info.shape.len() == 3 && last(info.name, 3) == last(&file, 3);
            self.infos.iter().find(stack).map(|info| Found::Stacks(stacked, info.shape.into()))
        })
    }

    /// The list in files that has the experts of a module, and which of them, if not all.
    fn list(&self, module: &str, leaf: &str) -> (String, Option<Range<u64>>) {
        match halved(module) {
            None => (module.into(), None),
            Some((list, half)) => {
                let numbers = self.infos.iter().filter_map(|info| expert_of(info.name, &list, leaf));
                let count = numbers.max().map_or(0, |last| last.saturating_add(1));
                (list, Some(half.of(count)))
            }
        }
    }

    /// The number of experts in a module of the base that is a list of their layers.
    fn count(&self, module: &str, leaf: &str) -> u64 {
        let spelled = SPELLINGS.into_iter().filter_map(|spelling| self.renames.spell(module, spelling));
        let spelled: Vec<String> = spelled.collect();
        let experts = self.infos.iter().filter(|info| {
            let is_of = |path: &str| spelled.iter().any(|spelled| last(spelled, 3) == last(path, 3));
            expert_of(info.name, module, leaf).is_some() && info.name.rsplitn(4, '.').nth(3).is_some_and(is_of)
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
                Found::Whole(shape) => stack_fit(layer, shape, experts, 1) != Fit::Neither,
                Found::Stacks(stacked, shape) => {
                    stack_fit(layer, shape, experts, stacked.files.len() as u64) != Fit::Neither
                }
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
            Found::Whole(shape) | Found::Stacks(_, shape) => shape[0],
            Found::Parts(leaves, _) => match self.list(&update.module, leaves[0]) {
                (_, Some(experts)) => experts.end - experts.start,
                (_, None) => self.count(&update.module, leaves[0]),
            },
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
                let share = self.all(wrapper, experts, (0, 1), RowOrder::AsIs);
                let is_square = experts > 1 && stack_fit(&op.layer, &shape, experts, 1) == Fit::Either;
                updates.push(ModuleUpdate { op, share, ..base });
                Ok(is_square.into())
            }
            Found::Stacks(stacked, shape) => {
                let path = format!("{}.{}", base.module, base.parameter);
                let count = stacked.files.len() as u64;
                let order = if stacked.alternating { RowOrder::Alternating } else { RowOrder::AsIs };
                for part in 0..count {
                    let file = stacked.file(&path, part as usize);
                    let (module, parameter) = file.rsplit_once('.').unwrap_or(("", &file));
                    let (module, parameter) = (module.into(), parameter.into());
                    let share = self.all(wrapper, experts, (part, count), order);
                    updates.push(ModuleUpdate { module, parameter, op: op.clone(), share, ..base.clone() });
                }
                Ok((experts > 1 && stack_fit(&op.layer, &shape, experts, count) == Fit::Either).into())
            }
            Found::Parts(leaves, shape) => {
                let count = leaves.len() as u64;
                let fit = part_fit(&op.layer, &shape, count);
                let transposed = match fit {
                    Fit::Either => wrapper.square.is_in_out(is_transposed(self.types)),
                    fit => fit == Fit::Transposed,
                };
                let op = Op { transposed, ..op };
                let share = Some(Share::Matrix { transposed });
                let (list, of_list) = self.list(&base.module, leaves[0]);
                let first = of_list.map_or(0, |experts| experts.start);
                for expert in 0..experts {
                    for (number, leaf) in (0..).zip(leaves) {
                        let op = op.of_expert(expert, experts, wrapper.packing, (number, count));
                        let (module, parameter) = (format!("{list}.{}.{leaf}", first + expert), "weight".into());
                        updates.push(ModuleUpdate { module, parameter, op, share, ..base.clone() });
                    }
                }
                Ok((fit == Fit::Either).into())
            }
        }
    }

    /// All matrices of a stack, each with this part of its rows.
    fn all(&self, wrapper: &Wrapper, experts: u64, part: (u64, u64), order: RowOrder) -> Option<Share> {
        // PEFT does not transpose the product of a single expert.
        let in_memory = experts > 1 && wrapper.square.is_in_out(is_transposed(self.types));
        // Before transformers 5, memory was as files are.
        let in_out =
            if wrapper.square == SquareLayout::InOut { in_memory } else { in_memory != is_turned_in_files(self.types) };
        Some(Share::All { experts, packing: wrapper.packing, part, order, in_out })
    }

    /// Whether a tensor of a whole model may be an expert's matrix, or a stack of them, by its name and shape.
    pub(super) fn may_be_of_experts(&self, update: &ModuleUpdate) -> bool {
        of_expert(update).is_some() || is_stack(update)
    }

    /// If an update of a whole model is of a stack of which the base has the matrices one by one: their names in each expert, their shape, and the
    /// number of experts.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn matrices(&mut self, update: &ModuleUpdate) -> Option<(&'static [&'static str], Vec<u64>, u64)> {
        match self.find(&update.module, &update.parameter).filter(|_| is_stack(update))? {
            Found::Parts(leaves, shape) => Some((leaves, shape, self.count(&update.module, leaves[0]))),
            Found::Whole(_) | Found::Stacks(..) => None,
        }
    }

    /// How many matrices a stack has that an update is a part of.
    #[inline(never)] // In the WebAssembly it is in the second half.
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
                let in_out = is_transposed(self.types) != is_turned_in_files(self.types);
                let share = Some(Share::One { expert, part, in_out });
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

/// If a name is that of the layer `leaf` of an expert in a list such as `module`: the expert's number.
fn expert_of(name: &str, module: &str, leaf: &str) -> Option<u64> {
    let mut names = name.rsplit('.');
    let is_leaf = names.next() == Some("weight") && names.next() == Some(leaf);
    let number = names.next().filter(|number| is_leaf && is_number(number))?;
    if names.next() == module.rsplit('.').next() { number.parse().ok() } else { None }
}

/// How a matrix would have to be stored for factors to fit whose rows are stored as so many parts of this shape.
fn part_fit(layer: &LayerShape, shape: &[u64], parts: u64) -> Fit {
    match shape {
        [rows, cols] => layer.fit(&[rows.saturating_mul(parts), *cols]),
        _ => Fit::Neither,
    }
}
