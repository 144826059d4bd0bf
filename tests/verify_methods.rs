//! `verify` of merges by a method: those of PEFT's and mergekit's own code (tests/fixtures/maker/rules.py), rounded as other tools round, and what was made instead.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::folders::{Scratch, decode, values};
use crate::model::{Random, file, with};
use crate::rule_cases::{Case, cases, draws, folder, merge, prunes};
use lorafold::plan::PlanOptions;
use lorafold::tensor::{Dtype, Float};
use lorafold::verify::{Verdict, VerifyReport};
use safetensors::SafeTensors;

/// How a tool adds a delta.
#[derive(Clone, Copy, Debug)]
enum Arithmetic {
    /// Exactly, and rounds once.
    Once,
    /// The delta rounded first, to a type.
    Delta(Float),
}

fn round(float: Float, value: f64) -> f64 {
    let mut bytes = [0; 8];
    float.write(value, &mut bytes);
    float.read(&bytes)
}

/// A model of these values.
fn write(out: &Path, tensors: &BTreeMap<String, Vec<f64>>, to: Float) {
    let shapes: BTreeMap<String, Vec<u64>> = {
        let bytes = fs::read(folder().join("base/model.safetensors")).unwrap();
        let base = SafeTensors::deserialize(&bytes).unwrap();
        let shape = |shape: &[usize]| shape.iter().map(|&side| side as u64).collect();
        base.tensors().into_iter().map(|(name, view)| (name, shape(view.shape()))).collect()
    };
    let encoded = |values: &Vec<f64>| {
        let bytes = |value: &f64| {
            let mut bytes = [0; 8];
            to.write(*value, &mut bytes);
            bytes[..to.bytes()].to_vec()
        };
        values.iter().flat_map(bytes).collect::<Vec<u8>>()
    };
    let all: Vec<(String, Dtype, Vec<u64>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, values)| (name.clone(), to.dtype(), shapes[name].clone(), encoded(values)))
        .collect();
    fs::create_dir_all(out).unwrap();
    fs::write(out.join("model.safetensors"), file(&all)).unwrap();
}

/// W and the delta of each tensor of a case, as PEFT's or mergekit's own code has it in float64.
fn deltas(case: &Case) -> BTreeMap<String, (Vec<f64>, Vec<f64>)> {
    let bytes = fs::read(folder().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let of = |(name, (_, base)): (String, (_, Vec<f64>))| {
        let delta = expected.tensor(&format!("{}.{name}", case.number)).unwrap();
        let delta = decode(delta.dtype(), delta.data());
        (name, (base, delta))
    };
    values(&folder().join("base")).into_iter().map(of).collect()
}

/// A model of base + factor · delta.
fn made(out: &Path, case: &Case, factor: f64, to: Float, arithmetic: Arithmetic) {
    let sum = |(name, (base, delta)): (String, (Vec<f64>, Vec<f64>))| {
        let add = |(base, delta): (&f64, &f64)| match arithmetic {
            Arithmetic::Once => base + factor * delta,
            Arithmetic::Delta(float) => base + round(float, factor * delta),
        };
        (name, base.iter().zip(&delta).map(add).collect())
    };
    write(out, &deltas(case).into_iter().map(sum).collect(), to);
}

fn verdicts(report: &VerifyReport) -> String {
    report.tensors.iter().map(|tensor| format!("{tensor:?}\n")).collect()
}

#[test]
fn merges_of_peft_and_mergekit_are_verified() {
    let scratch = Scratch::new("verify-methods");
    let (mut undecidable, mut all) = (Vec::new(), 0);
    for case in cases() {
        for (to, arithmetic) in [
            (Float::F32, Arithmetic::Once),
            (Float::F32, Arithmetic::Delta(Float::Bf16)),
            (Float::Bf16, Arithmetic::Once),
            (Float::Bf16, Arithmetic::Delta(Float::Bf16)),
            (Float::F16, Arithmetic::Once),
        ] {
            let out = scratch.join("merged");
            made(&out, &case, 1.0, to, arithmetic);
            let report = merge(&case).verify(&out).unwrap();
            all += 1;
            let what = format!("{} {to:?} {arithmetic:?}", case.what);
            match report.verdict {
                Verdict::Undecidable => undecidable.push(what),
                _ => assert!(report.is_verified(), "{what}: {:?}\n{}", report.instead, verdicts(&report)),
            }
        }
    }
    // Only where nothing, or next to nothing, is left of the deltas.
    assert!(undecidable.len() * 20 < all, "{} of {all}:\n{}", undecidable.len(), undecidable.join("\n"));
}

#[test]
fn what_was_made_instead_is_named() {
    let scratch = Scratch::new("verify-methods-instead");
    for case in cases() {
        let method = case.options.method.clone().unwrap();
        let out = scratch.join("merged");
        for (factor, what) in [(0.0, "not-applied"), (2.0, "twice"), (-1.0, "sign-flipped")] {
            made(&out, &case, factor, Float::F32, Arithmetic::Once);
            let report = merge(&case).verify(&out).unwrap();
            let nothing = deltas(&case).values().all(|(_, delta)| delta.iter().all(|value| *value == 0.0));
            assert_eq!(report.is_verified(), nothing, "{} {what}", case.what);
            if !nothing {
                // Of a few elements angles are known so badly that it may be undecidable, and never wrong.
                assert_ne!(report.verdict, Verdict::Bits, "{}", case.what);
                assert!(
                    report.tensors.iter().flat_map(|tensor| &tensor.instead).any(|instead| instead.what == what),
                    "{} {what}: {:?}\n{}",
                    case.what,
                    report.instead,
                    verdicts(&report)
                );
            }
        }
        // The weighted sum.
        let linear = Case { options: PlanOptions::default(), ..Case { what: String::new(), ..clone(&case) } };
        let sum = scratch.join("linear");
        merge(&without_densities(linear)).force(true).plan().unwrap().run(&sum).unwrap();
        let report = merge(&case).verify(&sum).unwrap();
        let is_sum = case.options.density == Some(1.0) && method != "ties" && method != "sce";
        assert!(
            is_sum || report.instead.iter().any(|instead| ["linear", "other-density"].contains(&instead.what)),
            "{}: {:?}\n{}",
            case.what,
            report.instead,
            verdicts(&report)
        );
        assert!(is_sum || !report.is_verified(), "{}", case.what);
    }
}

fn clone(case: &Case) -> Case {
    Case {
        number: case.number,
        options: case.options.clone(),
        adapters: case.adapters.clone(),
        what: case.what.clone(),
    }
}

fn without_densities(mut case: Case) -> Case {
    case.adapters.iter_mut().for_each(|(_, options)| options.density = None);
    case
}

#[test]
fn another_density_is_bounded_and_other_random_numbers_are_no_evidence() {
    let scratch = Scratch::new("verify-methods-density");
    let (mut densities, mut masks) = (0, 0);
    for case in cases() {
        let method = case.options.method.clone().unwrap();
        let own = case.adapters.iter().any(|(_, options)| options.density.is_some());
        if !prunes(&method) || method == "sce" || own || case.options.density == Some(1.0) {
            continue;
        }
        let out = scratch.join(&case.number.to_string());
        let mut other = clone(&case);
        if draws(&method) {
            other.options.seed += 1;
        } else {
            other.options.density = Some(0.3);
        }
        merge(&other).plan().unwrap().run(&out).unwrap();
        let report = merge(&case).verify(&out).unwrap();
        let what = format!("{}: {:?}\n{}", case.what, report.instead, verdicts(&report));
        assert!(!report.is_verified(), "{what}");
        let changed = report.tensors.iter().filter(|tensor| tensor.verdict != Verdict::Bits);
        if draws(&method) {
            assert_eq!(report.verdict, Verdict::Undecidable, "{what}");
            changed.for_each(|tensor| assert_eq!(tensor.instead[0].what, "other-mask", "{what}"));
            masks += 1;
            continue;
        }
        for instead in changed.flat_map(|tensor| &tensor.instead).filter(|one| one.what == "other-density") {
            if let Some([least, most]) = instead.factor {
                // k = ⌊density · n⌋, of breadcrumbs some more or fewer.
                assert!(least <= 0.31 && 0.29 <= most && least >= 0.1, "{what}");
                densities += 1;
            }
        }
    }
    assert!(densities > 20 && masks > 20, "{densities}, {masks}");
}

/// Deltas that were rounded to bf16 before anything was done with them: single elements near a threshold or a vote may be either, and are counted.
#[test]
fn elements_near_a_threshold_may_be_either() {
    let mut random = Random(17);
    let scratch = Scratch::new("verify-methods-either");
    let (rows, cols) = (256usize, 192usize);
    let mut normal = |deviation: f64| -> Vec<f64> {
        (0..rows * cols)
            .map(|_| round(Float::Bf16, ((0..12).map(|_| f64::from(random.unit())).sum::<f64>() / 2.0) * deviation))
            .collect()
    };
    let (base, deltas) = (normal(0.02), [normal(0.004), normal(0.004), normal(0.002)]);
    let model = |values: &[f64], name: &str| {
        let mut bytes = [0; 8];
        let encoded = values.iter().flat_map(|value| {
            Float::Bf16.write(*value, &mut bytes);
            bytes[..2].to_vec()
        });
        let out = scratch.join(name);
        fs::create_dir_all(&out).unwrap();
        let tensor = ("proj.weight".to_string(), Dtype::BF16, vec![rows as u64, cols as u64], encoded.collect());
        fs::write(out.join("model.safetensors"), file(&[tensor])).unwrap();
        fs::write(out.join("config.json"), "{}").unwrap();
        out
    };
    let half = |value: f64| round(Float::Bf16, value);
    let base_folder = model(&base, "base");
    let tuned: Vec<Vec<f64>> =
        deltas.iter().map(|delta| base.iter().zip(delta).map(|(base, delta)| half(base + delta)).collect()).collect();
    let folders: Vec<_> =
        tuned.iter().enumerate().map(|(number, tuned)| model(tuned, &format!("tuned-{number}"))).collect();
    let weights = [0.5, 0.3, 0.9];
    // mergekit's ties with `dtype: bfloat16`, every step rounded.
    let task = |number: usize| -> Vec<f64> { tuned[number].iter().zip(&base).map(|(m, w)| half(m - w)).collect() };
    let kept = |density: f64| -> Vec<Vec<f64>> {
        let keep = |delta: Vec<f64>| {
            let mut order: Vec<usize> = (0..delta.len()).collect();
            // Equal values in any order: here the last ones first.
            order.sort_by(|&a, &b| delta[b].abs().total_cmp(&delta[a].abs()).then(b.cmp(&a)));
            let mut kept = vec![0.0; delta.len()];
            order[..(density * delta.len() as f64) as usize].iter().for_each(|&at| kept[at] = delta[at]);
            kept
        };
        (0..3).map(|number| keep(task(number))).collect()
    };
    let merged = |density: f64, flip: bool| -> Vec<f64> {
        let kept = kept(density);
        let element = |at: usize| {
            let weighed: Vec<f64> = (0..3).map(|number| half(weights[number] * kept[number][at])).collect();
            let side = if (half(weighed.iter().sum::<f64>()) >= 0.0) != flip { 1.0 } else { -1.0 };
            let agrees: Vec<usize> = (0..3).filter(|&number| weighed[number] * side > 0.0).collect();
            let divisor: f64 = half(agrees.iter().map(|&number| half(weights[number])).sum());
            let sum: f64 = half(agrees.iter().map(|&number| weighed[number]).sum());
            half(base[at] + half(sum / if divisor.abs() < 1e-6 { 1.0 } else { divisor }))
        };
        (0..rows * cols).map(element).collect()
    };
    let verify = |density: f64, found: &Path| {
        let mut request = lorafold::Merge::builder().base(&base_folder).options(with(|options: &mut PlanOptions| {
            options.method = Some("ties".into());
            options.flavor = Some("mergekit".into());
            options.density = Some(density);
        }));
        for (folder, weight) in folders.iter().zip(weights) {
            request = request.adapter(lorafold::AdapterFolder::new(folder).weight(weight));
        }
        request.verify(found).unwrap()
    };
    for density in [0.2, 0.5, 0.8] {
        let right = model(&merged(density, false), "merged");
        let report = verify(density, &right);
        let tensor = &report.tensors[0];
        assert!(report.is_verified(), "{density}: {}", verdicts(&report));
        let either = tensor.either.unwrap();
        assert!(tensor.rounding.is_some() && either > 0 && either < tensor.elements / 10, "{density}: {tensor:?}");
        let wrong = model(&merged(density, true), "wrong");
        assert_eq!(verify(density, &wrong).verdict, Verdict::Different);
        let report = verify(density + 0.1, &right);
        assert_eq!(report.verdict, Verdict::Different);
        for instead in &report.tensors[0].instead {
            assert_eq!(instead.what, "other-density");
            let Some([least, most]) = instead.factor else { continue };
            assert!(least <= density && density <= most, "{density}: {instead:?}");
        }
    }
}
