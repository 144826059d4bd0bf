//! lorafold folds LoRA adapters into base model weights.
//!
//! `W' = W + Σ_i weight_i · scale_i · (B_i @ A_i)`, streamed in blocks, in constant memory, with one rounding.
//!
//! On a machine with files and threads, `Merge` goes from folders to a folder:
//!
//! ```
//! # #[cfg(not(target_arch = "wasm32"))]
//! # fn main() -> lorafold::Result<()> {
//! use lorafold::{AdapterFolder, Merge};
//!
//! # let out = std::env::temp_dir().join(format!("lorafold-doctest-{}", std::process::id()));
//! # let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sample");
//! # std::env::set_current_dir(sample).expect("the sample of the tests");
//! let merged = Merge::builder()
//!     .base("tiny-llama")
//!     .adapter("storyteller-lora")
//!     .adapter(AdapterFolder::new("terse-rslora").weight(0.5))
//!     .plan()?
//!     .run(&out)?;
//! assert!(merged.plan.files.iter().any(|file| file.name == "config.json"));
//! # std::fs::remove_dir_all(out).expect("the merged model");
//! # Ok(())
//! # }
//! # #[cfg(target_arch = "wasm32")]
//! # fn main() {}
//! ```
//!
//! Everywhere else, and wherever the output is not a folder, a driver of your own does what `Merge` does:
//!
//! 1. It implements [`Inputs`], which reads bytes of files by number, and [lists](Listing) those of the base and of each adapter.
//! 2. [`plan()`] reads headers and configurations through it. Every mistake that they can show is an error there.
//! 3. [`MergePlan::pieces`] says what any range of any output file is made of: bytes of the plan, bytes to copy, elements to compute.
//! 4. A [`Merger`] takes the [`MergePlan::program`] of a tensor, and its facts where it has some ([`FactSum`]), and computes.
//!
//! The core does no I/O, and has no clock and no randomness. The same inputs give the same bytes on every machine, for any number of threads
//! and any size of block. `ARCHITECTURE.md` shows its rooms and the arrows between them.
//!
//! On wasm32 the feature `module` adds what the npm package is made of; without it the crate is a library like any other.

#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// What is hidden here may change with any version: the tests and benchmarks use it, and types of the API come from it.
#[doc(hidden)]
pub mod adapter;
#[doc(hidden)]
pub mod combine;
#[doc(hidden)]
pub mod container;
#[doc(hidden)]
pub mod encoding;
pub mod engine;
pub mod error;
pub mod factors;
pub mod findings;
pub mod inputs;
#[doc(hidden)]
pub mod inspect;
#[doc(hidden)]
pub mod json;
#[doc(hidden)]
pub mod kernel;
mod linear;
#[doc(hidden)]
pub mod model;
#[cfg(not(target_arch = "wasm32"))]
mod native;
#[doc(hidden)]
pub mod op;
mod order;
pub mod plan;
#[cfg(test)]
mod schema;
#[doc(hidden)]
pub mod tensor;
pub mod verify;
#[cfg(all(target_arch = "wasm32", feature = "module"))]
#[doc(hidden)]
pub mod wasm;
mod wire;

pub use engine::{Budget, FactSum, Merger};
pub use error::{Error, ErrorCode, ErrorKind, Facts, Result};
pub use factors::{CombineOptions, ExtractOptions, FactorsPlan, FactorsReport, plan_combine, plan_extract};
pub use findings::Finding;
pub use inputs::{FileInfo, Inputs, Listing, Span};
#[cfg(not(target_arch = "wasm32"))]
pub use native::{
    AdapterFolder, Cancel, Inexact, Merge, MergeBuilder, Merged, NewAdapter, Progress, ReceiptMetadata, Unmerged,
};
pub use plan::{AdapterOptions, MergePlan, Piece, PlanOptions, plan};
