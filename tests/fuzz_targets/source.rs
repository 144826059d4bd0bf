//! Decisions taken from bytes.

/// Gives decisions for as long as there are bytes, and the simplest one after them.
pub struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        u64::from(u16::from_le_bytes([self.byte(), self.byte()])) % limit
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// A run of bytes, with its length before it.
    pub fn text(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_le_bytes([self.byte(), self.byte()])).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }

    /// `count` bytes: those of the input, mixed with where they stand, so that few of them fill much.
    pub fn fill(&mut self, count: usize) -> Vec<u8> {
        let seed = self.text();
        let mixed = |at: usize| (at as u8).wrapping_mul(37).wrapping_add((at >> 8) as u8) & 0x3f;
        (0..count).map(|at| if seed.is_empty() { mixed(at) } else { seed[at % seed.len()] ^ mixed(at) }).collect()
    }
}
