//! The directory of a zip archive as `torch.save` writes it: every entry is stored uncompressed, and nothing follows the directory.
//!
//! The format is PKWARE's APPNOTE 6.3; the sections are named where its records are read.

use std::ops::Range;

use super::bytes::Bytes;
use super::refused;
use crate::container::limits;
use crate::container::memory::reserve;
use crate::error::{Error, Result};
use crate::order::sort_numbers;

/// The fixed part of a local header (4.3.7).
pub(super) const LOCAL_BYTES: u64 = 30;
/// The end of the directory (4.3.16), its zip64 locator (4.3.15) and its zip64 record (4.3.14).
const END_BYTES: u64 = 22;
const LOCATOR_BYTES: u64 = 20;
const ZIP64_BYTES: u64 = 56;
/// The longest end of an archive: all three together.
pub(super) const TAIL_BYTES: u64 = ZIP64_BYTES + LOCATOR_BYTES + END_BYTES;

/// The value that says that a field is in the zip64 record or extra field instead.
const ELSEWHERE: u32 = u32::MAX;
/// The id of the zip64 extra field (4.5.3).
const ZIP64_FIELD: u16 = 1;
/// The only flags that stored entries have: sizes after the data, and names in UTF-8 (4.4.4).
const FLAGS: u16 = 1 << 3 | 1 << 11;

/// Where the directory of an archive is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    pub(super) span: Range<u64>,
    entries: u64,
}

impl Place {
    /// From `tail`, the last bytes of an archive of `size` bytes. Nothing if they are not the end of an archive.
    ///
    /// # Errors
    /// `bad-header` if the end contradicts itself or the archive's size.
    pub(super) fn find(file: &str, tail: &[u8], size: u64) -> Result<Option<Place>> {
        let bad = |reason: &str| Error::bad_header(file, format!("the archive's end {reason}"));
        let last = |bytes: u64| tail.get(tail.len().checked_sub(bytes as usize)?..).map(Bytes);
        let Some(Some([disk, at, on_disk, entries, span, start])) = last(END_BYTES).map(read_end) else {
            return Ok(None);
        };
        let (mut place, mut end) = ([entries, span, start], size - END_BYTES);
        if let Some(found) = last(LOCATOR_BYTES + END_BYTES).and_then(read_locator) {
            let record = last(TAIL_BYTES).and_then(read_zip64).filter(|_| Some(found) == size.checked_sub(TAIL_BYTES));
            let Some([same_entries, wide @ ..]) = record else { return Err(bad("has a zip64 record elsewhere")) };
            let agrees = |(narrow, wide): (&u64, &u64)| narrow == wide || is_elsewhere(*narrow);
            if same_entries != wide[0] || !place.iter().zip(&wide).all(agrees) {
                return Err(bad("contradicts itself about the directory"));
            }
            (place, end) = (wide, size - TAIL_BYTES);
        }
        let [entries, bytes, start] = place;
        if disk != 0 || at != 0 || on_disk != place[0] && !is_elsewhere(on_disk) {
            return Err(bad("says that the archive has several parts"));
        }
        if start.checked_add(bytes) != Some(end) {
            return Err(bad(&format!("says that the directory has {bytes} bytes from {start} on, where it is not")));
        }
        Ok(Some(Place { span: start..end, entries }))
    }
}

fn is_elsewhere(narrow: u64) -> bool {
    narrow == u64::from(ELSEWHERE) || narrow == u64::from(u16::MAX)
}

/// Disk, disk of the directory, entries on it, entries, bytes and start of the directory. Nothing if a comment follows.
fn read_end(mut bytes: Bytes) -> Option<[u64; 6]> {
    let mut short = |signature: &[u8]| -> Option<[u64; 6]> {
        (bytes.take(4)? == signature).then_some(())?;
        let [a, b, c, d] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?].map(u64::from);
        let [size, start] = [bytes.u32()?, bytes.u32()?].map(u64::from);
        (bytes.u16()? == 0).then_some([a, b, c, d, size, start])
    };
    short(b"PK\x05\x06")
}

/// Where the zip64 record is.
fn read_locator(mut bytes: Bytes) -> Option<u64> {
    (bytes.take(4)? == b"PK\x06\x07").then_some(())?;
    bytes.u32()?;
    bytes.u64()
}

/// Entries on this disk, entries, bytes and start of the directory.
fn read_zip64(mut bytes: Bytes) -> Option<[u64; 4]> {
    (bytes.take(4)? == b"PK\x06\x06" && bytes.u64()? == ZIP64_BYTES - 12).then_some(())?;
    bytes.take(4)?;
    (bytes.u64()? == 0).then_some(())?;
    Some([bytes.u64()?, bytes.u64()?, bytes.u64()?, bytes.u64()?])
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its name, as a range of the directory.
    name: Range<u32>,
    /// Where its local header is.
    pub(super) header: u64,
    /// Number of bytes.
    pub(super) size: u64,
}

/// The directory of an archive: its entries, in order.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    text: &'a [u8],
    pub(super) entries: Vec<Entry>,
    /// Their numbers, sorted by name.
    by_name: Vec<u32>,
}

impl<'a> Directory<'a> {
    /// Parse the directory at `place`, whose bytes are `text`.
    ///
    /// # Errors
    /// `bad-header` if it breaks the format, `unsupported` for compressed or encrypted entries, `limit-exceeded` when there is not enough
    /// memory.
    pub(super) fn parse(file: &str, text: &'a [u8], place: &Place) -> Result<Directory<'a>> {
        let bad = |reason: String| Error::bad_header(file, reason);
        // Every entry has at least the fixed part of its header. So a number that is too large for the bytes reserves no memory.
        let count = usize::try_from(place.entries).ok().filter(|count| *count <= text.len() / 46);
        let count = count.ok_or_else(|| bad(format!("its directory cannot hold {} entries", place.entries)))?;
        let mut directory = Directory { text, entries: Vec::new(), by_name: Vec::new() };
        reserve(file, &mut directory.entries, count)?;
        let mut bytes = Bytes(text);
        for number in 0..count {
            let at = text.len() - bytes.0.len();
            let entry = read_entry(file, &mut bytes, at)?;
            let entry = entry.ok_or_else(|| bad(format!("entry {number} of its directory is not valid")))?;
            let name = u64::from(entry.name.end - entry.name.start);
            let end =
                [LOCAL_BYTES, name, entry.size].iter().try_fold(entry.header, |end, &bytes| end.checked_add(bytes));
            if end.is_none_or(|end| end > place.span.start) {
                return Err(bad(format!("{:?} does not end before the directory", shown(directory.name(&entry)))));
            }
            directory.entries.push(entry);
        }
        if !bytes.0.is_empty() {
            return Err(bad(format!("{} bytes follow its directory's entries", bytes.0.len())));
        }
        let mut by_name: Vec<u32> = Vec::new();
        reserve(file, &mut by_name, count)?;
        by_name.extend(0..count as u32);
        let name = |number: &u32| directory.entries.get(*number as usize).map(|entry| directory.name(entry));
        sort_numbers(&mut by_name, &|one, other| name(&one).cmp(&name(&other)));
        if let Some(pair) = by_name.windows(2).find(|pair| name(&pair[0]) == name(&pair[1])) {
            return Err(bad(format!("it has two entries {:?}", shown(name(&pair[0]).unwrap_or_default()))));
        }
        directory.by_name = by_name;
        Ok(directory)
    }

    pub(super) fn name(&self, entry: &Entry) -> &'a [u8] {
        self.text.get(entry.name.start as usize..entry.name.end as usize).unwrap_or_default()
    }

    /// The entry whose name is all of `parts` together, and its number.
    pub(super) fn find(&self, parts: [&[u8]; 2]) -> Option<(usize, &Entry)> {
        let entry = |number: u32| self.entries.get(number as usize);
        let order = |&number: &u32| {
            let name = entry(number).map(|entry| self.name(entry)).unwrap_or_default();
            name.iter().cmp(parts[0].iter().chain(parts[1]))
        };
        let number = *self.by_name.get(self.by_name.binary_search_by(order).ok()?)?;
        Some((number as usize, entry(number)?))
    }
}

/// A name, for errors.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name.get(..limits::NAME_BYTES).unwrap_or(name)).into_owned()
}

/// The entry of a directory (4.3.12) at byte `at`. Nothing if it is cut off or not an entry.
fn read_entry(file: &str, bytes: &mut Bytes, at: usize) -> Result<Option<Entry>> {
    let Some(Raw { flags, method, packed, size, name, header, extra }) = read_raw(bytes) else { return Ok(None) };
    let about = || shown(name);
    if flags & !FLAGS != 0 {
        return Err(refused(file, &format!("{:?} is encrypted, or packed in another unusual way", about())));
    }
    if method != 0 || packed != size {
        return Err(refused(file, &format!("{:?} is compressed, which torch.save never does", about())));
    }
    let Some([size, header]) = wide(extra, size, header) else { return Ok(None) };
    let start = (at + 46) as u32;
    Ok(Some(Entry { name: start..start + name.len() as u32, header, size }))
}

/// An entry of a directory, not checked yet.
struct Raw<'a> {
    flags: u16,
    method: u16,
    packed: u32,
    size: u32,
    name: &'a [u8],
    header: u32,
    extra: &'a [u8],
}

fn read_raw<'a>(bytes: &mut Bytes<'a>) -> Option<Raw<'a>> {
    (bytes.take(4)? == b"PK\x01\x02").then_some(())?;
    bytes.take(4)?;
    let [flags, method] = [bytes.u16()?, bytes.u16()?];
    bytes.take(8)?;
    let [packed, size] = [bytes.u32()?, bytes.u32()?];
    let [name, extra, comment, disk] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?];
    bytes.take(6)?;
    let header = bytes.u32()?;
    let (name, extra) = (bytes.take(name.into())?, bytes.take(extra.into())?);
    (comment == 0 && disk == 0).then_some(Raw { flags, method, packed, size, name, header, extra })
}

/// Size and place of an entry. If they are too large for their own fields, they are in its zip64 extra field (4.5.3), which has the size, the
/// packed size and the place, each only if it is needed.
fn wide(extra: &[u8], size: u32, header: u32) -> Option<[u64; 2]> {
    let mut fields = [u64::from(size), u64::from(header)];
    if size != ELSEWHERE && header != ELSEWHERE {
        return Some(fields);
    }
    let mut bytes = Bytes(extra);
    let mut field = loop {
        let (id, length) = (bytes.u16()?, bytes.u16()?);
        let content = bytes.take(length.into())?;
        if id == ZIP64_FIELD {
            break Bytes(content);
        }
    };
    if size == ELSEWHERE {
        fields[0] = field.u64()?;
        (field.u64()? == fields[0]).then_some(())?;
    }
    if header == ELSEWHERE {
        fields[1] = field.u64()?;
    }
    Some(fields)
}

/// The length of a local header (4.3.7) with its name and extra field, from its first bytes. Nothing if it is not the local header of the stored
/// entry `name`.
pub(super) fn local_length(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let mut bytes = Bytes(bytes);
    (bytes.take(4)? == b"PK\x03\x04").then_some(())?;
    bytes.take(2)?;
    (bytes.u16()? & !FLAGS == 0 && bytes.u16()? == 0).then_some(())?;
    bytes.take(16)?;
    let (length, extra) = (bytes.u16()?, bytes.u16()?);
    (bytes.take(length.into())? == name).then_some(LOCAL_BYTES + u64::from(length) + u64::from(extra))
}
