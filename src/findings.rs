//! What the user should know about a plan, short of an error.

use std::borrow::Cow;

use serde::Serialize;

use crate::wire::{Wire, wire};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Good to know.
    Info,
    /// The result may not be what was wanted.
    Warning,
}

/// Something the user should know, short of an error.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    #[cfg_attr(test, ts(inline))]
    pub level: Level,
    /// Stable code, such as `prefix-rewritten`.
    pub code: Cow<'static, str>,
    /// One sentence.
    pub message: String,
    /// The adapter concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The tensor or key concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
}

impl Wire for Level {
    fn put(&self, out: &mut Vec<u8>) {
        matches!(self, Level::Warning).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(from)? { Level::Warning } else { Level::Info })
    }
}

wire!(Finding { level, code, message, adapter, tensor });

impl Finding {
    /// Something good to know about an adapter.
    pub fn info(code: &'static str, adapter: &str, message: String) -> Finding {
        Finding { level: Level::Info, code: code.into(), message, adapter: Some(adapter.into()), tensor: None }
    }

    /// Something that may make the result differ from what was wanted.
    pub fn warning(code: &'static str, adapter: Option<&str>, message: String) -> Finding {
        Finding { level: Level::Warning, code: code.into(), message, adapter: adapter.map(Into::into), tensor: None }
    }
}
