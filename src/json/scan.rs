//! Reads JSON text token by token.
//!
//! It accepts what Python's `json` reads and writes: besides JSON also `NaN`, `Infinity` and `-Infinity`, integers of any length, and
//! escapes of half a surrogate pair.

/// Deepest nesting of lists and objects.
const DEPTH: usize = 128;

/// Why a text is not valid, and where.
pub(super) type Result<T> = std::result::Result<T, String>;

/// A position in a text. Methods that return text return what they have skipped.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// The next byte, without skipping it.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips `byte` if it is next.
    pub(super) fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips `byte`, which must be next.
    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.accept(byte) { Ok(()) } else { Err(self.fault(&format!("expected '{}'", char::from(byte)))) }
    }

    pub(super) fn whitespace(&mut self) -> &'a str {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
    }

    /// A byte order mark.
    pub(super) fn mark(&mut self) -> &'a str {
        let length = if self.text[self.at..].starts_with('\u{FEFF}') { '\u{FEFF}'.len_utf8() } else { 0 };
        self.advance(length)
    }

    /// A value inside `depth` lists and objects.
    pub(super) fn value(&mut self, depth: usize) -> Result<&'a str> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string().map(drop)?,
            Some(b'[') => self.items(*b"[]", depth, &mut |scanner| scanner.value(depth + 1).map(drop))?,
            Some(b'{') => self.items(*b"{}", depth, &mut |scanner| {
                scanner.string()?;
                scanner.colon()?;
                scanner.value(depth + 1).map(drop)
            })?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word(&["null", "true", "false", "NaN", "Infinity"])?,
        }
        Ok(&self.text[start..self.at])
    }

    /// A string with its quotes.
    pub(super) fn string(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            self.skip(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
            if self.accept(b'"') {
                return Ok(&self.text[start..self.at]);
            }
            if !self.accept(b'\\') {
                return Err(self.fault("a string without an end, or with a control character"));
            }
            let rest = &self.text.as_bytes()[self.at..];
            self.at += match rest {
                [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
                [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => 5,
                _ => return Err(self.fault("an unknown escape")),
            };
        }
    }

    /// The colon after a key and the white space around it.
    pub(super) fn colon(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.whitespace();
        self.expect(b':')?;
        self.whitespace();
        Ok(&self.text[start..self.at])
    }

    /// The bracket that opens a list or an object inside `depth` others.
    pub(super) fn open(&mut self, bracket: u8, depth: usize) -> Result<()> {
        if depth == DEPTH {
            return Err(self.fault(&format!("more than {DEPTH} lists and objects within each other")));
        }
        self.expect(bracket)
    }

    /// Whether the list or object ends with `bracket`. Otherwise a comma follows.
    pub(super) fn closes(&mut self, bracket: u8) -> Result<bool> {
        if self.accept(bracket) {
            return Ok(true);
        }
        if self.accept(b',') {
            return Ok(false);
        }
        Err(self.fault(&format!("expected ',' or '{}'", char::from(bracket))))
    }

    /// A list or an object: items that `item` skips, separated by commas.
    pub(super) fn items(
        &mut self,
        [open, close]: [u8; 2],
        depth: usize,
        item: &mut dyn FnMut(&mut Scanner<'a>) -> Result<()>,
    ) -> Result<()> {
        self.open(open, depth)?;
        self.whitespace();
        if self.accept(close) {
            return Ok(());
        }
        loop {
            self.whitespace();
            item(self)?;
            self.whitespace();
            if self.closes(close)? {
                return Ok(());
            }
        }
    }

    /// The end of the text.
    pub(super) fn end(&self) -> Result<()> {
        if self.at == self.text.len() { Ok(()) } else { Err(self.fault("expected nothing more")) }
    }

    /// `reason`, with the place.
    pub(super) fn fault(&self, reason: &str) -> String {
        let before = &self.text.as_bytes()[..self.at];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        format!("not valid: {reason} at line {line} column {column}")
    }

    fn number(&mut self) -> Result<()> {
        self.accept(b'-');
        if self.peek() == Some(b'I') {
            return self.word(&["Infinity"]);
        }
        if !self.accept(b'0') {
            self.digits()?;
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _ = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<()> {
        if self.skip(|byte| byte.is_ascii_digit()).is_empty() { Err(self.fault("expected a digit")) } else { Ok(()) }
    }

    fn word(&mut self, words: &[&str]) -> Result<()> {
        let rest = &self.text[self.at..];
        let Some(word) = words.iter().find(|word| rest.starts_with(**word)) else {
            return Err(self.fault("expected a value"));
        };
        self.advance(word.len());
        Ok(())
    }

    /// Skips the bytes for which `wanted` is true. It must be true for all or for none of a character's bytes.
    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        self.advance(self.text.as_bytes()[self.at..].iter().take_while(|byte| wanted(**byte)).count())
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let start = self.at;
        self.at += bytes;
        &self.text[start..self.at]
    }
}
