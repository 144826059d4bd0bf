//! The boundary to JavaScript: inputs that read Blobs or call functions, and the classes that JavaScript holds. No decisions are made here.
//! Structured values are types of the crate, and have the same types in TypeScript (`schema.rs`).

#![allow(unsafe_code, reason = "views of wasm memory are handed to JavaScript for the length of one call")]

#[cfg(feature = "bench")]
pub mod bench;
mod errors;
pub mod exports;
pub mod factors;
mod input;
pub mod memory;
mod values;
pub mod verify;
