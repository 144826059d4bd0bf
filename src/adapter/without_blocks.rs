//! Factors that are stored in blocks (`blocks.rs`), where the feature `rare` is off: refused by name.

use serde_json::Value;

use super::fields::{FieldReader, says_nothing};
use crate::error::{ErrorKind, Result};
use crate::op::{LowRank, Op};

/// What a configuration says of blocks: nothing.
#[derive(Debug, Clone, Default)]
pub struct Blocks;

/// How the factors of one module are stored: never in blocks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {}

impl Blocks {
    /// Refuse `use_bdlora`.
    pub(super) fn read_diagonal(&mut self, reader: &FieldReader, value: &Value) -> Result<()> {
        refuse(reader, "use_bdlora", value)
    }

    /// Refuse `enable_lora`.
    pub(super) fn read_enabled(&mut self, reader: &FieldReader, value: &Value) -> Result<()> {
        refuse(reader, "enable_lora", value)
    }

    /// None of any module.
    pub(crate) fn of(&self, _: &str) -> Result<Option<Block>> {
        Ok(None)
    }
}

impl Block {
    /// There is none.
    pub(crate) fn products(&self) -> u64 {
        match *self {}
    }

    /// There is none.
    pub(crate) fn op(&self, _: LowRank, _: u64) -> Result<Op> {
        match *self {}
    }
}

fn refuse(reader: &FieldReader, field: &str, value: &Value) -> Result<()> {
    if says_nothing(value) {
        return Ok(());
    }
    let meaning =
        "only the crate merges factors that are stored in blocks: the WebAssembly module has no room for it yet";
    let error = reader.refuse(field, value, meaning).kind(ErrorKind::NotImplemented);
    Err(error.fix("merge this adapter with the crate lorafold, or with PEFT"))
}
