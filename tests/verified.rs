//! `verify` on merges that PEFT made, and on folders: other shards, other types, several adapters, wrong bases.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{self, Scratch};
use half::bf16;
use lorafold::verify::{Verdict, VerifyReport};
use lorafold::{AdapterFolder, Merge, MergeBuilder};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(file: &Path) -> Tensors {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let owned =
        |(name, view): (String, TensorView)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    tensors.tensors().into_iter().map(owned).collect()
}

fn write(tensors: &Tensors, file: &Path) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// bf16 as f32.
fn widened((_, shape, bytes): &(Dtype, Vec<usize>, Vec<u8>)) -> (Dtype, Vec<usize>, Vec<u8>) {
    let value = |bytes: &[u8; 2]| bf16::from_le_bytes(*bytes).to_f32().to_le_bytes();
    (Dtype::F32, shape.clone(), bytes.as_chunks().0.iter().flat_map(value).collect())
}

/// A model of the fixture `verified` with the tensors of one of PEFT's merges, in two shards.
fn peft_merge(case: &str, out: &Path) {
    let prefix = format!("{case}/");
    let merges = read(&fixture("verified/merges.safetensors"));
    let changed: Tensors = merges
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix(&prefix)?.to_string(), tensor)))
        .collect();
    assert_eq!(changed.len(), 2, "{case}");
    let wide = changed.values().all(|(dtype, ..)| *dtype == Dtype::F32);
    let mut all = read(&fixture("verified/base/model.safetensors"));
    if wide {
        all.values_mut().for_each(|tensor| *tensor = widened(tensor));
    }
    all.extend(changed);
    let second = all.split_off("model.layers.0.mlp.z");
    write(&all, &out.join("model-00001-of-00002.safetensors"));
    write(&second, &out.join("model-00002-of-00002.safetensors"));
}

fn request(adapters: &[&str]) -> MergeBuilder {
    let builder = Merge::builder().base(fixture("verified/base"));
    adapters.iter().fold(builder, |builder, name| builder.adapter(fixture("verified").join(name)))
}

fn verdicts(report: &VerifyReport) -> String {
    let tensor = |tensor: &lorafold::verify::TensorVerdict| format!("{tensor:?}\n");
    report.tensors.iter().filter(|tensor| tensor.merged || tensor.verdict != Verdict::Bits).map(tensor).collect()
}

#[test]
fn merges_of_peft_are_verified() {
    let scratch = Scratch::new("verified-peft");
    for (case, adapters, roundings) in [
        ("lora", &["lora"][..], &["sum-order"][..]),
        ("lora-safe", &["lora"], &["delta-in-bf16"]),
        ("lora-16-bit", &["lora"], &["delta-in-bf16", "computed-in-bf16"]),
        ("lora-f32", &["lora"], &["sum-order"]),
        ("two", &["lora", "other"], &["one-by-one"]),
        ("two-safe", &["lora", "other"], &["one-by-one"]),
        ("dora", &["dora"], &["sum-order", "delta-in-bf16", "computed-in-bf16"]),
        ("dora-f32", &["dora"], &["sum-order"]),
        ("loha", &["loha"], &["delta-in-bf16"]),
        ("loha-f32", &["loha"], &["sum-order"]),
        ("oft", &["oft"], &["sum-order", "delta-in-bf16", "computed-in-bf16"]),
        ("oft-f32", &["oft"], &["sum-order"]),
    ] {
        let merged = scratch.join(case);
        peft_merge(case, &merged);
        let report = request(adapters).threads(2).verify(&merged).unwrap();
        assert!(report.is_verified(), "{case}: {:?}\n{}", report.instead, verdicts(&report));
        for tensor in report.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Rounding) {
            assert!(roundings.contains(&tensor.rounding.unwrap()), "{case}: {tensor:?}");
        }
        // The same of what it is not: other adapters, or another weight.
        for wrong in [
            request(&["other"]),
            request(&[]).adapter(AdapterFolder::new(fixture("verified").join(adapters[0])).weight(0.5)),
        ] {
            if case != "other" {
                let report = wrong.verify(&merged).unwrap();
                assert_eq!(report.verdict, Verdict::Different, "{case}\n{}", verdicts(&report));
            }
        }
    }
}

/// A copy of an adapter with other tensors and another configuration.
fn changed(adapter: &Path, out: &Path, config: impl Fn(&mut serde_json::Value), tensors: impl Fn(&mut Tensors)) {
    let mut all = read(&adapter.join("adapter_model.safetensors"));
    tensors(&mut all);
    write(&all, &out.join("adapter_model.safetensors"));
    let mut json = serde_json::from_slice(&fs::read(adapter.join("adapter_config.json")).unwrap()).unwrap();
    config(&mut json);
    fs::write(out.join("adapter_config.json"), json.to_string()).unwrap();
}

/// What `verify` says of the merge of another adapter.
fn says(scratch: &Scratch, name: &str, base: &Path, made_of: &Path, expected: &Path) -> VerifyReport {
    let out = scratch.join(name);
    Merge::builder().base(base).adapter(made_of).plan().unwrap().run(&out).unwrap();
    Merge::builder().base(base).adapter(expected).verify(&out).unwrap()
}

#[test]
fn dora_without_its_magnitudes_or_scaled_otherwise_is_named() {
    let scratch = Scratch::new("verified-dora");
    let (base, dora) = (fixture("verified/base"), fixture("verified/dora"));
    let plain = scratch.join("plain");
    changed(
        &dora,
        &plain,
        |config| config["use_dora"] = false.into(),
        |tensors| tensors.retain(|name, _| !name.contains("magnitude")),
    );
    assert_eq!(says(&scratch, "no-magnitude", &base, &plain, &dora).instead[0].what, "no-magnitude");
    let alpha = scratch.join("alpha");
    // α/r with r = 4: α of 24 is what α alone would have been.
    changed(&dora, &alpha, |config| config["lora_alpha"] = 24.into(), |_| {});
    assert_eq!(says(&scratch, "scaled", &base, &alpha, &dora).instead[0].what, "scale-alpha");
    assert_eq!(says(&scratch, "right", &base, &dora, &dora).verdict, Verdict::Bits);
}

/// Exchange the halves of the rows, or of the columns, of a matrix of f32.
fn swap_halves((_, shape, bytes): &mut (Dtype, Vec<usize>, Vec<u8>), rows: bool) {
    let run = if rows { bytes.len() } else { shape[1] * 4 };
    bytes.chunks_exact_mut(run).for_each(|run| run.rotate_left(run.len() / 2));
}

/// One column of each half in turn, or back.
fn interleave((_, shape, bytes): &mut (Dtype, Vec<usize>, Vec<u8>), there: bool) {
    let cols = shape[1];
    for row in bytes.chunks_exact_mut(cols * 4) {
        let before = row.to_vec();
        for (col, value) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let from = if there { col % 2 * (cols / 2) + col / 2 } else { col % (cols / 2) * 2 + col / (cols / 2) };
            value.copy_from_slice(&before[from * 4..][..4]);
        }
    }
}

/// Exchange each column with its neighbour.
fn swap_pairs((.., bytes): &mut (Dtype, Vec<usize>, Vec<u8>)) {
    bytes.chunks_exact_mut(8).for_each(|pair| pair.rotate_left(4));
}

#[test]
fn gate_and_up_that_were_taken_for_each_other_are_named() {
    let scratch = Scratch::new("verified-halves");
    // Of one the base has a tensor for each expert, of the others a stack, stored (in, out); gpt-oss has gate and up alternate.
    type Change = fn(&mut (Dtype, Vec<usize>, Vec<u8>));
    let cases: [(&str, &str, &str, Change); 5] = [
        ("experts-olmoe", "base_layer.lora_B", "halves-swapped", |tensor| swap_halves(tensor, true)),
        ("experts-llama4", "base_layer.lora_A", "halves-swapped", |tensor| swap_halves(tensor, false)),
        ("experts-gpt-oss", "base_layer.lora_A", "halves-interleaved", |tensor| interleave(tensor, true)),
        ("experts-gpt-oss", "base_layer.lora_A", "halves-interleaved", |tensor| interleave(tensor, false)),
        ("experts-gpt-oss", "base_layer.lora_A", "halves-swapped", swap_pairs),
    ];
    for (number, (case, factor, what, change)) in cases.into_iter().enumerate() {
        let (base, adapter) = (fixture(case).join("base"), fixture(case).join("adapter"));
        let swapped = scratch.join(&format!("{case}-{number}-swapped"));
        changed(
            &adapter,
            &swapped,
            |_| {},
            |tensors| {
                tensors.iter_mut().filter(|(name, _)| name.contains(factor)).for_each(|(_, tensor)| change(tensor));
            },
        );
        let report = says(&scratch, &format!("{case}-{number}"), &base, &swapped, &adapter);
        let named: Vec<_> = report.tensors.iter().filter(|tensor| tensor.verdict == Verdict::Different).collect();
        assert!(!named.is_empty());
        assert!(
            named.iter().all(|tensor| tensor.instead.iter().any(|one| one.what == what)),
            "{case} {what}: {}",
            verdicts(&report)
        );
        assert!(says(&scratch, &format!("{case}-{number}-right"), &base, &adapter, &adapter).is_verified());
    }
}

#[test]
fn own_merges_of_every_method_are_equal_in_every_bit() {
    let scratch = Scratch::new("verified-own");
    let (mut cases, mut bits) = (0, 0);
    for folders::cases::Case { name, base, adapters, .. } in folders::cases::cases() {
        let request = || {
            adapters.iter().fold(Merge::builder().base(&base), |builder, (path, weight)| {
                builder.adapter(AdapterFolder::new(path).weight(*weight))
            })
        };
        let out = scratch.join(&name);
        request().plan().unwrap().run(&out).unwrap();
        let report = request().verify(&out).unwrap();
        cases += 1;
        bits += usize::from(report.verdict == Verdict::Bits);
        assert!(matches!(report.verdict, Verdict::Bits | Verdict::Undecidable), "{name}: {}", verdicts(&report));
        assert_eq!(
            report.counts.rounding + report.counts.different + report.counts.missing,
            0,
            "{name}: {}",
            verdicts(&report)
        );
    }
    assert!(cases > 100 && bits == cases, "{bits} of {cases}");
}

/// Elements of a tensor that are not the same in two models, and the largest distance in units of the type.
fn distance(one: &Path, other: &Path) -> BTreeMap<String, (usize, f64)> {
    let (one, other) = (folders::values(one), folders::values(other));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    let pairs = one.into_iter().map(|(name, (_, one))| {
        let other = &other[&name].1;
        let far = one.iter().zip(other).map(|(a, b)| (a - b).abs());
        (name, (far.clone().filter(|far| *far > 0.0).count(), far.fold(0.0, f64::max)))
    });
    pairs.collect()
}

#[test]
fn biases_are_taken_out_again() {
    let scratch = Scratch::new("unmerged-biases");
    for name in ["lora-bias", "beft"] {
        let (base, adapter) = (fixture(name).join("base"), fixture(name).join("adapter"));
        let (merged, back) = (scratch.join(name), scratch.join(&format!("{name}-back")));
        Merge::builder().base(&base).adapter(&adapter).dtype("float32").plan().unwrap().run(&merged).unwrap();
        Merge::builder().base(&merged).adapter(&adapter).unmerge(&back).unwrap();
        let changed =
            |one: &Path, other: &Path| distance(one, other).into_values().map(|(_, far)| far).fold(0.0, f64::max);
        assert!(changed(&merged, &base) > 1e-3, "{name}");
        assert!(changed(&back, &base) < 1e-6, "{name}: {:e}", changed(&back, &base));
    }
}

#[test]
fn adapters_are_taken_out_again() {
    let scratch = Scratch::new("unmerged");
    let base = fixture("verified/base");
    // In f32 from a base of bf16 every bit comes back, but for those that the sum has cut off.
    for (dtype, least) in [("float32", 1e-6), ("keep", 3e-3)] {
        for (name, adapters) in [("lora", &["lora"][..]), ("two", &["lora", "other"]), ("loha", &["loha"])] {
            let request = |base: &Path| {
                let builder = Merge::builder().base(base);
                adapters.iter().fold(builder, |builder, name| {
                    builder.adapter(AdapterFolder::new(fixture("verified").join(name)).weight(0.5))
                })
            };
            let (merged, back) =
                (scratch.join(&format!("{name}-{dtype}")), scratch.join(&format!("{name}-{dtype}-back")));
            request(&base).dtype(dtype).plan().unwrap().run(&merged).unwrap();
            let unmerged = request(&merged).threads(1).unmerge(&back).unwrap();
            let again = scratch.join(&format!("{name}-{dtype}-again"));
            request(&back).plan().unwrap().run(&again).unwrap();
            // What the report says is what merging again gives.
            for (tensor, (count, _)) in distance(&again, &merged) {
                let said = unmerged.inexact.iter().find(|inexact| inexact.name == tensor);
                assert_eq!(said.map_or(0, |said| said.inexact), count as u64, "{name} {dtype} {tensor}");
            }
            for (tensor, (_, far)) in distance(&back, &base) {
                assert!(far <= least, "{name} {dtype} {tensor}: {far}");
            }
            let metadata = fs::read_to_string(back.join("config.json")).unwrap();
            assert!(!metadata.contains("adapter"));
        }
    }
}

#[test]
fn what_multiplies_is_taken_back_where_it_has_an_inverse() {
    let scratch = Scratch::new("unmerged-inverse");
    for case in [
        "ia3",
        "ia3-gpt2",
        "ia3-conv",
        "hra",
        "hra-orthogonal",
        "road-1",
        "road-2",
        "road-4",
        // Rotations, and what the series makes of them.
        "oft",
        "oft-cayley",
        "oft-constrained",
        "oft-f64",
        "oft-layers",
        "oft-shared",
        "oft-before-0.18",
        "boft",
        "boft-butterfly",
        "boft-layers",
        // Elements, blocks and projections that were multiplied, and what was added to them.
        "hira",
        "hira-conv",
        "hira-embedding",
        "hira-gpt2",
        "glora",
        "glora-constant",
        "miss-bat",
        "deft",
        "olora",
        "olora-gpt2",
        // Sums whose terms only look as if they depended on the weight.
        "delora",
        "supertuning",
        "miss",
    ] {
        let (base, adapter) = (fixture(case).join("base"), fixture(case).join("adapter"));
        let (merged, back) = (scratch.join(case), scratch.join(&format!("{case}-back")));
        Merge::builder().base(&base).adapter(&adapter).dtype("float32").plan().unwrap().run(&merged).unwrap();
        assert!(distance(&merged, &base).values().any(|(count, _)| *count > 0), "{case}");
        Merge::builder().base(&merged).adapter(&adapter).unmerge(&back).unwrap();
        for (tensor, (_, far)) in distance(&back, &base) {
            assert!(far <= 2e-6, "{case} {tensor}: {far}");
        }
    }
    let refused = |adapters: &[PathBuf], weight: f64| {
        let builder = Merge::builder().base(fixture("verified/base"));
        let builder =
            adapters.iter().fold(builder, |builder, path| builder.adapter(AdapterFolder::new(path).weight(weight)));
        let error = builder.unmerge(scratch.join("refused")).unwrap_err();
        assert!(!scratch.join("refused").exists());
        (error.code(), error.to_string())
    };
    let (code, text) = refused(&[fixture("verified/dora")], 1.0);
    assert!(code == "unsupported" && text.contains("dora cannot be taken back"), "{text}");
    let (code, text) = refused(&[fixture("verified/oft")], 0.5);
    assert!(code == "unsupported" && text.contains("only at weight 1"), "{text}");
    let (code, text) = refused(&[fixture("verified/oft"), fixture("verified/lora")], 1.0);
    assert!(code == "unsupported" && text.contains("only alone"), "{text}");
    for (case, reason) in [("deft-qr", "replaced a part of the weight"), ("peanut", "no formula")] {
        let (base, adapter) = (fixture(case).join("base"), fixture(case).join("adapter"));
        let error = Merge::builder().base(base).adapter(adapter).unmerge(scratch.join("refused")).unwrap_err();
        assert!(error.code() == "unsupported" && error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn whole_models_are_taken_out_again_unless_nothing_of_the_base_is_left() {
    let scratch = Scratch::new("unmerge-model");
    let (base, tuned, lora) = (fixture("verified/base"), scratch.join("tuned"), fixture("verified/lora"));
    Merge::builder().base(&base).adapter(fixture("verified/other")).plan().unwrap().run(&tuned).unwrap();
    for (weight, with) in [(0.3, false), (-0.5, false), (0.6, true)] {
        let request = |base: &Path| {
            let builder = Merge::builder().base(base).adapter(AdapterFolder::new(&tuned).weight(weight));
            if with { builder.adapter(AdapterFolder::new(&lora).weight(0.5)) } else { builder }
        };
        let name = format!("{weight}-{with}");
        let (merged, back) = (scratch.join(&name), scratch.join(&format!("{name}-back")));
        request(&base).dtype("float32").plan().unwrap().run(&merged).unwrap();
        request(&merged).unmerge(&back).unwrap();
        for (tensor, (_, far)) in distance(&back, &base) {
            assert!(far <= 1e-6, "{name} {tensor}: {far}");
        }
    }
    let error = Merge::builder().base(&tuned).adapter(&tuned).unmerge(scratch.join("none")).unwrap_err();
    assert!(error.to_string().contains("nothing of the base is left"), "{error}");
}
