//! The stable codes of errors, and their kinds.

/// An enum whose variants have a text each: what JavaScript and the command line see.
macro_rules! named {
    ($(#[$documentation:meta])* pub enum $type:ident { $($(#[$meaning:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$documentation])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
        #[cfg_attr(test, derive(ts_rs::TS))]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$meaning])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            const ALL: &[($type, &str)] = &[$(($type::$variant, $name)),*];

            /// Its text.
            pub fn as_str(self) -> &'static str {
                Self::ALL[self as usize].1
            }

            /// The one with this text.
            pub fn named(name: &str) -> Option<$type> {
                Self::ALL.iter().find(|(_, other)| *other == name).map(|(one, _)| *one)
            }
        }
    };
}

named! {
    /// The stable codes: part of the API, the same in Rust, JavaScript and on the command line. None is ever renamed; new ones may come.
    pub enum ErrorCode {
        /// A safetensors header, or an index of shards, that breaks the format's rules or contradicts itself.
        BadHeader = "bad-header",
        /// A file that ends before its header says it does, or a shard that is missing.
        Truncated = "truncated",
        /// A configuration file that is not valid, or says something impossible.
        BadConfig = "bad-config",
        /// A folder or file that is something else than it was given as: an adapter as a base, a web page as a model.
        WrongInput = "wrong-input",
        /// An adapter tensor, or a pattern of its configuration, that matches nothing in the base.
        UnmatchedKey = "unmatched-key",
        /// A tensor whose shape does not fit its partner's or the base's.
        ShapeMismatch = "shape-mismatch",
        /// An adapter that lacks one of the tensors of a module.
        MissingPair = "missing-pair",
        /// Something that lorafold knows it cannot merge.
        Unsupported = "unsupported",
        /// A NaN or infinity where none may be.
        NonFinite = "non-finite",
        /// A source that changed while it was read.
        SourceChanged = "source-changed",
        /// A base that is not the one whose hash was asked for.
        BaseMismatch = "base-mismatch",
        /// A read that failed.
        FetchFailed = "fetch-failed",
        /// A server that ignores `Range` where ranges are needed.
        NoRangeSupport = "no-range-support",
        /// A write that failed, for another reason than a lack of space.
        WriteFailed = "write-failed",
        /// No room for the output.
        OutOfSpace = "out-of-space",
        /// The caller asked to stop.
        Aborted = "aborted",
        /// A limit that protects the reader's memory or time.
        LimitExceeded = "limit-exceeded",
        /// An option with an impossible value.
        BadOption = "bad-option",
        /// A mistake in lorafold itself.
        Internal = "internal",
    }
}

named! {
    /// What happened, finer than the code: what a page or a script may branch on. Most errors need none beyond their code.
    pub enum ErrorKind {
        /// The folder given as a base is an adapter.
        AdapterAsBase = "adapter-as-base",
        /// The folder given as an adapter is a base model.
        BaseAsAdapter = "base-as-adapter",
        /// No weights are in the folder.
        NoWeights = "no-weights",
        /// The files of several models are in one folder.
        SeveralModels = "several-models",
        /// Several adapters are in one file or folder.
        SeveralAdapters = "several-adapters",
        /// A shard of the model is missing.
        MissingShard = "missing-shard",
        /// A file that could run code when it is read.
        Pickle = "pickle",
        /// A file of another format, such as GGUF.
        OtherFormat = "other-format",
        /// A web page was downloaded instead of the file.
        WebPage = "web-page",
        /// Git LFS left a pointer in the file's place.
        LfsPointer = "lfs-pointer",
        /// The base stores the tensor in a quantised type.
        QuantisedBase = "quantised-base",
        /// The adapter changes an output layer that is tied to the embedding and cannot be given a weight of its own.
        TiedHead = "tied-head",
        /// The adapter fits several parts of the base.
        AmbiguousPart = "ambiguous-part",
        /// The adapter's tensors have other shapes than the base's.
        OtherShape = "other-shape",
        /// A method, or a field of a configuration, that is known and not implemented.
        NotImplemented = "not-implemented",
        /// A field of a configuration that nobody here has heard of.
        UnknownField = "unknown-field",
        /// An adapter without its configuration.
        NoConfig = "no-config",
        /// A pattern of a configuration that matches none of the adapter's modules.
        UnmatchedPattern = "unmatched-pattern",
        /// Nothing is at this path or address.
        NotFound = "not-found",
        /// A file, folder or server that refuses access.
        AccessDenied = "access-denied",
        /// A repository of the hub whose terms must be accepted first.
        GatedRepository = "gated-repository",
        /// The hub has no such repository, or does not show it to this reader.
        NoRepository = "no-repository",
        /// The repository has no such branch, tag or commit.
        NoRevision = "no-revision",
        /// The server takes no more requests for now.
        RateLimited = "rate-limited",
        /// The output has files already.
        OutputNotEmpty = "output-not-empty",
        /// The output is a folder or file that the merge reads.
        OutputIsInput = "output-is-input",
        /// There is not enough memory.
        NoMemory = "no-memory",
    }
}
