//! What is to be checked of one tensor, as a worker gets it.

use std::ops::Range;

use crate::combine::{Combine, Divide, Election, Member, Prune, Rescale, Sparse};
use crate::encoding::Plain;
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::op::{AMPLITUDE, DORA, LORA, RowOrder};
use crate::plan::{Program, Update};
use crate::wire::{Wire, wire, wire_enum};

/// One look at one tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Check {
    /// The tensor's name, for errors.
    pub(super) tensor: String,
    /// How it is looked at.
    pub(super) look: Look,
    /// Elements, or bytes where only bytes are compared.
    pub(super) length: u64,
}

/// How a tensor is looked at.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Look {
    /// Bytes against bytes: expected, found.
    Bytes(Span, Span),
    /// The merge that is expected against what was found.
    Bits(Box<Program>, Plain),
    /// Element by element in f64, with the bounds of rounding.
    Values(Box<Values>),
}

/// What is needed to tell a rounding from a difference, or one difference from another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Values {
    /// What was found.
    pub(super) found: Plain,
    /// The expected merge.
    pub(super) expected: Delta,
    /// The base's own tensor, where the expected merge does not start from it.
    pub(super) origin: Option<Plain>,
    /// Other deltas that M may have.
    pub(super) others: Vec<Delta>,
    /// Whether the others are parts of the expected one, one for each adapter.
    pub(super) parts: bool,
    /// Whether it is asked what else may have been kept of each delta.
    pub(super) open: bool,
}

/// A delta as two programs: W + Δ, and W + the amplitude of Δ.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Delta {
    pub(super) program: Program,
    /// None where the errors of the method are not those of a product.
    pub(super) amplitude: Option<Program>,
    /// How its columns are ordered.
    pub(super) columns: RowOrder,
}

wire!(Check { tensor, look, length });
wire_enum!(Look { Bytes(expected, found), Bits(expected, found), Values(values) });
wire!(Values { found, expected, origin, others, parts, open });
wire!(Delta { program, amplitude, columns });

/// Elements of a job, about.
const JOB_ELEMENTS: u64 = 128 << 10;

/// Bytes that are compared in a job.
const JOB_BYTES: u64 = 4 << 20;

impl Check {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.put(&mut bytes);
        bytes
    }

    pub(super) fn from_bytes(mut bytes: &[u8]) -> Result<Check> {
        Check::take(&mut bytes).ok_or_else(|| Error::internal("these are not the bytes of a check"))
    }

    /// The elements of each job, in the order in which their results are added.
    pub(super) fn jobs(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let step = match &self.look {
            Look::Bytes(..) => JOB_BYTES,
            Look::Bits(program, _) => step(program),
            Look::Values(values) => step(&values.expected.program),
        };
        let length = self.length;
        (0..length.div_ceil(step)).map(move |job| job * step..((job + 1) * step).min(length))
    }
}

/// Elements of a job of a program: whole rows, and as many as its updates need together.
fn step(program: &Program) -> u64 {
    let unit = match program.updates.as_slice() {
        [] => 1,
        _ => program.footprint(0..program.cols.max(1)).end.max(1),
    };
    // Of each element of a bias a row of the layer's weight may be read.
    let beside = program.updates.iter().filter_map(|update| update.op.beside());
    let each = beside.map(|(_, each)| each).max().unwrap_or(1).max(1);
    (JOB_ELEMENTS / each / unit).max(1).saturating_mul(unit)
}

impl Delta {
    pub(super) fn of(program: Program) -> Delta {
        let amplitude = amplitude(&program);
        Delta { program, amplitude, columns: RowOrder::AsIs }
    }
}

/// W + the amplitude of all products of a program, where all of its updates are products.
fn amplitude(program: &Program) -> Option<Program> {
    let of = |update: &Update| {
        let mut update = update.clone();
        (*update.op.method == LORA || *update.op.method == DORA).then(|| {
            update.op.method = &AMPLITUDE;
            update.weight = update.weight.abs();
            update
        })
    };
    let updates = program.updates.iter().map(of).collect::<Option<Vec<_>>>()?;
    let combine = if program.combine.rule().is_some() { apart(program) } else { Combine::Linear };
    Some(Program { updates, combine, ..program.clone() })
}

/// A rule that keeps the adapters apart and needs to know nothing.
fn apart(program: &Program) -> Combine {
    Combine::Sparse(Sparse {
        prune: Prune::Nothing,
        rescale: Rescale::No,
        election: Election::None,
        weighted: false,
        divide: Divide::No,
        members: vec![Member { density: 1.0, ..Member::default() }; program.members().len()],
    })
}

/// Another merge that somebody may have made instead, and what it is called.
pub(super) struct Alternative {
    pub(super) what: &'static str,
    pub(super) delta: Delta,
}

/// The merges that may have been made instead of `program`, beyond another weight of the same delta. `matrix`: rows of each of its matrices;
/// `counterpart`: the updates of the tensor that it may have been taken for, as gate and up of a fused pair are.
pub(super) fn alternatives(program: &Program, matrix: u64, counterpart: Option<Vec<Update>>) -> Vec<Alternative> {
    let mut all = Vec::new();
    let mut add = |what, updates: Option<Vec<Update>>, columns| {
        if let Some(updates) = updates {
            let delta = Delta { columns, ..Delta::of(Program { updates, ..program.clone() }) };
            all.push(Alternative { what, delta });
        }
    };
    let each = |change: &dyn Fn(&mut Update) -> bool| {
        let mut updates = program.updates.clone();
        let mut changed = false;
        updates.iter_mut().for_each(|update| changed |= change(update));
        changed.then_some(updates)
    };
    let as_is = RowOrder::AsIs;
    if program.combine.rule().is_some() {
        return vec![Alternative { what: "linear", delta: linear(program) }];
    }
    add("transposed", each(&|update| transpose(update, program.cols)), as_is);
    add("halves-swapped", each(&|update| swap_halves(update, matrix)), as_is);
    let both_ways = program.cols.is_multiple_of(2) && program.updates.iter().any(|update| *update.op.method == LORA);
    if both_ways {
        add("halves-swapped", Some(program.updates.clone()), RowOrder::SwapHalves);
    }
    if has_both(&program.tensor) {
        for (what, order) in INTERLEAVED {
            add(what, each(&|update| reorder(update, matrix, order)), as_is);
            if both_ways {
                add(what, Some(program.updates.clone()), order);
            }
        }
    }
    if let Some(updates) = counterpart {
        add("halves-swapped", Some(updates), as_is);
    }
    add("no-magnitude", each(&without_magnitude), as_is);
    if program.updates.iter().any(|update| *update.op.method == DORA) {
        for (what, _) in factors(program) {
            add(what, each(&|update| rescale(update, what)), as_is);
        }
    }
    all
}

/// Take the update of a square matrix the other way round.
fn transpose(update: &mut Update, cols: u64) -> bool {
    let square = update.region.rows.end - update.region.rows.start == cols;
    let is_product = *update.op.method == LORA;
    update.op.transposed ^= square && is_product;
    square && is_product
}

/// The weighted sum in place of a rule.
pub(super) fn linear(program: &Program) -> Delta {
    Delta::of(Program { combine: Combine::Linear, ..program.clone() })
}

/// Whether a program prunes deltas, so that others may have been kept.
pub(super) fn prunes(program: &Program) -> Option<Prune> {
    match &program.combine {
        Combine::Sparse(sparse) => Some(sparse.prune).filter(|prune| *prune != Prune::Nothing),
        _ => None,
    }
}

/// What a tool may have made of gate and up where one of the two alternates and the other stands in halves, as gpt-oss and other models have them.
const INTERLEAVED: [(&str, RowOrder); 3] = [
    ("halves-swapped", RowOrder::SwapPairs),
    ("halves-interleaved", RowOrder::Alternating),
    ("halves-interleaved", RowOrder::Deinterleave),
];

/// Whether a tensor has gate and up in one, by its name.
fn has_both(tensor: &str) -> bool {
    ["gate_up", "up_gate", "gate_and_up", "w13", "w1w3"].iter().any(|name| tensor.contains(name))
}

/// Put the rows of an update of a whole matrix into another order.
fn reorder(update: &mut Update, matrix: u64, order: RowOrder) -> bool {
    let rows = &update.region.rows;
    let is_whole = rows.end - rows.start == matrix && matrix.is_multiple_of(2) && update.region.order == RowOrder::AsIs;
    if *update.op.method == LORA && is_whole {
        update.region.order = order;
    }
    *update.op.method == LORA && is_whole
}

/// Exchange the halves of the matrix that the update is in.
fn swap_halves(update: &mut Update, matrix: u64) -> bool {
    let rows = &mut update.region.rows;
    let length = rows.end - rows.start;
    if *update.op.method != LORA || matrix < 2 || !matrix.is_multiple_of(2) {
        return false;
    }
    if length == matrix {
        update.region.order = match update.region.order {
            RowOrder::AsIs => RowOrder::SwapHalves,
            RowOrder::SwapHalves => RowOrder::AsIs,
            _ => return false,
        };
        return true;
    }
    let half = matrix / 2;
    if length == half && rows.start.is_multiple_of(half) {
        let start = if (rows.start / half).is_multiple_of(2) { rows.start + half } else { rows.start - half };
        *rows = start..start + half;
        return true;
    }
    false
}

fn without_magnitude(update: &mut Update) -> bool {
    let is_dora = *update.op.method == DORA;
    if is_dora {
        update.op.method = &LORA;
        update.op.operands.truncate(2);
    }
    is_dora
}

fn rescale(update: &mut Update, what: &str) -> bool {
    let named = factors_of(update).into_iter().find(|(name, _)| *name == what);
    let (Some((_, factor)), Some(scale)) = (named, &mut update.op.scale) else { return false };
    scale.scale *= factor;
    true
}

/// What the deltas of all updates may have been multiplied with by mistake, as far as it is the same for all of them.
pub(super) fn factors(program: &Program) -> Vec<(&'static str, f64)> {
    let mut updates = program.updates.iter().map(factors_of);
    let Some(mut common) = updates.next() else { return Vec::new() };
    for other in updates {
        common.retain(|(what, factor)| other.iter().any(|(name, same)| name == what && same == factor));
    }
    common
}

/// The same of one update: the name of the mistake and the factor on the delta.
fn factors_of(update: &Update) -> Vec<(&'static str, f64)> {
    let mut factors = vec![("twice", 2.0), ("sign-flipped", -1.0)];
    if let Some(scale) = update.op.scale {
        let rank = scale.rank as f64;
        let named = [
            ("scale-alpha-over-r", scale.alpha / rank),
            ("scale-alpha-over-sqrt-r", scale.alpha / rank.sqrt()),
            ("scale-alpha", scale.alpha),
            ("scale-one", 1.0),
            ("scale-twice", scale.scale * scale.scale),
        ];
        factors.extend(named.map(|(what, value)| (what, value / scale.scale)));
    }
    factors.push(("weight-ignored", 1.0 / update.weight));
    factors.push(("weight-twice", update.weight));
    // What is the same as what was expected is no mistake.
    factors.retain(|(_, factor)| factor.is_finite() && (factor - 1.0).abs() > 1e-9);
    factors
}
