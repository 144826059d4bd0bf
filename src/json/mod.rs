//! JSON: a document that is edited as text, values that are read with every entry they have, and writing.

pub mod document;
mod escapes;
mod names;
mod number;
mod read;
mod scan;
mod typed;
mod write;

pub(crate) use escapes::unescaped;
pub(crate) use names::{repeated, sorted};
pub(crate) use read::{entries, parse};
pub(crate) use typed::from_json;
pub use typed::{Fields, FromJson};
pub(crate) use write::{number, pretty, text};
