//! The header of a safetensors file: eight bytes of length, then JSON that names every tensor and its bytes.

use super::limits;
use crate::error::{Error, Result};
use crate::inputs::UNKNOWN_SIZE;
use crate::json::{self, Json};
use crate::tensor::{Dtype, dtype_named};

/// One tensor as its header describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// The tensor's name.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
    /// First byte, counted from the start of the data (not of the file).
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl TensorInfo {
    /// Number of elements; the header has been checked, so this cannot overflow.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.end - self.start
    }
}

/// A checked header: tensors tile the data without hole or overlap, and the file is exactly as long as it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Tensors in the order of the header's JSON.
    pub tensors: Vec<TensorInfo>,
    /// `__metadata__` in the order of the file; `None` when the header has none.
    pub metadata: Option<Vec<(String, String)>>,
    /// Where the data starts in the file.
    pub data_start: u64,
}

/// Length of the prefix that holds the header's length.
pub const PREFIX_BYTES: u64 = 8;

impl Header {
    /// The length of the JSON, from the first eight bytes of a file of `file_bytes` bytes.
    ///
    /// # Errors
    /// `truncated` when the file cannot hold the header, `bad-header` when the header is over the format's limit.
    pub fn json_bytes(file: &str, prefix: [u8; 8], file_bytes: u64) -> Result<u64> {
        let length = u64::from_le_bytes(prefix);
        if length > limits::HEADER_BYTES {
            return Err(bad(
                file,
                format!("the header claims {length} bytes, more than the format's {}", limits::HEADER_BYTES),
            ));
        }
        if file_bytes < PREFIX_BYTES + length {
            return Err(Error::truncated(file, format!("the header has {length} bytes, the file only {file_bytes}")));
        }
        Ok(length)
    }

    /// Parse and check the JSON of a header. `file_bytes` is the size of the whole file, where it is known.
    ///
    /// # Errors
    /// `bad-header` for whatever breaks the format or goes beyond [`limits`], `truncated` when the file is shorter than
    /// its tensors.
    pub fn parse(file: &str, json: &[u8], file_bytes: u64) -> Result<Header> {
        if json.first() != Some(&b'{') {
            return Err(bad(file, "the header does not start with '{'".into()));
        }
        let fields = Json::parse(json).and_then(Json::entries);
        let data_start = PREFIX_BYTES + json.len() as u64;
        let mut metadata = None;
        let mut tensors = Vec::new();
        for (name, entry) in fields.map_err(|fault| bad(file, format!("the header is {fault}")))? {
            if name == "__metadata__" {
                // null is what the safetensors crate reads as none.
                if entry != Json::Null {
                    metadata = Some(entry.texts().map_err(|fault| bad(file, format!("{name}: {fault}")))?);
                }
            } else if tensors.len() == limits::TENSORS {
                return Err(bad(file, format!("the header has more than {} tensors", limits::TENSORS)));
            } else {
                let raw = RawTensor::read(entry).map_err(|fault| bad(file, format!("tensor {name:?}: {fault}")))?;
                tensors.push(raw.check(file, name)?);
            }
        }
        let header = Header { tensors, metadata, data_start };
        header.check_tiling(file, file_bytes)?;
        Ok(header)
    }

    /// Indices into `tensors`, in the order of the data.
    pub fn data_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.tensors.len()).collect();
        order.sort_by_key(|&i| [self.tensors[i].start, self.tensors[i].end, 0]);
        order
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    fn check_tiling(&self, file: &str, file_bytes: u64) -> Result<()> {
        let mut expected = 0;
        for index in self.data_order() {
            let tensor = &self.tensors[index];
            if tensor.start != expected {
                let fault =
                    if tensor.start < expected { "overlaps the tensor before it" } else { "leaves a hole before it" };
                return Err(bad(
                    file,
                    format!("tensor {:?} {fault}: starts at {}, not {expected}", tensor.name, tensor.start),
                ));
            }
            expected = tensor.end;
        }
        let wanted = self.data_start + expected;
        if file_bytes == UNKNOWN_SIZE {
            return Ok(());
        }
        if wanted > file_bytes {
            return Err(Error::truncated(file, format!("the tensors end at byte {wanted}, the file at {file_bytes}")));
        }
        if wanted < file_bytes {
            return Err(bad(file, format!("{} bytes follow the last tensor", file_bytes - wanted)));
        }
        Ok(())
    }

    /// Write a header for tensors whose offsets are already right: length, JSON, spaces up to a multiple of eight.
    pub fn write<'a>(tensors: impl IntoIterator<Item = &'a TensorInfo>, metadata: &[(String, String)]) -> Vec<u8> {
        let mut object = serde_json::Map::new();
        if !metadata.is_empty() {
            let entries = metadata.iter().map(|(key, value)| (key.clone(), value.clone().into())).collect();
            object.insert("__metadata__".into(), serde_json::Value::Object(entries));
        }
        for tensor in tensors {
            let entry = json::object([
                ("dtype", tensor.dtype.to_string().into()),
                ("shape", tensor.shape.as_slice().into()),
                ("data_offsets", [tensor.start, tensor.end].as_slice().into()),
            ]);
            object.insert(tensor.name.clone(), entry);
        }
        let json = json::text(&serde_json::Value::Object(object));
        let padded = json.len().next_multiple_of(8);
        let mut bytes = Vec::with_capacity(8 + padded);
        bytes.extend_from_slice(&(padded as u64).to_le_bytes());
        bytes.extend_from_slice(json.as_bytes());
        bytes.resize(8 + padded, b' ');
        bytes
    }
}

fn bad(file: &str, reason: String) -> Error {
    Error::bad_header(file, reason)
}

/// One tensor's entry, not yet checked.
struct RawTensor {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl RawTensor {
    /// Exactly the format's three fields.
    fn read(entry: Json) -> std::result::Result<RawTensor, String> {
        let (mut dtype, mut shape, mut data_offsets) = (None, None, None);
        for (name, value) in entry.entries()? {
            let whole = |value: &Json| match value {
                Json::List(items) => items.iter().map(Json::whole).collect::<Option<Vec<u64>>>(),
                _ => None,
            };
            match name.as_str() {
                "dtype" => {
                    if let Json::Text(name) = value {
                        dtype = Some(name);
                    }
                }
                "shape" => shape = whole(&value),
                "data_offsets" => data_offsets = whole(&value),
                _ => return Err(format!("unknown field {name:?}")),
            }
        }
        match (dtype, shape, data_offsets.as_deref()) {
            (Some(dtype), Some(shape), Some(&[start, end])) => {
                Ok(RawTensor { dtype, shape, data_offsets: (start, end) })
            }
            _ => Err("it needs dtype, a string, and shape and two data_offsets, whole numbers".into()),
        }
    }

    fn check(self, file: &str, name: String) -> Result<TensorInfo> {
        let fault = |reason: String| Err(bad(file, format!("tensor {name:?}: {reason}")));
        if name.len() > limits::NAME_BYTES {
            return Err(bad(
                file,
                format!("a tensor's name has {} bytes, more than {}", name.len(), limits::NAME_BYTES),
            ));
        }
        let Some(dtype) = dtype_named(&self.dtype) else {
            return fault(format!("unknown dtype {:?}", self.dtype));
        };
        if self.shape.len() > limits::DIMENSIONS {
            return fault(format!("{} dimensions, more than {}", self.shape.len(), limits::DIMENSIONS));
        }
        let (start, end) = self.data_offsets;
        if start > end || end > limits::FILE_BYTES {
            return fault(format!("impossible offsets {start}..{end}"));
        }
        let bits = self.shape.iter().try_fold(dtype.bitsize() as u64, |bits, &size| bits.checked_mul(size));
        let Some(bits) = bits else {
            return fault(format!("the shape {:?} overflows", self.shape));
        };
        if bits % 8 != 0 || bits / 8 != end - start {
            return fault(format!(
                "{} of shape {:?} has {} bits, its offsets hold {} bytes",
                dtype,
                self.shape,
                bits,
                end - start
            ));
        }
        Ok(TensorInfo { name, dtype, shape: self.shape, start, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, data: u64) -> Result<Header> {
        Header::parse("m.safetensors", json.as_bytes(), 8 + json.len() as u64 + data)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let tensors = [
            TensorInfo { name: "b".into(), dtype: Dtype::BF16, shape: vec![2, 3], start: 0, end: 12 },
            TensorInfo { name: "a \"quoted\"".into(), dtype: Dtype::U8, shape: vec![], start: 12, end: 13 },
        ];
        let bytes = Header::write(&tensors, &[("format".into(), "pt".into())]);
        assert_eq!(bytes.len() % 8, 0);
        let header = Header::parse("f", &bytes[8..], bytes.len() as u64 + 13).unwrap();
        assert_eq!(header.tensors, tensors);
        assert_eq!(header.metadata, Some(vec![("format".into(), "pt".into())]));
    }

    #[test]
    fn offsets_over_four_gib_are_read() {
        let size = 128_256u64 * 4096 * 2 * 8;
        let header =
            parse(&format!(r#"{{"e":{{"dtype":"BF16","shape":[1026048,4096],"data_offsets":[0,{size}]}}}}"#), size);
        assert_eq!(header.unwrap().tensors[0].bytes(), size);
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
