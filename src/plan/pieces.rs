//! What any range of an output file is made of: the one idea of this crate, as data.

use std::ops::Range;

use serde::Serialize;

use super::build::MergePlan;
use super::output::{Body, OutputFile};
use crate::inputs::Span;

/// A run of output bytes, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Piece {
    /// Bytes of the plan itself.
    Plan {
        /// First byte in the output file.
        at: u64,
        /// Number of bytes.
        bytes: u64,
    },
    /// Bytes of an input, as they are.
    Copy {
        /// First byte in the output file.
        at: u64,
        /// Number of bytes.
        bytes: u64,
        /// Number of the input.
        input: usize,
        /// First byte in the input.
        start: u64,
    },
    /// Elements of a tensor that is computed.
    Compute {
        /// First byte in the output file.
        at: u64,
        /// Number of bytes.
        bytes: u64,
        /// Number of the tensor in the plan, and of its program.
        program: usize,
        /// First element that is computed.
        first: u64,
        /// Number of elements that are computed; their bytes enclose the piece's.
        count: u64,
        /// Computed bytes that are before the piece.
        skip: u64,
        /// Elements that are best computed at a time, where nothing else asks for more: they stay in the processor's cache from the read to the write.
        step: u64,
        /// The source's bytes of these elements. The first span is the one that a [`Run`] streams.
        reads: Vec<Span>,
    },
}

/// A run of output bytes for which one read of an input is enough. Its pieces take their bytes from it one after another, and skip what is
/// between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Run {
    /// The byte after its last one, in the output file.
    pub end: u64,
    /// What is read, or nothing if the plan holds the bytes.
    pub source: Option<RunSource>,
}

/// The bytes `start..end` of an input.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RunSource {
    /// Number of the input.
    pub input: usize,
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

/// A gap between two tensors of at most this many bytes is read along with them: in files of torch gaps are some hundred bytes.
const GAP_BYTES: u64 = 4 << 10;

/// Bytes that are computed at a time.
const STEP_BYTES: u64 = 1 << 20;

impl RunSource {
    fn of(span: Span) -> RunSource {
        RunSource { input: span.input, start: span.start, end: span.start + span.bytes }
    }

    fn is_followed_by(&self, next: &RunSource) -> bool {
        self.input == next.input && (self.end..=self.end.saturating_add(GAP_BYTES)).contains(&next.start)
    }
}

/// See [`MergePlan::pieces`].
pub(super) fn pieces(plan: &MergePlan, file: &OutputFile, range: Range<u64>, block: u64, limit: usize) -> Vec<Piece> {
    let range = range.start.min(file.size)..range.end.min(file.size);
    let mut pieces = Vec::new();
    if range.is_empty() {
        return pieces;
    }
    let held = file.planned();
    if range.start < held {
        pieces.push(Piece::Plan { at: range.start, bytes: range.end.min(held) - range.start });
    }
    match &file.body {
        Body::Bytes(_) | Body::Index => {}
        Body::Input(input) => {
            let bytes = range.end - range.start;
            pieces.push(Piece::Copy { at: range.start, bytes, input: *input, start: range.start });
        }
        Body::Weights(weights) => {
            for (tensor, place) in weights.touched(&range, file.size) {
                if pieces.len() >= limit {
                    break;
                }
                tensor_pieces(plan, &Part::of(tensor, place, &range), block, limit, &mut pieces);
            }
        }
    }
    pieces
}

/// See [`MergePlan::run`].
pub(super) fn run(plan: &MergePlan, file: &OutputFile, range: Range<u64>) -> Run {
    let range = range.start.min(file.size)..range.end.min(file.size);
    let held = file.planned();
    if range.start < held || range.is_empty() {
        return Run { end: range.end.min(held).max(range.start), source: None };
    }
    match &file.body {
        Body::Bytes(_) | Body::Index => Run { end: range.end, source: None },
        Body::Input(input) => {
            let source = RunSource { input: *input, start: range.start, end: range.end };
            Run { end: range.end, source: Some(source) }
        }
        Body::Weights(weights) => {
            let mut run = Run { end: range.start, source: None };
            for (tensor, place) in weights.touched(&range, file.size) {
                let part = Part::of(tensor, place, &range);
                // A tensor without elements has no pieces, so its place in the input does not matter.
                if part.wanted.is_empty() {
                    continue;
                }
                let next = RunSource::of(source_of(plan, &part));
                match &mut run.source {
                    None => run.source = Some(next),
                    Some(source) if source.is_followed_by(&next) => source.end = next.end,
                    Some(_) => break,
                }
                run.end = part.wanted.end;
            }
            run
        }
    }
}

/// A tensor, its bytes in an output file, and which of them are wanted.
struct Part {
    tensor: usize,
    place: Range<u64>,
    wanted: Range<u64>,
}

impl Part {
    fn of(tensor: usize, place: Range<u64>, range: &Range<u64>) -> Part {
        let wanted = place.start.max(range.start)..place.end.min(range.end);
        Part { tensor, place, wanted }
    }
}

/// The source's bytes that the wanted bytes of a tensor need. For a computed tensor these are whole elements, and whatever else must be
/// computed with them.
fn source_of(plan: &MergePlan, part: &Part) -> Span {
    let (first, last) = (part.wanted.start - part.place.start, part.wanted.end - part.place.start);
    let Some(program) = plan.program(part.tensor) else {
        let source = plan.tensor(part.tensor).source;
        return Span { input: source.input, start: source.start + first, bytes: last - first };
    };
    let width = program.to.bytes() as u64;
    let elements = program.footprint(first / width..last.div_ceil(width));
    program.reads(elements)[0]
}

fn tensor_pieces(plan: &MergePlan, part: &Part, block: u64, limit: usize, pieces: &mut Vec<Piece>) {
    let Part { tensor, place, wanted } = part;
    let Some(program) = plan.program(*tensor) else {
        let Span { input, start, .. } = source_of(plan, part);
        let bytes = wanted.end - wanted.start;
        // Neighbours in both files are one run.
        if let Some(Piece::Copy { at, bytes: run, input: other, start: from }) = pieces.last_mut()
            && *other == input
            && *at + *run == wanted.start
            && *from + *run == start
        {
            *run += bytes;
            return;
        }
        pieces.push(Piece::Copy { at: wanted.start, bytes, input, start });
        return;
    };
    let width = program.to.bytes() as u64;
    let per_block = program.block(block) * width;
    let step = program.block(STEP_BYTES);
    let mut at = wanted.start;
    while at < wanted.end && pieces.len() < limit {
        // Blocks end where they would if the whole tensor were asked for, so that every range costs the same.
        let offset = at - place.start;
        let end = (place.start + (offset / per_block + 1) * per_block).min(wanted.end);
        let elements = program.footprint(offset / width..(end - place.start).div_ceil(width));
        pieces.push(Piece::Compute {
            at,
            bytes: end - at,
            program: *tensor,
            first: elements.start,
            count: elements.end - elements.start,
            skip: offset - elements.start * width,
            step,
            reads: program.reads(elements),
        });
        at = end;
    }
}
