//! The archive around a pickle: where its entries' bytes are, read through [`Inputs`].

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use super::zip::{Directory, Entry, LOCAL_BYTES, local_length, shown};
use crate::container::memory::reserve;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, try_buffer};

/// Local headers at most this far apart are read together.
const WINDOW_BYTES: u64 = 64 << 10;
/// Reads at the same time: each may be a request to a server, and platforms at the edge allow six.
const READS: usize = 4;

/// One file, which can be read at any place.
pub(super) struct Archive<'a, I> {
    pub(super) inputs: &'a I,
    pub(super) input: usize,
    /// Its name, for errors.
    pub(super) file: &'a str,
}

impl<I: Inputs> Archive<'_, I> {
    /// `bytes` bytes from `start` on.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice, and whatever reading gives.
    pub(super) async fn read(&self, start: u64, bytes: u64) -> Result<Vec<u8>> {
        let mut buffer = try_buffer(self.file, bytes)?;
        self.inputs.read(self.input, start, &mut buffer).await?;
        Ok(buffer)
    }

    /// Where the bytes of each `wanted` entry begin, by its number. They follow its local header, whose length only the header itself says. `end` is
    /// where the directory begins.
    ///
    /// # Errors
    /// `bad-header` if a local header is not where the directory says, and those of [`read`](Self::read).
    pub(super) async fn starts(&self, directory: &Directory<'_>, wanted: &[bool], end: u64) -> Result<Vec<u64>> {
        let (mut headers, mut starts) = (Vec::new(), Vec::new());
        reserve(self.file, &mut headers, directory.entries.len())?;
        reserve(self.file, &mut starts, directory.entries.len())?;
        let entries = directory.entries.iter().zip(wanted).enumerate().filter(|(_, (_, wanted))| **wanted);
        headers.extend(entries.map(|(number, (entry, _))| Local { number, entry, name: directory.name(entry) }));
        starts.resize(directory.entries.len(), 0);
        let mut rest = headers.as_slice();
        while !rest.is_empty() {
            let mut reads = Vec::new();
            while reads.len() < READS && !rest.is_empty() {
                let (window, after) = rest.split_at(window(rest));
                reads.push(Box::pin(self.lengths(window, end)));
                rest = after;
            }
            for (number, start) in all(reads).await?.into_iter().flatten() {
                if let Some(known) = starts.get_mut(number) {
                    *known = start;
                }
            }
        }
        Ok(starts)
    }

    /// Read neighbouring local headers together. Returns (number, where the bytes begin) for each.
    async fn lengths(&self, window: &[Local<'_>], end: u64) -> Result<Vec<(usize, u64)>> {
        let (Some(first), Some(last)) = (window.first(), window.last()) else { return Ok(Vec::new()) };
        let from = first.entry.header;
        let bytes = self.read(from, last.end() - from).await?;
        let mut starts = Vec::new();
        reserve(self.file, &mut starts, window.len())?;
        for local in window {
            let header = local.entry.header;
            let length = bytes.get((header - from) as usize..).and_then(|bytes| local_length(bytes, local.name));
            let start = length.and_then(|length| header.checked_add(length));
            match start.filter(|start| start.checked_add(local.entry.size).is_some_and(|last| last <= end)) {
                Some(start) => starts.push((local.number, start)),
                None => {
                    let reason = format!("{:?} is not where the archive's directory says", shown(local.name));
                    return Err(Error::bad_header(self.file, reason));
                }
            }
        }
        Ok(starts)
    }
}

/// An entry whose local header is to be read.
struct Local<'a> {
    number: usize,
    entry: &'a Entry,
    name: &'a [u8],
}

impl Local<'_> {
    /// Where its local header ends, without its extra field. The directory was checked, so this is inside the file.
    fn end(&self) -> u64 {
        self.entry.header + LOCAL_BYTES + self.name.len() as u64
    }
}

/// How many of `headers` are read together: those that follow one another closely in the file, at least one.
fn window(headers: &[Local]) -> usize {
    let from = headers.first().map_or(0, |first| first.entry.header);
    let near = |pair: &&[Local]| pair[0].end() <= pair[1].entry.header && pair[1].end() - from <= WINDOW_BYTES;
    headers.windows(2).take_while(near).count() + 1
}

/// The results of all `futures`, which run at the same time.
async fn all<T, F: Future<Output = Result<T>> + Unpin>(mut futures: Vec<F>) -> Result<Vec<T>> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut waits = false;
        for (future, result) in futures.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            match Pin::new(future).poll(context)? {
                Poll::Ready(done) => *result = Some(done),
                Poll::Pending => waits = true,
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(results.into_iter().flatten().collect())
}
