//! Reading the operands of programs. Those of experts are elements here and there of one tensor: it is read once for as many of them as there is
//! memory for.

use crate::encoding::{Columns, Operand};
use crate::error::Result;
use crate::inputs::{Inputs, Span, resize, try_buffer};
use crate::order::sort_by;

/// Bytes that are read at a time of a tensor that is not kept.
const STEP: u64 = 1 << 20;

/// Reads operands, and keeps the tensors of which they are a part.
pub(super) struct Operands {
    /// The latest used last.
    kept: Vec<(Span, Vec<u8>)>,
    /// Bytes that may be kept.
    limit: u64,
}

impl Operands {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: u64) -> Operands {
        Operands { kept: Vec::new(), limit }
    }

    /// The spans that reading `operands` would read, each byte once.
    pub(super) fn missing(&self, operands: &[&Operand]) -> Vec<Span> {
        let missing = operands.iter().filter(|operand| !self.kept.iter().any(|(span, _)| *span == operand.at));
        let mut spans: Vec<Span> = missing.map(|operand| operand.at).collect();
        sort_by(&mut spans, |one, other| (one.input, one.start).cmp(&(other.input, other.start)));
        let mut all: Vec<Span> = Vec::with_capacity(spans.len());
        for span in spans {
            match all.last_mut() {
                Some(last) if last.input == span.input && span.start <= last.start + last.bytes => {
                    last.bytes = last.bytes.max(span.start + span.bytes - last.start);
                }
                _ => all.push(span),
            }
        }
        all
    }

    /// The bytes of an operand.
    pub(super) async fn read(&mut self, operand: &Operand, inputs: &impl Inputs) -> Result<Vec<u8>> {
        let Operand { key, at, columns, .. } = operand;
        let mut bytes = try_buffer(key, operand.bytes())?;
        if self.take_kept(operand, &mut bytes) {
            return Ok(bytes);
        }
        let step = self.step(operand);
        let (mut start, mut done, mut part) = (0, 0, Vec::new());
        while start < at.bytes {
            if columns.is_some() {
                resize(&mut part, key, step.min(at.bytes - start))?;
            }
            let target = if columns.is_some() { &mut part } else { &mut bytes };
            inputs.read(at.input, at.start + start, target).await?;
            done += gather(&part, operand, bytes.get_mut(done..).unwrap_or_default());
            start += step;
        }
        self.keep(operand, part);
        Ok(bytes)
    }

    /// Take an operand from what is kept, if it is there.
    fn take_kept(&mut self, operand: &Operand, bytes: &mut [u8]) -> bool {
        let Some(found) = self.kept.iter().position(|(span, _)| *span == operand.at) else { return false };
        self.kept[found..].rotate_left(1);
        self.kept.last().is_some_and(|(_, whole)| gather(whole, operand, bytes) > 0)
    }

    /// Bytes that are read at a time: whole rows, where only a part of them is wanted.
    fn step(&self, Operand { at, columns, dtype, .. }: &Operand) -> u64 {
        match columns {
            Some(columns) if at.bytes > self.limit => {
                let row = (columns.of * dtype.bitsize() as u64 / 8).max(1);
                (STEP / row).max(1).saturating_mul(row)
            }
            _ => at.bytes.max(1),
        }
    }

    /// Keep the tensor that an operand was read from, where there is room.
    fn keep(&mut self, operand: &Operand, whole: Vec<u8>) {
        let bytes = operand.at.bytes;
        if operand.columns.is_none() || bytes > self.limit {
            return;
        }
        while self.kept.iter().map(|(span, _)| span.bytes).sum::<u64>() > self.limit - bytes {
            self.kept.remove(0);
        }
        self.kept.push((operand.at, whole));
    }
}

/// The wanted elements of whole rows, one after another. How many bytes they have.
fn gather(rows: &[u8], operand: &Operand, out: &mut [u8]) -> usize {
    let Some(Columns { of, first, step, count }) = operand.columns.as_deref().copied() else { return 0 };
    let width = operand.dtype.bitsize() / 8;
    let mut done = 0;
    for row in rows.chunks_exact((of as usize * width).max(1)) {
        for number in 0..count {
            let at = (first + number * step) as usize * width;
            out[done..done + width].copy_from_slice(&row[at..at + width]);
            done += width;
        }
    }
    done
}
