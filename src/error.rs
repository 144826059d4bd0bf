//! The only error type: a stable code, a sentence, and the facts behind the sentence.
//!
//! Programs read the [code](Error::code) and the [facts](Facts); people read the sentence that `Display` makes from them.

mod code;

use std::fmt;

pub use code::{ErrorCode, ErrorKind};

/// The result of every function of lorafold that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error knows besides its sentence. A field is there only if it is known.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ErrorFacts", optional_fields))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Facts {
    /// What happened, more precisely than the code.
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
    /// What the sentence is about, if no fact says so.
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

    /// `wrong-input`: the folder or file is not what it was given as.
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

    /// `source-changed`: the file changed while it was read.
    pub fn source_changed(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::SourceChanged, reason).file(file)
    }

    /// `base-mismatch`: the base has another hash than the one that was asked for, or adapters are taken out of a model whose recipe says otherwise.
    pub fn base_mismatch(base: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::BaseMismatch, reason).file(base)
    }

    /// `fetch-failed`: a read failed.
    pub fn fetch_failed(file: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::new(ErrorCode::FetchFailed, reason).file(file)
    }

    /// `no-range-support`: the server does not answer ranged requests.
    pub fn no_range_support(file: impl Into<String>) -> Error {
        Error::new(ErrorCode::NoRangeSupport, "the server does not answer ranged requests").file(file)
    }

    /// `write-failed`: a write failed for a reason other than lack of space.
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

    /// An error that was thrown in another language. Its sentence is `subject: reason; fix`, with the subject and the fix from the facts.
    #[cfg(any(all(target_arch = "wasm32", feature = "module"), test))]
    pub(crate) fn of_sentence(code: ErrorCode, sentence: &str, facts: Facts) -> Error {
        let within = |text: &Option<String>, cut: fn(&str, &str) -> Option<usize>| {
            text.as_deref().and_then(|text| cut(sentence, text))
        };
        let after = |sentence: &str, subject: &str| {
            sentence.strip_prefix(subject)?.strip_prefix(": ").map(|rest| sentence.len() - rest.len())
        };
        let start = within(&facts.file, after).or_else(|| within(&facts.field, after)).unwrap_or(0);
        let before = |sentence: &str, fix: &str| Some(sentence.strip_suffix(fix)?.strip_suffix("; ")?.len());
        let end = within(&facts.fix, before).unwrap_or(sentence.len());
        let mut error = Error::new(code, sentence.get(start..end).unwrap_or(sentence));
        error.0.facts = facts;
        error
    }

    /// The same error about `subject`, which is not in the facts.
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

    /// The same error with what the user can do about it. The sentence ends with that.
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

    /// What is known besides the sentence.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The same error, with the folder added to its file's name.
    pub(crate) fn in_folder(mut self, folder: &str) -> Error {
        let Inner { subject, facts, .. } = &mut *self.0;
        if let Some(file) = facts.file.as_mut().filter(|file| !is_in(file, folder)) {
            let whole = format!("{folder}/{file}");
            if let Some(subject) = subject.as_mut().filter(|subject| *subject == file) {
                subject.clone_from(&whole);
            }
            *file = whole;
        }
        self
    }

    /// The same error about an adapter's file, with the adapter's folder added to the file's name, because the files of all adapters have the same
    /// names. Errors of reading already have the path or URL.
    pub(crate) fn in_adapter(mut self, adapter: &str) -> Error {
        let Inner { code, facts, .. } = &mut *self.0;
        if matches!(
            code,
            ErrorCode::Aborted
                | ErrorCode::BadOption
                | ErrorCode::FetchFailed
                | ErrorCode::Internal
                | ErrorCode::NoRangeSupport
                | ErrorCode::SourceChanged
        ) {
            return self;
        }
        facts.adapter.get_or_insert_with(|| adapter.into());
        self.in_folder(adapter)
    }
}

/// Whether `file` is an adapter's folder, or in it.
fn is_in(file: &str, adapter: &str) -> bool {
    file.strip_prefix(adapter).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Error {
    /// `adapter A: subject: reason; fix`. Several adapters have files and tensors with the same names, so the sentence says which adapter it is about.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Inner { code, subject, reason, facts } = &*self.0;
        if let Some(adapter) = &facts.adapter
            // The file's path may already say so.
            && (subject.is_some() || facts.tensor.is_some() || !facts.file.as_ref().is_some_and(|file| is_in(file, adapter)))
        {
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
mod tests;
