//! Files of torch, and pickles inside them.

use lorafold::Result;
use lorafold::container::torch::read_header;
use lorafold::container::{Header, TensorInfo};
use lorafold::inputs::{FileInfo, Inputs};

use crate::model::archive::{Content, archive};
use crate::model::{Memory, block_on};

/// The input is a file. What is read of it lies inside the file.
pub fn torch(file: &[u8]) {
    let inputs = Memory(vec![file.to_vec()]);
    check(read(&inputs, file.len() as u64), file.len() as u64);
}

/// The input is the pickle of an archive that is as it should be, with storages of some sizes.
pub fn pickle(pickle: &[u8]) {
    let (header, size) = open_pickle(pickle);
    check(header, size);
}

/// What is read of an archive with `pickle`, and the archive's size.
pub fn open_pickle(pickle: &[u8]) -> (Result<Header>, u64) {
    let mut entries =
        vec![("archive/data.pkl", Content::Bytes(pickle)), ("archive/byteorder", Content::Bytes(b"little"))];
    let keys: Vec<(String, u64)> =
        (0..20).map(|key| (format!("archive/data/{key}"), [128, 512, 1024, 12, 4096][key % 5])).collect();
    entries.extend(keys.iter().map(|(key, size)| (key.as_str(), Content::Zeros(*size))));
    let file = archive(&entries, 3);
    (read(&file, file.size), file.size)
}

fn read(inputs: &impl Inputs, size: u64) -> Result<Header> {
    block_on(read_header(inputs, 0, &FileInfo::new("f", size)))
}

fn check(header: Result<Header>, size: u64) {
    let Ok(header) = header else { return };
    let mut spans: Vec<TensorInfo> = header.iter().filter(|tensor| tensor.bytes() > 0).collect();
    for (number, tensor) in header.iter().enumerate() {
        assert!(tensor.start <= tensor.end && header.data_start + tensor.end <= size);
        assert_eq!(header.find(tensor.name), Some(number));
        assert_eq!(tensor.bytes(), tensor.elements() * tensor.dtype.bitsize() as u64 / 8);
    }
    spans.sort_by_key(|tensor| (tensor.start, tensor.end));
    for pair in spans.windows(2) {
        assert!(pair[0].end <= pair[1].start || (pair[0].start, pair[0].end) == (pair[1].start, pair[1].end));
    }
}
