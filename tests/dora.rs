//! DoRA, whose outputs are rows of a linear layer or columns of a Conv1D: against float64, in any blocks, and what is refused.

use std::collections::BTreeMap;

#[cfg(not(target_arch = "wasm32"))]
use crate::folders;
use crate::model::{self, Memory, Model, Random, add_folder, block_on, check_ranges, encode, file, read, read_file};
use lorafold::engine::{FactSum, Merger};
use lorafold::plan::{AdapterOptions, MergePlan, Piece, PlanOptions};
use lorafold::tensor::Dtype;
use lorafold::{Error, Result};
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// One adapter of [`Layers`]: for each layer A, B and, if it has DoRA, the magnitudes.
struct Adapter {
    weight: f64,
    dora: bool,
    a: Vec<Vec<f32>>,
    b: Vec<Vec<f32>>,
    magnitudes: Vec<Vec<f32>>,
}

/// Layers and adapters on all of them.
struct Layers {
    float: Dtype,
    /// Stored (in, out).
    transposed: bool,
    rank: u64,
    /// Outputs and inputs, never equally many: shapes alone say how a weight is stored.
    sides: Vec<(u64, u64)>,
    /// As (out, in).
    weights: Vec<Vec<f32>>,
    adapters: Vec<Adapter>,
}

const ALPHA: f64 = 5.0;

impl Layers {
    fn new(
        random: &mut Random,
        float: Dtype,
        transposed: bool,
        sides: Vec<(u64, u64)>,
        kinds: &[(f64, bool)],
    ) -> Layers {
        let rank = 1 + random.below(9);
        let mut values = |count: u64, size: f32| (0..count).map(|_| random.unit() * size).collect::<Vec<f32>>();
        let weights = sides.iter().map(|&(out, inner)| values(out * inner, 1.0)).collect();
        let adapters = kinds.iter().map(|&(weight, dora)| Adapter {
            weight,
            dora,
            a: sides.iter().map(|&(_, inner)| values(rank * inner, 0.3)).collect(),
            b: sides.iter().map(|&(out, _)| values(out * rank, 0.3)).collect(),
            magnitudes: sides.iter().map(|&(out, _)| values(out, 0.5).iter().map(|m| m + 2.0).collect()).collect(),
        });
        Layers { float, transposed, rank, adapters: adapters.collect(), sides, weights }
    }

    fn random(seed: u64) -> Layers {
        let mut random = Random(seed);
        let float = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64][random.below(4) as usize];
        let transposed = random.below(2) == 1;
        let sides = (0..1 + random.below(2)).map(|_| (1 + random.below(40), 41 + random.below(40))).collect();
        let kinds = [
            vec![(1.0, true)],
            vec![(0.6, true)],
            vec![(1.0, true), (-0.4, true)],
            vec![(0.7, false), (1.0, true)],
            vec![(0.5, true), (0.7, false), (-0.3, true)],
        ];
        let kinds = &kinds[random.below(5) as usize];
        Layers::new(&mut random, float, transposed, sides, kinds)
    }

    fn model(&self) -> Model {
        let mut inputs = Memory::default();
        let base = self.base_files();
        let base = add_folder(&mut inputs, "base", base);
        let mut adapters = Vec::new();
        for (number, adapter) in self.adapters.iter().enumerate() {
            let config = format!(
                r#"{{"peft_type":"LORA","r":{},"lora_alpha":{ALPHA},"use_dora":{},"fan_in_fan_out":{}}}"#,
                self.rank, adapter.dora, self.transposed
            );
            let files = BTreeMap::from([
                ("adapter_config.json".to_string(), config.into_bytes()),
                ("adapter_model.safetensors".to_string(), file(&self.tensors(adapter))),
            ]);
            let options = model::with(|options: &mut AdapterOptions| options.weight = Some(adapter.weight));
            adapters.push((add_folder(&mut inputs, &format!("adapter-{number}"), files), options));
        }
        Model { inputs, base, adapters }
    }

    fn base_files(&self) -> BTreeMap<String, Vec<u8>> {
        let layers = self.sides.iter().zip(&self.weights).enumerate();
        let tensors: Vec<_> = layers
            .map(|(layer, (&(out, inner), weight))| {
                let (shape, values) = match self.transposed {
                    true => (vec![inner, out], transpose(weight, inner)),
                    false => (vec![out, inner], weight.clone()),
                };
                (format!("h.{layer}.proj.weight"), self.float, shape, encode(self.float, &values))
            })
            .collect();
        BTreeMap::from([("model.safetensors".to_string(), file(&tensors))])
    }

    fn tensors(&self, adapter: &Adapter) -> Vec<(String, Dtype, Vec<u64>, Vec<u8>)> {
        let mut tensors = Vec::new();
        for (layer, &(out, inner)) in self.sides.iter().enumerate() {
            let mut add = |part: &str, shape: Vec<u64>, values: &[f32]| {
                let key = format!("base_model.model.h.{layer}.proj.{part}");
                tensors.push((key, Dtype::F32, shape, encode(Dtype::F32, values)));
            };
            add("lora_A.weight", vec![self.rank, inner], &adapter.a[layer]);
            add("lora_B.weight", vec![out, self.rank], &adapter.b[layer]);
            if adapter.dora {
                add("lora_magnitude_vector", vec![out], &adapter.magnitudes[layer]);
            }
        }
        tensors
    }

    fn plan(&self) -> (Model, MergePlan) {
        let model = self.model();
        let plan = model.plan(&PlanOptions::default()).unwrap();
        (model, plan)
    }

    /// The error of planning with an adapter file that has been changed.
    fn refused(&self, change: impl Fn(&mut Vec<(String, Dtype, Vec<u64>, Vec<u8>)>)) -> Error {
        let mut model = self.model();
        let mut tensors = self.tensors(&self.adapters[0]);
        change(&mut tensors);
        let (folder, _) = &mut model.adapters[0];
        let bytes = file(&tensors);
        folder.files[1].size = bytes.len() as u64;
        model.inputs.0[folder.first_input + 1] = bytes;
        model.plan(&PlanOptions::default()).unwrap_err()
    }

    fn merged(&self) -> Result<Vec<u8>> {
        let (model, plan) = self.plan();
        read_file(&plan, &model.inputs, 0, 1 << 20)
    }
}

/// From rows of `cols` to columns.
fn transpose<T: Copy>(values: &[T], cols: u64) -> Vec<T> {
    (0..cols as usize).flat_map(|col| values.iter().skip(col).step_by(cols as usize).copied()).collect()
}

/// The sha256 of what 24 random models give: recorded natively, checked on every engine.
const EVERYWHERE: &str = "048bca765bfe2decae109600f2f53de0c4208936fc0b99d9c1f5f105dd125c5c";

#[test]
fn the_bytes_are_the_same_on_every_engine() {
    let mut hash = Sha256::new();
    for seed in 0..24 {
        hash.update(Layers::random(seed).merged().unwrap());
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, EVERYWHERE);
}

#[test]
fn any_range_in_any_blocks_is_the_same_range_of_the_whole() {
    for seed in 100..140 {
        let (model, plan) = Layers::random(seed).plan();
        let mut random = Random(seed);
        let whole = read_file(&plan, &model.inputs, 0, 1 << 20).unwrap();
        check_ranges(&plan, &model.inputs, 0, &whole, 2000, &mut random, &format!("seed {seed}"));
    }
}

#[test]
fn one_byte_reads_one_row() {
    for transposed in [false, true] {
        let layers = Layers::new(&mut Random(3), Dtype::BF16, transposed, vec![(37, 53)], &[(1.0, true)]);
        let (_, plan) = layers.plan();
        let row_bytes = 2 * if transposed { 37 } else { 53 };
        let held = plan.files[0].size - 2 * 37 * 53;
        for at in held..plan.files[0].size {
            let pieces = plan.pieces(0, at..at + 1, 1 << 20, usize::MAX);
            let [Piece::Compute { bytes: 1, reads, skip, .. }] = pieces.as_slice() else { panic!("{pieces:?}") };
            assert_eq!((reads.len(), reads[0].bytes), (1, row_bytes), "byte {at}");
            assert_eq!(*skip, (at - held) % row_bytes);
            let run = plan.run(0, at..at + 1).source.expect("a run of the base");
            assert_eq!((run.start, run.end), (reads[0].start, reads[0].start + row_bytes));
        }
    }
}

/// The merged bytes, with facts that jobs gathered in `order`, each by a worker of its own, some of them twice.
fn with_facts_in(model: &Model, plan: &MergePlan, order: &[usize]) -> Vec<u8> {
    let program = plan.program(0).unwrap().into_owned();
    let mut facts = FactSum::of(&program);
    let jobs = facts.jobs(&program);
    assert_eq!(jobs.len(), order.len());
    for &job in order.iter().chain(&order[..1]) {
        let mut worker = Merger::new(false, 0);
        worker.load(0, program.clone());
        let elements = jobs[job].first..jobs[job].first + jobs[job].count;
        facts.add(&program, &block_on(worker.gather(0, elements, &model.inputs)).unwrap());
    }
    let mut merger = Merger::new(false, 0);
    let elements = program.elements();
    merger.load(0, program);
    assert!(facts.is_done());
    merger.learn(0, &facts.to_bytes()).unwrap();
    block_on(merger.compute(0, 0..elements, &model.inputs, None)).unwrap().to_vec()
}

#[test]
fn facts_of_a_large_weight_come_in_any_order() {
    let sides = vec![(700, 1900)];
    let layers = Layers::new(&mut Random(4), Dtype::F32, true, sides, &[(0.8, true), (0.5, true)]);
    let (model, plan) = layers.plan();
    let expected = with_facts_in(&model, &plan, &[0, 1, 2]);
    for order in [[2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        assert!(with_facts_in(&model, &plan, &order) == expected, "{order:?}");
    }
    let whole = layers.merged().unwrap();
    assert!(whole.ends_with(&expected));
    let start = whole.len() as u64 - 1_234_567;
    assert!(read(&plan, &model.inputs, 0, start..start + 7, 1 << 20).unwrap() == whole[start as usize..][..7]);
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn outputs_have_their_lengths_as_float64_says() {
    for seed in 200..240 {
        let mut layers = Layers::random(seed);
        layers.float = if seed % 2 == 0 { Dtype::F32 } else { Dtype::F64 };
        let bytes = layers.merged().unwrap();
        let merged = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (layer, &(out, inner)) in layers.sides.iter().enumerate() {
            let data = merged.tensor(&format!("h.{layer}.proj.weight")).unwrap();
            let found = folders::decode(data.dtype(), data.data());
            let found = if layers.transposed { transpose(&found, out) } else { found };
            for row in 0..out as usize {
                let inner = inner as usize;
                let expected = layers.exact_row(layer, row);
                let largest = expected.iter().fold(0f64, |most, value| most.max(value.abs()));
                for (col, (found, exact)) in found[row * inner..][..inner].iter().zip(expected).enumerate() {
                    assert!((found - exact).abs() <= 1e-6 * largest, "seed {seed} [{row}, {col}]: {found}, {exact}");
                }
            }
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Layers {
    /// W + Σ weight · (op(W) − W) for the weights of one output.
    fn exact_row(&self, layer: usize, row: usize) -> Vec<f64> {
        let (inner, rank) = (self.sides[layer].1 as usize, self.rank as usize);
        let base: Vec<f64> = self.weights[layer][row * inner..][..inner].iter().map(|&value| value.into()).collect();
        let mut sum = base.clone();
        for adapter in &self.adapters {
            let (a, b) = (&adapter.a[layer], &adapter.b[layer]);
            let product = |col: usize| {
                (0..rank).map(|k| f64::from(b[row * rank + k]) * f64::from(a[k * inner + col])).sum::<f64>()
            };
            let mut changed: Vec<f64> =
                base.iter().enumerate().map(|(col, base)| base + ALPHA / rank as f64 * product(col)).collect();
            if adapter.dora {
                let norm = changed.iter().map(|value| value * value).sum::<f64>().sqrt();
                let factor = f64::from(adapter.magnitudes[layer][row]) / norm;
                changed.iter_mut().for_each(|value| *value *= factor);
            }
            sum.iter_mut()
                .zip(changed)
                .zip(&base)
                .for_each(|((sum, changed), base)| *sum += adapter.weight * (changed - base));
        }
        sum
    }
}

#[test]
fn an_output_of_zeros_has_no_direction() {
    for (float, magnitude) in [(Dtype::BF16, 1.0), (Dtype::F32, 0.0), (Dtype::F64, 1.0)] {
        for transposed in [false, true] {
            for kinds in [vec![(1.0, true)], vec![(0.5, false), (0.5, true)]] {
                let mut layers = Layers::new(&mut Random(5), float, transposed, vec![(7, 11)], &kinds);
                let (row, rank) = (4, layers.rank as usize);
                layers.weights[0][row * 11..][..11].fill(0.0);
                for adapter in &mut layers.adapters {
                    adapter.b[0][row * rank..][..rank].fill(0.0);
                    adapter.magnitudes[0][row] = magnitude;
                }
                let error = layers.merged().unwrap_err();
                let element = if transposed { row } else { row * 11 };
                assert_eq!(error.code(), "non-finite", "{error}");
                let message = error.to_string();
                assert!(
                    message.contains("h.0.proj.weight") && message.contains(&format!("element {element}")),
                    "{message}"
                );
            }
        }
    }
}

#[test]
fn magnitudes_that_do_not_fit_are_refused() {
    let layers = Layers::new(&mut Random(6), Dtype::F32, false, vec![(7, 11), (5, 11)], &[(1.0, true)]);
    let key = "base_model.model.h.1.proj.lora_magnitude_vector";
    let error = layers.refused(|tensors| tensors.retain(|(name, ..)| name != key));
    assert_eq!(error.code(), "missing-pair");
    assert!(error.to_string().contains("h.1.proj.lora_magnitude_vector"), "{error}");

    for shape in [vec![6], vec![5, 1], vec![1, 5], vec![]] {
        let error = layers.refused(|tensors| {
            let magnitude = tensors.iter_mut().find(|(name, ..)| name == key).unwrap();
            let count: u64 = shape.iter().product();
            (magnitude.2, magnitude.3) = (shape.clone(), encode(Dtype::F32, &vec![1.0; count as usize]));
        });
        assert_eq!(error.code(), "shape-mismatch", "{shape:?}: {error}");
        assert!(error.to_string().contains(key), "{error}");
    }

    let error = layers.refused(|tensors| {
        let twice = tensors.iter().find(|(name, ..)| name == key).unwrap().clone();
        tensors.push((format!("{key}.weight"), twice.1, twice.2, twice.3));
    });
    assert_eq!(error.code(), "bad-header", "{error}");

    // The configuration does not say that it is DoRA.
    let mut plain = Layers::new(&mut Random(6), Dtype::F32, false, vec![(7, 11)], &[(1.0, false)]);
    let error = plain.refused(|tensors| {
        let magnitude = encode(Dtype::F32, &[1.0; 7]);
        tensors.push(("base_model.model.h.0.proj.lora_magnitude_vector".into(), Dtype::F32, vec![7], magnitude));
    });
    assert_eq!(error.code(), "bad-config");
    assert!(error.to_string().contains("use_dora"), "{error}");

    plain.adapters[0].dora = true;
    for value in [f32::NAN, f32::INFINITY] {
        plain.adapters[0].magnitudes[0][3] = value;
        let error = plain.merged().unwrap_err();
        assert_eq!(error.code(), "non-finite");
        assert!(
            error.to_string().contains("lora_magnitude_vector") && error.to_string().contains("element 3"),
            "{error}"
        );
    }
}
