//! The strips that change the element type. They stand apart because few merges need them: in the WebAssembly they are in the second half.

use super::element::Element;
use super::isa::{Isa, Strip};
use super::statistics::Statistics;

/// [`Isa::strip`] from one type to another.
///
/// # Safety
/// As there.
pub(super) unsafe fn strip<I: Isa, F: Element, T: Element, const STATISTICS: bool>(
    strip: &Strip,
    statistics: &mut Statistics,
) -> usize {
    // SAFETY: the caller keeps the same promises.
    unsafe { I::strip::<F, T, STATISTICS>(strip, statistics) }
}
