//! Writes headers and indexes, whole or in part.
//!
//! The text is never kept: when a merged model is served, only the part of a header that a client asks for is written.

use std::ops::Range;

use serde_json::{Map, Value};

use super::header::{PREFIX_BYTES, TensorInfo};
use super::memory::reserve;
use crate::error::{Error, Result};
use crate::json;

/// A header to be written: the length of its JSON, the JSON, and spaces up to a multiple of eight.
#[derive(Debug, Clone)]
pub struct HeaderWriter<T, M> {
    tensors: T,
    metadata: M,
    /// Length of the JSON with its spaces.
    json_bytes: u64,
}

impl<'a, T, M> HeaderWriter<T, M>
where
    T: Iterator<Item = TensorInfo<'a>> + Clone,
    M: Iterator<Item = (&'a str, &'a str)> + Clone,
{
    /// A header of `tensors`, whose offsets are final, and of `metadata`, (key, value), each key once.
    pub fn new(tensors: T, metadata: M) -> HeaderWriter<T, M> {
        let mut writer = HeaderWriter { tensors, metadata, json_bytes: 0 };
        let mut counted = Window::new(0..0);
        writer.write(&mut counted);
        writer.json_bytes = counted.at.next_multiple_of(8);
        writer
    }

    /// Its length in the file.
    pub fn bytes(&self) -> u64 {
        PREFIX_BYTES + self.json_bytes
    }

    /// The bytes `range` of the header in `file`.
    ///
    /// # Errors
    /// `limit-exceeded` when there is not enough memory for them.
    pub fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        Window::filled(file, range.start..range.end.min(self.bytes()), |window| {
            window.put_bytes(&self.json_bytes.to_le_bytes());
            self.write(window);
            while window.at < self.bytes() {
                window.put(" ");
            }
        })
    }

    fn write(&self, window: &mut Window) {
        window.put("{");
        let mut comma = "";
        if self.metadata.clone().next().is_some() {
            window.put("\"__metadata__\":{");
            for (key, value) in self.metadata.clone() {
                window.key(comma, key, ":");
                window.text(value);
                comma = ",";
            }
            window.put("}");
            comma = ",";
        }
        for TensorInfo { name, dtype, shape, start, end } in self.tensors.clone() {
            window.key(comma, name, ":{\"dtype\":");
            window.put(&json::text(&dtype));
            window.put(",\"shape\":");
            window.numbers(shape);
            window.put(",\"data_offsets\":");
            window.numbers(&[start, end]);
            window.put("}");
            comma = ",";
        }
        window.put("}");
    }
}

/// An index to be written, with the layout that transformers gives it: two spaces, and a newline at the end.
#[derive(Debug, Clone)]
pub struct IndexWriter<'m, W> {
    metadata: &'m Map<String, Value>,
    weight_map: W,
}

impl<'a, 'm, W: Iterator<Item = (&'a str, &'a str)> + Clone> IndexWriter<'m, W> {
    /// An index of `metadata` and `weight_map`, (tensor, shard), each tensor once.
    pub fn new(metadata: &'m Map<String, Value>, weight_map: W) -> IndexWriter<'m, W> {
        IndexWriter { metadata, weight_map }
    }

    /// Its length. To know it, all of it is written once.
    pub fn bytes(&self) -> u64 {
        let mut counted = Window::new(0..0);
        self.write(&mut counted);
        counted.at
    }

    /// The bytes `range` of the index, whose name is `file`. `range` must end inside it.
    ///
    /// # Errors
    /// `limit-exceeded` when there is not enough memory for them.
    pub fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        Window::filled(file, range, |window| self.write(window))
    }

    fn write(&self, window: &mut Window) {
        window.put("{\n  \"metadata\": ");
        window.put(&json::pretty(&Value::Object(self.metadata.clone()), "  ", "\n  "));
        window.put(",\n  \"weight_map\": {");
        let (mut before, mut after) = ("\n    ", "");
        for (tensor, shard) in self.weight_map.clone() {
            window.key(before, tensor, ": ");
            window.text(shard);
            (before, after) = (",\n    ", "\n  ");
        }
        window.put(after);
        window.put("}\n}\n");
    }
}

/// Takes a text piece by piece, counts its bytes, and keeps the wanted part.
struct Window {
    at: u64,
    wanted: Range<u64>,
    kept: Vec<u8>,
}

impl Window {
    fn new(wanted: Range<u64>) -> Window {
        Window { at: 0, wanted, kept: Vec::new() }
    }

    /// The bytes `wanted` of what `write` writes.
    fn filled(file: &str, wanted: Range<u64>, write: impl FnOnce(&mut Window)) -> Result<Vec<u8>> {
        let mut window = Window::new(wanted.clone());
        let bytes = usize::try_from(wanted.end.saturating_sub(wanted.start))
            .map_err(|_| Error::limit_exceeded(file, "more bytes are asked for than memory can hold").file(file))?;
        reserve(file, &mut window.kept, bytes)?;
        write(&mut window);
        Ok(window.kept)
    }

    /// A key, what comes before it, and what comes between it and its value.
    fn key(&mut self, before: &str, key: &str, between: &str) {
        self.put(before);
        self.text(key);
        self.put(between);
    }

    /// A text as JSON.
    fn text(&mut self, text: &str) {
        if text.bytes().any(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            return self.put(&json::text(&text));
        }
        ["\"", text, "\""].iter().for_each(|part| self.put(part));
    }

    /// A list of numbers as JSON.
    fn numbers(&mut self, numbers: &[u64]) {
        self.put(&json::text(&numbers));
    }

    fn put(&mut self, text: &str) {
        self.put_bytes(text.as_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        let (from, to) = (self.wanted.start.max(self.at), self.wanted.end.min(end));
        if from < to {
            self.kept.extend_from_slice(&bytes[(from - self.at) as usize..(to - self.at) as usize]);
        }
        self.at = end;
    }
}
