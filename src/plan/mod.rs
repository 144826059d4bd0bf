//! Base × adapters × options → a [`MergePlan`]: for every tensor whether it is copied or merged, the headers of the output, and the
//! findings. All of it is known before a weight is read, and so is every error that headers can show.

mod adapter;
mod build;
mod change;
mod elsewhere;
mod experts;
mod identity;
mod matching;
mod missing_layers;
mod open;
mod options;
mod output;
mod pieces;
pub mod program;
pub mod recipe;
mod replication;
pub mod report;
mod request;
mod rounding;
mod rules;
mod scales;
pub mod signal;
mod tensors;
mod tied;
mod tokenizer;
mod transfer;
mod unmerged;
mod vocabulary;
mod wrapped;
mod zeros;

pub use adapter::{Adapter, open_adapter};
pub use build::{MergePlan, plan};
pub use open::{Base, Shard, open_base};
pub use options::{AdapterOptions, OutputDtype, PlanOptions};
pub use output::OutputFile;
pub use pieces::{Piece, Run, RunSource};
pub use program::{Program, Region, Update};
pub use recipe::Recipe;
pub use report::{FileSize, Report};
pub use request::{AdapterRequest, PlanRequest};
pub use tensors::TensorView;
pub(crate) use tied::is_vocabulary;
