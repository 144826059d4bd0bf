//! The same tensors under other names.

use super::{Header, Row, TableSize, TensorInfo};
use crate::container::limits;
use crate::error::{Error, Result};

impl Header {
    /// A header of these of its tensors, each under a name of its own; one may be there more than once, with the same bytes.
    ///
    /// # Errors
    /// `bad-header` for a name that is there twice, `limit-exceeded` for too many tensors, or when there is not enough memory.
    pub(crate) fn of_tensors(&self, file: &str, tensors: &[(String, usize)]) -> Result<Header> {
        if tensors.len() > limits::TENSORS {
            let reason = format!("it would have more than {} tensors", limits::TENSORS);
            return Err(Error::limit_exceeded(file, reason).file(file));
        }
        let mut size = TableSize::default();
        for (name, number) in tensors {
            size.names.add_bytes(name.len());
            size.dims += self.tensor(*number).shape.len();
        }
        let mut header = Header::with_room(file, &size)?;
        for (name, number) in tensors {
            let TensorInfo { dtype, shape, start, .. } = self.tensor(*number);
            header.names.push_str(name);
            header.dims.extend_from_slice(shape);
            header.rows.push(Row { start, dims_end: header.dims.len() as u32, dtype });
        }
        header.by_name = header.names.sorted(file)?;
        let is_whole = tensors.len() == self.len() && tensors.iter().map(|row| row.1).eq(0..self.len());
        Ok(Header {
            metadata: self.metadata.clone(),
            data_start: self.data_start,
            file_bytes: self.file_bytes,
            tiled: self.tiled && is_whole,
            ..header
        })
    }
}
