//! Base × adapters × options → a [`MergePlan`]: for every tensor copy or merge, the headers of the output, the
//! findings. Everything is known, and every error that can be seen in headers is raised, before a weight is read.

pub mod build;
pub mod head;
pub mod identity;
pub mod matching;
pub mod open;
pub mod options;
pub mod output;
pub mod pieces;
pub mod recipe;
pub mod report;
pub mod tensor;

pub use build::{MergePlan, build};
pub use open::{Adapter, Base, Shard, open_adapter, open_base};
pub use options::{AdapterOptions, OutputDtype, PlanOptions};
pub use tensor::{FactorSpec, MergeSpec, PlannedTensor, Term};
