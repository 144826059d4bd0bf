//! What the fuzz targets do with their input. Each is a plain function: `fuzz/` calls it with what libFuzzer makes up, `tests/fuzz.rs`
//! with the committed corpus and some thousand mutations of it.
//!
//! No input may panic, or take long; whatever else a target asserts is said at its function.
#![allow(dead_code, reason = "every fuzz target uses a part")]

mod adapter_config;
mod config_json;
mod encoding;
mod header;
mod index;
mod op;
mod plan;
mod source;
mod torch;
mod turning;

pub use adapter_config::adapter_config;
pub use config_json::config_json;
pub use encoding::encoding;
pub use header::header;
pub use index::index;
pub use op::op;
pub use plan::plan;
pub use torch::{open_pickle, pickle, torch};
