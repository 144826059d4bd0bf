//! How much work the patterns of one plan may do.

use crate::error::{Error, ErrorKind};

/// Steps for all matches of a plan together. An ordinary pattern takes a few dozen steps for a name.
const PLAN_STEPS: u64 = 20_000_000;

/// The steps that the patterns of one plan may still take.
///
/// Every match of the plan takes from the same budget: a configuration may have thousands of patterns, each of them is
/// matched against thousands of names, and a pattern that backtracks can take millions of steps for one name.
#[derive(Debug, Clone)]
pub struct PatternBudget {
    left: u64,
}

impl Default for PatternBudget {
    /// The budget of a whole plan: about half a second of work, or a second in WebAssembly.
    fn default() -> PatternBudget {
        PatternBudget::new(PLAN_STEPS)
    }
}

impl PatternBudget {
    /// A budget of this many steps.
    pub fn new(steps: u64) -> PatternBudget {
        PatternBudget { left: steps }
    }

    /// The steps that are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Take `steps` from the budget.
    ///
    /// # Errors
    /// [`MatchError::OutOfSteps`] when fewer are left.
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), MatchError> {
        match self.left.checked_sub(steps as u64) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(MatchError::OutOfSteps);
            }
        }
        Ok(())
    }
}

/// Why a match could not be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MatchError {
    /// The budget is used up.
    #[error("matching the patterns of this merge against the names of its modules takes too many steps")]
    OutOfSteps,
    /// A match has more open choices than the matcher can remember.
    #[error("one of its matches has too many choices to remember")]
    TooManyChoices,
    /// Python's rules of case for these characters are not implemented.
    #[error("it compares {0:?} and {1:?} without regard to case, which lorafold cannot do")]
    NonAsciiCase(char, char),
}

impl MatchError {
    /// The error about the pattern `key` of the configuration field, or the option, `field`.
    ///
    /// `limit-exceeded`, or `unsupported` for what is not implemented.
    pub(crate) fn of_pattern(self, field: &str, key: &str) -> Error {
        let subject = format!("the pattern {key:?} of {field}");
        let error = match self {
            MatchError::NonAsciiCase(..) => {
                Error::unsupported(subject, self.to_string()).kind(ErrorKind::NotImplemented)
            }
            MatchError::OutOfSteps | MatchError::TooManyChoices => Error::limit_exceeded(subject, self.to_string())
                .fix("write out the names it stands for, or remove repetitions inside repetitions and alternatives that overlap"),
        };
        error.field(field).found(key)
    }
}
