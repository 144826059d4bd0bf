//! From a pattern's text to a program, in one pass; the rules and their order are those of CPython's `re/_parser.py`.

use std::ops::Range;

use super::program::{At, Fold, Item, Kind, Loop, Op, Piece, Program, Set};

/// Longest pattern, in characters.
const MAX_LENGTH: usize = 10_000;
/// Deepest nesting of groups. Every level is a nested call.
const MAX_DEPTH: usize = 100;

pub(super) const IGNORE_CASE: u8 = 1;
pub(super) const MULTI_LINE: u8 = 2;
pub(super) const DOT_ALL: u8 = 4;
pub(super) const VERBOSE: u8 = 8;
pub(super) const ASCII: u8 = 16;
pub(super) const UNICODE: u8 = 32;
pub(super) const TYPES: u8 = ASCII | UNICODE;

/// A character, with or without a backslash before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Plain(char),
    Escaped(char),
}

/// What is wrong with a pattern. The place is where the parser stopped.
pub(super) type Fault = &'static str;

/// Smallest and largest number of characters that something matches.
pub(super) type Width = (u64, u64);

pub(super) struct Group {
    /// The tokens of its name; empty if it has none.
    pub(super) name: Range<usize>,
    /// Its width, once it is closed.
    pub(super) width: Option<Width>,
}

/// What a quantifier would repeat.
struct Last {
    start: usize,
    width: Width,
    kind: LastKind,
}

#[derive(PartialEq, Eq)]
enum LastKind {
    Item,
    Place,
    Repeat,
}

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) next: usize,
    pub(super) flags: u8,
    pub(super) groups: Vec<Group>,
    loops: usize,
    /// Groups from this number on belong to the open look-behind.
    pub(super) behind: Option<usize>,
    pub(super) program: Program,
}

/// Parse a pattern. An error comes with the number of characters before it.
pub(super) fn parse(pattern: &str) -> Result<Program, (Fault, usize)> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if tokens.len() == MAX_LENGTH {
            return Err(("it is too long", MAX_LENGTH));
        }
        tokens.push(match (c, chars.clone().next()) {
            ('\\', None) => return Err(("bad escape (end of pattern)", tokens.len())),
            ('\\', Some(escaped)) => {
                chars.next();
                Token::Escaped(escaped)
            }
            _ => Token::Plain(c),
        });
    }
    let groups = vec![Group { name: 0..0, width: None }];
    let mut parser = Parser { tokens, next: 0, flags: 0, groups, loops: 0, behind: None, program: Program::default() };
    if let Err(fault) = parser.whole() {
        let width = |token: &Token| if matches!(token, Token::Plain(_)) { 1 } else { 2 };
        return Err((fault, parser.tokens.iter().take(parser.next).map(width).sum()));
    }
    Ok(parser.program)
}

impl Parser {
    fn whole(&mut self) -> Result<(), Fault> {
        self.alternation(0)?;
        if self.peek().is_some() {
            return Err("unbalanced parenthesis");
        }
        // The registers of the loops were counted from 0, because the number of groups was not known yet.
        let first = self.groups.len() * 2;
        for op in &mut self.program.ops {
            match op {
                Op::Start(register) | Op::Iterate(register, _) | Op::Repeat(Loop { register, .. }) => {
                    *register += first
                }
                _ => {}
            }
        }
        self.program.registers = first + self.loops * 2;
        Ok(())
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.tokens.get(self.next).copied()
    }

    pub(super) fn bump(&mut self) -> Option<Token> {
        let token = self.peek();
        self.next += usize::from(token.is_some());
        token
    }

    #[inline(never)]
    pub(super) fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(Token::Plain(c));
        self.next += usize::from(found);
        found
    }

    /// The next character, or a backslash for an escaped one, which is not allowed where this is used.
    pub(super) fn plain(&mut self) -> Option<char> {
        self.bump().map(|token| if let Token::Plain(c) = token { c } else { '\\' })
    }

    pub(super) fn alternation(&mut self, depth: usize) -> Result<Width, Fault> {
        if depth > MAX_DEPTH {
            return Err("groups are nested too deeply");
        }
        let mut jumps = Vec::new();
        let mut width: Option<Width> = None;
        loop {
            let start = self.program.ops.len();
            let (low, high) = self.sequence(depth, jumps.is_empty())?;
            width = Some(width.map_or((low, high), |width| (width.0.min(low), width.1.max(high))));
            if !self.eat('|') {
                let ops = &mut self.program.ops;
                for jump in jumps {
                    ops[jump] = Op::Jump((ops.len() - jump) as isize);
                }
                return Ok(width.unwrap_or((low, high)));
            }
            self.insert(start, Op::Fork(self.program.ops.len() - start + 2));
            jumps.push(self.program.ops.len());
            self.emit(Op::Jump(1));
        }
    }

    fn sequence(&mut self, depth: usize, first: bool) -> Result<Width, Fault> {
        let mut total: Width = (0, 0);
        let mut last: Option<Last> = None;
        while let Some(token) = self.peek() {
            if matches!(token, Token::Plain('|' | ')')) {
                break;
            }
            self.next += 1;
            let start = self.program.ops.len();
            let (width, place) = match token {
                Token::Plain(' ' | '\t'..='\r') if self.flags & VERBOSE != 0 => continue,
                Token::Plain('#') if self.flags & VERBOSE != 0 => {
                    while !matches!(self.bump(), None | Some(Token::Plain('\n'))) {}
                    continue;
                }
                Token::Escaped(c) => self.escape(c)?,
                Token::Plain('.') => {
                    let newline = if self.flags & DOT_ALL == 0 { &[Item::Range(10, 10)][..] } else { &[] };
                    (self.one(newline, true), false)
                }
                Token::Plain('[') => (self.class()?, false),
                Token::Plain('(') => {
                    let at_start = depth == 0 && first && last.is_none();
                    match self.group(depth, at_start)? {
                        Some(width) => (width, false),
                        None => continue,
                    }
                }
                Token::Plain(c @ ('^' | '$')) => {
                    let at = match (c, self.flags & MULTI_LINE) {
                        ('^', 0) => At::TextStart,
                        ('^', _) => At::LineStart,
                        (_, 0) => At::LastLineEnd,
                        _ => At::LineEnd,
                    };
                    self.emit(Op::At(at));
                    ((0, 0), true)
                }
                Token::Plain(c) => match self.quantifier(c)? {
                    Some((min, max)) => {
                        let item = last.ok_or("nothing to repeat")?;
                        last = Some(self.repeat(item, min, max)?);
                        continue;
                    }
                    None => {
                        let item = self.character(u32::from(c))?;
                        (self.one(&[item], false), false)
                    }
                },
            };
            if let Some(last) = last {
                total = add(total, last.width);
            }
            last = Some(Last { start, width, kind: if place { LastKind::Place } else { LastKind::Item } });
        }
        Ok(last.map_or(total, |last| add(total, last.width)))
    }

    /// The smallest and largest number of iterations, if `c` begins a quantifier. A `{` that begins none is a character.
    fn quantifier(&mut self, c: char) -> Result<Option<(u32, u32)>, Fault> {
        match c {
            '?' => return Ok(Some((0, 1))),
            '*' => return Ok(Some((0, u32::MAX))),
            '+' => return Ok(Some((1, u32::MAX))),
            '{' if self.peek() != Some(Token::Plain('}')) => {}
            _ => return Ok(None),
        }
        let here = self.next;
        let low = self.number();
        let high = if self.eat(',') { self.number() } else { low };
        if !self.eat('}') {
            self.next = here;
            return Ok(None);
        }
        let limit = |number: Option<u64>, default: u32| match number {
            None => Ok(default),
            Some(number) if number < u64::from(u32::MAX) => Ok(number as u32),
            Some(_) => Err("the repetition number is too large"),
        };
        let (min, max) = (limit(low, 0)?, limit(high, u32::MAX)?);
        if max < min { Err("min repeat greater than max repeat") } else { Ok(Some((min, max))) }
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = None;
        while let Some(digit) = self.digit(10) {
            number = Some(number.unwrap_or(0_u64).saturating_mul(10).saturating_add(u64::from(digit)));
        }
        number
    }

    fn repeat(&mut self, item: Last, min: u32, max: u32) -> Result<Last, Fault> {
        let Last { start, width, kind } = item;
        match kind {
            LastKind::Place => return Err("nothing to repeat"),
            LastKind::Repeat => return Err("multiple repeat"),
            LastKind::Item => {}
        }
        let lazy = self.eat('?');
        if !lazy && self.eat('+') {
            // Possessive: matching never backtracks into the loop or one of its iterations.
            self.atomic(start);
            self.repeat_ops(start, min, max, false);
            self.atomic(start);
        } else {
            self.repeat_ops(start, min, max, lazy);
        }
        let most = if max == u32::MAX && width.1 > 0 { u64::MAX } else { width.1.saturating_mul(max.into()) };
        Ok(Last { start, width: (width.0.saturating_mul(min.into()), most), kind: LastKind::Repeat })
    }

    fn repeat_ops(&mut self, start: usize, min: u32, max: u32, lazy: bool) {
        let body = self.program.ops.len() - start;
        let register = self.loops * 2;
        self.loops += 1;
        let repeat = Op::Repeat(Loop { register, min, max, lazy, exit: body + 3 });
        self.emit(Op::Jump(-(body as isize + 2)));
        for op in [Op::Iterate(register, min), repeat, Op::Start(register)] {
            self.insert(start, op);
        }
    }

    pub(super) fn atomic(&mut self, start: usize) {
        self.piece(start, Kind::Atomic, false);
    }

    pub(super) fn piece(&mut self, start: usize, kind: Kind, negated: bool) {
        let exit = self.program.ops.len() - start + 2;
        self.insert(start, Op::Open(Piece { kind, negated, exit }));
        self.emit(Op::Close);
    }

    // Only these few functions grow a vector, and they are not inlined: that halves the size of the parser.
    #[inline(never)]
    pub(super) fn emit(&mut self, op: Op) {
        self.program.ops.push(op);
    }

    #[inline(never)]
    fn insert(&mut self, at: usize, op: Op) {
        self.program.ops.insert(at, op);
    }

    pub(super) fn fold(&self) -> Fold {
        match self.flags & (IGNORE_CASE | ASCII) {
            IGNORE_CASE => Fold::Full,
            0 | ASCII => Fold::Not,
            _ => Fold::Ascii,
        }
    }

    /// A set of one character.
    #[inline(never)]
    pub(super) fn character(&self, code: u32) -> Result<Item, Fault> {
        if code > 127 && self.fold() == Fold::Full {
            return Err("characters that are not ASCII are not supported where case is ignored");
        }
        Ok(Item::Range(code, code))
    }

    /// Add a set to the program.
    #[inline(never)]
    pub(super) fn one(&mut self, items: &[Item], negated: bool) -> Width {
        let from = self.program.items.len();
        self.program.items.extend_from_slice(items);
        let set = Set { from, to: self.program.items.len(), negated, fold: self.fold() };
        self.emit(Op::One(set));
        (1, 1)
    }
}

fn add(a: Width, b: Width) -> Width {
    (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
}
