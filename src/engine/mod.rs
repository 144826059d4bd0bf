//! Computing output bytes from a plan: any run of elements of any tensor, in a bounded buffer, with no state but the
//! packed factors of the latest tensors.
//!
//! Streaming, workers and reads of a merged model that was never written all drive this one room.

mod factors;
mod fold;
mod memory;

pub use fold::Merger;
pub use memory::{Budget, DEFAULT_BUDGET};
