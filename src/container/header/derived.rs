//! Headers that no safetensors file has: made of spans that were found elsewhere, of several files, or of some of a file's tensors.

use super::{Header, Row, TableSize, TensorInfo};
use crate::container::limits;
use crate::error::{Error, Result};
use crate::inputs::Span;

/// Is called with one tensor after another.
pub(crate) type Each<'a> = &'a mut dyn FnMut(TensorInfo) -> Result<()>;

impl Header {
    /// A header of tensors. Their spans, counted from the start of the file, must be inside its `file_bytes` bytes, and have as many bytes as
    /// their shapes need. `tensors` hands them over, the same ones at each call.
    ///
    /// # Errors
    /// `bad-header` for a name that is there twice and beyond [`limits`], `unsupported` if tensors share only a part of their bytes,
    /// `limit-exceeded` when there is not enough memory for the tables, and those of the callback.
    pub(crate) fn of_spans(file: &str, tensors: &dyn Fn(Each) -> Result<()>, file_bytes: u64) -> Result<Header> {
        let mut size = TableSize::default();
        tensors(&mut |tensor| {
            if size.names.count() == limits::TENSORS {
                return Err(Error::bad_header(file, format!("it has more than {} tensors", limits::TENSORS)));
            }
            if tensor.name.len() > limits::NAME_BYTES {
                let reason =
                    format!("a tensor's name has {} bytes, more than {}", tensor.name.len(), limits::NAME_BYTES);
                return Err(Error::bad_header(file, reason));
            }
            size.names.add_bytes(tensor.name.len());
            size.dims += tensor.shape.len();
            Ok(())
        })?;
        let mut header = Header::with_room(file, &size)?;
        tensors(&mut |tensor| {
            header.names.push_str(tensor.name);
            header.dims.extend_from_slice(tensor.shape);
            header.rows.push(Row { start: tensor.start, dims_end: header.dims.len() as u32, dtype: tensor.dtype });
            Ok(())
        })?;
        header.by_name = header.names.sorted(file)?;
        header.file_bytes = file_bytes;
        header.check_sharing(file)?;
        Ok(header)
    }

    /// The tensors of several files as if they were one file, in which the bytes of the files follow one another. `files` are the numbers of
    /// the files among all inputs, with their headers; `file` is their name in errors.
    ///
    /// # Errors
    /// Those of [`of_spans`](Self::of_spans).
    pub(crate) fn joined(file: &str, files: Vec<(usize, Header)>) -> Result<Header> {
        let mut files = files;
        if files.len() == 1
            && let Some((_, header)) = files.pop()
        {
            return Ok(header);
        }
        let mut parts = Vec::with_capacity(files.len());
        let mut end = 0u64;
        for (input, header) in &files {
            parts.push((end, *input));
            end = end.saturating_add(header.file_bytes);
        }
        let tensors = |each: Each| {
            let mut all = files
                .iter()
                .zip(&parts)
                .flat_map(|((_, header), part)| header.iter().map(move |info| (header, part, info)));
            all.try_for_each(|(header, part, mut info)| {
                let bytes = info.bytes();
                info.start = info.start.saturating_add(header.data_start).saturating_add(part.0);
                info.end = info.start.saturating_add(bytes);
                each(info)
            })
        };
        let header = Header::of_spans(file, &tensors, end)?;
        Ok(Header { parts, ..header })
    }

    /// Where the bytes of one of its tensors are. `input` is the number of its file among all inputs; a joined header has its own numbers.
    pub(crate) fn span(&self, input: usize, tensor: &TensorInfo) -> Span {
        let start = self.data_start + tensor.start;
        let part = self.parts.partition_point(|part| part.0 <= start).checked_sub(1).and_then(|at| self.parts.get(at));
        let (offset, input) = part.copied().unwrap_or((0, input));
        Span { input, start: start - offset, bytes: tensor.bytes() }
    }

    /// A header of some of its tensors, each under a new name. One tensor may be there more than once, with the same bytes.
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

    /// Check that tensors have the same bytes, or none in common.
    fn check_sharing(&self, file: &str) -> Result<()> {
        let (mut last, mut total) = (None::<TensorInfo>, 0);
        for index in self.data_order(file)? {
            let tensor = self.tensor(index as usize);
            total += tensor.bytes();
            if total > limits::SHARED_BYTES {
                let reason = format!("its tensors have more than {} bytes together", limits::SHARED_BYTES);
                return Err(Error::limit_exceeded(file, reason).file(file));
            }
            if tensor.bytes() == 0 {
                continue;
            }
            if let Some(last) = last
                && tensor.start < last.end
                && (tensor.start, tensor.end) != (last.start, last.end)
            {
                let reason = format!("tensor {:?} shares a part of its bytes with {:?}", tensor.name, last.name);
                let error = Error::unsupported(file, reason).file(file).tensor(tensor.name);
                return Err(error.fix("save each tensor's own bytes: tensor.clone()"));
            }
            last = Some(tensor);
        }
        Ok(())
    }
}
