//! What the beginning of a weight file says about its tensors. In a safetensors file these are eight bytes of length, and JSON.

use super::entry::Entry;
use super::foreign::foreign;
use super::limits;
use super::memory::reserve;
use super::scanner::{RawText, Scanner};
use super::texts::{Texts, TextsSize};
use crate::error::{Error, Result};
use crate::inputs::UNKNOWN_SIZE;
use crate::order::sort_numbers;
use crate::tensor::Dtype;
use crate::wire::wire;

mod derived;
pub(crate) use derived::Each;

/// One tensor as its header describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TensorInfo<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: &'a [u64],
    /// First byte, counted from [`Header::data_start`] (not from the start of the file).
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl TensorInfo<'_> {
    /// Number of elements; the header has been checked, so this cannot overflow.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// The checked list of a weight file's tensors, each with a span of bytes inside the file. In a safetensors file the spans cover the data without
/// holes or overlaps, and the file is exactly as long as its header says. In a file of torch there are holes, and tied tensors share a span.
///
/// A model may have a million tensors, so they are kept in tables: about 24 bytes a tensor, 8 a dimension, and the name.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Names in the order of the JSON.
    names: Texts,
    /// Numbers of the tensors, sorted by name.
    by_name: Vec<u32>,
    rows: Vec<Row>,
    /// The dimensions of every tensor, one tensor after the other.
    dims: Vec<u64>,
    metadata: Metadata,
    /// Where the data starts in the file. 0 if the file has no such place; tensors' bytes are then counted from its start.
    pub data_start: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Whether its tensors' bytes follow one another without holes, so that a merged file may keep their order.
    pub tiled: bool,
    /// If the header is joined from several files: where each begins, and its number among all inputs. Such a header is only read.
    parts: Vec<(u64, usize)>,
}

/// What the tables hold for one tensor besides its name and dimensions. Its last byte follows from these.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    start: u64,
    /// Where its dimensions end.
    dims_end: u32,
    dtype: Dtype,
}

/// `__metadata__`: keys and values by number.
#[derive(Debug, Clone, PartialEq, Default)]
struct Metadata {
    keys: Texts,
    values: Texts,
}

wire!(Header { names, by_name, rows, dims, metadata, data_start, file_bytes, tiled } without { parts });
wire!(Row { start, dims_end, dtype });
wire!(Metadata { keys, values });

/// How much room a header's tables need.
#[derive(Default)]
struct TableSize {
    names: TextsSize,
    dims: usize,
    keys: TextsSize,
    values: TextsSize,
}

/// One part of a header's JSON.
enum Part<'p, 'a> {
    Tensor(&'p Entry<'a>),
    Metadata { key: RawText<'a>, value: RawText<'a> },
}

/// Length of the prefix that holds the header's length.
pub const PREFIX_BYTES: u64 = 8;

impl Header {
    /// The length of the JSON, from the first eight bytes of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// `truncated` when the file cannot hold the header, `bad-header` when the header is over the format's limit, `wrong-input`
    /// when the file is known to be something else.
    pub fn json_bytes(file: &str, prefix: [u8; 8], file_bytes: u64) -> Result<u64> {
        let length = u64::from_le_bytes(prefix);
        if length > limits::HEADER_BYTES
            && let Some(error) = foreign(file, &prefix)
        {
            return Err(error);
        }
        check_length(file, length)?;
        if file_bytes < PREFIX_BYTES + length {
            return Err(cut_off(file, format!("the header has {length} bytes, the file only {file_bytes}")));
        }
        Ok(length)
    }

    /// Parse and check the JSON of a header. `file_bytes` is the size of the whole file, where it is known.
    ///
    /// # Errors
    /// `bad-header` for whatever breaks the format or goes beyond [`limits`], `truncated` when the file is shorter than
    /// its tensors, `limit-exceeded` when there is not enough memory for the tables.
    pub fn parse(file: &str, json: &[u8], file_bytes: u64) -> Result<Header> {
        check_length(file, json.len() as u64)?;
        if json.first() != Some(&b'{') {
            return Err(Error::bad_header(file, "the header does not start with '{'"));
        }
        let data_start = PREFIX_BYTES + json.len() as u64;
        // Some tools align the data with zero bytes instead of spaces.
        let json = json.iter().rposition(|&byte| byte != 0).and_then(|last| json.get(..=last)).unwrap_or(json);
        // Read twice: the first time says how large the tables are, so that no memory is spent on growing them.
        let mut size = TableSize::default();
        read_parts(file, json, |part| size.add(file, &part))?;
        let mut header = Header::with_room(file, &size)?;
        header.data_start = data_start;
        read_parts(file, json, |part| {
            header.push(part);
            Ok(())
        })?;
        header.metadata.keys.sorted(file)?;
        header.by_name = header.names.sorted(file)?;
        header.file_bytes = header.check_tiling(file, file_bytes)?;
        header.tiled = true;
        Ok(header)
    }

    fn with_room(file: &str, size: &TableSize) -> Result<Header> {
        let (mut rows, mut dims) = (Vec::new(), Vec::new());
        reserve(file, &mut rows, size.names.count())?;
        reserve(file, &mut dims, size.dims)?;
        let names = Texts::with_room(file, &size.names)?;
        let keys = Texts::with_room(file, &size.keys)?;
        let values = Texts::with_room(file, &size.values)?;
        Ok(Header {
            names,
            by_name: Vec::new(),
            rows,
            dims,
            metadata: Metadata { keys, values },
            data_start: 0,
            file_bytes: 0,
            tiled: false,
            parts: Vec::new(),
        })
    }

    fn push(&mut self, part: Part) {
        match part {
            Part::Tensor(entry) => {
                self.names.push(entry.name);
                self.dims.extend_from_slice(entry.shape());
                self.rows.push(Row { start: entry.start, dims_end: self.dims.len() as u32, dtype: entry.dtype });
            }
            Part::Metadata { key, value } => {
                self.metadata.keys.push(key);
                self.metadata.values.push(value);
            }
        }
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has no tensors.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Tensor number `index`, in the order of the header's JSON.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Self::len).
    pub fn tensor(&self, index: usize) -> TensorInfo<'_> {
        let row = &self.rows[index];
        let first = if index == 0 { 0 } else { self.rows[index - 1].dims_end };
        let shape = &self.dims[first as usize..row.dims_end as usize];
        // This was checked when it was parsed, so it does not overflow.
        let bits = shape.iter().fold(row.dtype.bitsize() as u64, |bits, &size| bits * size);
        TensorInfo { name: self.names.get(index), dtype: row.dtype, shape, start: row.start, end: row.start + bits / 8 }
    }

    /// The tensors in the order of the header's JSON.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TensorInfo<'_>> + Clone {
        (0..self.len()).map(|index| self.tensor(index))
    }

    /// The number of the tensor called `name`: a binary search.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.find(&self.by_name, name)
    }

    /// The entries of `__metadata__` as (key, value), in the order of the file.
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        (0..self.metadata.keys.len()).map(|index| (self.metadata.keys.get(index), self.metadata.values.get(index)))
    }

    /// The numbers of the tensors, in the order of the data.
    ///
    /// # Errors
    /// `limit-exceeded` when there is not enough memory.
    pub fn data_order(&self, file: &str) -> Result<Vec<u32>> {
        let mut order = Vec::new();
        reserve(file, &mut order, self.len())?;
        order.extend(0..self.len() as u32);
        let key = |index: u32| {
            let tensor = self.tensor(index as usize);
            (tensor.start, tensor.end)
        };
        sort_numbers(&mut order, &|one, other| key(one).cmp(&key(other)));
        Ok(order)
    }

    /// The size of the file: `file_bytes` if that is known, else the end of its last tensor.
    fn check_tiling(&self, file: &str, file_bytes: u64) -> Result<u64> {
        let mut expected = 0;
        for index in self.data_order(file)? {
            let tensor = self.tensor(index as usize);
            if tensor.start != expected {
                let fault =
                    if tensor.start < expected { "overlaps the tensor before it" } else { "leaves a hole before it" };
                let reason = format!("tensor {:?} {fault}: it starts at {}, not {expected}", tensor.name, tensor.start);
                let error = Error::bad_header(file, reason).found(tensor.start.to_string());
                return Err(error.expected(expected.to_string()));
            }
            expected = tensor.end;
        }
        let wanted = self.data_start + expected;
        if file_bytes == UNKNOWN_SIZE {
            return Ok(wanted);
        }
        if wanted > file_bytes {
            return Err(cut_off(file, format!("the tensors end at byte {wanted}, the file at {file_bytes}"))
                .found(file_bytes.to_string())
                .expected(wanted.to_string()));
        }
        if wanted < file_bytes {
            let reason =
                format!("{} bytes follow the last tensor, and safetensors itself refuses that", file_bytes - wanted);
            return Err(Error::bad_header(file, reason).fix("save it again, or download it again"));
        }
        Ok(wanted)
    }
}

impl TableSize {
    fn add(&mut self, file: &str, part: &Part) -> Result<()> {
        match part {
            Part::Tensor(_) if self.names.count() == limits::TENSORS => {
                return Err(Error::bad_header(file, format!("the header has more than {} tensors", limits::TENSORS)));
            }
            Part::Tensor(entry) => {
                self.names.add(entry.name);
                self.dims += entry.shape().len();
            }
            Part::Metadata { key, value } => {
                self.keys.add(*key);
                self.values.add(*value);
            }
        }
        Ok(())
    }
}

fn cut_off(file: &str, reason: String) -> Error {
    Error::truncated(file, reason).fix("download it again, or copy it again")
}

fn check_length(file: &str, length: u64) -> Result<()> {
    if length <= limits::HEADER_BYTES {
        return Ok(());
    }
    let limit = limits::HEADER_BYTES;
    Err(Error::bad_header(file, format!("the header claims {length} bytes, more than the format's {limit}"))
        .found(length.to_string())
        .expected(format!("at most {limit} bytes")))
}

/// Hand over each part of a header's JSON.
fn read_parts<'a>(file: &'a str, json: &'a [u8], mut each: impl FnMut(Part<'_, 'a>) -> Result<()>) -> Result<()> {
    let mut scanner = Scanner::new(file, "the header", json)?;
    let mut metadata_seen = false;
    scanner.object(|scanner, name| {
        if !name.is("__metadata__") {
            return each(Part::Tensor(&Entry::read(file, name, scanner)?));
        }
        if std::mem::replace(&mut metadata_seen, true) {
            return Err(Error::bad_header(file, "the key \"__metadata__\" is given twice"));
        }
        // The safetensors crate reads null as no metadata.
        if scanner.null() {
            return Ok(());
        }
        if scanner.peek() != Some(b'{') {
            return Err(Error::bad_header(file, "__metadata__: not an object"));
        }
        scanner.object(|scanner, key| match scanner.text()? {
            Some(value) => each(Part::Metadata { key, value }),
            None => Err(Error::bad_header(file, format!("__metadata__: {:?} is not a string", key.short()))),
        })
    })?;
    scanner.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::HeaderWriter;

    fn parse(json: &str, data: u64) -> Result<Header> {
        Header::parse("m.safetensors", json.as_bytes(), 8 + json.len() as u64 + data)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tensors = [
            TensorInfo { name: "b", dtype: Dtype::BF16, shape: &[2, 3], start: 0, end: 12 },
            TensorInfo { name: "a \"quoted\"", dtype: Dtype::U8, shape: &[], start: 12, end: 13 },
        ];
        let writer = HeaderWriter::new(tensors.iter().copied(), [("format", "pt")].into_iter());
        let bytes = writer.read("f", 0..writer.bytes()).unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let header = Header::parse("f", &bytes[8..], bytes.len() as u64 + 13).unwrap();
        assert!(header.iter().eq(tensors));
        assert!(header.metadata().eq([("format", "pt")]));
        assert_eq!([header.find("b"), header.find("a \"quoted\""), header.find("c")], [Some(0), Some(1), None]);
    }

    #[test]
    fn offsets_over_four_gib_are_read() {
        let size = 128_256u64 * 4096 * 2 * 8;
        let header =
            parse(&format!(r#"{{"e":{{"dtype":"BF16","shape":[1026048,4096],"data_offsets":[0,{size}]}}}}"#), size);
        assert_eq!(header.unwrap().tensor(0).bytes(), size);
    }

    #[test]
    fn escapes_mean_the_characters() {
        let header = parse(
            r#"{"\u00fc\ud83d\ude00":{"\u0064type":"\u00558","shape":[0],"data_offsets":[0,0]},"__met\u0061data__":null}"#,
            0,
        );
        assert_eq!(header.unwrap().tensor(0).name, "ü😀");
        for escape in ["\\ud800", "\\ud800\\u0041", "\\udc00", "\\x", "\\u00g0", "\\"] {
            let json = format!(r#"{{"{escape}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}}}"#);
            assert_eq!(parse(&json, 0).unwrap_err().code(), "bad-header", "{json}");
        }
    }

    #[test]
    fn a_broken_rule_is_a_bad_header() {
        let cases = [
            (r#"[]"#, 0),
            (r#"{"a":1}"#, 0),
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#,
                8,
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
                6,
            ),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8),
            (r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4),
            (r#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4),
            (r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4),
            (r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,4]}}"#, 4),
            (r#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, 2),
            (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5),
            (r#"{"__metadata__":{"a":1}}"#, 0),
            (r#"{"__metadata__":{"a":"1","a":"2"}}"#, 0),
        ];
        for (json, data) in cases {
            assert_eq!(parse(json, data).unwrap_err().code(), "bad-header", "{json}");
        }
        let short = parse(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3);
        assert_eq!(short.unwrap_err().code(), "truncated");
        assert_eq!(Header::json_bytes("f", u64::MAX.to_le_bytes(), 100).unwrap_err().code(), "bad-header");
        assert_eq!(Header::json_bytes("f", 200u64.to_le_bytes(), 100).unwrap_err().code(), "truncated");
    }
}
