//! Running programs: any run of elements of any tensor, in a bounded buffer, with no state but the programs at hand and their packed
//! operands.
//!
//! Streaming, workers and reads of a merged model that was never written all drive this one room.

mod block;
mod deltas;
mod facts;
mod memory;
mod merger;
mod operands;
mod prepared;
mod sample;
mod strips;

pub(crate) use deltas::Mixed;
pub use facts::{FactJob, FactSum};
pub use memory::{Budget, DEFAULT_BUDGET};
pub use merger::Merger;
