//! Factors that are all zeros: an adapter adds nothing to a module if it was saved before training, or if training did not reach the module.

use crate::error::Result;
use crate::findings::Finding;
use crate::inputs::{Inputs, Span, try_buffer};

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

    /// Read as much of each operand in an input as is needed.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn look(&mut self, inputs: &impl Inputs, input: usize) -> Result<()> {
        let mut buffer = try_buffer("an adapter", STEP)?;
        let mut kept = 0;
        while let Some((span, _)) = self.open.get(kept) {
            let (mut at, end, mut zero) = (span.start, span.start.saturating_add(span.bytes), true);
            while span.input == input && zero && at < end {
                let part = &mut buffer[..STEP.min(end - at) as usize];
                inputs.read(input, at, part).await?;
                zero = is_zero(part);
                at += STEP;
            }
            if zero {
                kept += 1;
            } else {
                self.open.swap_remove(kept);
            }
        }
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
    use std::ops::Range;

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
}
