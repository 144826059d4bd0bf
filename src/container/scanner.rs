//! A reader of JSON text that keeps nothing: it hands over each value as it finds it.
//!
//! Headers and indexes have up to 100 MB. `serde_json` allocates for a text with escapes and for every value of a tree, and an
//! allocation that fails ends a wasm module. This reader allocates nothing, so its callers decide what they keep and ask for
//! the memory first. The tests compare it with `serde_json`.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::json::unescaped;

/// How deep values may be nested (`serde_json`'s limit).
const DEPTH: usize = 128;
/// How many characters of the text an error shows.
const SHOWN: usize = 80;

/// A position in JSON text.
pub(crate) struct Scanner<'a> {
    file: &'a str,
    /// What the text is, for errors: "the header".
    what: &'static str,
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// # Errors
    /// `bad-header` when `json` is not UTF-8.
    pub(crate) fn new(file: &'a str, what: &'static str, json: &'a [u8]) -> Result<Scanner<'a>> {
        match std::str::from_utf8(json) {
            // Editors on Windows write a byte order mark.
            Ok(text) => Ok(Scanner { file, what, text: text.strip_prefix('\u{FEFF}').unwrap_or(text), at: 0 }),
            Err(error) => {
                let reason = format!("{what} is not valid: byte {} is not UTF-8", error.valid_up_to());
                Err(Error::bad_header(file, reason))
            }
        }
    }

    /// The first byte of the next value or sign, which stays unread.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// The position of the next value or sign.
    pub(crate) fn position(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The text from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Read an object. `entry` gets each key and must read its value.
    ///
    /// # Errors
    /// `bad-header` when it is not an object, and those of `entry`.
    pub(crate) fn object(&mut self, mut entry: impl FnMut(&mut Scanner<'a>, RawText<'a>) -> Result<()>) -> Result<()> {
        self.expect(b'{', "expected an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?.ok_or_else(|| self.invalid("a key must be a string"))?;
            self.expect(b':', "expected ':'")?;
            entry(self, key)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected ',' or '}'")?;
        }
    }

    /// Read a list. `item` must read each value.
    ///
    /// # Errors
    /// `bad-header` when it is not a list, and those of `item`.
    pub(crate) fn list(&mut self, mut item: impl FnMut(&mut Scanner<'a>) -> Result<()>) -> Result<()> {
        self.expect(b'[', "expected a list")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "expected ',' or ']'")?;
        }
    }

    /// The next value, if it is a string.
    ///
    /// # Errors
    /// `bad-header` when the string is not valid.
    pub(crate) fn text(&mut self) -> Result<Option<RawText<'a>>> {
        if !self.take(b'"') {
            return Ok(None);
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(self.invalid("a control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.invalid("a string without an end")),
            }
        }
        let raw = self.since(start);
        self.at += 1;
        Ok(Some(RawText { raw, escaped }))
    }

    /// The next value, if it is a whole number that is not negative and fits.
    pub(crate) fn whole(&mut self) -> Option<u64> {
        self.peek();
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        let digits = self.since(start);
        let plain = !matches!(self.byte(), Some(b'.' | b'e' | b'E')) && (digits.len() == 1 || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| plain)
    }

    /// Whether the next value is `null`, which is read then.
    pub(crate) fn null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.word("null").is_ok()
    }

    /// Read any value, and check it.
    ///
    /// # Errors
    /// `bad-header` when it is not valid or nested too deep.
    pub(crate) fn skip(&mut self) -> Result<()> {
        self.skip_below(DEPTH)
    }

    fn skip_below(&mut self, depth: usize) -> Result<()> {
        let first = self.peek();
        if matches!(first, Some(b'{' | b'[')) && depth == 0 {
            return Err(self.invalid("it is nested too deeply"));
        }
        match first {
            Some(b'{') => self.object(|scanner, _| scanner.skip_below(depth - 1)),
            Some(b'[') => self.list(|scanner| scanner.skip_below(depth - 1)),
            Some(b'"') => self.text().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            // Python's floats, which are no JSON.
            Some(b'N') => self.word("NaN"),
            Some(b'I') => self.word("Infinity"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.invalid("expected a value")),
        }
    }

    /// Check that nothing but white space follows.
    ///
    /// # Errors
    /// `bad-header` when there is more.
    pub(crate) fn end(mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.invalid("more follows its end")),
        }
    }

    /// The error that the text is not JSON, or not of the shape it must have, at this place.
    fn invalid(&self, reason: &str) -> Error {
        let before = self.text.as_bytes().get(..self.at).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
        let what = self.what;
        Error::bad_header(self.file, format!("{what} is not valid: {reason} at line {line} column {column}"))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, sign: u8) -> bool {
        let found = self.peek() == Some(sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: u8, reason: &str) -> Result<()> {
        if self.take(sign) { Ok(()) } else { Err(self.invalid(reason)) }
    }

    fn word(&mut self, word: &str) -> Result<()> {
        match self.text.as_bytes().get(self.at..) {
            Some(rest) if rest.starts_with(word.as_bytes()) => {
                self.at += word.len();
                Ok(())
            }
            _ => Err(self.invalid("expected a value")),
        }
    }

    fn number(&mut self) -> Result<()> {
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'I') => return self.word("Infinity"),
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.invalid("expected a digit")) } else { Ok(()) }
    }

    /// Check an escape in a string: half a pair of surrogates is no character.
    fn escape(&mut self) -> Result<()> {
        let mut chars = self.text.get(self.at..).unwrap_or_default().chars();
        let before = chars.as_str().len();
        match unescaped(&mut chars) {
            Some(_) => {
                self.at += before - chars.as_str().len();
                Ok(())
            }
            None => Err(self.invalid("an invalid escape")),
        }
    }
}

/// A string of the text, its escapes still in it. They have been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawText<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> RawText<'a> {
    /// Its length in bytes, without escapes.
    pub(crate) fn bytes(self) -> usize {
        if self.escaped { self.chars().map(char::len_utf8).sum() } else { self.raw.len() }
    }

    /// The same without a leading `./`.
    pub(crate) fn here(self) -> RawText<'a> {
        RawText { raw: self.raw.strip_prefix("./").unwrap_or(self.raw), ..self }
    }

    pub(crate) fn is(self, text: &str) -> bool {
        if self.escaped { self.chars().eq(text.chars()) } else { self.raw == text }
    }

    /// Append it to `text`, which must have room for it.
    pub(crate) fn append_to(self, text: &mut String) {
        if self.escaped {
            self.chars().for_each(|char| text.push(char));
        } else {
            text.push_str(self.raw);
        }
    }

    /// All of it. Only for a text whose length has been checked, because one with escapes is copied.
    pub(crate) fn decoded(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(self.chars().collect()) } else { Cow::Borrowed(self.raw) }
    }

    /// All of it, or its beginning if it is long: for errors, and for texts that can only be short.
    pub(crate) fn short(self) -> Cow<'a, str> {
        if !self.escaped && self.raw.len() <= SHOWN {
            return Cow::Borrowed(self.raw);
        }
        let mut text: String = self.chars().take(SHOWN).collect();
        if self.chars().nth(SHOWN).is_some() {
            text.push('…');
        }
        Cow::Owned(text)
    }

    fn chars(self) -> impl Iterator<Item = char> + use<'a> {
        let mut rest = self.raw.chars();
        std::iter::from_fn(move || match rest.as_str().starts_with('\\') {
            true => unescaped(&mut rest),
            false => rest.next(),
        })
    }
}
