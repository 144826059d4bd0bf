//! Rules for combining the updates of several adapters on one weight. Every rule is a file here and a variant of [`Combine`].

use crate::wire::wire_enum;
mod linear;

pub(crate) use linear::add_weighted;

/// How the deltas of several updates become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Combine {
    /// The exact weighted sum.
    #[default]
    Linear,
}

wire_enum!(Combine { Linear });
