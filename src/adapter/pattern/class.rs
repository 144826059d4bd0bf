//! Escapes and `[…]`: CPython's `_escape`, `_class_escape` and the class part of `_parse`.

use super::parse::{ASCII, Fault, Parser, Token, Width};
use super::program::{At, Class, Item, Op};

impl Parser {
    /// What `\` and `c` mean outside of classes. Returns the width, and whether it is a position, which has no width.
    pub(super) fn escape(&mut self, c: char) -> Result<(Width, bool), Fault> {
        let ascii = self.flags & ASCII != 0;
        let at = match c {
            'A' => At::TextStart,
            'Z' => At::TextEnd,
            'b' | 'B' => At::Boundary { negated: c == 'B', ascii },
            '1'..='9' => return Ok((self.reference_or_octal(c)?, false)),
            _ => {
                let item = match (self.category(c), c) {
                    (Some(class), _) => Item::Class(class),
                    (None, '0') => {
                        let code = self.octal(0, 2);
                        self.character(code)?
                    }
                    _ => self.literal_escape(c).and_then(|c| self.character(c))?,
                };
                return Ok((self.one(&[item], false), false));
            }
        };
        self.emit(Op::At(at));
        Ok(((0, 0), true))
    }

    /// A back-reference by number, or an octal escape if there are three octal digits.
    fn reference_or_octal(&mut self, first: char) -> Result<Width, Fault> {
        let mut group = digit(first, 10);
        if let Some(second) = self.digit(10) {
            let octal = digit(first, 8) < 8 && second < 8;
            group = group * 10 + second;
            if let Some(third) = octal.then(|| self.digit(8)).flatten() {
                let code = group / 10 * 64 + second * 8 + third;
                let item = self.octal_character(code)?;
                return Ok(self.one(&[item], false));
            }
        }
        self.reference(group as usize)
    }

    fn octal_character(&mut self, code: u32) -> Result<Item, Fault> {
        if code > 0o377 {
            return Err("octal escape value outside of range 0-0o377");
        }
        self.character(code)
    }

    /// What follows `[`.
    pub(super) fn class(&mut self) -> Result<Width, Fault> {
        const OPEN: &str = "unterminated character set";
        let negated = self.eat('^');
        let mut items = Vec::new();
        loop {
            let token = self.bump().ok_or(OPEN)?;
            if token == Token::Plain(']') && !items.is_empty() {
                return Ok(self.one(&items, negated));
            }
            let (item, from) = self.member(token)?;
            items.push(item);
            if !self.eat('-') {
                continue;
            }
            let token = self.bump().ok_or(OPEN)?;
            if token == Token::Plain(']') {
                items.push(self.character(u32::from('-'))?);
                return Ok(self.one(&items, negated));
            }
            let to = self.member(token)?.1;
            match (from, to) {
                (Some(from), Some(to)) if from <= to => {
                    items.pop();
                    items.push(Item::Range(from, to));
                }
                _ => return Err("bad character range"),
            }
        }
    }

    /// An item of a class, and its code if it is one character.
    fn member(&mut self, token: Token) -> Result<(Item, Option<u32>), Fault> {
        let code = match token {
            Token::Plain(c) => u32::from(c),
            Token::Escaped('b') => 8,
            Token::Escaped(c @ '0'..='7') => {
                let code = self.octal(digit(c, 8), 2);
                return Ok((self.octal_character(code)?, Some(code)));
            }
            Token::Escaped(c) => match self.category(c) {
                Some(class) => return Ok((Item::Class(class), None)),
                None => self.literal_escape(c)?,
            },
        };
        Ok((self.character(code)?, Some(code)))
    }

    fn category(&self, c: char) -> Option<Class> {
        let letter = c.to_ascii_lowercase();
        let class = Class { letter, negated: c != letter, ascii: self.flags & ASCII != 0 };
        matches!(letter, 'd' | 's' | 'w').then_some(class)
    }

    /// The code of an escape that means the same character everywhere.
    fn literal_escape(&mut self, c: char) -> Result<u32, Fault> {
        let code = match c {
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            'x' => self.hex(2)?,
            'u' => self.hex(4)?,
            'U' => self.hex(8)?,
            'N' => return Err(r"characters by name (\N) are not supported"),
            _ if c.is_ascii_alphanumeric() => return Err("bad escape"),
            _ => u32::from(c),
        };
        Ok(code)
    }

    fn hex(&mut self, digits: u32) -> Result<u32, Fault> {
        let mut code: u32 = 0;
        for _ in 0..digits {
            let digit = self.digit(16).ok_or("incomplete escape")?;
            code = code << 4 | digit;
        }
        if code > u32::from(char::MAX) { Err("bad escape") } else { Ok(code) }
    }

    /// Up to this many more octal digits.
    fn octal(&mut self, mut code: u32, digits: u32) -> u32 {
        for _ in 0..digits {
            match self.digit(8) {
                Some(digit) => code = code * 8 + digit,
                None => break,
            }
        }
        code
    }

    /// The next character, if it is a digit.
    #[inline(never)]
    pub(super) fn digit(&mut self, radix: u32) -> Option<u32> {
        let Some(Token::Plain(c)) = self.peek() else { return None };
        let digit = c.to_digit(radix)?;
        self.bump();
        Some(digit)
    }
}

/// The value of a digit. 8 and 9 keep their values, even in octal.
fn digit(c: char, radix: u32) -> u32 {
    c.to_digit(radix.max(10)).unwrap_or(radix)
}
