//! The boundary to JavaScript: inputs that read Blobs and whatever functions read, and the classes that JavaScript holds.
//! No decisions are made here; structured values cross as JSON text.

#![allow(unsafe_code, reason = "views of wasm memory are handed to JavaScript for the length of one call")]

mod errors;
pub mod exports;
mod input;
pub mod memory;
mod requests;
pub mod trap;
