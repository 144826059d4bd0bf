//! Many short texts in one allocation.

use super::limits;
use super::memory::{reserve, reserve_text};
use super::scanner::RawText;
use crate::error::{Error, Result};
use crate::order::sort_numbers;
use crate::wire::wire;

/// Numbered texts, one after another in one string. Each takes 4 bytes besides the text itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Texts {
    text: String,
    /// Where each ends.
    ends: Vec<u32>,
}

wire!(Texts { text, ends });

/// How much room some texts need.
#[derive(Default)]
pub(crate) struct TextsSize {
    count: usize,
    bytes: usize,
}

impl TextsSize {
    pub(crate) fn add(&mut self, text: RawText) {
        self.add_bytes(text.bytes());
    }

    pub(crate) fn add_bytes(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

impl Texts {
    /// No texts yet, but room for `size`.
    ///
    /// # Errors
    /// `limit-exceeded` when there is not enough memory, or they are more than 4 GiB together.
    pub(crate) fn with_room(file: &str, size: &TextsSize) -> Result<Texts> {
        let mut texts = Texts::default();
        texts.make_room(file, size)?;
        Ok(texts)
    }

    /// Make room for `size` more texts.
    ///
    /// # Errors
    /// As [`with_room`](Self::with_room).
    pub(crate) fn make_room(&mut self, file: &str, size: &TextsSize) -> Result<()> {
        if u32::try_from(self.text.len() + size.bytes).is_err() {
            return Err(Error::limit_exceeded(file, "its names have more than 4 GiB").file(file));
        }
        reserve_text(file, &mut self.text, size.bytes)?;
        reserve(file, &mut self.ends, size.count)
    }

    /// Append a text. There must be room for it.
    pub(crate) fn push(&mut self, text: RawText) {
        text.append_to(&mut self.text);
        self.ends.push(self.text.len() as u32);
    }

    /// Append a text without escapes. There must be room for it.
    pub(crate) fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len() as u32);
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Text number `index`.
    ///
    /// # Panics
    /// If there is no such text.
    pub(crate) fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }

    /// The numbers of the texts, sorted by text.
    ///
    /// # Errors
    /// `bad-header` when a text is there twice, `limit-exceeded` when there is not enough memory.
    pub(crate) fn sorted(&self, file: &str) -> Result<Vec<u32>> {
        let mut order = Vec::new();
        reserve(file, &mut order, self.len())?;
        order.extend(0..self.len() as u32);
        sort_numbers(&mut order, &|one, other| self.get(one as usize).cmp(self.get(other as usize)));
        let twice = order.windows(2).find(|pair| self.get(pair[0] as usize) == self.get(pair[1] as usize));
        match twice {
            Some(pair) => {
                let key: String = self.get(pair[0] as usize).chars().take(limits::NAME_BYTES).collect();
                Err(Error::bad_header(file, format!("the key {key:?} is given twice")))
            }
            None => Ok(order),
        }
    }

    /// The number of `text`, where `order` is what [`sorted`](Self::sorted) gave.
    pub(crate) fn find(&self, order: &[u32], text: &str) -> Option<usize> {
        self.position(order, text).ok().map(|at| order[at] as usize)
    }

    /// Where `text` is in `order`, or where it would have to be inserted.
    pub(crate) fn position(&self, order: &[u32], text: &str) -> std::result::Result<usize, usize> {
        order.binary_search_by(|&index| self.get(index as usize).cmp(text))
    }
}
