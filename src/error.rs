//! The one error type: a stable code, a sentence, and the facts behind the sentence.
//!
//! Programs read the [code](Error::code) and the [facts](Facts); people read the sentence that `Display` makes of them.

use std::fmt;

/// What every fallible function of lorafold returns.
pub type Result<T> = std::result::Result<T, Error>;

/// The stable codes: part of the API, the same in Rust, JavaScript and on the command line. None is ever renamed; new ones may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// A safetensors header, or an index of shards, that breaks the format's rules.
    BadHeader,
    /// A file that ends before its header says it does.
    Truncated,
    /// A configuration file that is not valid, or says something impossible.
    BadConfig,
    /// A folder or file that is something else than it was given as: an adapter as a base, a folder without weights.
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
    /// A base that is not the one the adapter was made for.
    BaseMismatch,
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
            ErrorCode::BaseMismatch => "base-mismatch",
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
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
    /// A file that could run code when it is read.
    Pickle,
    /// The base stores the tensor in a quantised type.
    QuantisedBase,
    /// The base's output layer is tied to its embedding, and the adapter changes it alone.
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
}

/// What an error knows beside its sentence. Every field is there only where it is known.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ErrorFacts", optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Facts {
    /// What happened, finer than the code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ErrorKind>,
    /// The file, or its URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The adapter's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// The tensor, or the adapter's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensor: Option<String>,
    /// The option or the field of a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The element's index in row-major order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<u64>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What was expected instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What the user can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Everything that can go wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    code: ErrorCode,
    /// What the sentence is about, where no fact says it.
    subject: Option<String>,
    reason: String,
    facts: Facts,
}

impl Error {
    fn new(code: ErrorCode, reason: impl Into<String>) -> Error {
        Error(Box::new(Inner { code, subject: None, reason: reason.into(), facts: Facts::default() }))
    }

    /// `bad-header`: the file breaks a rule of its format.
    pub fn bad_header(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::BadHeader, reason).file(file)
    }

    /// `truncated`: the file is too short.
    pub fn truncated(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::Truncated, reason).file(file)
    }

    /// `bad-config`: the configuration file is not valid, or says something impossible.
    pub fn bad_config(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::BadConfig, reason).file(file)
    }

    /// `wrong-input`: the folder or file is something else than it was given as.
    pub fn wrong_input(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::WrongInput, reason).file(file)
    }

    /// `unmatched-key`: the adapter's key matches nothing in the base.
    pub fn unmatched_key(adapter: impl Into<String>, key: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::UnmatchedKey, reason).adapter(adapter).tensor(key)
    }

    /// `shape-mismatch`: the tensor's shape does not fit.
    pub fn shape_mismatch(adapter: impl Into<String>, tensor: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::ShapeMismatch, reason).adapter(adapter).tensor(tensor)
    }

    /// `missing-pair`: `key` is there, and `missing`, which belongs to it, is not.
    pub fn missing_pair(adapter: impl Into<String>, key: impl Into<String>, missing: impl Into<String>) -> Error {
        let missing = missing.into();
        let reason = format!("it has no partner: {missing} is missing");
        Error::new(ErrorCode::MissingPair, reason).adapter(adapter).tensor(key).expected(missing)
    }

    /// `unsupported`: `subject` (a file, field, tensor or option) cannot be merged.
    pub fn unsupported(subject: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::Unsupported, reason).about(subject)
    }

    /// `non-finite`: the element is, or becomes, NaN or infinite.
    pub fn non_finite(tensor: impl Into<String>, element: u64, reason: impl Into<String>) -> Error {
        let mut error = Error::new(ErrorCode::NonFinite, reason).tensor(tensor);
        error.0.facts.element = Some(element);
        error
    }

    /// `base-mismatch`: the base is not the one that the adapter was made for.
    pub fn base_mismatch(adapter: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::BaseMismatch, reason).adapter(adapter)
    }

    /// `source-changed`: the file changed while it was read.
    pub fn source_changed(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::SourceChanged, reason).file(file)
    }

    /// `fetch-failed`: a read failed.
    pub fn fetch_failed(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::FetchFailed, reason).file(file)
    }

    /// `no-range-support`: the server does not answer ranged requests.
    pub fn no_range_support(file: impl Into<String>) -> Error {
        Error::new(ErrorCode::NoRangeSupport, "the server does not answer ranged requests").file(file)
    }

    /// `write-failed`: a write failed, for another reason than a lack of space.
    pub fn write_failed(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::WriteFailed, reason).file(file)
    }

    /// `out-of-space`: there is no room for the output.
    pub fn out_of_space(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::OutOfSpace, reason).file(file)
    }

    /// `aborted`: the caller asked to stop.
    pub fn aborted() -> Error {
        Error::new(ErrorCode::Aborted, "aborted")
    }

    /// `limit-exceeded`: `subject` is too large.
    pub fn limit_exceeded(subject: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::LimitExceeded, reason).about(subject)
    }

    /// `bad-option`: the option has an impossible value.
    pub fn bad_option(option: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::BadOption, reason).field(option)
    }

    /// `internal`: a mistake in lorafold itself.
    pub fn internal(reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::Internal, reason)
    }

    /// The same error about `subject`, which no fact names.
    fn about(mut self, subject: impl Into<String>) -> Error {
        self.0.subject = Some(subject.into());
        self
    }

    /// The same error with its kind.
    #[must_use]
    pub fn kind(mut self, kind: ErrorKind) -> Error {
        self.0.facts.kind = Some(kind);
        self
    }

    /// The same error with the file it concerns.
    #[must_use]
    pub fn file(mut self, file: impl Into<String>) -> Error {
        self.0.facts.file = Some(file.into());
        self
    }

    /// The same error with the adapter it concerns.
    #[must_use]
    pub fn adapter(mut self, adapter: impl Into<String>) -> Error {
        self.0.facts.adapter = Some(adapter.into());
        self
    }

    /// The same error with the tensor it concerns.
    #[must_use]
    pub fn tensor(mut self, tensor: impl Into<String>) -> Error {
        self.0.facts.tensor = Some(tensor.into());
        self
    }

    /// The same error with the option or field it concerns.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Error {
        self.0.facts.field = Some(field.into());
        self
    }

    /// The same error with what was found.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Error {
        self.0.facts.found = Some(found.into());
        self
    }

    /// The same error with what was expected instead.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Error {
        self.0.facts.expected = Some(expected.into());
        self
    }

    /// The same error with what the user can do about it, which ends the sentence.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Error {
        self.0.facts.fix = Some(fix.into());
        self
    }

    /// The stable code as text.
    pub fn code(&self) -> &'static str {
        self.0.code.as_str()
    }

    /// The stable code.
    pub fn error_code(&self) -> ErrorCode {
        self.0.code
    }

    /// What is wrong, without what it is about.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// What is known beside the sentence.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The same error, its file named with the folder it is in: adapters' files all have the same names.
    pub(crate) fn in_folder(mut self, folder: &str) -> Error {
        if matches!(self.0.code, ErrorCode::BadHeader | ErrorCode::Truncated | ErrorCode::BadConfig)
            && let Some(file) = &mut self.0.facts.file
            && file != folder
            && !file.starts_with(&format!("{folder}/"))
        {
            *file = format!("{folder}/{file}");
        }
        self
    }
}

impl fmt::Display for Error {
    /// `adapter A: subject: reason; fix`. Several adapters have files and tensors of the same names: the sentence says whose.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Inner { code, subject, reason, facts } = &*self.0;
        if let Some(adapter) = &facts.adapter {
            write!(f, "adapter {adapter}: ")?;
        }
        match (code, subject, facts) {
            (_, Some(subject), _) => write!(f, "{subject}: ")?,
            (ErrorCode::BadOption, _, Facts { field: Some(option), .. }) => write!(f, "option {option}: ")?,
            (ErrorCode::SourceChanged, _, Facts { file: Some(file), .. }) => {
                write!(f, "{file} changed while it was being read: ")?
            }
            (ErrorCode::OutOfSpace, _, Facts { file: Some(file), .. }) => write!(f, "{file}: no space left: ")?,
            (_, _, Facts { tensor: Some(tensor), element: Some(element), .. }) => {
                write!(f, "{tensor}, element {element}: ")?
            }
            (_, _, Facts { tensor: Some(tensor), .. }) => write!(f, "{tensor}: ")?,
            (_, _, Facts { file: Some(file), .. }) => write!(f, "{file}: ")?,
            _ => {}
        }
        f.write_str(reason)?;
        match &facts.fix {
            Some(fix) => write!(f, "; {fix}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_whose_where_what_and_what_to_do() {
        let error = Error::shape_mismatch("style", "q_proj.weight", "the shapes differ")
            .found("[4, 4]")
            .expected("[8, 4]")
            .fix("give the base it was trained on");
        assert_eq!(
            error.to_string(),
            "adapter style: q_proj.weight: the shapes differ; give the base it was trained on"
        );
        let facts = serde_json::to_value(error.facts()).unwrap();
        assert_eq!(facts["found"], "[4, 4]");
        assert_eq!(facts.get("file"), None);
    }

    #[test]
    fn the_text_of_a_code_is_what_serde_writes() {
        for code in [ErrorCode::BadHeader, ErrorCode::NoRangeSupport, ErrorCode::Internal] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
