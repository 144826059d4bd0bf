//! What any range of an output file is made of: the one idea of this crate, as data.

use std::ops::Range;

use serde::Serialize;

use super::output::{Body, OutputFile, Placed};
use super::tensor::PlannedTensor;

/// A run of output bytes, and where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
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
    Merge {
        /// First byte in the output file.
        at: u64,
        /// Number of bytes.
        bytes: u64,
        /// Number of the tensor in the plan.
        tensor: usize,
        /// First element.
        first: u64,
        /// Number of elements; their bytes enclose the piece's.
        count: u64,
        /// Bytes of the first element that are before the piece.
        skip: u64,
        /// Number of the base's input.
        input: usize,
        /// First byte in it of these elements.
        start: u64,
        /// Bytes that they have there.
        #[serde(rename = "baseBytes")]
        base_bytes: u64,
    },
}

/// A run of output bytes that one read of an input serves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The byte of the output file after its last.
    pub end: u64,
    /// What is read; nothing where the plan holds the bytes.
    pub source: Option<RunSource>,
}

/// The bytes `start..end` of an input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSource {
    /// Number of the input.
    pub input: usize,
    /// First byte.
    pub start: u64,
    /// The byte after the last.
    pub end: u64,
}

impl OutputFile {
    /// What the bytes `range` of the file are made of, in order and without gaps: the first `limit` pieces of it, the last of
    /// which may be followed by more of its tensor. Merged pieces have at most `block` bytes and whole rows where these are
    /// shorter; copied ones are as long as they can be.
    pub fn pieces(&self, range: Range<u64>, tensors: &[PlannedTensor], block: u64, limit: usize) -> Vec<Piece> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        let mut pieces = Vec::new();
        if range.is_empty() {
            return pieces;
        }
        let held = self.plan_bytes().len() as u64;
        if range.start < held {
            pieces.push(Piece::Plan { at: range.start, bytes: range.end.min(held) - range.start });
        }
        match &self.body {
            Body::Bytes(_) => {}
            Body::Input(input) => {
                pieces.push(Piece::Copy {
                    at: range.start,
                    bytes: range.end - range.start,
                    input: *input,
                    start: range.start,
                });
            }
            Body::Weights { tensors: placed, .. } => {
                for (place, part) in parts(placed, range) {
                    if pieces.len() >= limit {
                        break;
                    }
                    tensor_pieces(place, part, &tensors[place.tensor], block, limit, &mut pieces);
                }
            }
        }
        pieces
    }

    /// The longest beginning of `range` whose bytes come from one run of an input, or from none.
    pub fn run(&self, range: Range<u64>, tensors: &[PlannedTensor]) -> Run {
        let range = range.start.min(self.size)..range.end.min(self.size);
        let held = self.plan_bytes().len() as u64;
        if range.start < held || range.is_empty() {
            return Run { end: range.end.min(held).max(range.start), source: None };
        }
        match &self.body {
            Body::Bytes(_) => Run { end: range.end, source: None },
            Body::Input(input) => {
                let source = RunSource { input: *input, start: range.start, end: range.end };
                Run { end: range.end, source: Some(source) }
            }
            Body::Weights { tensors: placed, .. } => {
                let mut run = Run { end: range.start, source: None };
                for (place, part) in parts(placed, range) {
                    let next = base_bytes(place, &part, &tensors[place.tensor]);
                    match &mut run.source {
                        None => run.source = Some(next),
                        Some(source) if source.input == next.input && source.end == next.start => source.end = next.end,
                        Some(_) => break,
                    }
                    run.end = part.end;
                }
                run
            }
        }
    }
}

/// The tensors that `range` touches, and which bytes of the file it touches of each.
fn parts(placed: &[Placed], range: Range<u64>) -> impl Iterator<Item = (&Placed, Range<u64>)> {
    let first = placed.partition_point(|placed| placed.range.end <= range.start);
    placed[first..]
        .iter()
        .take_while(move |place| place.range.start < range.end)
        .map(move |place| (place, place.range.start.max(range.start)..place.range.end.min(range.end)))
        .filter(|(_, part)| !part.is_empty())
}

/// The bytes of the base that the bytes `part` of a tensor in the output need: whole elements where they are computed.
fn base_bytes(place: &Placed, part: &Range<u64>, tensor: &PlannedTensor) -> RunSource {
    let (first, last) = (part.start - place.range.start, part.end - place.range.start);
    let (first, last) = match &tensor.merge {
        None => (first, last),
        Some(merge) => {
            let (from, to) = (merge.from.bytes() as u64, merge.to.bytes() as u64);
            (first / to * from, last.div_ceil(to) * from)
        }
    };
    RunSource { input: tensor.input, start: tensor.start + first, end: tensor.start + last }
}

fn tensor_pieces(
    place: &Placed,
    part: Range<u64>,
    tensor: &PlannedTensor,
    block: u64,
    limit: usize,
    pieces: &mut Vec<Piece>,
) {
    let Some(merge) = &tensor.merge else {
        let start = tensor.start + (part.start - place.range.start);
        let bytes = part.end - part.start;
        // Neighbours in both files are one run.
        if let Some(Piece::Copy { at, bytes: run, input, start: from }) = pieces.last_mut()
            && *input == tensor.input
            && *at + *run == part.start
            && *from + *run == start
        {
            *run += bytes;
            return;
        }
        pieces.push(Piece::Copy { at: part.start, bytes, input: tensor.input, start });
        return;
    };
    let width = merge.to.bytes() as u64;
    let row = merge.cols * width;
    let per_block = (if row <= block { block - block % row.max(1) } else { block - block % width }).max(width);
    let mut at = part.start;
    while at < part.end && pieces.len() < limit {
        // Blocks end where they would end if the whole tensor were asked for, so that any range costs the same.
        let offset = at - place.range.start;
        let end = (place.range.start + (offset / per_block + 1) * per_block).min(part.end);
        let first = offset / width;
        let last = (end - place.range.start).div_ceil(width);
        pieces.push(Piece::Merge {
            at,
            bytes: end - at,
            tensor: place.tensor,
            first,
            count: last - first,
            skip: offset % width,
            input: merge.input,
            start: merge.start + first * merge.from.bytes() as u64,
            base_bytes: (last - first) * merge.from.bytes() as u64,
        });
        at = end;
    }
}
