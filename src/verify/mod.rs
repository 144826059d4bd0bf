//! Whether a merged model, whoever made it, contains exactly a base and adapters, and what it is where it does not.
//!
//! The merge is planned as ever and recomputed, tensor by tensor and job by job. A tensor is looked at up to three times: its **bits** against those
//! of the exact merge; where they differ, its **values** against the bounds (`arithmetic.rs`) within which other tools round, for every factor that
//! the delta may have; and where those do not hold, against **other merges** that somebody may have made instead. A driver runs the jobs of
//! [`Verification::jobs`] on [`Verifier`]s, adds what they find, and asks again until there are none.

// Functions that drivers call are not inlined: a page loads this room when it is first called, and what is inlined elsewhere is loaded before.

mod arithmetic;
mod check;
mod comparison;
mod evidence;
mod found;
mod hull;
mod mixture;
mod report;
mod request;
mod share;
mod verdict;
mod verification;
mod verifier;
mod weights;

pub use report::{ExpectedAdapter, Instead, InsteadCount, TensorVerdict, Verdict, VerdictCounts, VerifyReport};
pub use request::VerifyRequest;
pub use verification::{CheckJob, Verification};
pub use verifier::Verifier;
