//! lorafold folds LoRA adapters into base model weights.
//!
//! `W' = W + Σ_i weight_i · scale_i · (B_i @ A_i)`, streamed in row blocks, in constant memory, with one rounding.
//!
//! The core does no I/O: see `ARCHITECTURE.md` for its rooms and the arrows between them.

#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adapter;
pub mod combine;
pub mod container;
pub mod encoding;
pub mod engine;
pub mod error;
pub mod findings;
pub mod inputs;
pub mod inspect;
pub mod json;
pub mod kernel;
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod op;
pub mod plan;
#[cfg(test)]
mod schema;
pub mod tensor;
#[cfg(target_arch = "wasm32")]
pub mod wasm;

pub use error::{Error, Result};
