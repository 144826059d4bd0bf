//! The module's allocator: the one that Rust uses on wasm, with a limit that the host can set.
//!
//! Some platforms (edge isolates with 128 MB) kill whatever grows too large, without a warning. With our own limit, the request for more memory
//! fails with an error instead.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use wasm_bindgen::prelude::wasm_bindgen;

use dlmalloc::Dlmalloc;

const PAGE: usize = 1 << 16;

/// Pages that the memory may grow to.
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Whether the latest allocation failed.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether the latest allocation failed, which tells what a trap means. A failure that was reported as an error does not count, because the
/// error's own text was allocated after it.
#[wasm_bindgen(js_name = outOfMemory)]
pub fn out_of_memory() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// Let the memory grow to at most `bytes`. What is there already stays.
#[wasm_bindgen(js_name = limitMemory)]
pub fn limit_memory(bytes: f64) {
    LIMIT.store(bytes as usize / PAGE, Ordering::Relaxed);
}

/// Pages of the module's one memory.
struct Pages;

// SAFETY: every range comes fresh from `memory.grow`, which gives zeroed pages that nobody else has; none is ever given back.
unsafe impl dlmalloc::Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let pages = size.div_ceil(PAGE);
        let allowed = core::arch::wasm32::memory_size(0).saturating_add(pages) <= LIMIT.load(Ordering::Relaxed);
        let before = if allowed { core::arch::wasm32::memory_grow(0, pages) } else { usize::MAX };
        if before == usize::MAX {
            return (std::ptr::null_mut(), 0, 0);
        }
        ((before * PAGE) as *mut u8, pages * PAGE, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        std::ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

struct Limited(UnsafeCell<Dlmalloc<Pages>>);

// SAFETY: an instance of the module has one thread (it is compiled without the atomics feature).
unsafe impl Sync for Limited {}

#[global_allocator]
static ALLOCATOR: Limited = Limited(UnsafeCell::new(Dlmalloc::new_with_allocator(Pages)));

/// Note whether an allocation failed.
fn noted(allocated: *mut u8) -> *mut u8 {
    FAILED.store(allocated.is_null(), Ordering::Relaxed);
    allocated
}

// SAFETY: every call is handed to dlmalloc, which keeps the trait's promises; with one thread, and no call that calls back, the
// exclusive reference is the only one.
unsafe impl GlobalAlloc for Limited {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) })
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above; the caller's pointer and layout are those of an allocation.
        unsafe { (*self.0.get()).free(ptr, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { (*self.0.get()).realloc(ptr, layout.size(), layout.align(), size) })
    }
}
