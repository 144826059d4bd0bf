//! Noticing a trap. A call that traps (an allocation fails where Rust has no way to report it) ends in the middle. The instance must not be used
//! again, and a promise that the call was working on never settles.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::prelude::wasm_bindgen;

/// Set while work given to [`noted`] or [`noted_now`] runs. JavaScript runs between calls: if it finds this set, such a call has never
/// returned.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether a call has trapped. JavaScript asks between its own tasks, when no call is under way.
#[wasm_bindgen]
pub fn trapped() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// Runs the future, with the flag set while it is being polled.
pub(super) async fn noted<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| {
        RUNNING.store(true, Ordering::Relaxed);
        let polled = future.as_mut().poll(context);
        RUNNING.store(false, Ordering::Relaxed);
        polled
    })
    .await
}

/// Does `work` with the flag set.
pub(super) fn noted_now<T>(work: impl FnOnce() -> T) -> T {
    RUNNING.store(true, Ordering::Relaxed);
    let result = work();
    RUNNING.store(false, Ordering::Relaxed);
    result
}
