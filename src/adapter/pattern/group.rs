//! `(…)` in all its forms, and back-references.

use std::ops::Range;

use super::parse::{ASCII, DOT_ALL, Fault, Group, IGNORE_CASE, MULTI_LINE, Parser, TYPES, UNICODE, VERBOSE, Width};
use super::program::{Kind, Op, WORD};

const UNEXPECTED_END: &str = "unexpected end of pattern";

impl Parser {
    /// Parse what follows `(`. `None` if it adds nothing to the program.
    pub(super) fn group(&mut self, depth: usize, at_start: bool) -> Result<Option<Width>, Fault> {
        if !self.eat('?') {
            return self.capture(0..0, depth).map(Some);
        }
        let start = self.program.ops.len();
        let outer = self.flags;
        match self.plain().ok_or(UNEXPECTED_END)? {
            'P' if self.eat('<') => {
                let name = self.name('>')?;
                return self.capture(name, depth).map(Some);
            }
            'P' if self.eat('=') => {
                let name = self.name(')')?;
                let group = self.named(name);
                return self.reference(group.ok_or("unknown group name")?).map(Some);
            }
            ':' => {}
            '>' => {
                let width = self.inside(depth)?;
                self.atomic(start);
                return Ok(Some(width));
            }
            '#' => {
                while !self.eat(')') {
                    self.bump().ok_or("missing ), unterminated comment")?;
                }
                return Ok(None);
            }
            c @ ('=' | '!') => {
                self.inside(depth)?;
                self.piece(start, Kind::Ahead, c == '!');
                return Ok(Some((0, 0)));
            }
            '<' => {
                let c = self.plain().ok_or(UNEXPECTED_END)?;
                if c != '=' && c != '!' {
                    return Err("unknown extension of (?<");
                }
                let outer = self.behind;
                self.behind = outer.or(Some(self.groups.len()));
                let width = self.inside(depth)?;
                self.behind = outer;
                if width.0 != width.1 || width.0 > u64::from(u32::MAX) {
                    return Err("look-behind requires fixed-width pattern");
                }
                self.piece(start, Kind::Behind(width.0 as usize), c == '!');
                return Ok(Some((0, 0)));
            }
            '(' => return Err("conditional groups, (?(…)…), are not supported"),
            c if c == '-' || flag(c).is_some() => match self.parse_flags(c)? {
                None if at_start => return Ok(None),
                None => return Err("global flags not at the start of the expression"),
                Some(flags) => self.flags = flags,
            },
            _ => return Err("unknown extension of (?"),
        }
        let width = self.inside(depth)?;
        self.flags = outer;
        Ok(Some(width))
    }

    /// Parse the content of a group, and its end.
    fn inside(&mut self, depth: usize) -> Result<Width, Fault> {
        let width = self.alternation(depth + 1)?;
        if self.eat(')') { Ok(width) } else { Err("missing ), unterminated subpattern") }
    }

    fn capture(&mut self, name: Range<usize>, depth: usize) -> Result<Width, Fault> {
        let group = self.groups.len();
        if !name.is_empty() && self.named(name.clone()).is_some() {
            return Err("redefinition of group name");
        }
        self.groups.push(Group { name, width: None });
        self.emit(Op::Save(group * 2));
        let width = self.inside(depth)?;
        self.emit(Op::Save(group * 2 + 1));
        self.groups[group].width = Some(width);
        Ok(width)
    }

    /// The group with the name that these tokens spell.
    fn named(&self, name: Range<usize>) -> Option<usize> {
        self.groups.iter().position(|group| self.tokens[group.name.clone()] == self.tokens[name.clone()])
    }

    /// The place of a name that ends with `end`.
    fn name(&mut self, end: char) -> Result<Range<usize>, Fault> {
        let start = self.next;
        while !self.eat(end) {
            let c = self.plain().ok_or("missing the end of a group name")?;
            let first = self.next == start + 1;
            if !(WORD.has(c) && !(first && c.is_ascii_digit())) {
                return Err("bad character in group name");
            }
        }
        let name = start..self.next - 1;
        if name.is_empty() { Err("missing group name") } else { Ok(name) }
    }

    /// A back-reference.
    pub(super) fn reference(&mut self, group: usize) -> Result<Width, Fault> {
        let width = self.groups.get(group).ok_or("invalid group reference")?.width;
        let width = width.ok_or("cannot refer to an open group")?;
        if self.behind.is_some_and(|first| group >= first) {
            return Err("cannot refer to group defined in the same lookbehind subpattern");
        }
        let fold = self.fold();
        self.emit(Op::Again(group, fold));
        Ok(width)
    }

    /// The flags inside `(?…:`, or `None` for `(?…)`, which sets them for the whole pattern.
    fn parse_flags(&mut self, mut c: char) -> Result<Option<u8>, Fault> {
        let (mut on, mut off) = (0, 0);
        while !matches!(c, ')' | '-' | ':') {
            on |= flag(c).ok_or("unknown flag")?;
            c = self.plain().ok_or("missing -, : or )")?;
        }
        if c == '-' {
            c = self.plain().ok_or("missing flag")?;
            loop {
                off |= flag(c).ok_or("unknown flag")?;
                c = self.plain().ok_or("missing :")?;
                if c == ':' {
                    break;
                }
            }
        }
        let global = c == ')';
        if on & TYPES == TYPES || (global && (self.flags | on) & TYPES == TYPES) {
            return Err("bad inline flags: flags 'a' and 'u' are incompatible");
        }
        if off & TYPES != 0 || on & off != 0 {
            return Err("bad inline flags: flag turned off that cannot be");
        }
        if global {
            self.flags |= on;
            return Ok(None);
        }
        let kept = if on & TYPES == 0 { self.flags } else { self.flags & !TYPES };
        Ok(Some((kept | on) & !off))
    }
}

/// Python's `L` works only for bytes, and its `t` has no effect.
fn flag(letter: char) -> Option<u8> {
    Some(match letter {
        'i' => IGNORE_CASE,
        'm' => MULTI_LINE,
        's' => DOT_ALL,
        'x' => VERBOSE,
        'a' => ASCII,
        'u' => UNICODE,
        _ => return None,
    })
}
