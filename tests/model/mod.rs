//! Small models and adapters in memory, made from a seed, and a driver that merges them without any files.
#![allow(dead_code, reason = "every test binary uses a part")]

pub mod archive;
pub mod small_delta;

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use lorafold::container::{HeaderWriter, TensorInfo};
use lorafold::engine::{FactJob, FactSum, Merger};
use lorafold::inputs::{FileInfo, Inputs, Listing};
use lorafold::plan::{AdapterOptions, MergePlan, Piece, PlanOptions, Program, plan};
use lorafold::tensor::Dtype;
use lorafold::{Error, Result};

/// SplitMix64: the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Between -1 and 1, exact in f32.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Files by number.
#[derive(Default, Clone)]
pub struct Memory(pub Vec<Vec<u8>>);

impl Inputs for Memory {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let bytes = self.0[input].get(start as usize..start as usize + buffer.len());
        let bytes = bytes.ok_or_else(|| Error::source_changed(format!("{input}"), "short"))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

/// A safetensors file of (name, type, shape, bytes).
pub fn file(tensors: &[(String, Dtype, Vec<u64>, Vec<u8>)]) -> Vec<u8> {
    let mut at = 0;
    let infos: Vec<TensorInfo> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            let start = at;
            at += bytes.len() as u64;
            TensorInfo { name, dtype: *dtype, shape, start, end: at }
        })
        .collect();
    let header = HeaderWriter::new(infos.iter().copied(), [("format", "pt")].into_iter());
    let mut whole = header.read("file", 0..header.bytes()).unwrap();
    for (.., bytes) in tensors {
        whole.extend_from_slice(bytes);
    }
    whole
}

pub fn encode(dtype: Dtype, values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|&value| match dtype {
            Dtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::BF16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
            Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
            _ => value.to_le_bytes().to_vec(),
        })
        .collect()
}

/// A base of a few layers in `shards` files and some adapters, as inputs and folders.
pub struct Model {
    pub inputs: Memory,
    pub base: Listing,
    pub adapters: Vec<(Listing, AdapterOptions)>,
}

impl Model {
    /// Everything about it (sizes, types, ranks, weights) comes from `seed`.
    pub fn random(seed: u64) -> Model {
        let mut random = Random(seed);
        let float = [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64][random.below(4) as usize];
        let layers: Vec<(u64, u64)> =
            (0..1 + random.below(3)).map(|_| (1 + random.below(40), 1 + random.below(40))).collect();
        let mut files = BTreeMap::new();
        let shards = 1 + random.below(2) as usize;
        let mut tensors = vec![Vec::new(); shards];
        for (number, &(out, inner)) in layers.iter().enumerate() {
            let values: Vec<f32> = (0..out * inner).map(|_| random.unit()).collect();
            let shard = number % shards;
            tensors[shard].push((
                format!("layers.{number}.proj.weight"),
                float,
                vec![out, inner],
                encode(float, &values),
            ));
            let extra = random.below(9);
            let bytes = (0..extra * 8).map(|_| random.next() as u8).collect();
            tensors[shard].push((format!("layers.{number}.steps"), Dtype::I64, vec![extra], bytes));
            let norm: Vec<f32> = (0..out).map(|_| random.unit()).collect();
            tensors[shard].push((
                format!("layers.{number}.norm.weight"),
                Dtype::F32,
                vec![out],
                encode(Dtype::F32, &norm),
            ));
        }
        for (number, tensors) in tensors.iter().enumerate() {
            let name = match shards {
                1 => "model.safetensors".into(),
                _ => format!("model-{:05}-of-{shards:05}.safetensors", number + 1),
            };
            files.insert(name, file(tensors));
        }
        files.insert("config.json".into(), br#"{"model_type":"llama","torch_dtype":"bfloat16"}"#.to_vec());
        files.insert("tokenizer.json".into(), b"{}".to_vec());
        let mut inputs = Memory::default();
        let base = add_folder(&mut inputs, "base", files);
        let adapters =
            (0..1 + random.below(3)).map(|number| random_adapter(&mut random, number, &layers, &mut inputs)).collect();
        Model { inputs, base, adapters }
    }

    pub fn plan(&self, options: &PlanOptions) -> Result<MergePlan> {
        block_on(plan(&self.inputs, &self.base, &self.adapters, options))
    }

    /// Write base and adapters to real folders below `root`.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn write(&self, root: &std::path::Path) {
        for folder in std::iter::once(&self.base).chain(self.adapters.iter().map(|(folder, _)| folder)) {
            let path = root.join(&folder.name);
            std::fs::create_dir_all(&path).unwrap();
            for (number, file) in folder.files.iter().enumerate() {
                std::fs::write(path.join(&file.name), &self.inputs.0[folder.first_input + number]).unwrap();
            }
        }
    }
}

fn random_adapter(
    random: &mut Random,
    number: u64,
    layers: &[(u64, u64)],
    inputs: &mut Memory,
) -> (Listing, AdapterOptions) {
    let rank = 1 + random.below(20);
    let float = [Dtype::F32, Dtype::BF16, Dtype::F16][random.below(3) as usize];
    let mut tensors = Vec::new();
    for (layer, &(out, inner)) in layers.iter().enumerate() {
        if layer > 0 && random.below(4) == 0 {
            continue;
        }
        let mut factor = |half: &str, shape: Vec<u64>| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.unit() / 4.0).collect();
            let name = format!("base_model.model.layers.{layer}.proj.lora_{half}.weight");
            tensors.push((name, float, shape, encode(float, &values)));
        };
        factor("A", vec![rank, inner]);
        factor("B", vec![out, rank]);
    }
    let config = format!(
        r#"{{"peft_type":"LORA","r":{rank},"lora_alpha":{},"use_rslora":{},"target_modules":["proj"]}}"#,
        1 + random.below(32),
        random.below(2) == 1
    );
    let files = BTreeMap::from([
        ("adapter_config.json".to_string(), config.into_bytes()),
        ("adapter_model.safetensors".to_string(), file(&tensors)),
    ]);
    let weight = [1.0, 0.3, -0.7][random.below(3) as usize];
    (
        add_folder(inputs, &format!("adapter-{number}"), files),
        with(|options: &mut AdapterOptions| options.weight = Some(weight)),
    )
}

/// The defaults, changed.
pub fn with<T: Default>(change: impl FnOnce(&mut T)) -> T {
    let mut options = T::default();
    change(&mut options);
    options
}

pub fn add_folder(inputs: &mut Memory, name: &str, files: BTreeMap<String, Vec<u8>>) -> Listing {
    let first_input = inputs.0.len();
    let info = |(name, bytes): (&String, &Vec<u8>)| FileInfo::new(name, bytes.len() as u64);
    let listed = files.iter().map(info).collect();
    inputs.0.extend(files.into_values());
    Listing::new(name, first_input, listed)
}

/// The bytes `range` of an output file, computed in blocks of `block` bytes.
pub fn read(
    plan: &MergePlan,
    inputs: &Memory,
    file: usize,
    range: std::ops::Range<u64>,
    block: u64,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut merger = Merger::new(false, 0);
    for piece in plan.pieces(file, range.clone(), block, usize::MAX) {
        match piece {
            Piece::Plan { at, bytes: count } => {
                bytes.extend(plan.planned_bytes(&plan.files[file], at..at + count).unwrap());
            }
            Piece::Copy { bytes: count, input, start, .. } => {
                bytes.extend_from_slice(&inputs.0[input][start as usize..(start + count) as usize]);
            }
            Piece::Compute { bytes: count, program, first, count: elements, skip, .. } => {
                if merger.missing_operands(program, &(0..0)).is_err() {
                    load(plan, &mut merger, program, inputs)?;
                }
                let merged = block_on(merger.compute(program, first..first + elements, inputs, None))?;
                bytes.extend_from_slice(&merged[skip as usize..(skip + count) as usize]);
            }
        }
    }
    Ok(bytes)
}

/// A whole output file.
pub fn read_file(plan: &MergePlan, inputs: &Memory, file: usize, block: u64) -> Result<Vec<u8>> {
    read(plan, inputs, file, 0..plan.files[file].size, block)
}

/// Random ranges of an output file, each in blocks of up to `largest` bytes, are the same ranges of `whole`. `what` is for messages.
pub fn check_ranges(
    plan: &MergePlan,
    inputs: &Memory,
    file: usize,
    whole: &[u8],
    largest: u64,
    random: &mut Random,
    what: &str,
) {
    for _ in 0..20 {
        let start = random.below(whole.len() as u64 + 1);
        let end = start + random.below(whole.len() as u64 + 1 - start);
        let block = 1 + random.below(largest);
        let part = read(plan, inputs, file, start..end, block).unwrap();
        assert_eq!(part, whole[start as usize..end as usize], "{what} {start}..{end} block {block}");
    }
}

/// Give a merger a program, and its facts where it has some.
pub fn load(plan: &MergePlan, merger: &mut Merger, number: usize, inputs: &impl Inputs) -> Result<()> {
    load_program(merger, number, plan.program(number).expect("a computed tensor").into_owned(), inputs)
}

/// All bytes of the tensor that a program computes, in blocks of about `block` bytes. Values may leave the finite range.
pub fn compute(program: &Program, inputs: &Memory, block: u64) -> Result<Vec<u8>> {
    let mut merger = Merger::new(true, 0);
    load_program(&mut merger, 0, program.clone(), inputs)?;
    let (step, end) = (program.block(block), program.elements());
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < end {
        let elements = program.footprint(at..at.saturating_add(step).min(end));
        at = elements.end;
        bytes.extend_from_slice(block_on(merger.compute(0, elements, inputs, None))?);
    }
    Ok(bytes)
}

fn load_program(merger: &mut Merger, number: usize, program: Program, inputs: &impl Inputs) -> Result<()> {
    let mut facts = FactSum::of(&program);
    merger.load(number, program.clone());
    while !facts.is_done() {
        // In the wrong order: it must not show.
        for FactJob { first, count, .. } in facts.jobs(&program).into_iter().rev() {
            facts.add(&program, &block_on(merger.gather(number, first..first + count, inputs))?);
        }
        merger.learn(number, &facts.to_bytes())?;
    }
    Ok(())
}
