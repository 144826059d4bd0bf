//! Methods that merge several adapters, against PEFT's and mergekit's own code on the deltas in float64 (tests/fixtures/maker/rules.py).
#![cfg(not(target_arch = "wasm32"))]

use std::fs;

use crate::folders::{self, Scratch, decode, files, values};
use crate::model::{Memory, Model, Random, add_folder, check_ranges, encode, file, read_file, with};
use crate::rule_cases::{cases, folder, merge};
use lorafold::plan::{AdapterOptions, PlanOptions};
use lorafold::tensor::Dtype;
use safetensors::SafeTensors;

#[test]
fn the_deltas_are_those_of_peft_and_mergekit() {
    let scratch = Scratch::new("rules");
    let bytes = fs::read(folder().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let base = values(&folder().join("base"));
    let all = cases();
    assert!(all.len() >= 60, "{}", all.len());
    for case in all {
        let out = scratch.0.join(case.number.to_string());
        merge(&case)
            .plan()
            .unwrap_or_else(|error| panic!("{}: {error}", case.what))
            .run(&out)
            .unwrap_or_else(|error| panic!("{}: {error}", case.what));
        for (tensor, (_, merged)) in values(&out) {
            let delta = expected.tensor(&format!("{}.{tensor}", case.number)).unwrap();
            let delta = decode(delta.dtype(), delta.data());
            let exact: Vec<f64> = base[&tensor].1.iter().zip(&delta).map(|(base, delta)| base + delta).collect();
            let largest = exact.iter().fold(0f64, |largest, value| largest.max(value.abs()));
            for (at, (found, exact)) in merged.iter().zip(&exact).enumerate() {
                let off = (found - exact).abs();
                assert!(off <= 5e-7 * largest, "{} {tensor}[{at}]: {found} is not {exact}", case.what);
            }
        }
    }
}

#[test]
fn neither_ranges_nor_blocks_nor_threads_show() {
    let scratch = Scratch::new("rules-ranges");
    let mut random = Random(31);
    // Each method once, with three adapters, of which one is DoRA.
    let mut seen = Vec::new();
    for case in cases() {
        let kind = (case.options.method.clone(), case.options.flavor.clone());
        if case.adapters.len() != 3 && !case.what.contains("slerp") || seen.contains(&kind) {
            continue;
        }
        seen.push(kind);
        let mut inputs = Memory::default();
        let listing = add_folder(&mut inputs, "base", files(&folder().join("base")));
        let mut adapters = Vec::new();
        for (path, options) in &case.adapters {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            adapters.push((add_folder(&mut inputs, &name, files(path)), options.clone()));
        }
        let model = Model { inputs, base: listing, adapters };
        let plan = model.plan(&case.options).unwrap_or_else(|error| panic!("{}: {error}", case.what));
        let out = scratch.0.join(seen.len().to_string());
        merge(&case).plan().unwrap_or_else(|error| panic!("{}: {error}", case.what)).run(&out).unwrap();
        let written = files(&out);
        for (number, file) in plan.files.iter().enumerate() {
            let whole = read_file(&plan, &model.inputs, number, 1 << 20).unwrap();
            assert!(whole == written[&file.name], "{}: {} differs", case.what, file.name);
            check_ranges(&plan, &model.inputs, number, &whole, 300, &mut random, &case.what);
        }
    }
    assert!(seen.len() >= 7, "{seen:?}");
}

#[test]
fn what_becomes_of_the_deltas_is_counted() {
    let scratch = Scratch::new("rules-counted");
    let (base, mut counted) = (values(&folder().join("base")), 0);
    for case in cases() {
        let method = case.options.method.clone().unwrap();
        let out = scratch.0.join(case.number.to_string());
        let density = |name: &str| {
            let of_one = case.adapters.iter().find(|(path, _)| path.ends_with(name)).and_then(|(_, one)| one.density);
            of_one.or(case.options.density).unwrap_or(1.0)
        };
        let report = merge(&case).statistics(true).plan().unwrap().run(&out).unwrap().report();
        let merged = values(&out);
        for tensor in report.tensors {
            let elements: u64 = tensor.shape.iter().product();
            let Some(deltas) = tensor.deltas else {
                let is_whole = ["model_stock", "slerp", "nuslerp", "karcher"].contains(&method.as_str());
                let alone = tensor.adapters.as_ref().is_none_or(|adapters| adapters.len() < 2);
                assert!(is_whole || alone, "{}: {}", case.what, tensor.name);
                continue;
            };
            counted += 1;
            assert_eq!(deltas.len(), tensor.adapters.unwrap().len(), "{}", case.what);
            for delta in &deltas {
                let [values, kept, elected] = [delta.values, delta.kept, delta.elected];
                let what = format!("{} {}: {delta:?}", case.what, tensor.name);
                assert!(elected <= kept && kept <= values && values <= elements, "{what}");
                let share = density(&delta.adapter);
                let exactly = ((share * elements as f64) as u64).min(values);
                match method.as_str() {
                    "magnitude_prune" | "ties" | "breadcrumbs" | "breadcrumbs_ties" => {
                        assert_eq!(kept, exactly, "{what}")
                    }
                    "sce" => {}
                    _ if share == 1.0 => assert_eq!(kept, values, "{what}"),
                    // By chance: within five standard deviations.
                    _ => {
                        let (expected, of) = (share * values as f64, values as f64);
                        let spread = (of * share * (1.0 - share)).sqrt();
                        assert!((kept as f64 - expected).abs() <= 5.0 * spread, "{what}");
                    }
                }
                let elects = method.contains("ties") || ["della", "sce"].contains(&method.as_str());
                assert!(elects || elected == kept, "{what}");
            }
            // Where nothing is added the base's values stay; where several are, they hardly cancel out.
            let changed =
                base[&tensor.name].1.iter().zip(&merged[&tensor.name].1).filter(|(base, merged)| base != merged);
            let changed = changed.count() as u64;
            let sum: u64 = deltas.iter().map(|delta| delta.elected).sum();
            assert!(changed <= sum, "{}: {changed} of {sum} in {}", case.what, tensor.name);
        }
    }
    assert!(counted > 100, "{counted}");
}

/// Every fixture with several adapters, of any method: whole deltas add up to what the weighted sum is, and ranges of pruned ones do not show.
#[test]
fn adapters_of_any_method_have_deltas() {
    let (mut random, mut merged, mut refused) = (Random(5), 0, 0);
    for folders::cases::Case { name, base, adapters, .. } in folders::cases::cases() {
        if adapters.len() < 2 {
            continue;
        }
        let mut inputs = Memory::default();
        let listing = add_folder(&mut inputs, "base", files(&base));
        let adapters = adapters.iter().map(|(path, weight)| {
            let called = path.file_name().unwrap().to_string_lossy().into_owned();
            let options = with(|options: &mut AdapterOptions| options.weight = Some(*weight));
            (add_folder(&mut inputs, &called, files(path)), options)
        });
        let adapters = adapters.collect();
        let model = Model { inputs, base: listing, adapters };
        let plan = |method: &str, density: Option<f64>| {
            model.plan(&with(|options: &mut PlanOptions| {
                options.method = Some(method.into());
                options.density = density;
                options.dtype = Some("float32".into());
            }))
        };
        let whole = match plan("magnitude_prune", Some(1.0)) {
            Ok(whole) => whole,
            Err(error) => {
                assert!(error.to_string().contains("brings values of its own"), "{name}: {error}");
                refused += 1;
                continue;
            }
        };
        let linear = plan("linear", None).unwrap();
        for (number, file) in linear.files.iter().enumerate().filter(|(_, file)| file.name.ends_with(".safetensors")) {
            let [whole, linear] =
                [&whole, &linear].map(|plan| read_file(plan, &model.inputs, number, 1 << 12).unwrap());
            let [whole, linear] = [&whole, &linear].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
            for (tensor, view) in linear.tensors() {
                let [found, expected] =
                    [whole.tensor(&tensor).unwrap(), view].map(|view| decode(view.dtype(), view.data()));
                let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
                let off = found.iter().zip(&expected).fold(0f64, |off, (a, b)| off.max((a - b).abs()));
                assert!(off <= 1e-6 * largest, "{name}/{} {tensor} is off by {off}", file.name);
            }
        }
        let ties = plan("ties", Some(0.4)).unwrap();
        for (number, file) in ties.files.iter().enumerate() {
            let whole = read_file(&ties, &model.inputs, number, 1 << 20).unwrap();
            check_ranges(&ties, &model.inputs, number, &whole, 90, &mut random, &format!("{name}/{}", file.name));
        }
        merged += 1;
    }
    assert!(merged >= 10 && refused >= 1, "{merged} merged, {refused} refused");
}

/// Two adapters of low rank on one large weight: every element as a sort says, in F64 from the factors as they are packed.
#[test]
fn ties_of_a_large_weight_are_those_of_a_sort() {
    let mut random = Random(77);
    let (rows, cols) = (1031usize, 517usize);
    let mut numbers = |count: usize| (0..count).map(|_| random.unit()).collect::<Vec<f32>>();
    let base = numbers(rows * cols);
    let factors = [3, 2].map(|rank| (rank, numbers(rank * cols), numbers(rows * rank)));
    let tensor = |name: &str, rows: usize, cols: usize, values: &[f32]| {
        file(&[(name.into(), Dtype::F32, vec![rows as u64, cols as u64], encode(Dtype::F32, values))])
    };
    let mut inputs = Memory::default();
    let listing = add_folder(
        &mut inputs,
        "base",
        [("model.safetensors".into(), tensor("proj.weight", rows, cols, &base))].into(),
    );
    let adapter = |(number, (rank, a, b)): (usize, &(usize, Vec<f32>, Vec<f32>))| {
        let tensors = [("A", *rank, cols, a), ("B", rows, *rank, b)].map(|(half, rows, cols, values)| {
            let name = format!("base_model.model.proj.lora_{half}.weight");
            (name, Dtype::F32, vec![rows as u64, cols as u64], encode(Dtype::F32, values))
        });
        let config = format!(r#"{{"peft_type":"LORA","r":{rank},"lora_alpha":{rank},"target_modules":["proj"]}}"#);
        let folder =
            [("adapter_config.json".into(), config.into_bytes()), ("adapter_model.safetensors".into(), file(&tensors))];
        let weight = with(|options: &mut AdapterOptions| options.weight = Some([0.7, -1.25][number]));
        (add_folder(&mut inputs, &format!("adapter-{number}"), folder.into()), weight)
    };
    let adapters = factors.iter().enumerate().map(adapter).collect();
    let model = Model { inputs, base: listing, adapters };
    let deltas = factors.each_ref().map(|(rank, a, b)| {
        let value =
            |row: usize, col: usize| (0..*rank).fold(-0.0f32, |sum, k| sum + b[row * rank + k] * a[k * cols + col]);
        (0..rows * cols).map(|at| value(at / cols, at % cols)).collect::<Vec<f32>>()
    });
    for (density, method) in [(0.01, "ties"), (0.3, "ties"), (0.77, "magnitude_prune")] {
        let plan = model
            .plan(&with(|options: &mut PlanOptions| {
                options.method = Some(method.into());
                options.density = Some(density);
            }))
            .unwrap();
        let whole = read_file(&plan, &model.inputs, 0, 1 << 16).unwrap();
        let merged = &whole[whole.len() - rows * cols * 4..];
        let kept: Vec<Vec<f32>> = deltas
            .iter()
            .map(|delta| {
                let mut order: Vec<usize> = (0..delta.len()).collect();
                order.sort_by(|&a, &b| delta[b].abs().total_cmp(&delta[a].abs()).then(a.cmp(&b)));
                let mut kept = vec![0.0f32; delta.len()];
                order[..(density * delta.len() as f64) as usize].iter().for_each(|&at| kept[at] = delta[at]);
                kept
            })
            .collect();
        for at in 0..rows * cols {
            let [a, b]: [f32; 2] = [kept[0][at], kept[1][at]];
            let weighed = [0.7f32 * a, -1.25f32 * b];
            let mixed = if method == "ties" {
                let plus = a + b >= 0.0;
                let agrees = [a, b].map(|value| if plus { value > 0.0 } else { value < 0.0 });
                let sum = (0..2).filter(|&i| agrees[i]).fold(-0.0, |sum: f32, i| sum + weighed[i]);
                sum / (agrees[0] as u8 + agrees[1] as u8).max(1) as f32
            } else {
                weighed[0] + weighed[1]
            };
            let expected = if mixed == 0.0 { base[at] } else { base[at] + mixed };
            let found = f32::from_le_bytes(merged[4 * at..4 * at + 4].try_into().unwrap());
            assert_eq!(
                found.to_bits(),
                expected.to_bits(),
                "{method} {density} element {at}: {found} is not {expected}"
            );
        }
    }
}
