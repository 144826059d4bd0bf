//! What a plan saw and the user should know, short of an error.

use serde_json::Value;

use crate::json::object;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// The result may not be what was wanted.
    Warning,
}

/// One finding, with a stable code.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// Stable code, such as `prefix-rewritten`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The adapter concerned.
    pub adapter: Option<String>,
    /// The tensor or key concerned.
    pub tensor: Option<String>,
}

impl Finding {
    pub(crate) fn to_json(&self) -> Value {
        let level = match self.level {
            Level::Info => "info",
            Level::Warning => "warning",
        };
        let mut finding =
            object([("level", level.into()), ("code", self.code.into()), ("message", self.message.as_str().into())]);
        for (name, value) in [("adapter", &self.adapter), ("tensor", &self.tensor)] {
            if let (Some(value), Value::Object(finding)) = (value, &mut finding) {
                finding.insert(name.into(), value.as_str().into());
            }
        }
        finding
    }

    /// Something good to know about an adapter.
    pub fn info(code: &'static str, adapter: &str, message: String) -> Finding {
        Finding { level: Level::Info, code, message, adapter: Some(adapter.into()), tensor: None }
    }

    /// Something that may make the result differ from what was wanted.
    pub fn warning(code: &'static str, adapter: Option<&str>, message: String) -> Finding {
        Finding { level: Level::Warning, code, message, adapter: adapter.map(Into::into), tensor: None }
    }
}
