//! The result of parsing a pattern: instructions for the matcher.
//!
//! Jumps are relative, so that a finished piece can be put into a repetition unchanged.

/// A program. Running past its end is a match.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    /// The items of all sets.
    pub(super) items: Vec<Item>,
    /// Number of registers: two for each group (start and end; group 0 does not use its own, but they keep the numbers simple), then two for
    /// each loop (number of iterations, and where the last one began).
    pub(super) registers: usize,
}

/// One instruction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// One character of this set.
    One(Set),
    /// No character, at a position of this kind.
    At(At),
    /// Store the position in a register.
    Save(usize),
    /// The text that the group captured, again.
    Again(usize, Fold),
    /// Continue; if that fails, jump this far ahead.
    Fork(usize),
    /// Jump this far.
    Jump(isize),
    /// Begin the loop whose registers begin here.
    Start(usize),
    /// Decide whether there is one more iteration of the loop.
    Repeat(Loop),
    /// Begin an iteration of the loop with these registers, and this many required iterations.
    Iterate(usize, u32),
    /// Begin a look-around or an atomic group, which is never backtracked into.
    Open(Piece),
    /// End the innermost open look-around or atomic group.
    Close,
}

/// Some of a program's items.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) negated: bool,
    pub(super) fold: Fold,
}

/// Characters in a set.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    /// From one to the other. They are numbers, because Python allows surrogates, which no text contains.
    Range(u32, u32),
    /// A category.
    Class(Class),
}

/// `\d`, `\s`, `\w` and their opposites.
#[derive(Debug, Clone, Copy)]
pub(super) struct Class {
    /// 'd', 's' or 'w'.
    pub(super) letter: char,
    pub(super) negated: bool,
    pub(super) ascii: bool,
}

/// Which characters count as the same if they differ only in case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    Not,
    /// ASCII letters only.
    Ascii,
    /// ASCII letters, and the few others that Python treats as equal to one.
    Full,
}

/// Positions in a text.
#[derive(Debug, Clone, Copy)]
pub(super) enum At {
    TextStart,
    LineStart,
    TextEnd,
    LineEnd,
    /// At the end, or before a line feed at the end.
    LastLineEnd,
    Boundary {
        negated: bool,
        ascii: bool,
    },
}

/// A character of a word.
pub(super) const WORD: Class = Class { letter: 'w', negated: false, ascii: false };

/// A repetition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loop {
    pub(super) register: usize,
    pub(super) min: u32,
    /// `u32::MAX` has no limit, as in Python.
    pub(super) max: u32,
    pub(super) lazy: bool,
    /// How far ahead the instruction after the loop is.
    pub(super) exit: usize,
}

/// A look-around or an atomic group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    /// Whether it must not match.
    pub(super) negated: bool,
    /// How far ahead the instruction after its `Close` is.
    pub(super) exit: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Ahead,
    /// With its width.
    Behind(usize),
    Atomic,
}

impl Program {
    /// Drop the beginning of the program if it may match nothing and captures nothing, such as `.*`. If a match may begin
    /// anywhere, it decides nothing, and would take a step for each pair of positions.
    pub(super) fn drop_optional_start(&mut self) {
        // A loop over one character has five instructions, and jumps are relative. An alternative would begin with a fork.
        while let [
            Op::Start(_),
            Op::Repeat(Loop { min: 0, exit: 4, .. }),
            Op::Iterate(..),
            Op::One(_),
            Op::Jump(_),
            ..,
        ] = self.ops[..]
        {
            self.ops.drain(..5);
        }
    }
}

impl Item {
    pub(super) fn has(self, c: u32) -> bool {
        match self {
            Item::Range(from, to) => (from..=to).contains(&c),
            Item::Class(class) => char::from_u32(c).is_some_and(|c| class.has(c)),
        }
    }
}

impl Class {
    pub(super) fn has(self, c: char) -> bool {
        let inside = match self.letter {
            'd' => c.is_ascii_digit(),
            // Python counts the separators 0x1c to 0x1f as white space; Unicode does not.
            's' if self.ascii => matches!(c, ' ' | '\t'..='\r'),
            's' => c.is_whitespace() || matches!(c, '\x1c'..='\x1f'),
            _ => c == '_' || c.is_ascii_alphanumeric() || (!self.ascii && !c.is_ascii() && c.is_alphanumeric()),
        };
        inside != self.negated
    }
}

impl Fold {
    /// The lower-case letter for `c`, if `c` is an ASCII letter.
    pub(super) fn lower(self, c: char) -> char {
        match (self, c) {
            (Fold::Not, _) => c,
            (Fold::Full, '\u{130}' | '\u{131}') => 'i',
            (Fold::Full, '\u{17f}') => 's',
            (Fold::Full, '\u{212a}') => 'k',
            _ => c.to_ascii_lowercase(),
        }
    }
}
