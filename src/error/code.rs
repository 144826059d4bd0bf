//! The stable codes of errors, and their kinds.

/// The stable codes: part of the API, the same in Rust, JavaScript and on the command line. None is ever renamed; new ones may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A safetensors header, or an index of shards, that breaks the format's rules or contradicts itself.
    BadHeader,
    /// A file that ends before its header says it does, or a shard that is missing.
    Truncated,
    /// A configuration file that is not valid, or says something impossible.
    BadConfig,
    /// A folder or file that is something else than it was given as: an adapter as a base, a web page as a model.
    WrongInput,
    /// An adapter tensor, or a pattern of its configuration, that matches nothing in the base.
    UnmatchedKey,
    /// A tensor whose shape does not fit its partner's or the base's.
    ShapeMismatch,
    /// An adapter that lacks one of the tensors of a module.
    MissingPair,
    /// Something that lorafold knows it cannot merge.
    Unsupported,
    /// A NaN or infinity where none may be.
    NonFinite,
    /// A source that changed while it was read.
    SourceChanged,
    /// A read that failed.
    FetchFailed,
    /// A server that ignores `Range` where ranges are needed.
    NoRangeSupport,
    /// A write that failed, for another reason than a lack of space.
    WriteFailed,
    /// No room for the output.
    OutOfSpace,
    /// The caller asked to stop.
    Aborted,
    /// A limit that protects the reader's memory or time.
    LimitExceeded,
    /// An option with an impossible value.
    BadOption,
    /// A mistake in lorafold itself.
    Internal,
}

impl ErrorCode {
    /// The code as text, such as `bad-header`.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorCode::BadHeader => "bad-header",
            ErrorCode::Truncated => "truncated",
            ErrorCode::BadConfig => "bad-config",
            ErrorCode::WrongInput => "wrong-input",
            ErrorCode::UnmatchedKey => "unmatched-key",
            ErrorCode::ShapeMismatch => "shape-mismatch",
            ErrorCode::MissingPair => "missing-pair",
            ErrorCode::Unsupported => "unsupported",
            ErrorCode::NonFinite => "non-finite",
            ErrorCode::SourceChanged => "source-changed",
            ErrorCode::FetchFailed => "fetch-failed",
            ErrorCode::NoRangeSupport => "no-range-support",
            ErrorCode::WriteFailed => "write-failed",
            ErrorCode::OutOfSpace => "out-of-space",
            ErrorCode::Aborted => "aborted",
            ErrorCode::LimitExceeded => "limit-exceeded",
            ErrorCode::BadOption => "bad-option",
            ErrorCode::Internal => "internal",
        }
    }
}

/// What happened, finer than the code: what a page or a script may branch on. Most errors need none beyond their code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The folder given as a base is an adapter.
    AdapterAsBase,
    /// The folder given as an adapter is a base model.
    BaseAsAdapter,
    /// No weights are in the folder.
    NoWeights,
    /// The files of several models are in one folder.
    SeveralModels,
    /// A shard of the model is missing.
    MissingShard,
    /// A file that could run code when it is read.
    Pickle,
    /// A file of another format, such as GGUF.
    OtherFormat,
    /// A web page was downloaded instead of the file.
    WebPage,
    /// Git LFS left a pointer in the file's place.
    LfsPointer,
    /// The base stores the tensor in a quantised type.
    QuantisedBase,
    /// The adapter changes an output layer that is tied to the embedding and cannot be given a weight of its own.
    TiedHead,
    /// The adapter fits several parts of the base.
    AmbiguousPart,
    /// The adapter's tensors have other shapes than the base's.
    OtherShape,
    /// A method, or a field of a configuration, that is known and not implemented.
    NotImplemented,
    /// A field of a configuration that nobody here has heard of.
    UnknownField,
    /// An adapter without its configuration.
    NoConfig,
    /// A pattern of a configuration that matches none of the adapter's modules.
    UnmatchedPattern,
    /// Nothing is at this path or address.
    NotFound,
    /// A file, folder or server that refuses access.
    AccessDenied,
    /// A repository of the hub whose terms must be accepted first.
    GatedRepository,
    /// The hub has no such repository, or does not show it to this reader.
    NoRepository,
    /// The repository has no such branch, tag or commit.
    NoRevision,
    /// The server takes no more requests for now.
    RateLimited,
    /// The output has files already.
    OutputNotEmpty,
    /// The output is a folder or file that the merge reads.
    OutputIsInput,
    /// There is not enough memory.
    NoMemory,
}
