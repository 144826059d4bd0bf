//! Runs a program over a text, by backtracking.
//!
//! The stack is a vector, so that neither long texts nor nested patterns can exhaust the call stack.

use super::program::{At, Class, Fold, Kind, Loop, Op, Piece, Program, Set, WORD};
use super::{MatchError, PatternBudget};

/// Most frames on the stack: 12 MB at 24 bytes each.
const MAX_FRAMES: usize = 500_000;

/// A register without a value.
const NONE: usize = usize::MAX;

/// What to do when a match fails, the latest first.
#[derive(Clone, Copy)]
enum Frame {
    /// Go on at this instruction and position.
    Choice(usize, usize),
    /// Restore the register's value.
    Restore(usize, usize),
    /// The open look-around or atomic group that began at this instruction and position has no match.
    Piece(usize, usize),
}

struct Matcher<'a> {
    program: &'a Program,
    text: &'a [char],
    registers: Vec<usize>,
    stack: Vec<Frame>,
    budget: &'a mut PatternBudget,
}

/// Whether `program` matches in `text`, or at its start.
pub(super) fn matches(
    program: &Program,
    text: &[char],
    anchored: bool,
    budget: &mut PatternBudget,
) -> Result<bool, MatchError> {
    budget.spend(program.registers / 8)?;
    let registers = vec![NONE; program.registers];
    let mut matcher = Matcher { program, text, registers, stack: Vec::new(), budget };
    let last = if anchored { 0 } else { text.len() };
    // A failed run has restored every register.
    for start in 0..=last {
        if matcher.run(start)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Matcher<'_> {
    fn run(&mut self, start: usize) -> Result<bool, MatchError> {
        let (mut pc, mut pos) = (0, start);
        while let Some(&op) = self.program.ops.get(pc) {
            self.budget.spend(1)?;
            // One step adds two frames at most.
            if self.stack.len() > MAX_FRAMES {
                return Err(MatchError::TooManyChoices);
            }
            let next = match op {
                Op::One(set) => {
                    self.budget.spend((set.to - set.from) / 8)?;
                    self.text.get(pos).is_some_and(|&c| self.has(set, c)).then_some((pc + 1, pos + 1))
                }
                Op::At(at) => self.is_at(at, pos).then_some((pc + 1, pos)),
                Op::Save(register) => {
                    self.set(register, pos);
                    Some((pc + 1, pos))
                }
                Op::Again(group, fold) => self.again(group, fold, pos)?.map(|pos| (pc + 1, pos)),
                Op::Fork(offset) => {
                    self.push(Frame::Choice(pc + offset, pos));
                    Some((pc + 1, pos))
                }
                Op::Jump(offset) => Some((pc.wrapping_add_signed(offset), pos)),
                Op::Start(register) => {
                    self.set(register, 0);
                    self.set(register + 1, NONE);
                    Some((pc + 1, pos))
                }
                Op::Repeat(repeat) => Some((self.repeat(repeat, pc, pos), pos)),
                Op::Iterate(register, min) => {
                    self.iterate(register, min, pos);
                    Some((pc + 1, pos))
                }
                Op::Open(piece) => self.open(piece, pc, pos),
                Op::Close => self.close(pc, pos)?,
            };
            match next.or_else(|| self.back()) {
                Some(next) => (pc, pos) = next,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    #[inline(never)]
    fn set(&mut self, register: usize, value: usize) {
        let old = std::mem::replace(&mut self.registers[register], value);
        self.push(Frame::Restore(register, old));
    }

    // Not inlined, because it grows a vector and is called in many places.
    #[inline(never)]
    fn push(&mut self, frame: Frame) {
        self.stack.push(frame);
    }

    /// Undo everything up to the latest choice, and take that choice.
    fn back(&mut self) -> Option<(usize, usize)> {
        loop {
            match self.stack.pop()? {
                Frame::Choice(pc, pos) => return Some((pc, pos)),
                Frame::Restore(register, old) => self.registers[register] = old,
                Frame::Piece(pc, pos) => {
                    if let Some(Op::Open(Piece { negated: true, exit, .. })) = self.program.ops.get(pc) {
                        return Some((pc + exit, pos));
                    }
                }
            }
        }
    }

    fn has(&self, set: Set, c: char) -> bool {
        let low = set.fold.lower(c);
        let forms = [u32::from(c), u32::from(low), u32::from(low.to_ascii_uppercase())];
        let forms = if set.fold == Fold::Not { &forms[..1] } else { &forms[..] };
        self.program.items[set.from..set.to].iter().any(|item| forms.iter().any(|&c| item.has(c))) != set.negated
    }

    fn is_at(&self, at: At, pos: usize) -> bool {
        let before = pos.checked_sub(1).and_then(|pos| self.text.get(pos));
        let after = self.text.get(pos);
        match at {
            At::TextStart => before.is_none(),
            At::LineStart => before.is_none_or(|&c| c == '\n'),
            At::TextEnd => after.is_none(),
            At::LineEnd => after.is_none_or(|&c| c == '\n'),
            At::LastLineEnd => after.is_none_or(|&c| c == '\n' && pos + 1 == self.text.len()),
            At::Boundary { negated, ascii } => {
                let word = Class { ascii, ..WORD };
                let differ = before.is_some_and(|&c| word.has(c)) != after.is_some_and(|&c| word.has(c));
                // Neither `\b` nor `\B` matches in an empty text (until Python 3.14).
                !self.text.is_empty() && differ != negated
            }
        }
    }

    /// The position after a repetition of what the group captured.
    fn again(&mut self, group: usize, fold: Fold, pos: usize) -> Result<Option<usize>, MatchError> {
        let (from, to) = (self.registers[2 * group], self.registers[2 * group + 1]);
        if from == NONE || to == NONE || to < from || to - from > self.text.len() - pos {
            return Ok(None);
        }
        self.budget.spend(to - from)?;
        for (&a, &b) in self.text[from..to].iter().zip(&self.text[pos..]) {
            if a == b || (fold != Fold::Not && a.eq_ignore_ascii_case(&b)) {
                continue;
            }
            // Tables of upper and lower case would double the size of this module.
            if fold == Fold::Full && !(a.is_ascii() && b.is_ascii()) {
                return Err(MatchError::NonAsciiCase(a, b));
            }
            return Ok(None);
        }
        Ok(Some(pos + to - from))
    }

    /// The instruction to continue at. As in Python, an iteration that ends where it began is the last.
    fn repeat(&mut self, repeat: Loop, pc: usize, pos: usize) -> usize {
        let Loop { register, min, max, lazy, exit } = repeat;
        let (once_more, exit) = (pc + 1, pc + exit);
        let count = self.registers[register];
        if count < min as usize {
            return once_more;
        }
        if (max != u32::MAX && count >= max as usize) || self.registers[register + 1] == pos {
            return exit;
        }
        let (first, second) = if lazy { (exit, once_more) } else { (once_more, exit) };
        self.push(Frame::Choice(second, pos));
        first
    }

    fn iterate(&mut self, register: usize, min: u32, pos: usize) {
        let count = self.registers[register];
        self.set(register, count + 1);
        // Python does not check for empty iterations among the required ones.
        if count >= min as usize {
            self.set(register + 1, pos);
        }
    }

    fn open(&mut self, piece: Piece, pc: usize, pos: usize) -> Option<(usize, usize)> {
        let start = match piece.kind {
            Kind::Behind(width) => pos.checked_sub(width),
            Kind::Ahead | Kind::Atomic => Some(pos),
        };
        match start {
            Some(start) => {
                self.push(Frame::Piece(pc, pos));
                Some((pc + 1, start))
            }
            None => piece.negated.then_some((pc + piece.exit, pos)),
        }
    }

    /// The innermost open group matched. Its frame is the latest of its kind, because a closed group leaves none.
    fn close(&mut self, pc: usize, pos: usize) -> Result<Option<(usize, usize)>, MatchError> {
        let innermost = self.stack.iter().enumerate().rev().find_map(|(index, frame)| match frame {
            Frame::Piece(opened, began) => Some((index, *opened, *began)),
            _ => None,
        });
        let Some((bottom, opened, began)) = innermost else { return Ok(None) };
        let Some(&Op::Open(piece)) = self.program.ops.get(opened) else { return Ok(None) };
        self.budget.spend((self.stack.len() - bottom) / 8)?;
        if piece.negated {
            while self.stack.len() > bottom {
                if let Some(Frame::Restore(register, old)) = self.stack.pop() {
                    self.registers[register] = old;
                }
            }
            return Ok(None);
        }
        // Its choices are dropped. What it captured stays, but can still be undone if something later fails.
        let mut kept = bottom;
        for index in bottom..self.stack.len() {
            if let restore @ Frame::Restore(..) = self.stack[index] {
                self.stack[kept] = restore;
                kept += 1;
            }
        }
        self.stack.truncate(kept);
        Ok(Some((pc + 1, if matches!(piece.kind, Kind::Atomic) { pos } else { began })))
    }
}
