//! What rounding keeps of a delta: the report's estimate against every element, computed anew.

use std::collections::BTreeMap;

use crate::model::{Model, block_on, compute, with};
use lorafold::engine::Merger;
use lorafold::kernel::Statistics;
use lorafold::plan::signal::TotalSignal;
use lorafold::plan::{Measured, MergePlan, PlanOptions};
use lorafold::tensor::{Dtype, Float};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Of 256 runs and more, of fewer, and so small that all of it is looked at.
const SHAPES: [(u64, u64); 5] = [(2048, 256), (300, 700), (1024, 96), (64, 64), (3, 5)];

fn options(dtype: &str, rounding: &str) -> PlanOptions {
    with(|options: &mut PlanOptions| {
        options.dtype = Some(dtype.into());
        options.rounding = Some(rounding.into());
    })
}

/// The statistics of every tensor, in blocks of about `block` bytes.
fn merged(plan: &MergePlan, model: &Model, block: u64, every: bool) -> BTreeMap<usize, Measured> {
    let of_one = |number: usize| {
        let program = plan.program(number).unwrap().into_owned();
        let mut statistics = if every { Statistics::default() } else { Statistics::sampled() };
        let mut merger = Merger::new(false, 0);
        let (step, end, mut at) = (program.block(block), program.elements(), 0);
        merger.load(0, program);
        while at < end {
            let next = (at + step).min(end);
            block_on(merger.compute(0, at..next, &model.inputs, Some(&mut statistics))).unwrap();
            at = next;
        }
        (number, statistics.into())
    };
    (0..plan.tensor_count()).map(of_one).collect()
}

/// Σ (out − W)·Δ and Σ Δ² of every tensor in f64, with Δ from the factors.
fn exactly(plan: &MergePlan, model: &Model, float: Float) -> Vec<(f64, f64)> {
    let values = |bytes: &[u8], float: Float| -> Vec<f64> {
        bytes.chunks_exact(float.bytes()).map(|bytes| float.read(bytes)).collect()
    };
    let of_one = |number: usize| {
        let program = plan.program(number).unwrap().into_owned();
        let source = plan.tensor(number).source;
        let bytes = &model.inputs.0[source.input][source.start as usize..][..source.bytes as usize];
        let (base, out) =
            (values(bytes, float), values(&compute(&program, &model.inputs, 1 << 20).unwrap(), program.to));
        let factors: Vec<Vec<f64>> = program.updates[0]
            .op
            .operands
            .iter()
            .map(|operand| {
                let bytes = &model.inputs.0[operand.at.input][operand.at.start as usize..][..operand.at.bytes as usize];
                values(bytes, Float::F32)
            })
            .collect();
        let (cols, rank) = (program.cols as usize, factors[0].len() / program.cols as usize);
        let (mut kept, mut energy) = (0.0, 0.0);
        for (element, (base, out)) in base.iter().zip(&out).enumerate() {
            let (row, col) = (element / cols, element % cols);
            let delta: f64 = (0..rank).map(|k| factors[1][row * rank + k] * factors[0][k * cols + col]).sum();
            kept += (out - base) * delta;
            energy += delta * delta;
        }
        (kept, energy)
    };
    (0..plan.tensor_count()).map(of_one).collect()
}

fn signal(plan: &MergePlan, statistics: &BTreeMap<usize, Measured>) -> TotalSignal {
    plan.signal(statistics).unwrap()
}

#[test]
fn the_estimate_is_within_its_bound() {
    let (mut estimates, mut within, mut lost) = (0, 0, 0);
    for (name, dtype, float) in
        [("keep", Dtype::BF16, Float::Bf16), ("keep", Dtype::F16, Float::F16), ("bfloat16", Dtype::F32, Float::F32)]
    {
        for rounding in ["nearest", "stochastic"] {
            for relative in [0.1, 0.01, 0.003, 0.001, 1e-4] {
                let what = format!("{dtype} to {name}, {rounding}, {relative}");
                let model = Model::with_delta(11, dtype, &SHAPES, relative);
                let plan = model.plan(&options(name, rounding)).unwrap();
                let exact = exactly(&plan, &model, float);
                let every = merged(&plan, &model, 1 << 20, true);
                let sample = merged(&plan, &model, 1 << 20, false);
                let (reported, sampled) = (plan.report(&every), plan.report(&sample));
                let (kept, energy) = exact.iter().fold((0.0, 0.0), |(a, b), (kept, energy)| (a + kept, b + energy));
                let total = kept / energy;
                // Every element: the same number, but for sums in f32.
                let found = reported.signal.unwrap();
                let noise = 1e-4 * (1.0 + 1.0 / f64::from(relative) * 1e-3);
                assert!((found.kept.unwrap() - total).abs() <= noise, "{what}: {found:?}, {total}");
                assert_eq!((found.margin, found.sampled), (Some(0.0), Some(1.0)), "{what}");
                // A sample: within the margin as often as it says.
                let estimate = sampled.signal.clone().unwrap();
                let (found, margin) = (estimate.kept.unwrap(), estimate.margin.unwrap());
                assert!((found - total).abs() <= 2.0 * margin, "{what}: {found} ± {margin}, {total}");
                assert!(estimate.sampled.unwrap() < 0.25 && margin > 0.0, "{what}: {estimate:?}");
                for ((tensor, (kept, energy)), shape) in sampled.tensors.iter().zip(&exact).zip(SHAPES) {
                    let signal = tensor.signal.unwrap();
                    assert!(tensor.statistics.is_none());
                    let (found, margin, true_share) = (signal.kept.unwrap(), signal.margin.unwrap(), kept / energy);
                    let all = shape.0 * shape.1 <= 4096;
                    assert_eq!(signal.sampled == Some(1.0), all, "{what}: {signal:?} of {shape:?}");
                    estimates += 1;
                    within += usize::from((found - true_share).abs() <= margin + noise);
                }
                // What is told.
                let finding = sampled.findings.iter().find(|finding| finding.code == "signal-lost");
                assert_eq!(finding.is_some(), found + margin < 0.9, "{what}: {found}");
                lost += usize::from(finding.is_some());
                if let Some(finding) = finding {
                    let wanted = format!("rounding to {} keeps {:.1} %", plan.tensor(0).to, found * 100.0);
                    assert!(finding.message.starts_with(&wanted), "{} is not {wanted}", finding.message);
                    assert_eq!(finding.message.contains("stochastic"), rounding == "nearest");
                    assert_eq!(finding.tensor, estimate.least);
                }
                // Only deltas below the steps of the types are lost, and only to the nearest.
                println!("{what}: {total:.4} exactly, {found:.4} ± {margin:.4}");
                if relative >= 0.01 {
                    assert!(total > 0.95, "{what}: {total}");
                }
            }
        }
    }
    println!("{within} of {estimates} within");
    assert!(within * 100 >= estimates * 93, "{within} of {estimates}");
    assert!(lost >= 3, "{lost}");
}

#[test]
fn neither_blocks_nor_the_order_of_them_choose_the_sample() {
    let model = Model::with_delta(5, Dtype::BF16, &SHAPES, 0.001);
    for rounding in ["nearest", "stochastic"] {
        let plan = model.plan(&options("keep", rounding)).unwrap();
        let whole = merged(&plan, &model, 1 << 30, false);
        for block in [1 << 16, 20_000, 4096, 1000] {
            let parts = merged(&plan, &model, block, false);
            for (one, other) in whole.values().zip(parts.values()) {
                let [one, other] = [one.statistics, other.statistics];
                assert_eq!(one.elements, other.elements, "blocks of {block}");
                assert!((one.kept - other.kept).abs() <= 1e-5 * one.delta_sq, "blocks of {block}: {one:?} {other:?}");
                assert!((one.delta_sq - other.delta_sq).abs() <= 1e-5 * one.delta_sq);
            }
            let [one, other] = [&whole, &parts].map(|statistics| signal(&plan, statistics));
            assert!((one.kept.unwrap() - other.kept.unwrap()).abs() < 1e-4);
        }
    }
}

#[test]
fn nothing_is_said_of_what_no_adapter_changes() {
    let model = Model::random(2);
    let plan = model.plan(&PlanOptions::default()).unwrap();
    let report = plan.report(&BTreeMap::new());
    assert!(report.signal.is_none() && report.tensors.iter().all(|tensor| tensor.signal.is_none()));
    // A delta of zeros has no share.
    let model = Model::with_delta(3, Dtype::BF16, &[(64, 64)], 0.0);
    let plan = model.plan(&PlanOptions::default()).unwrap();
    let report = plan.report(&merged(&plan, &model, 1 << 20, false));
    assert_eq!(report.signal.unwrap().kept, None);
    assert!(!report.findings.iter().any(|finding| finding.code == "signal-lost"));
}
