//! Computing output bytes from a plan: any run of elements of any tensor, in a bounded buffer, with no state but a cache
//! of the factors of the tensor at hand.
//!
//! Streaming, workers and reads of a merged model that was never written all drive this one room.

mod fold;
mod memory;

pub use fold::Folder;
pub use memory::{Budget, DEFAULT_BUDGET};
