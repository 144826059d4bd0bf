//! Headers and indexes written from what they name, as a whole or in part.
//!
//! The text is never kept: a merged model that is served writes the part of a header that a client asks for.

use std::io;
use std::ops::Range;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use super::header::{PREFIX_BYTES, TensorInfo};
use super::memory::reserve;
use crate::error::{Error, Result};
use crate::tensor::Dtype;

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
    /// A header of `tensors`, whose offsets are right already, and of `metadata`, (key, value), each key once.
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
            window.put(&self.json_bytes.to_le_bytes());
            self.write(window);
            while window.at < self.bytes() {
                window.put(b" ");
            }
        })
    }

    fn write(&self, window: &mut Window) {
        // Cannot fail: a window takes everything, and all keys are texts.
        let _ = serde_json::to_writer(window, &HeaderJson(self));
    }
}

struct HeaderJson<'w, T, M>(&'w HeaderWriter<T, M>);

#[derive(serde::Serialize)]
struct EntryJson<'a> {
    dtype: Dtype,
    shape: &'a [u64],
    data_offsets: [u64; 2],
}

impl<'a, T, M> Serialize for HeaderJson<'_, T, M>
where
    T: Iterator<Item = TensorInfo<'a>> + Clone,
    M: Iterator<Item = (&'a str, &'a str)> + Clone,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.0.metadata.clone().next().is_some() {
            map.serialize_entry("__metadata__", &Pairs(&self.0.metadata))?;
        }
        for tensor in self.0.tensors.clone() {
            let data_offsets = [tensor.start, tensor.end];
            map.serialize_entry(tensor.name, &EntryJson { dtype: tensor.dtype, shape: tensor.shape, data_offsets })?;
        }
        map.end()
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

    /// Its length, for which the whole of it is written once.
    pub fn bytes(&self) -> u64 {
        let mut counted = Window::new(0..0);
        self.write(&mut counted);
        counted.at
    }

    /// The bytes `range` of the index, which is `file`. `range` ends inside it.
    ///
    /// # Errors
    /// `limit-exceeded` when there is not enough memory for them.
    pub fn read(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        Window::filled(file, range, |window| self.write(window))
    }

    fn write(&self, window: &mut Window) {
        // Cannot fail: a window takes everything, and all keys are texts.
        let _ = serde_json::to_writer_pretty(&mut *window, &IndexJson(self));
        window.put(b"\n");
    }
}

struct IndexJson<'w, 'm, W>(&'w IndexWriter<'m, W>);

impl<'a, W: Iterator<Item = (&'a str, &'a str)> + Clone> Serialize for IndexJson<'_, '_, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("metadata", self.0.metadata)?;
        map.serialize_entry("weight_map", &Pairs(&self.0.weight_map))?;
        map.end()
    }
}

/// An object of texts.
struct Pairs<'w, P>(&'w P);

impl<'a, P: Iterator<Item = (&'a str, &'a str)> + Clone> Serialize for Pairs<'_, P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.clone() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// Takes a text piece by piece, counts it, and keeps the part that is wanted.
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

    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len() as u64;
        let (from, to) = (self.wanted.start.max(self.at), self.wanted.end.min(end));
        if from < to {
            self.kept.extend_from_slice(&bytes[(from - self.at) as usize..(to - self.at) as usize]);
        }
        self.at = end;
    }
}

impl io::Write for Window {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
