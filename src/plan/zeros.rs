//! Factors that are all zeros: an adapter adds nothing to a module if it was saved before training, or if training did not reach the module.

use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{Inputs, Span, try_buffer};
use crate::order::sort_by;

use crate::adapter::dialect::ModuleUpdate;

/// Bytes of a factor that are read at a time. If something was trained, the first read is enough.
const STEP: u64 = 1 << 16;

/// Operands in which only zeros have been found so far.
#[derive(Default)]
pub(super) struct Zeros {
    /// The bytes of each, and the number of its update.
    open: Vec<(Span, usize)>,
}

impl Zeros {
    /// The operands without which an update changes nothing.
    pub(super) fn of(updates: &[ModuleUpdate]) -> Zeros {
        let mut open = Vec::new();
        for (number, update) in updates.iter().enumerate().filter(|(_, update)| update.op.method.vanishes) {
            open.extend(update.op.operands.iter().map(|operand| (operand.at, number)));
        }
        Zeros { open }
    }

    /// See some bytes of an input, from `at` on.
    pub(super) fn see(&mut self, input: usize, at: u64, bytes: &[u8]) {
        self.open.retain(|(span, _)| {
            let part = |end: u64| end.saturating_sub(at).min(bytes.len() as u64) as usize;
            let seen = part(span.start)..part(span.start.saturating_add(span.bytes));
            span.input != input || is_zero(bytes.get(seen).unwrap_or_default())
        });
    }

    /// Read as much of each operand in an input as is needed. Small ones that lie side by side are read together: there may be hundreds of thousands.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn look(&mut self, inputs: &impl Inputs, input: usize) -> Result<()> {
        sort_by(&mut self.open, |(one, _), (other, _)| one.start.cmp(&other.start));
        let ends = self.open.iter().filter(|(span, _)| span.input == input);
        let last = ends.map(|(span, _)| span.start.saturating_add(span.bytes)).max().unwrap_or(0);
        let mut buffer = try_buffer("an adapter", STEP)?;
        let mut held = 0..0;
        let mut kept = Vec::new();
        for &(span, number) in &self.open {
            let (mut at, end, mut zero) = (span.start, span.start.saturating_add(span.bytes), true);
            while span.input == input && zero && at < end {
                if !held.contains(&at) {
                    held = at..at.saturating_add(STEP).min(last);
                    inputs.read(input, at, &mut buffer[..(held.end - held.start) as usize]).await?;
                }
                let upto = end.min(held.end);
                zero = is_zero(&buffer[(at - held.start) as usize..(upto - held.start) as usize]);
                at = upto;
            }
            if zero {
                kept.push((span, number));
            }
        }
        self.open = kept;
        Ok(())
    }

    /// The finding about the updates that change nothing, and whether these are all updates.
    pub(super) fn finding(self, adapter: &str, updates: &[ModuleUpdate]) -> (Option<Finding>, bool) {
        let mut idle = vec![false; updates.len()];
        self.open.iter().for_each(|&(_, number)| idle[number] = true);
        let mut names = updates.iter().zip(&idle).filter(|(_, idle)| **idle).map(|(update, _)| update.tensor());
        let Some(first) = names.next() else { return (None, false) };
        let more = names.count();
        if more + 1 == updates.len() {
            let message = "all its deltas are zero, so it adds nothing: it was saved before training, or only in part";
            return (Some(Finding::warning("zero-adapter", Some(adapter), message.into())), true);
        }
        let others = if more > 0 { format!(" and {more} more") } else { String::new() };
        let message = format!("the delta of {first}{others} is zero: training has not changed it");
        (Some(Finding { tensor: Some(first), ..Finding::info("zero-delta", adapter, message) }), false)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::ops::Range;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn bytes_are_seen_in_any_steps() {
        let mut file = [1u8; 40];
        file[10..20].fill(0);
        file[30..35].fill(0);
        for step in 1..=40 {
            let spans = [10..20, 9..20, 10..21, 30..35, 0..40, 7..7];
            let span = |input, range: &Range<u64>| Span { input, start: range.start, bytes: range.end - range.start };
            let open = spans.iter().enumerate().map(|(number, range)| (span(3, range), number));
            let mut zeros = Zeros { open: open.chain([(span(4, &spans[1]), 6)]).collect() };
            file.chunks(step).zip((0..).step_by(step)).for_each(|(bytes, at)| zeros.see(3, at, bytes));
            let left: Vec<usize> = zeros.open.into_iter().map(|(_, number)| number).collect();
            assert_eq!(left, [0, 3, 5, 6], "{step}");
        }
    }

    /// A file that counts how often it is read.
    struct Counted(Vec<u8>, Cell<usize>);

    impl Inputs for Counted {
        async fn read(&self, _: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
            self.1.set(self.1.get() + 1);
            buffer.copy_from_slice(&self.0[start as usize..start as usize + buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn small_operands_are_read_together_and_large_ones_as_far_as_they_are_zero() {
        let size = 4 * STEP as usize;
        let mut bytes = vec![0; 8000 + 2 * size];
        bytes[..8000].fill(1);
        bytes[80..88].fill(0);
        bytes[8000 + 2 * size - 1] = 1;
        let small = (0..1000).map(|number| Span { input: 0, start: 8 * (999 - number), bytes: 8 });
        let large = [8000, 8000 + size as u64].map(|start| Span { input: 0, start, bytes: size as u64 });
        let spans = small.chain(large).chain([Span { input: 1, start: 3, bytes: 5 }]);
        let mut zeros = Zeros { open: spans.zip(0..).collect() };
        let file = Counted(bytes, Cell::new(0));
        let done = pin!(zeros.look(&file, 0)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(done, Poll::Ready(Ok(()))));
        let mut left: Vec<usize> = zeros.open.into_iter().map(|(_, number)| number).collect();
        left.sort_unstable();
        assert_eq!(left, [989, 1000, 1002]);
        assert!(file.1.get() <= 10, "{} reads", file.1.get());
    }
}
