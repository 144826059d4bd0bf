//! The one error type, its stable codes, and what each error names.

use thiserror::Error as ThisError;

/// What every fallible function of lorafold returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong. Each variant has a stable [`code`](Error::code), the same in Rust, JavaScript and the CLI.
#[derive(Debug, Clone, PartialEq, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A safetensors header, or an index of shards, that breaks the format's rules.
    #[error("{file}: {reason}")]
    BadHeader {
        /// The file whose header is bad.
        file: String,
        /// Which rule it breaks.
        reason: String,
    },
    /// A file that ends before its header says it does.
    #[error("{file}: {reason}")]
    Truncated {
        /// The file that is too short.
        file: String,
        /// How much is missing.
        reason: String,
    },
    /// A configuration file that is not valid, or says something impossible.
    #[error("{file}: {reason}")]
    BadConfig {
        /// The configuration file.
        file: String,
        /// What is wrong in it.
        reason: String,
    },
    /// An adapter tensor, or a pattern of its configuration, that matches nothing in the base.
    #[error("adapter {adapter}: {key}: {reason}")]
    UnmatchedKey {
        /// The adapter's name.
        adapter: String,
        /// The adapter's key.
        key: String,
        /// What was looked for, and what would fix it.
        reason: String,
    },
    /// A tensor whose shape does not fit its partner's or the base's.
    #[error("adapter {adapter}: {tensor}: {reason}")]
    ShapeMismatch {
        /// The adapter's name.
        adapter: String,
        /// The adapter's tensor.
        tensor: String,
        /// Both shapes.
        reason: String,
    },
    /// Half of a factor pair.
    #[error("adapter {adapter}: {key} has no partner: {missing} is missing")]
    MissingPair {
        /// The adapter's name.
        adapter: String,
        /// The key that is there.
        key: String,
        /// The key that is not.
        missing: String,
    },
    /// Something that lorafold knows it cannot merge.
    #[error("{}{subject}: {reason}", of(adapter))]
    Unsupported {
        /// The file, adapter, field or tensor.
        subject: String,
        /// The adapter concerned, where one is.
        adapter: Option<String>,
        /// The tensor concerned, where one is.
        tensor: Option<String>,
        /// Why not, and what would help.
        reason: String,
    },
    /// A NaN or infinity where none may be.
    #[error("{}{tensor}, element {element}: {reason}", of(adapter))]
    NonFinite {
        /// The tensor, of the base or of an adapter.
        tensor: String,
        /// The element's index in row-major order.
        element: u64,
        /// The adapter, where the value is in one of its factors.
        adapter: Option<String>,
        /// What happened to it.
        reason: String,
    },
    /// A base that is not the one the adapter was made for.
    #[error("adapter {adapter}: {reason}")]
    BaseMismatch {
        /// The adapter's name.
        adapter: String,
        /// How that was seen.
        reason: String,
    },
    /// A source that changed while it was read.
    #[error("{file} changed while it was being read: {reason}")]
    SourceChanged {
        /// The file.
        file: String,
        /// What changed.
        reason: String,
    },
    /// A read that failed.
    #[error("{file}: {reason}")]
    FetchFailed {
        /// The file or URL.
        file: String,
        /// The platform's words for it.
        reason: String,
    },
    /// A server that ignores `Range` where ranges are needed.
    #[error("{file}: the server does not answer ranged requests")]
    NoRangeSupport {
        /// The URL.
        file: String,
    },
    /// No room for the output.
    #[error("{file}: no space left: {reason}")]
    OutOfSpace {
        /// The file being written.
        file: String,
        /// The platform's words for it.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("aborted")]
    Aborted,
    /// A limit that protects the reader's memory.
    #[error("{subject}: {reason}")]
    LimitExceeded {
        /// What was too large.
        subject: String,
        /// The limit and the value.
        reason: String,
    },
    /// An option with an impossible value.
    #[error("option {option}: {reason}")]
    BadOption {
        /// The option.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Several adapters have files, fields and tensors of the same names: the message says whose.
fn of(adapter: &Option<String>) -> String {
    adapter.as_ref().map(|name| format!("adapter {name}: ")).unwrap_or_default()
}

impl Error {
    /// The stable code: part of the API, never changed once published.
    pub fn code(&self) -> &'static str {
        match self {
            Error::BadHeader { .. } => "bad-header",
            Error::Truncated { .. } => "truncated",
            Error::BadConfig { .. } => "bad-config",
            Error::UnmatchedKey { .. } => "unmatched-key",
            Error::ShapeMismatch { .. } => "shape-mismatch",
            Error::MissingPair { .. } => "missing-pair",
            Error::Unsupported { .. } => "unsupported",
            Error::NonFinite { .. } => "non-finite",
            Error::BaseMismatch { .. } => "base-mismatch",
            Error::SourceChanged { .. } => "source-changed",
            Error::FetchFailed { .. } => "fetch-failed",
            Error::NoRangeSupport { .. } => "no-range-support",
            Error::OutOfSpace { .. } => "out-of-space",
            Error::Aborted => "aborted",
            Error::LimitExceeded { .. } => "limit-exceeded",
            Error::BadOption { .. } => "bad-option",
        }
    }

    /// The same error, its file named with the folder it is in: adapters' files all have the same names.
    pub(crate) fn in_folder(mut self, folder: &str) -> Error {
        if let Error::BadHeader { file, .. } | Error::Truncated { file, .. } | Error::BadConfig { file, .. } = &mut self
            && file != folder
            && !file.starts_with(&format!("{folder}/"))
        {
            *file = format!("{folder}/{file}");
        }
        self
    }

    /// The tensor the error is about, where there is one.
    pub fn tensor(&self) -> Option<&str> {
        match self {
            Error::UnmatchedKey { key, .. } | Error::MissingPair { key, .. } => Some(key),
            Error::ShapeMismatch { tensor, .. } | Error::NonFinite { tensor, .. } => Some(tensor),
            Error::Unsupported { tensor, .. } => tensor.as_deref(),
            _ => None,
        }
    }

    /// The adapter the error is about, where there is one.
    pub fn adapter(&self) -> Option<&str> {
        match self {
            Error::UnmatchedKey { adapter, .. }
            | Error::ShapeMismatch { adapter, .. }
            | Error::MissingPair { adapter, .. }
            | Error::BaseMismatch { adapter, .. } => Some(adapter),
            Error::Unsupported { adapter, .. } | Error::NonFinite { adapter, .. } => adapter.as_deref(),
            _ => None,
        }
    }
}
