//! OFT, BOFT, HRA and RoAd beyond PEFT's fixtures: what is refused and why, parts of weights, and the same bits on every engine.

use std::collections::BTreeMap;

use crate::model::{Memory, Model, Random, add_folder, compute, encode, file, read_file};
use lorafold::combine::Combine;
use lorafold::encoding::{Operand, Plain, Stored};
use lorafold::inputs::Span;
use lorafold::op::{self, Op, RowOrder, Sizes};
use lorafold::plan::{AdapterOptions, PlanOptions, Program, Region, Update};
use lorafold::tensor::{Dtype, Float, Rounding};
use lorafold::{Error, Result};
use sha2::{Digest, Sha256};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

type Tensor<'a> = (&'a str, &'a [u64], Vec<f32>);

/// The shape of the base's weight, an adapter, and the code of the error and a part of its sentence.
type Refusal<'a> = (&'a [u64], &'a str, &'a [Tensor<'a>], &'a str, &'a str);

fn tensors(prefix: &str, tensors: &[Tensor]) -> Vec<u8> {
    let tensors = tensors.iter().map(|(name, shape, values)| {
        (format!("{prefix}{name}"), Dtype::F32, shape.to_vec(), encode(Dtype::F32, values))
    });
    file(&tensors.collect::<Vec<_>>())
}

/// An adapter on the module `m` of a base with the tensors `base`.
fn model(base: &[Tensor], config: &str, adapter: &[Tensor]) -> Model {
    let mut inputs = Memory::default();
    let files = BTreeMap::from([("model.safetensors".to_string(), tensors("m.", base))]);
    let base = add_folder(&mut inputs, "base", files);
    let files = BTreeMap::from([
        ("adapter_config.json".to_string(), format!("{{{config}}}").into_bytes()),
        ("adapter_model.safetensors".to_string(), tensors("base_model.model.m.", adapter)),
    ]);
    let adapter = add_folder(&mut inputs, "adapter", files);
    Model { inputs, base, adapters: vec![(adapter, AdapterOptions::default())] }
}

/// The data of the merged file: what follows its header.
fn merge(model: &Model) -> Result<Vec<u8>> {
    let plan = model.plan(&PlanOptions::default())?;
    let number = plan.files.iter().position(|file| file.name.ends_with(".safetensors")).unwrap();
    let bytes = read_file(&plan, &model.inputs, number, 64)?;
    let header = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    Ok(bytes[8 + header..].to_vec())
}

fn refused(shape: &[u64], config: &str, adapter: &[Tensor]) -> Error {
    let base = [("weight", shape, vec![0.5; shape.iter().product::<u64>() as usize])];
    merge(&model(&base, config, adapter)).unwrap_err()
}

fn ones(count: usize) -> Vec<f32> {
    vec![0.25; count]
}

const OFT: &str = r#""peft_type":"OFT","oft_block_size":3"#;
const BOFT: &str = r#""peft_type":"BOFT""#;
const HRA: &str = r#""peft_type":"HRA","r":2"#;
const ROAD: &str = r#""peft_type":"ROAD","group_size":4"#;

#[test]
fn what_does_not_fit_or_cannot_be_merged_is_refused_by_name() {
    let with = |config: &str, more: &str| format!("{config},{more}");
    let cases: &[Refusal] = &[
        (&[4, 6], OFT, &[("oft_r", &[2, 3, 3], ones(18))], "unsupported", "PEFT 0.15 or older"),
        (&[4, 6], OFT, &[("oft_R.weight", &[2, 4], ones(8))], "shape-mismatch", "n·(n − 1)/2"),
        (&[4, 6], OFT, &[("oft_R.weight", &[3, 3], ones(9))], "shape-mismatch", "[*, 9]"),
        (&[4, 6, 3, 3], OFT, &[("oft_R.weight", &[18, 3], ones(54))], "unsupported", "overlapping patches"),
        (&[6], OFT, &[("oft_R.weight", &[2, 3], ones(6))], "shape-mismatch", "[*, 6]"),
        (
            &[4, 6],
            &with(OFT, r#""block_share":true"#),
            &[("oft_R.weight", &[2, 3], ones(6))],
            "shape-mismatch",
            "block_share",
        ),
        (
            &[4, 7],
            &with(OFT, r#""block_share":true"#),
            &[("oft_R.weight", &[1, 3], ones(3))],
            "shape-mismatch",
            "[4, 7]",
        ),
        (
            &[4, 6],
            &with(OFT, r#""num_cayley_neumann_terms":4000000000"#),
            &[("oft_R.weight", &[2, 3], ones(6))],
            "bad-config",
            "1000 at most",
        ),
        (&[4, 6], &with(OFT, r#""eps":"small""#), &[("oft_R.weight", &[2, 3], ones(6))], "bad-config", "eps"),
        (&[4, 6], BOFT, &[("boft_R", &[1, 2, 3, 3], ones(18))], "missing-pair", "boft_s"),
        (
            &[4, 6],
            BOFT,
            &[("boft_R", &[1, 2, 3, 3], ones(18)), ("boft_s", &[2, 2], ones(4))],
            "shape-mismatch",
            "(outputs, 1)",
        ),
        (
            &[4, 6],
            BOFT,
            &[("boft_R", &[1, 3, 3, 2], ones(18)), ("boft_s", &[4, 1], ones(4))],
            "shape-mismatch",
            "(N, blocks, n, n)",
        ),
        (
            &[4, 6],
            BOFT,
            &[("boft_R", &[2, 2, 3, 3], ones(36)), ("boft_s", &[4, 1], ones(4))],
            "shape-mismatch",
            "n even",
        ),
        (
            &[4, 6],
            BOFT,
            &[("boft_R", &[2, 3, 2, 2], ones(24)), ("boft_s", &[4, 1], ones(4))],
            "shape-mismatch",
            "2^(N − 1)",
        ),
        (
            &[4, 6],
            BOFT,
            &[("boft_R", &[1, 2, 3, 3], ones(18)), ("boft_s", &[5, 1], ones(5))],
            "shape-mismatch",
            "[5, 6]",
        ),
        (&[4, 6], HRA, &[("hra_u", &[6, 3], ones(18))], "shape-mismatch", "[6, 2]"),
        (&[4, 5], HRA, &[("hra_u", &[6, 2], ones(12))], "shape-mismatch", "[*, 6]"),
        (&[4, 6], HRA, &[("hra_u", &[6, 2], vec![0.0; 12])], "non-finite", "normal of a hyperplane"),
        (&[4, 6], &with(HRA, r#""apply_GS":"yes""#), &[("hra_u", &[6, 2], ones(12))], "bad-config", "apply_GS"),
        (&[8, 3], ROAD, &[("road_theta", &[4], ones(4)), ("road_alpha", &[3], ones(3))], "shape-mismatch", "[4]"),
        (
            &[8, 3],
            ROAD,
            &[("road_theta", &[3], ones(3)), ("road_alpha", &[3], ones(3))],
            "shape-mismatch",
            "groups of 4",
        ),
        (&[6, 3], ROAD, &[("road_theta", &[4], ones(4)), ("road_alpha", &[4], ones(4))], "shape-mismatch", "[8, *]"),
        (
            &[8, 3],
            &with(ROAD, r#""variant":"road_3""#),
            &[("road_theta", &[4], ones(4)), ("road_alpha", &[4], ones(4))],
            "bad-config",
            "road_4",
        ),
        (
            &[8, 3],
            r#""peft_type":"ROAD","group_size":3"#,
            &[("road_theta", &[4], ones(4)), ("road_alpha", &[4], ones(4))],
            "bad-config",
            "even",
        ),
    ];
    for (shape, config, adapter, code, says) in cases {
        let error = refused(shape, config, adapter);
        assert_eq!(error.code(), *code, "{config} {shape:?}: {error}");
        assert!(error.to_string().contains(says), "{config} {shape:?}: {error} does not say {says:?}");
    }
}

#[test]
fn no_rotation_leaves_every_bit() {
    let mut random = Random(5);
    let weight: Vec<f32> = (0..7 * 6).map(|_| random.unit()).collect();
    let base = [("weight", &[7, 6][..], weight.clone())];
    for config in [OFT.to_string(), format!("{OFT},\"use_cayley_neumann\":false"), format!("{OFT},\"coft\":true")] {
        let still = model(&base, &config, &[("oft_R.weight", &[2, 3], vec![0.0; 6])]);
        assert_eq!(merge(&still).unwrap(), encode(Dtype::F32, &weight), "{config}");
    }
    let scales: Vec<f32> = vec![1.0; 7];
    let boft = model(&base, BOFT, &[("boft_R", &[1, 3, 2, 2], vec![0.0; 12]), ("boft_s", &[7, 1], scales)]);
    assert_eq!(merge(&boft).unwrap(), encode(Dtype::F32, &weight));
}

#[test]
fn a_bias_that_the_base_lacks_is_no_mistake() {
    let weight = vec![1.0; 8 * 3];
    let road = [("road_theta", &[4][..], ones(4)), ("road_alpha", &[4][..], ones(4))];
    let without = merge(&model(&[("weight", &[8, 3], weight.clone())], ROAD, &road)).unwrap();
    let with = merge(&model(&[("weight", &[8, 3], weight), ("bias", &[8], vec![1.0; 8])], ROAD, &road)).unwrap();
    let (rest, bias) = with.split_at(without.len());
    assert_eq!(rest, without);
    // The bias is a column of ones as each of the weight's is: turned alike.
    assert_eq!(bias, rest.chunks(12).flat_map(|row| row[..4].to_vec()).collect::<Vec<u8>>());
}

/// RoAd on rows of a weight that begin inside one of the tensor's groups of four: each group is computed as a whole nevertheless.
#[test]
fn groups_may_begin_anywhere_in_a_tensor() {
    let mut random = Random(9);
    let (rows, cols, region) = (11u64, 3u64, 2..10u64);
    let values: Vec<f32> = (0..rows * cols).map(|_| random.unit()).collect();
    let angles: Vec<f32> = (0..4).map(|_| random.unit()).collect();
    let inputs = Memory(vec![encode(Dtype::F32, &values), encode(Dtype::F32, &angles), encode(Dtype::F32, &[1.0; 4])]);
    let operand = |input: usize| Operand::whole("k", Span { input, start: 0, bytes: 16 }, Dtype::F32);
    let road =
        Op { operands: vec![operand(1), operand(2)], sizes: Sizes::of(&[('v', 1), ('g', 4)]), ..Op::new(&op::ROAD) };
    let program = |order: RowOrder| Program {
        tensor: "t".into(),
        rows,
        cols,
        source: Stored::Plain(Plain { float: Float::F32, input: 0, start: 0 }),
        updates: vec![Update {
            adapter: "a".into(),
            weight: 1.0,
            region: Region { rows: region.clone(), order },
            op: road.clone(),
        }],
        combine: Combine::Linear,
        to: Float::F32,
        rounding: Rounding::Nearest,
    };
    let merged = compute(&program(RowOrder::AsIs), &inputs, 12).unwrap();
    let at = |row: u64, col: u64| f64::from(values[(row * cols + col) as usize]);
    for row in 0..rows {
        for col in 0..cols {
            let exact = match (row.checked_sub(2).filter(|row| *row < 8)).map(|row| (row / 4 * 4 + 2, row % 4, row / 4))
            {
                None => at(row, col),
                Some((first, within, group)) => {
                    let angle = f64::from(angles[(group * 2 + within % 2) as usize]);
                    let (x1, x2) = (at(first + within % 2, col), at(first + within % 2 + 2, col));
                    if within < 2 { angle.cos() * x1 - angle.sin() * x2 } else { angle.cos() * x2 + angle.sin() * x1 }
                }
            };
            let found = f32::from_le_bytes(*merged[(row * cols + col) as usize * 4..].first_chunk().unwrap());
            assert!((f64::from(found) - exact).abs() < 1e-7, "{row}, {col}: {found} is not {exact}");
        }
    }
    let error = compute(&program(RowOrder::SwapHalves), &inputs, 12).unwrap_err();
    assert_eq!(error.code(), "unsupported", "{error}");
}

/// The same on every engine: this test runs natively and in WebAssembly.
#[test]
fn the_bits_are_those_of_the_definition() {
    let mut random = Random(21);
    let mut values = |count: u64, size: f32| (0..count).map(|_| random.unit() * size).collect::<Vec<f32>>();
    let (rows, cols) = (12u64, 24u64);
    let base = [("bias", &[rows][..], values(rows, 1.0)), ("weight", &[rows, cols][..], values(rows * cols, 1.0))];
    let cases: [(&str, Vec<Tensor>); 6] = [
        (r#""peft_type":"OFT","peft_version":"0.21.2""#, vec![("oft_R.weight", &[4, 15], values(60, 0.4))]),
        (r#""peft_type":"OFT","use_cayley_neumann":false"#, vec![("oft_R.weight", &[3, 28], values(84, 0.4))]),
        (BOFT, vec![("boft_R", &[2, 6, 4, 4], values(192, 0.8)), ("boft_s", &[12, 1], values(12, 2.0))]),
        (r#""peft_type":"HRA","r":5"#, vec![("hra_u", &[24, 5], values(120, 1.0))]),
        (r#""peft_type":"HRA","r":3,"apply_GS":true"#, vec![("hra_u", &[24, 3], values(72, 1.0))]),
        (
            r#""peft_type":"ROAD","group_size":6,"variant":"road_4""#,
            vec![("road_theta", &[24], values(24, 40.0)), ("road_alpha", &[24], values(24, 2.0))],
        ),
    ];
    let mut hash = Sha256::new();
    for (config, adapter) in &cases {
        hash.update(merge(&model(&base, config, adapter)).unwrap());
    }
    let hash: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "00cbc84a09a6e235f82e419062af764539af193f7327e663aaa83873a57615ec");
}
