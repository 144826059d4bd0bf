//! What JavaScript sees: a plan, and a merger that computes blocks of its programs.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

use super::input::{Given, JsInputs};
use super::values::{read, write, write_text};
use crate::engine::{self, Budget, FactSum};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::kernel::Statistics;
use crate::plan::{Measured, MergePlan, PlanRequest, Program, plan};

/// The types that the signatures below name.
#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"import type { Description, FactJob, FileSize, ListedFolder, Piece, PlanRequest, Report, Run, Span, TensorReport } from "./schema.js";"#;

type JsResult<T> = std::result::Result<T, JsValue>;

/// A merge, planned.
#[wasm_bindgen]
pub struct Plan {
    pub(super) plan: MergePlan,
    /// The facts of each program that needs some.
    facts: HashMap<usize, FactSum>,
    /// The statistics of each tensor gathered so far.
    statistics: BTreeMap<usize, Measured>,
}

#[wasm_bindgen]
impl Plan {
    /// Read headers and configurations through `inputs` and plan what `request` asks for, unless `signal` is aborted meanwhile.
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "PlanRequest")] request: JsValue,
        inputs: Array,
        signal: Option<AbortSignal>,
    ) -> JsResult<Plan> {
        let plan = open(request, &inputs, signal).await?;
        Ok(Plan::of(plan))
    }

    /// The plan as bytes, for `fromBytes` in another thread.
    #[wasm_bindgen(js_name = toBytes)]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.plan.to_bytes()
    }

    /// The plan that another thread made. Facts and statistics stay behind.
    #[wasm_bindgen(js_name = fromBytes)]
    pub fn from_bytes(bytes: &[u8]) -> JsResult<Plan> {
        Ok(Plan::of(MergePlan::from_bytes(bytes)?))
    }

    /// The output files.
    #[wasm_bindgen(unchecked_return_type = "FileSize[]")]
    pub fn files(&self) -> JsResult<JsValue> {
        write(&self.plan.file_sizes())
    }

    /// A strong entity tag of every output file.
    pub fn etags(&self) -> JsResult<Vec<String>> {
        Ok(self.plan.etags()?)
    }

    /// Identifies this output, in hex; see `MergePlan::identity`.
    pub fn identity(&self) -> JsResult<String> {
        Ok(self.plan.identity()?)
    }

    /// What the bytes `start..end` of a file are made of, at most `limit` pieces.
    #[wasm_bindgen(unchecked_return_type = "Piece[]")]
    pub fn pieces(&self, file: usize, start: f64, end: f64, block: f64, limit: Option<usize>) -> JsResult<JsValue> {
        let limit = limit.unwrap_or(usize::MAX);
        write(&self.plan.pieces(file, start as u64..end as u64, block as u64, limit))
    }

    /// The longest part, from the start of the bytes `start..end` of a file, for which one read is enough.
    #[wasm_bindgen(unchecked_return_type = "Run")]
    pub fn run(&self, file: usize, start: f64, end: f64) -> JsResult<JsValue> {
        write(&self.plan.run(file, start as u64..end as u64))
    }

    /// The bytes `start..end` of a file, as far as the plan itself holds them.
    #[wasm_bindgen(js_name = plannedBytes)]
    pub fn planned_bytes(&self, file: usize, start: f64, end: f64) -> JsResult<Vec<u8>> {
        let Some(file) = self.plan.files.get(file) else { return Ok(Vec::new()) };
        Ok(self.plan.planned_bytes(file, start as u64..end as u64)?)
    }

    /// The program of a tensor, as `Merger.load` takes it.
    pub fn program(&self, number: usize) -> Option<Vec<u8>> {
        self.plan.program(number).map(|program| program.to_bytes())
    }

    /// The jobs of the round that gathers facts of a program, none where it needs no facts or has them all.
    #[wasm_bindgen(js_name = factJobs, unchecked_return_type = "FactJob[]")]
    pub fn fact_jobs(&mut self, number: usize) -> JsResult<JsValue> {
        let jobs = self.plan.program(number).filter(|program| program.has_facts()).map(|program| {
            let facts = self.facts.entry(number).or_insert_with(|| FactSum::of(&program));
            facts.jobs(&program)
        });
        write(&jobs.unwrap_or_default())
    }

    /// Add the result of a job of [`fact_jobs`](Self::fact_jobs). Once all jobs of the round are in, that gives the jobs of the next one.
    #[wasm_bindgen(js_name = addFacts)]
    pub fn add_facts(&mut self, number: usize, result: &[u8]) {
        let Some(program) = self.plan.program(number) else { return };
        self.facts.entry(number).or_insert_with(|| FactSum::of(&program)).add(&program, result);
    }

    /// How many rounds of facts of a program are over: then its mergers must learn them anew.
    #[wasm_bindgen(js_name = factRounds)]
    pub fn fact_rounds(&self, number: usize) -> u32 {
        self.facts.get(&number).map_or(0, |facts| facts.round_number() as u32)
    }

    /// What is known of a program's weight, as `Merger.learn` takes it.
    pub fn facts(&self, number: usize) -> Option<Vec<u8>> {
        self.facts.get(&number).map(FactSum::to_bytes)
    }

    /// Add the statistics of a block of a tensor, as `Merger.compute` gives them.
    #[wasm_bindgen(js_name = addStatistics)]
    pub fn add_statistics(&mut self, number: usize, statistics: &[u8]) {
        self.statistics.entry(number).or_default().absorb_bytes(statistics);
    }

    /// The report without its tensors.
    #[wasm_bindgen(unchecked_return_type = "Report")]
    pub fn summary(&self) -> JsResult<JsValue> {
        write_text(&self.plan.summary(&self.statistics))
    }

    /// What the report says of the tensors `start..end`, with the statistics that were added.
    #[wasm_bindgen(js_name = tensorReports, unchecked_return_type = "TensorReport[]")]
    pub fn tensor_reports(&self, start: usize, end: usize) -> JsResult<JsValue> {
        write_text(&self.plan.tensor_reports(start..end, &self.statistics).collect::<Vec<_>>())
    }
}

impl Plan {
    fn of(plan: MergePlan) -> Plan {
        Plan { plan, facts: HashMap::new(), statistics: BTreeMap::new() }
    }
}

/// Bytes of output in one block under a memory budget in bytes.
#[wasm_bindgen(js_name = blockBytes)]
pub fn block_bytes(budget: Option<f64>) -> JsResult<f64> {
    let budget = budget.map_or(Ok(Budget::default()), |bytes| Budget::new(bytes as u64))?;
    Ok(budget.block_bytes() as f64)
}

/// What a folder is; with `hash`, and which one among all others.
#[wasm_bindgen(unchecked_return_type = "Description")]
pub async fn inspect(
    #[wasm_bindgen(unchecked_param_type = "ListedFolder")] folder: JsValue,
    inputs: Array,
    hash: bool,
) -> JsResult<JsValue> {
    let inspected = async {
        let folder = read(&folder)?;
        crate::inspect::inspect(&JsInputs::new(&inputs)?, &folder, hash).await
    };
    write_text(&inspected.await?)
}

/// Computes blocks of programs; one for each worker.
#[wasm_bindgen]
pub struct Merger {
    inputs: JsInputs,
    merger: engine::Merger,
    output: (usize, usize),
}

#[wasm_bindgen]
impl Merger {
    /// A merger that reads from `inputs`, and keeps packed operands of at most `operand_bytes`.
    #[wasm_bindgen(constructor)]
    pub fn new(inputs: Array, allow_nonfinite: bool, operand_bytes: f64) -> JsResult<Merger> {
        let inputs = JsInputs::new(&inputs)?;
        Ok(Merger { inputs, merger: engine::Merger::new(allow_nonfinite, operand_bytes as u64), output: (0, 0) })
    }

    /// Take a program (`Plan.program`), and keep it under its number.
    pub fn load(&mut self, number: usize, program: &[u8]) -> JsResult<()> {
        self.merger.load(number, Program::from_bytes(program)?);
        Ok(())
    }

    /// Take the facts of a program (`Plan.facts`).
    pub fn learn(&mut self, number: usize, facts: &[u8]) -> JsResult<()> {
        Ok(self.merger.learn(number, facts)?)
    }

    /// Forget a program.
    pub fn drop(&mut self, number: usize) {
        self.merger.drop_program(number);
    }

    /// What must be read before elements `first .. first + count` of the program can be computed. Empty if everything is there.
    #[wasm_bindgen(js_name = missingOperands, unchecked_return_type = "Span[]")]
    pub fn missing_operands(&mut self, number: usize, first: f64, count: f64) -> JsResult<JsValue> {
        write(&self.merger.missing_operands(number, &elements(first, count))?)
    }

    /// Compute elements `first .. first + count` of a program. The bytes are then in the memory at `offset`, `length`, until the next
    /// call. Returns the block's statistics: of all its elements if they are wanted, else of a sample, if any of it is in the block. `base` has
    /// the bytes of the piece's reads, if they were read ahead.
    pub async fn compute(
        &mut self,
        number: usize,
        first: f64,
        count: f64,
        statistics: bool,
        base: Option<Vec<Uint8Array>>,
    ) -> JsResult<Option<Vec<u8>>> {
        let elements = elements(first, count);
        let mut found = if statistics { Statistics::default() } else { Statistics::sampled() };
        let Merger { inputs, merger, output } = self;
        let spans = merger.reads(number, elements.clone())?;
        let given = given(merger, Some(inputs), number, &elements, spans, (base, None))?;
        let computed = merger.compute(number, elements, &given, Some(&mut found)).await?;
        *output = (computed.as_ptr() as usize, computed.len());
        Ok((found.elements > 0).then(|| Measured::bytes_of(&found, merger.fates())))
    }

    /// The same without waiting, from bytes that the caller has read: those of the piece's reads, and those of `missingOperands`. So a read
    /// that is abandoned delays nobody.
    #[wasm_bindgen(js_name = computeGiven)]
    pub fn compute_given(
        &mut self,
        number: usize,
        first: f64,
        count: f64,
        base: Vec<Uint8Array>,
        operands: Vec<Uint8Array>,
    ) -> JsResult<()> {
        let elements = elements(first, count);
        let spans = self.merger.reads(number, elements.clone())?;
        let given = given(&mut self.merger, None, number, &elements, spans, (Some(base), Some(operands)))?;
        let computed = at_once(self.merger.compute(number, elements, &given, None))?;
        self.output = (computed.as_ptr() as usize, computed.len());
        Ok(())
    }

    /// The result of a job that gathers facts, for `Plan.addFacts`. `base` is as in `compute`.
    pub async fn gather(
        &mut self,
        number: usize,
        first: f64,
        count: f64,
        base: Option<Vec<Uint8Array>>,
    ) -> JsResult<Vec<u8>> {
        let elements = elements(first, count);
        let spans = self.merger.fact_reads(number, elements.clone())?;
        let given = given(&mut self.merger, Some(&self.inputs), number, &elements, spans, (base, None))?;
        Ok(self.merger.gather(number, elements, &given).await?)
    }

    /// The same without waiting; see `computeGiven`.
    #[wasm_bindgen(js_name = gatherGiven)]
    pub fn gather_given(
        &mut self,
        number: usize,
        first: f64,
        count: f64,
        base: Vec<Uint8Array>,
        operands: Vec<Uint8Array>,
    ) -> JsResult<Vec<u8>> {
        let elements = elements(first, count);
        let spans = self.merger.fact_reads(number, elements.clone())?;
        let given = given(&mut self.merger, None, number, &elements, spans, (Some(base), Some(operands)))?;
        Ok(at_once(self.merger.gather(number, elements, &given))?)
    }

    /// Copy bytes of an input into the memory, at `offset`, `length`.
    pub async fn read(&mut self, input: usize, start: f64, bytes: f64) -> JsResult<()> {
        let span = Span { input, start: start as u64, bytes: bytes as u64 };
        let copied = self.merger.copy(&self.inputs, span).await?;
        self.output = (copied.as_ptr() as usize, copied.len());
        Ok(())
    }

    /// Where the latest result is in the memory.
    #[wasm_bindgen(getter)]
    pub fn offset(&self) -> usize {
        self.output.0
    }

    /// How many bytes it has.
    #[wasm_bindgen(getter)]
    pub fn length(&self) -> usize {
        self.output.1
    }
}

/// What a caller has read for a block: the base's bytes and the operands, as far as they were read. Everything else comes from `rest`.
fn given<'a>(
    merger: &mut engine::Merger,
    rest: Option<&'a JsInputs>,
    number: usize,
    elements: &Range<u64>,
    reads: Vec<Span>,
    (base, operands): (Option<Vec<Uint8Array>>, Option<Vec<Uint8Array>>),
) -> Result<Given<'a>> {
    let mut given = Given::with(rest);
    if let Some(bytes) = base {
        given.add(reads, bytes);
    }
    if let Some(bytes) = operands {
        given.add(merger.missing_operands(number, elements)?, bytes);
    }
    Ok(given)
}

async fn open(request: JsValue, inputs: &Array, signal: Option<AbortSignal>) -> Result<MergePlan> {
    let mut request: PlanRequest = read(&request)?;
    request.number_inputs();
    let inputs = JsInputs::new(inputs)?.until(signal);
    let adapters: Vec<_> = request.adapters.into_iter().map(|adapter| (adapter.folder, adapter.options)).collect();
    plan(&inputs, &request.base, &adapters, &request.options).await
}

/// The `count` elements from `first` on.
fn elements(first: f64, count: f64) -> Range<u64> {
    first as u64..(first + count) as u64
}

/// The result of a future that never has to wait.
fn at_once<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(Error::internal("a block needs bytes that were not given")),
    }
}
