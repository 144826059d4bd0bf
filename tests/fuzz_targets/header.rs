//! Headers of safetensors files.

use lorafold::container::{Header, HeaderWriter};

/// The input is a file. What is read of it lies inside the file, and is read again as it was written.
pub fn header(file: &[u8]) {
    let Some(prefix) = file.first_chunk() else { return };
    let size = file.len() as u64;
    let Ok(length) = Header::json_bytes("f", *prefix, size) else { return };
    let Ok(header) = Header::parse("f", &file[8..8 + length as usize], size) else { return };
    assert_eq!(header.data_order("f").map_or(header.len(), |order| order.len()), header.len());
    for (number, tensor) in header.iter().enumerate() {
        assert!(tensor.start <= tensor.end && header.data_start + tensor.end <= size);
        assert_eq!(header.find(tensor.name), Some(number));
    }
    let writer = HeaderWriter::new(header.iter(), header.metadata());
    let written = writer.read("f", 0..writer.bytes()).unwrap();
    let half = writer.bytes() / 2;
    assert_eq!([writer.read("f", 0..half).unwrap(), writer.read("f", half..writer.bytes()).unwrap()].concat(), written);
    let data = size - header.data_start;
    let again = Header::parse("f", &written[8..], written.len() as u64 + data).unwrap();
    assert!(again.iter().eq(header.iter()));
    assert!(again.metadata().eq(header.metadata()));
}
