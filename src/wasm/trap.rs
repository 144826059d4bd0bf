//! Noticing a trap. What traps (an allocation that fails where Rust cannot say so) ends the call in the middle: an instance that has trapped
//! must not be used again, and a promise that it was working for never settles.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

use wasm_bindgen::prelude::wasm_bindgen;

/// Set while our code runs. Whoever sees it set from outside sees a call that never came back.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// Whether a call has trapped. JavaScript asks between its own tasks, when no call is under way.
#[wasm_bindgen]
pub fn trapped() -> bool {
    RUNNING.load(Ordering::Relaxed)
}

/// The future, noted while it runs.
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

/// The result of `work`, noted while it runs.
pub(super) fn noted_now<T>(work: impl FnOnce() -> T) -> T {
    RUNNING.store(true, Ordering::Relaxed);
    let result = work();
    RUNNING.store(false, Ordering::Relaxed);
    result
}
