//! A file behind a URL: by ranges where the server has them, as one stream where not.

use std::cell::RefCell;

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{ReadableStreamDefaultReader, RequestInit, Response};

use super::errors::read_failed;
use super::input::fill;
use crate::error::{Error, Result};

/// A file behind a URL.
pub(super) struct UrlFile {
    url: String,
    size: u64,
    /// Whether the server answers ranged requests, where that is known.
    ranges: Option<bool>,
    /// What the caller wants in every request (headers, signal).
    init: JsValue,
    stream: RefCell<Option<Stream>>,
}

/// The body of a response that is read from its beginning on.
struct Stream {
    reader: ReadableStreamDefaultReader,
    /// Where the next byte of `rest`, or of the reader when that is empty, stands in the file.
    at: u64,
    rest: Vec<u8>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Ends the download; nobody waits for the answer.
        drop(self.reader.cancel());
    }
}

impl UrlFile {
    pub(super) fn new(url: String, size: u64, ranges: Option<bool>, init: JsValue) -> UrlFile {
        UrlFile { url, size, ranges, init, stream: RefCell::new(None) }
    }

    /// Fill `buffer` from `start` on.
    pub(super) async fn read(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        if self.ranges == Some(false) {
            self.read_stream(start, buffer).await
        } else {
            self.read_range(start, buffer).await
        }
    }

    async fn read_range(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        let end = start + buffer.len() as u64 - 1;
        let response = self.fetch(Some(format!("bytes={start}-{end}"))).await?;
        match response.status() {
            206 => {}
            200 => return Err(Error::NoRangeSupport { file: self.url.clone() }),
            status => return Err(self.failed(format!("the server answered {status} {}", response.status_text()))),
        }
        // Servers of other origins often hide this header; where it shows, it must say what was asked for.
        if let Some(range) = response.headers().get("content-range").ok().flatten()
            && range != format!("bytes {start}-{end}/{}", self.size)
        {
            return Err(Error::SourceChanged {
                file: self.url.clone(),
                reason: format!("asked for bytes {start}-{end} of {}, the server sent {range:?}", self.size),
            });
        }
        let promise = response.array_buffer().map_err(|e| read_failed(&self.url, &e))?;
        let bytes = promise.await.map_err(|e| read_failed(&self.url, &e))?;
        fill(&self.url, buffer, &Uint8Array::new(&bytes))
    }

    /// Reads in the order of the file cost one pass; a step back begins a new request.
    async fn read_stream(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        // Taken out while it is awaited: a read that fails or is dropped leaves no half-used stream behind.
        let kept = self.stream.borrow_mut().take();
        let mut stream = match kept {
            Some(stream) if stream.at <= start => stream,
            _ => self.open().await?,
        };
        let mut filled = 0;
        while filled < buffer.len() {
            if stream.rest.is_empty() {
                stream.rest = self.next(&stream).await?;
            }
            let skip = (start + filled as u64 - stream.at).min(stream.rest.len() as u64) as usize;
            let take = (stream.rest.len() - skip).min(buffer.len() - filled);
            buffer[filled..filled + take].copy_from_slice(&stream.rest[skip..skip + take]);
            stream.rest.drain(..skip + take);
            stream.at += (skip + take) as u64;
            filled += take;
        }
        *self.stream.borrow_mut() = Some(stream);
        Ok(())
    }

    async fn open(&self) -> Result<Stream> {
        let response = self.fetch(None).await?;
        if !response.ok() {
            return Err(self.failed(format!("the server answered {} {}", response.status(), response.status_text())));
        }
        let body = response.body().ok_or_else(|| self.failed("the answer has no body".into()))?;
        let reader = body.get_reader().dyn_into().map_err(|_| self.failed("its body cannot be read".into()))?;
        Ok(Stream { reader, at: 0, rest: Vec::new() })
    }

    async fn next(&self, stream: &Stream) -> Result<Vec<u8>> {
        let chunk = stream.reader.read().await.map_err(|e| read_failed(&self.url, &e))?;
        let field = |name: &str| Reflect::get(&chunk, &name.into()).unwrap_or(JsValue::UNDEFINED);
        match field("value").dyn_into::<Uint8Array>() {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(_) => Err(Error::SourceChanged {
                file: self.url.clone(),
                reason: format!("it ended at byte {}, before the tensors do", stream.at),
            }),
        }
    }

    async fn fetch(&self, range: Option<String>) -> Result<Response> {
        let init = RequestInit::new();
        if self.init.is_object() {
            js_sys::Object::assign(&init, self.init.unchecked_ref());
        }
        let request =
            web_sys::Request::new_with_str_and_init(&self.url, &init).map_err(|e| read_failed(&self.url, &e))?;
        if let Some(range) = range {
            request.headers().set("range", &range).map_err(|e| read_failed(&self.url, &e))?;
        }
        // `fetch` of whatever global scope this is: a window, a worker, Node, an edge isolate.
        let fetch: js_sys::Function = Reflect::get(&js_sys::global(), &"fetch".into())
            .and_then(JsCast::dyn_into)
            .map_err(|_| self.failed("this platform has no fetch".into()))?;
        let promise = fetch.call1(&JsValue::UNDEFINED, &request).map_err(|e| read_failed(&self.url, &e))?;
        let response = js_sys::Promise::resolve(&promise).await.map_err(|e| read_failed(&self.url, &e))?;
        Ok(response.unchecked_into())
    }

    fn failed(&self, reason: String) -> Error {
        Error::FetchFailed { file: self.url.clone(), reason }
    }
}
