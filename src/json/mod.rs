//! JSON: a document that is edited as text, values that are read with every entry they have, and writing.

pub mod document;
mod names;
mod scan;
mod value;
mod write;

pub(crate) use names::{repeated, sorted};
pub(crate) use value::Json;
pub(crate) use write::text;
