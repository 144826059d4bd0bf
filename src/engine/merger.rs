//! Computes blocks of programs, one after another.

use std::ops::Range;

use super::block::{Block, BlockBuffers};
use super::facts::{Gathered, Known, Stage};
use super::operands::Operands;
use super::prepared::{PreparedProgram, bands, updates_of};
use crate::combine::Fate;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Span, resize};
use crate::kernel::Statistics;
use crate::plan::Program;
use crate::wire::Wire;

/// Holds programs and computes blocks of them. Packed operands are kept while there is room, and read again where there was none.
pub struct Merger {
    /// The latest used last.
    programs: Vec<Loaded>,
    /// Bytes of packed operands that may be kept.
    limit: u64,
    /// Bytes that the packed operands of the latest program take at most where it has those of many experts.
    at_once: u64,
    operands: Operands,
    allow_nonfinite: bool,
    buffers: BlockBuffers,
}

/// Bytes of experts' factors that are held as they were read, and as many packed, where nothing else is said.
const OF_EXPERTS: u64 = 64 << 20;

struct Loaded {
    id: usize,
    program: Program,
    /// What is known of its whole weight, where something must be.
    known: Option<Known>,
    prepared: Option<PreparedProgram>,
}

impl Merger {
    /// A merger that takes an element which leaves the finite range for an error, unless `allow_nonfinite`, and keeps packed operands
    /// of at most `operand_bytes`, but always those of the latest program.
    pub fn new(allow_nonfinite: bool, operand_bytes: u64) -> Merger {
        // A merger that keeps nothing has memory all the same: there it is one of a few workers.
        let at_once = if operand_bytes > 0 { operand_bytes / 2 } else { OF_EXPERTS };
        let (programs, operands, buffers) = (Vec::new(), Operands::new(at_once), BlockBuffers::default());
        Merger { programs, limit: operand_bytes, at_once, operands, allow_nonfinite, buffers }
    }

    /// Take a program, which is called `id` from now on.
    pub fn load(&mut self, id: usize, program: Program) {
        self.drop_program(id);
        let known = program.has_facts().then(|| Known::start(&program));
        self.programs.push(Loaded { id, program, known, prepared: None });
    }

    /// Forget a program.
    pub fn drop_program(&mut self, id: usize) {
        self.programs.retain(|loaded| loaded.id != id);
    }

    /// Take what is known of a program's whole weight, as [`FactSum`](super::FactSum) has it.
    ///
    /// # Errors
    /// `internal` when the program was not loaded, or for other bytes; `unsupported` where the weight does not have what a method must know.
    pub fn learn(&mut self, id: usize, facts: &[u8]) -> Result<()> {
        let loaded = self.find(id)?;
        let known = Known::take(&mut &*facts).ok_or_else(|| Error::internal("these are not the bytes of facts"))?;
        if let Some(prepared) = &mut loaded.prepared {
            prepared.learn(&loaded.program, &known.updates)?;
        }
        loaded.known = Some(known);
        Ok(())
    }

    /// The spans of the operands that [`compute`](Self::compute) would read first for `elements`: none where they are packed already.
    ///
    /// # Errors
    /// `internal` when the program was not loaded.
    pub fn missing_operands(&self, id: usize, elements: &Range<u64>) -> Result<Vec<Span>> {
        let at_once = self.at_once;
        let found = self.programs.iter().find(|loaded| loaded.id == id);
        let Loaded { program, prepared, .. } = found.ok_or_else(|| not_loaded(id))?;
        if prepared.as_ref().is_some_and(|prepared| prepared.holds(program, elements)) {
            return Ok(Vec::new());
        }
        let (bands, _) = bands(program, elements, at_once);
        let mut operands = program.source.operands();
        updates_of(program, &bands).for_each(|(_, update)| operands.extend(&update.op.operands));
        Ok(self.operands.missing(&operands))
    }

    /// The spans of the source that [`compute`](Self::compute) would read for `elements`.
    ///
    /// # Errors
    /// `internal` when the program was not loaded.
    pub fn reads(&mut self, id: usize, elements: Range<u64>) -> Result<Vec<Span>> {
        self.find(id).map(|loaded| loaded.program.reads(elements))
    }

    /// Those that [`gather`](Self::gather) would read.
    ///
    /// # Errors
    /// `internal` when the program was not loaded.
    pub fn fact_reads(&mut self, id: usize, elements: Range<u64>) -> Result<Vec<Span>> {
        self.find(id).map(|loaded| loaded.program.fact_reads(elements))
    }

    /// The bytes of `elements` of the output tensor that program `id` computes. The elements are those of a piece of the plan: whole
    /// rows where an update needs them.
    ///
    /// # Errors
    /// `non-finite` for an operand or a sum that is NaN or infinite, `limit-exceeded` where memory does not suffice, `internal` when the
    /// program was not loaded or lacks its facts, and whatever reading gives.
    pub async fn compute(
        &mut self,
        id: usize,
        elements: Range<u64>,
        inputs: &impl Inputs,
        statistics: Option<&mut Statistics>,
    ) -> Result<&[u8]> {
        self.buffers.fates.clear();
        let (block, buffers) = self.read_block(id, elements, inputs).await?;
        block.compute(buffers, statistics)
    }

    /// What became of the values of the adapters' deltas of the block that was computed last, by the adapters' order in the program. Counted where a
    /// rule takes values away, and statistics of all elements were asked for.
    pub fn fates(&self) -> &[Fate] {
        &self.buffers.fates
    }

    /// The values of `elements` of the source of program `id`, and what its updates make of them, in f64 and not rounded to a type: for whoever
    /// compares a merge with another. The products of low-rank factors are computed in f32 all the same.
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub async fn values(
        &mut self,
        id: usize,
        elements: Range<u64>,
        inputs: &impl Inputs,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        let (block, buffers) = self.read_block(id, elements, inputs).await?;
        block.values(buffers)
    }

    /// A block of a program, prepared and with its source's bytes read.
    pub(super) async fn read_block(
        &mut self,
        id: usize,
        elements: Range<u64>,
        inputs: &impl Inputs,
    ) -> Result<(Block<'_>, &mut BlockBuffers)> {
        self.prepare(id, &elements, inputs).await?;
        let Merger { programs, buffers, allow_nonfinite, .. } = self;
        let Some(Loaded { program, prepared: Some(prepared), known, .. }) = programs.last() else {
            return Err(Error::internal(format!("program {id} was not prepared")));
        };
        if known.as_ref().is_some_and(|known| known.stage != Stage::Done) && program.elements() > 0 {
            return Err(Error::internal(format!("{}: its facts are missing", program.tensor)));
        }
        let spans = program.reads(elements.clone());
        let block = Block { program, prepared, elements, allow_nonfinite: *allow_nonfinite, known: known.as_ref() };
        buffers.read(&block, spans, inputs).await?;
        Ok((block, buffers))
    }

    /// The result of the job that goes through `elements` in the round of which the program has learned, as
    /// [`FactSum::add`](super::FactSum::add) takes it.
    ///
    /// # Errors
    /// As [`compute`](Self::compute).
    pub async fn gather(&mut self, id: usize, elements: Range<u64>, inputs: &impl Inputs) -> Result<Vec<u8>> {
        self.prepare(id, &elements, inputs).await?;
        let Merger { programs, buffers, .. } = self;
        let Some(Loaded { program, prepared: Some(prepared), known: Some(known), .. }) = programs.last() else {
            return Err(Error::internal(format!("program {id} was not prepared, or has no facts")));
        };
        let spans = program.fact_reads(elements.clone());
        let mut result = Gathered {
            round: known.round,
            first: elements.start,
            count: elements.end - elements.start,
            ..Gathered::default()
        };
        let block = Block { program, prepared, elements, allow_nonfinite: true, known: Some(known) };
        buffers.read(&block, spans, inputs).await?;
        block.gather(buffers, known, &mut result)?;
        Ok(result.to_bytes())
    }

    /// Bytes of an input as they are.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice, and whatever reading gives.
    pub async fn copy(&mut self, inputs: &impl Inputs, span: Span) -> Result<&[u8]> {
        let buffer = &mut self.buffers.base;
        resize(buffer, "a copied block", span.bytes)?;
        inputs.read(span.input, span.start, buffer).await?;
        Ok(buffer)
    }

    fn find(&mut self, id: usize) -> Result<&mut Loaded> {
        let found = self.programs.iter_mut().find(|loaded| loaded.id == id);
        found.ok_or_else(|| not_loaded(id))
    }

    /// Have the operands of program `id` packed, and make it the latest. The packed operands of the longest unused give way first.
    async fn prepare(&mut self, id: usize, elements: &Range<u64>, inputs: &impl Inputs) -> Result<()> {
        let at = self.programs.iter().position(|loaded| loaded.id == id);
        let at = at.ok_or_else(|| not_loaded(id))?;
        self.programs[at..].rotate_left(1);
        let Some((loaded, others)) = self.programs.split_last_mut() else { return Ok(()) };
        if loaded.prepared.as_ref().is_some_and(|prepared| prepared.holds(&loaded.program, elements)) {
            return Ok(());
        }
        loaded.prepared = None;
        let kept = |others: &[Loaded]| {
            others.iter().flat_map(|other| &other.prepared).map(PreparedProgram::bytes).sum::<u64>()
        };
        let program = &loaded.program;
        let (bands, wanted) = bands(program, elements, self.at_once);
        for oldest in 0..others.len() {
            if kept(others).saturating_add(wanted) <= self.limit {
                break;
            }
            others[oldest].prepared = None;
        }
        let mut prepared = PreparedProgram::begin(program, &bands)?;
        let updates =
            updates_of(program, &bands).map(|(number, update)| (Some(number), update.op.operands.iter().collect()));
        for (number, operands) in std::iter::once((None, program.source.operands())).chain(updates) {
            let mut read = Vec::with_capacity(operands.len());
            for operand in operands {
                read.push(self.operands.read(operand, inputs).await?);
            }
            match number {
                Some(number) => prepared.add(program, number, &read)?,
                None => prepared.side = read,
            }
        }
        if let Some(known) = &loaded.known {
            prepared.learn(program, &known.updates)?;
        }
        loaded.prepared = Some(prepared);
        Ok(())
    }
}

fn not_loaded(id: usize) -> Error {
    Error::internal(format!("program {id} was not loaded"))
}
