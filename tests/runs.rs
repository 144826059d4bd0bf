//! Merge-on-read as a driver does it: runs of the base, read from their beginning to their end, give the same bytes as the whole.

use crate::model::{Memory, Model, Random, block_on, load, read_file, with};
use lorafold::Result;
use lorafold::engine::Merger;
use lorafold::inputs::{Inputs, Span};
use lorafold::plan::{MergePlan, Piece, PlanOptions, Run};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The bytes of a run, and the operands that were said to be missing: nothing else can be had.
struct Given<'a> {
    spans: &'a [Span],
    bytes: &'a [u8],
    operands: Vec<Span>,
    inputs: &'a Memory,
}

impl Inputs for Given<'_> {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let span = Span { input, start, bytes: buffer.len() as u64 };
        if self.spans == [span] {
            buffer.copy_from_slice(self.bytes);
            return Ok(());
        }
        let holds = |asked: &Span| {
            asked.input == input && asked.start <= start && start + span.bytes <= asked.start + asked.bytes
        };
        assert!(self.operands.iter().any(holds), "{span:?} was not asked for");
        self.inputs.read(input, start, buffer).await
    }
}

/// The bytes `at .. end` of a file, and how many runs of the base were read.
fn by_runs(
    plan: &MergePlan,
    model: &Model,
    merger: &mut Merger,
    file: usize,
    mut at: u64,
    end: u64,
    block: u64,
) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let mut runs = 0;
    while at < end {
        let Run { end: run_end, source } = plan.run(file, at..end);
        assert!(run_end > at, "no progress at {at}");
        // Nothing but the next bytes of the run can be had.
        let mut rest: &[u8] = match &source {
            None => &[],
            Some(source) => {
                runs += 1;
                &model.inputs.0[source.input][source.start as usize..source.end as usize]
            }
        };
        let mut read_to = source.as_ref().map_or(0, |source| source.start);
        let mut take = |start: u64, count: u64| {
            let (next, left) = rest[(start - read_to) as usize..].split_at(count as usize);
            rest = left;
            read_to = start + count;
            next
        };
        while at < run_end {
            let pieces = plan.pieces(file, at..run_end, block, 3);
            assert!(pieces.len() <= 3 && !pieces.is_empty());
            for piece in pieces {
                let count = match piece {
                    Piece::Plan { at, bytes: count } => {
                        bytes.extend(plan.planned_bytes(&plan.files[file], at..at + count).unwrap());
                        count
                    }
                    Piece::Copy { bytes: count, start, .. } => {
                        bytes.extend_from_slice(take(start, count));
                        count
                    }
                    Piece::Compute { bytes: count, program, first, count: elements, skip, reads, .. } => {
                        if merger.missing_operands(program, &(0..0)).is_err() {
                            load(plan, merger, program, &model.inputs).unwrap();
                        }
                        let operands = merger.missing_operands(program, &(first..first + elements)).unwrap();
                        let given = Given {
                            spans: &reads,
                            bytes: take(reads[0].start, reads[0].bytes),
                            operands,
                            inputs: &model.inputs,
                        };
                        let merged = merger.compute(program, first..first + elements, &given, None);
                        bytes.extend_from_slice(&block_on(merged).unwrap()[skip as usize..(skip + count) as usize]);
                        count
                    }
                };
                at += count;
            }
        }
        assert!(rest.is_empty(), "the run is longer than its pieces");
    }
    (bytes, runs)
}

#[test]
fn any_range_by_runs_is_the_same_range_of_the_whole() {
    for seed in 300..340 {
        let model = Model::random(seed);
        let mut random = Random(seed);
        let dtype = ["keep", "float32", "bfloat16"][random.below(3) as usize];
        let max_shard_size = (random.below(3) == 0).then_some(400);
        let options = with(|options: &mut PlanOptions| {
            options.dtype = Some(dtype.into());
            options.max_shard_size = max_shard_size;
        });
        let plan = model.plan(&options).unwrap();
        // One folder for all: room for the factors of no tensor, some, or all.
        let mut merger = Merger::new(false, [0, 2000, u64::MAX][random.below(3) as usize]);
        for file in 0..plan.files.len() {
            let whole = read_file(&plan, &model.inputs, file, 1 << 20).unwrap();
            for turn in 0..20 {
                let start = random.below(whole.len() as u64 + 1);
                let end =
                    if turn == 0 { whole.len() as u64 } else { start + random.below(whole.len() as u64 + 1 - start) };
                let block = 1 + random.below(300);
                let (part, runs) = by_runs(&plan, &model, &mut merger, file, start, end, block);
                assert_eq!(
                    part,
                    whole[start as usize..end as usize],
                    "seed {seed} file {file} {start}..{end} block {block}"
                );
                if dtype == "keep" && max_shard_size.is_none() {
                    assert!(runs <= 1, "{runs} runs of the base for one range of an output in its order");
                }
            }
        }
    }
}

#[test]
fn the_identity_knows_options_and_adapters_and_the_tags_know_the_base() {
    let model = Model::random(7);
    let plan = |options: &PlanOptions| model.plan(options).unwrap();
    let keep = plan(&PlanOptions::default());
    assert_eq!(keep.identity(), plan(&PlanOptions::default()).identity());
    let other = plan(&with(|options: &mut PlanOptions| options.dtype = Some("float32".into())));
    assert_ne!(keep.identity(), other.identity());
    let tags = keep.etags().unwrap();
    assert_eq!(tags.len(), keep.files.len());
    assert!(tags.iter().all(|tag| tag.len() == 34 && tag.starts_with('"') && tag.ends_with('"')));
    let mut distinct = tags.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), tags.len());
    let mut changed = keep.clone();
    changed.base.versions.push(("model.safetensors".into(), "another".into()));
    assert_eq!(changed.identity(), keep.identity());
    assert!(changed.etags().unwrap().iter().zip(&tags).all(|(new, old)| new != old));
}
