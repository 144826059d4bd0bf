//! The tensors of the output, each with its source: a list of its own. Most are tensors of the base; a merge may add others.
//!
//! The list is compact, because a model may have hundreds of thousands of tensors, most of them only copied. Names and shapes stay in the
//! base's headers. Programs are kept for tensors with updates; if only the type changes, the program is made when it is asked for.

use std::borrow::Cow;

use super::open::{Base, Shard};
use super::program::{Program, Update, replacement};
use crate::combine::Combine;
use crate::encoding::{Plain, Stored};
use crate::inputs::Span;
use crate::tensor::{Dtype, Float, Rounding};
use crate::wire::{Wire, wire};

/// Every tensor of the output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tensors {
    rows: Vec<Row>,
    programs: Vec<Program>,
    added: Vec<Added>,
}

/// One tensor.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// Shard of the base whose file it goes to.
    shard: u32,
    origin: Origin,
    to: Dtype,
    /// Number of its program, if it has updates.
    program: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    /// The tensor of that number in the shard.
    Base(u32),
    /// The tensor of that number in [`Tensors::added`].
    Added(u32),
}

/// A tensor that the base does not have, or has in another shape.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    pub(crate) name: String,
    pub(crate) shape: Vec<u64>,
    pub(crate) dtype: Dtype,
    /// Where its source's bytes are.
    pub(crate) input: usize,
    pub(crate) start: u64,
}

wire!(Tensors { rows, programs, added });
wire!(Row { shard, origin, to, program });
wire!(Added { name, shape, dtype, input, start });

impl Wire for Origin {
    fn put(&self, out: &mut Vec<u8>) {
        let (added, number) = match *self {
            Origin::Base(number) => (false, number),
            Origin::Added(number) => (true, number),
        };
        (added, number).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let (added, number) = Wire::take(from)?;
        Some(if added { Origin::Added(number) } else { Origin::Base(number) })
    }
}

/// What a plan says about one tensor.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Name.
    pub name: &'a str,
    /// Shape.
    pub shape: &'a [u64],
    /// Type of the source.
    pub from: Dtype,
    /// Type in the output.
    pub to: Dtype,
    /// The source's bytes.
    pub source: Span,
    /// What the adapters do to it.
    pub updates: &'a [Update],
}

impl TensorView<'_> {
    /// Number of elements.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Size in the output.
    pub fn bytes(&self) -> u64 {
        self.elements() * self.to.bitsize() as u64 / 8
    }

    /// Whether its bytes are computed, not copied.
    pub fn is_computed(&self) -> bool {
        self.from != self.to || !self.updates.is_empty() && replacement(self.updates).is_none()
    }

    /// Whether its source is an adapter's tensor, in place of the base's.
    pub fn is_replaced(&self) -> bool {
        replacement(self.updates).is_some()
    }
}

impl Tensors {
    /// Make room for so many tensors, and so many programs: lists that grow would hold twice as much for a moment.
    pub(crate) fn reserve(&mut self, tensors: usize, programs: usize) {
        self.rows.reserve_exact(tensors);
        self.programs.reserve_exact(programs);
    }

    /// Add a tensor of the base, with its type in the output.
    pub(crate) fn push_base(&mut self, shard: usize, index: usize, to: Dtype, program: Option<Program>) {
        let program = program.map(|program| self.keep(program));
        self.rows.push(Row { shard: shard as u32, origin: Origin::Base(index as u32), to, program });
    }

    /// Add a tensor that the base does not have, or has in another shape, to the file of `shard`.
    pub(crate) fn push_added(&mut self, shard: usize, added: Added, to: Dtype, program: Option<Program>) {
        let program = program.map(|program| self.keep(program));
        self.rows.push(Row { shard: shard as u32, origin: Origin::Added(self.added.len() as u32), to, program });
        self.added.push(added);
    }

    fn keep(&mut self, program: Program) -> u32 {
        self.programs.push(program);
        self.programs.len() as u32 - 1
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The programs of all tensors that have updates.
    pub(crate) fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The same, to be changed.
    pub(crate) fn programs_mut(&mut self) -> &mut [Program] {
        &mut self.programs
    }

    /// The shard of the base whose file tensor number `number` goes to.
    pub(crate) fn shard(&self, number: usize) -> usize {
        self.rows[number].shard as usize
    }

    /// What the plan says about tensor number `number`.
    pub(crate) fn view<'a>(&'a self, base: &'a Base, number: usize) -> TensorView<'a> {
        let row = self.rows[number];
        let program = row.program.map(|program| &self.programs[program as usize]);
        let (name, shape, dtype, input, start) = match row.origin {
            Origin::Base(index) => {
                let Shard { header, input, .. } = &base.shards[row.shard as usize];
                let info = header.tensor(index as usize);
                (info.name, info.shape, info.dtype, *input, header.data_start + info.start)
            }
            Origin::Added(index) => {
                let Added { name, shape, dtype, input, start } = &self.added[index as usize];
                (name.as_str(), shape.as_slice(), *dtype, *input, *start)
            }
        };
        // The source may be an adapter's weight in place of the base's.
        let read = program.and_then(|program| match (replacement(&program.updates), &program.source) {
            (Some(replace), _) => Some(replace.stored),
            (None, Stored::Plain(plain)) => Some(*plain),
            (None, _) => None,
        });
        let (from, input, start) =
            read.map_or((dtype, input, start), |plain| (plain.float.dtype(), plain.input, plain.start));
        let elements: u64 = shape.iter().product();
        let source = Span { input, start, bytes: elements * from.bitsize() as u64 / 8 };
        TensorView { name, shape, from, to: row.to, source, updates: program.map_or(&[], |program| &program.updates) }
    }

    /// How tensor number `number` is computed, or `None` where its bytes are copied.
    pub(crate) fn program<'a>(&'a self, base: &'a Base, number: usize) -> Option<Cow<'a, Program>> {
        if let Some(program) = self.rows[number].program.map(|program| &self.programs[program as usize])
            && !program.updates.is_empty()
            && replacement(&program.updates).is_none()
        {
            return Some(Cow::Borrowed(program));
        }
        let view = self.view(base, number);
        match (Float::of(view.from), Float::of(view.to)) {
            (Some(from), Some(to)) if from != to => Some(Cow::Owned(conversion(&view, from, to))),
            _ => None,
        }
    }
}

/// A tensor that only changes its type: one long row, because its shape does not matter.
fn conversion(view: &TensorView, from: Float, to: Float) -> Program {
    Program {
        tensor: view.name.into(),
        rows: 1,
        cols: view.elements(),
        source: Stored::Plain(Plain { float: from, input: view.source.input, start: view.source.start }),
        updates: Vec::new(),
        combine: Combine::Linear,
        to,
        rounding: Rounding::Nearest,
    }
}
