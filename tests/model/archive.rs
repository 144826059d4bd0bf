//! Archives as `torch.save` writes them, with as much or as little in them as a test wants.

use lorafold::inputs::Inputs;
use lorafold::{Error, Result};

/// A file of zeros with something at some places: it may be as large as it likes.
#[derive(Default, Clone)]
pub struct Sparse {
    pub size: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

/// The content of an entry.
pub enum Content<'a> {
    Bytes(&'a [u8]),
    /// So many zeros.
    Zeros(u64),
}

impl Sparse {
    fn push(&mut self, bytes: Vec<u8>) {
        let size = bytes.len() as u64;
        self.pieces.push((self.size, bytes));
        self.size += size;
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.size as usize];
        for (start, piece) in &self.pieces {
            bytes[*start as usize..*start as usize + piece.len()].copy_from_slice(piece);
        }
        bytes
    }
}

impl Inputs for Sparse {
    async fn read(&self, input: usize, start: u64, buffer: &mut [u8]) -> Result<()> {
        let end = start + buffer.len() as u64;
        if input != 0 || end > self.size {
            return Err(Error::source_changed("sparse", "short"));
        }
        buffer.fill(0);
        for (at, piece) in &self.pieces {
            let (from, to) = (start.max(*at), end.min(at + piece.len() as u64));
            if from < to {
                buffer[(from - start) as usize..(to - start) as usize]
                    .copy_from_slice(&piece[(from - at) as usize..(to - at) as usize]);
            }
        }
        Ok(())
    }
}

/// The stored entries `entries`, (name, content), with extra fields of `padding` bytes before their contents; in the zip64 format where that
/// is needed.
pub fn archive(entries: &[(&str, Content)], padding: u16) -> Sparse {
    let mut file = Sparse::default();
    let mut directory = Vec::new();
    let fields = |fields: &[u16]| fields.iter().flat_map(|field| field.to_le_bytes()).collect::<Vec<u8>>();
    for (name, content) in entries {
        let start = file.size;
        let size = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(size) => *size,
        };
        let lengths = [name.len() as u16, padding];
        // Torch writes the sizes after the data, where only the directory needs them.
        file.push([b"PK\x03\x04", &*fields(&[0, 0x0808, 0]), &[0; 16], &fields(&lengths), name.as_bytes()].concat());
        file.push(vec![b'Z'; padding.into()]);
        match content {
            Content::Bytes(bytes) => file.push(bytes.to_vec()),
            Content::Zeros(size) => file.size += size,
        }
        let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX);
        let mut wide = Vec::new();
        if narrow(size) == u32::MAX {
            wide.extend([size, size]);
        }
        if narrow(start) == u32::MAX {
            wide.push(start);
        }
        let mut extra = fields(&[0x4246, 0]);
        if !wide.is_empty() {
            extra.extend(fields(&[1, wide.len() as u16 * 8]));
            extra.extend(wide.iter().flat_map(|field| field.to_le_bytes()));
        }
        directory.extend([b"PK\x01\x02", &*fields(&[0, 0, 0x0808, 0]), &[0; 8]].concat());
        directory.extend([narrow(size), narrow(size)].iter().flat_map(|field| field.to_le_bytes()));
        directory.extend(fields(&[name.len() as u16, extra.len() as u16, 0, 0, 0, 0, 0]));
        directory.extend(narrow(start).to_le_bytes());
        directory.extend_from_slice(name.as_bytes());
        directory.extend(extra);
    }
    let (start, bytes, count) = (file.size, directory.len() as u64, entries.len() as u64);
    file.push(directory);
    let end = file.size;
    let wide: Vec<u8> = [count, count, bytes, start].iter().flat_map(|field| field.to_le_bytes()).collect();
    file.push([b"PK\x06\x06", &44u64.to_le_bytes()[..], &[0; 12], &wide].concat());
    file.push([b"PK\x06\x07", &[0; 4], &end.to_le_bytes()[..], &1u32.to_le_bytes()].concat());
    let narrow = |wide: u64| u32::try_from(wide).unwrap_or(u32::MAX).to_le_bytes();
    file.push(
        [b"PK\x05\x06", &*fields(&[0, 0, count as u16, count as u16]), &narrow(bytes), &narrow(start), &[0; 2]]
            .concat(),
    );
    file
}
