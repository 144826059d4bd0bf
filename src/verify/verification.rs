//! A verification, planned: which tensor of the merged model is which of the merge, what is looked at next, and the report.

use std::ops::Range;

use serde::Serialize;
use serde_json::Value;

use super::check::{Alternative, Check, Delta, Look, Values, alternatives, linear, prunes};
use super::evidence::Evidence;
use super::found::{Found, find};
use super::report::{ExpectedAdapter, TensorVerdict, Verdict, VerdictCounts, VerifyReport, instead_counts};
use super::verdict::{Case, Judgement};
use crate::combine::Combine;
use crate::encoding::{Plain, Stored};
use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing};
use crate::plan::report::{FileSize, six};
use crate::plan::{
    AdapterOptions, MergePlan, PlanOptions, Program, TensorView, Update, in_place_of, open_base, plan, recipe,
};
use crate::tensor::{Float, Rounding};
use crate::wire::Wire;

/// Looks at one tensor, at most: its bits, its values, other merges.
const STAGES: usize = 3;

/// A verification of a merged model.
pub struct Verification {
    plan: MergePlan,
    merged: String,
    files: Vec<FileSize>,
    findings: Vec<Finding>,
    /// By the number of the tensor in the plan.
    targets: Vec<Target>,
}

/// A job of a check: elements, or bytes, of a tensor that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CheckJob {
    /// The check.
    pub check: usize,
    /// Number of the job in it.
    pub job: usize,
    /// First element.
    pub first: u64,
    /// Number of elements.
    pub count: u64,
}

/// A tensor of the merge, and what is known of it so far.
struct Target {
    /// What the merged model has in its place.
    found: Option<Found>,
    judgement: Option<Judgement>,
    stage: usize,
    /// Results of the jobs of this stage.
    results: Vec<Option<Evidence>>,
    /// Of the bits, then of the values.
    evidence: [Option<Evidence>; 2],
}

impl Target {
    /// A tensor of the plan, with what was found in its place.
    fn of(view: &TensorView, found: Option<Found>) -> Target {
        let judgement = match &found {
            None => Some(Judgement::of(Verdict::Missing)),
            Some(Found { same_shape: false, .. }) => Some(Judgement::different("other-shape")),
            Some(Found { dtype, .. })
                if *dtype != view.from && (Float::of(*dtype).is_none() || Float::of(view.from).is_none()) =>
            {
                Some(Judgement::different("other-type"))
            }
            Some(_) => None,
        };
        Target { found, judgement, stage: 0, results: Vec::new(), evidence: [None, None] }
    }
}

/// What the recipes of the two models say of what is asked for.
fn of_recipes(plan: &MergePlan, merged: Option<Value>, options: &PlanOptions) -> Option<Finding> {
    let Some(merged) = merged else {
        plan.recipe.base.recipe.as_ref()?;
        let message = "the base has the recipe of a merge, and the merged model has none: they may be swapped";
        return Some(Finding::warning("maybe-swapped", None, message.into()));
    };
    let (said, asked) = (merged["method"].as_str()?, options.method.as_deref().unwrap_or("linear"));
    let message = format!("the merged model's recipe says --method {said}, and not {asked}");
    (said != asked && said != "unmerge").then(|| Finding::warning("other-method", None, message))
}

impl Verification {
    /// Read headers and configurations of a base, adapters and a merged model, and plan what is compared.
    ///
    /// # Errors
    /// Those of [`plan`](crate::plan::plan()), and of a base for the merged model.
    pub async fn open(
        inputs: &impl Inputs,
        base: &Listing,
        adapters: &[(Listing, AdapterOptions)],
        options: &PlanOptions,
        merged: &Listing,
    ) -> Result<Verification> {
        let plan = plan(inputs, base, adapters, options).await?;
        let opened = open_base(inputs, merged).await;
        let merged = opened.map_err(|error| in_place_of("the merged model", error))?;
        let mut findings = plan.findings.clone();
        findings.extend(of_recipes(&plan, recipe::of(&merged), options));
        let found = find(&plan, &merged, &mut findings)?;
        let targets =
            found.into_iter().enumerate().map(|(tensor, found)| Target::of(&plan.tensor(tensor), found)).collect();
        let size = |shard: &crate::plan::Shard| FileSize { name: shard.name.clone(), size: shard.header.file_bytes };
        let files = merged.shards.iter().map(size).collect();
        Ok(Verification { plan, merged: merged.name, files, findings, targets })
    }

    /// The jobs that are to be run next, none where all is known. Their results are to be added before this is called again.
    #[inline(never)]
    pub fn jobs(&mut self) -> Vec<CheckJob> {
        let mut jobs = Vec::new();
        for tensor in 0..self.targets.len() {
            if self.targets[tensor].judgement.is_some() || !self.targets[tensor].results.is_empty() {
                continue;
            }
            let Some(check) = self.look(tensor) else { continue };
            let number = tensor * STAGES + self.targets[tensor].stage;
            let before = jobs.len();
            jobs.extend(check.jobs().enumerate().map(|(job, elements)| CheckJob {
                check: number,
                job,
                first: elements.start,
                count: elements.end - elements.start,
            }));
            self.targets[tensor].results = vec![None; jobs.len() - before];
            if jobs.len() == before {
                self.targets[tensor].judgement = Some(Judgement::of(Verdict::Bits));
            }
        }
        jobs
    }

    /// A check, as [`Verifier::load`](super::Verifier::load) takes it.
    #[inline(never)]
    pub fn check(&self, number: usize) -> Option<Vec<u8>> {
        self.look(number / STAGES).map(|check| check.to_bytes())
    }

    /// Add the result of a job, as [`Verifier::run`](super::Verifier::run) gives it.
    #[inline(never)]
    pub fn add(&mut self, job: &CheckJob, mut result: &[u8]) {
        let tensor = job.check / STAGES;
        let Some(target) = self.targets.get_mut(tensor) else { return };
        if let Some(place) = target.results.get_mut(job.job) {
            *place = Evidence::take(&mut result);
        }
        if target.results.iter().any(Option::is_none) {
            return;
        }
        let mut evidence = Evidence::default();
        target.results.drain(..).flatten().for_each(|next| evidence.absorb(next));
        self.conclude(tensor, evidence);
    }

    /// How far the verification is: tensors that are judged, and all.
    #[inline(never)]
    pub fn progress(&self) -> (usize, usize) {
        (self.targets.iter().filter(|target| target.judgement.is_some()).count(), self.targets.len())
    }

    /// What is looked at of a tensor at this stage; `None` where nothing is.
    fn look(&self, tensor: usize) -> Option<Check> {
        let target = self.targets.get(tensor)?;
        let Found { dtype, at, .. } = target.found.as_ref()?;
        let view = self.plan.tensor(tensor);
        let made = |look, length| Some(Check { tensor: view.name.into(), look, length });
        let copied = !view.is_computed() || view.updates.is_empty();
        if target.stage == 0 && copied && view.from == *dtype {
            return made(Look::Bytes(view.source, *at), at.bytes);
        }
        let float = Float::of(*dtype)?;
        let found = Plain { float, input: at.input, start: at.start };
        let program = self.program(tensor, float)?;
        let elements = program.elements();
        if target.stage == 0 {
            return made(Look::Bits(Box::new(program), found), elements);
        }
        let expected = Delta::of(program);
        let mut values = Values { found, expected, origin: None, others: Vec::new(), parts: false, open: false };
        if view.is_replaced() {
            values.origin = self.origin(view.name);
        }
        if values.expected.program.combine.rule().is_some() {
            values.others = vec![linear(&values.expected.program)];
            values.open = target.stage > 1 && prunes(&values.expected.program).is_some();
        } else if target.stage == 1 {
            let parts = self.parts(&values.expected.program);
            (values.parts, values.others) =
                (!parts.is_empty(), parts.into_iter().map(|(_, part)| Delta::of(part)).collect());
        } else {
            let others = self.alternatives(&view, &values.expected.program);
            values.others = others.into_iter().map(|other| other.delta).collect();
        }
        made(Look::Values(Box::new(values)), elements)
    }

    /// How a tensor is computed, in the type of the one that was found.
    fn program(&self, tensor: usize, to: Float) -> Option<Program> {
        let view = self.plan.tensor(tensor);
        if let Some(program) = self.plan.program(tensor).filter(|program| !program.updates.is_empty()) {
            return Some(Program { to, ..program.into_owned() });
        }
        Some(Program {
            tensor: view.name.into(),
            rows: 1,
            cols: view.elements(),
            source: Stored::Plain(Plain {
                float: Float::of(view.from)?,
                input: view.source.input,
                start: view.source.start,
            }),
            updates: Vec::new(),
            combine: Combine::Linear,
            rounding: Rounding::Nearest,
            to,
        })
    }

    /// The base's own tensor of that name.
    fn origin(&self, name: &str) -> Option<Plain> {
        self.plan.base.shards.iter().find_map(|shard| {
            let info = shard.header.tensor(shard.header.find(name)?);
            let start = shard.header.data_start + info.start;
            Float::of(info.dtype).map(|float| Plain { float, input: shard.input, start })
        })
    }

    /// The part of each adapter, where several change the tensor.
    fn parts(&self, program: &Program) -> Vec<(String, Program)> {
        let mut parts: Vec<(String, Program)> = Vec::new();
        if program.combine.rule().is_some() {
            return parts;
        }
        for update in &program.updates {
            match parts.iter_mut().find(|(name, _)| *name == update.adapter) {
                Some((_, part)) => part.updates.push(update.clone()),
                None => {
                    parts.push((update.adapter.clone(), Program { updates: vec![update.clone()], ..program.clone() }))
                }
            }
        }
        if parts.len() > 1 { parts } else { Vec::new() }
    }

    fn alternatives(&self, view: &TensorView, program: &Program) -> Vec<Alternative> {
        let matrix = match view.shape {
            &[matrices, rows, _] if matrices.checked_mul(rows) == Some(program.rows) => rows,
            _ => program.rows,
        };
        alternatives(program, matrix, self.counterpart(view))
    }

    /// The updates of the other half of a pair that one tensor of the adapter may have had.
    fn counterpart(&self, view: &TensorView) -> Option<Vec<Update>> {
        const PAIRS: [[&str; 2]; 4] =
            [["gate_proj", "up_proj"], ["up_proj", "gate_proj"], [".w1.", ".w3."], [".w3.", ".w1."]];
        let [one, other] = PAIRS.into_iter().find(|[one, _]| view.name.contains(one))?;
        let name = view.name.replace(one, other);
        let there = (0..self.plan.tensor_count()).map(|tensor| self.plan.tensor(tensor));
        let found = there.into_iter().find(|other| other.name == name && other.shape == view.shape)?;
        (!found.updates.is_empty() && !found.is_replaced()).then(|| found.updates.to_vec())
    }

    /// What follows from the evidence of a stage.
    fn conclude(&mut self, tensor: usize, evidence: Evidence) {
        let view = self.plan.tensor(tensor);
        let float = self.targets[tensor].found.as_ref().and_then(|found| Float::of(found.dtype));
        let judgement = match (self.targets[tensor].stage, float) {
            (0, _) if evidence.equal == evidence.elements => Some(match evidence.changed {
                // Nothing of the delta is left.
                0 if evidence.delta_sq > 0.0 => Judgement::undecidable(),
                _ => Judgement::of(Verdict::Bits),
            }),
            (0, Some(_)) => None,
            (0, None) => Some(Judgement::different("not-the-base")),
            (stage, Some(float)) => self.program(tensor, float).and_then(|program| {
                let parts = self.parts(&program);
                let [_, values] = &self.targets[tensor].evidence;
                let types = (program.source.float().unwrap_or(float), float);
                let seen = values.as_ref().unwrap_or(&evidence);
                let case =
                    Case { program: &program, parts: &parts, types, replaced: view.is_replaced(), evidence: seen };
                let others = self.alternatives(&view, &program);
                let names: Vec<&'static str> = others.iter().map(|other| other.what).collect();
                match stage {
                    1 => case.judge().or_else(|| names.is_empty().then(|| case.judge_others(&[], &[], &[]))),
                    _ => {
                        let directions = evidence.directions.get(1..).unwrap_or_default();
                        Some(case.judge_others(&names, directions, &evidence.pruned))
                    }
                }
            }),
            (_, None) => None,
        };
        let target = &mut self.targets[tensor];
        if let Some(place) = target.evidence.get_mut(target.stage) {
            *place = Some(evidence);
        }
        target.judgement = judgement;
        target.stage += 1;
    }

    /// The report, once no jobs are left.
    #[inline(never)]
    pub fn report(&self) -> VerifyReport {
        let mut counts = VerdictCounts::default();
        let tensors: Vec<TensorVerdict> = (0..self.targets.len()).map(|tensor| self.tensor_verdict(tensor)).collect();
        tensors.iter().for_each(|tensor| counts.add(tensor.verdict));
        let merged = |verdict| tensors.iter().any(|tensor| tensor.merged && tensor.verdict == verdict);
        let verdict = if counts.different + counts.missing > 0 {
            Verdict::Different
        } else if merged(Verdict::Undecidable) && !merged(Verdict::Bits) && !merged(Verdict::Rounding) {
            Verdict::Undecidable
        } else if counts.rounding > 0 {
            Verdict::Rounding
        } else {
            Verdict::Bits
        };
        let adapter =
            |adapter: &crate::plan::Adapter| ExpectedAdapter { name: adapter.name.clone(), weight: adapter.weight };
        VerifyReport {
            lorafold: env!("CARGO_PKG_VERSION").into(),
            verdict,
            base: self.plan.base.name.clone(),
            merged: self.merged.clone(),
            adapters: self.plan.adapters.iter().map(adapter).collect(),
            counts,
            instead: instead_counts(&tensors),
            tensors,
            files: self.files.clone(),
            findings: self.findings.clone(),
        }
    }

    fn tensor_verdict(&self, tensor: usize) -> TensorVerdict {
        let (view, target) = (self.plan.tensor(tensor), &self.targets[tensor]);
        let judgement = target.judgement.clone().unwrap_or_else(|| Judgement::of(Verdict::Missing));
        let [bits, values] = &target.evidence;
        let differs = judgement.verdict == Verdict::Different;
        let values = values.as_ref();
        let known = |value: f64| Some(six(value)).filter(|value| value.is_finite());
        let estimate = values.and_then(|values| values.directions.first()?.estimate()).and_then(known);
        let elements = view.elements();
        let equal = bits.as_ref().map_or(0, |bits| bits.equal);
        // Of bytes.
        let bytes = bits.as_ref().filter(|bits| bits.elements > elements);
        let equal = bytes.map_or(equal, |bits| equal / (bits.elements / elements.max(1)).max(1));
        TensorVerdict {
            name: view.name.into(),
            verdict: judgement.verdict,
            merged: !view.updates.is_empty(),
            rounding: judgement.rounding,
            instead: judgement.instead,
            elements,
            equal: values.filter(|_| bytes.is_some()).map_or(equal, |values| values.equal),
            either: judgement.either,
            outside: values.filter(|_| differs).map(|values| values.outside),
            estimate: estimate.filter(|_| !view.updates.is_empty()),
            residual: values.and_then(|values| known((values.residual_sq / values.base_sq).sqrt())),
        }
    }
}

impl CheckJob {
    /// The elements, or bytes.
    pub fn elements(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.count)
    }
}
