//! Adapters from adapters, and from models: factors in, factors out.
//!
//! A [`FactorsPlan`] says which modules the new adapter has. Each is computed by itself, from the factors of the adapters
//! ([`plan_combine`]) or from the rows of two models ([`plan_extract`]); its singular values come from a small core, and no weight is in memory
//! as a whole. All sums are in one order, so that the same bytes come out everywhere; in f64, but for the passes over two models of f32 or less.

mod adapters;
mod bias;
mod combine;
mod copies;
mod dense;
mod extract;
mod folder;
mod independent;
mod keep;
mod layer;
mod low_rank;
mod models;
mod options;
mod parts;
mod plan;
mod prune;
mod report;
mod request;
mod rule;
mod said;
mod shapes;
mod sketch;
mod stack;
mod stacks;
mod targets;
mod thin;

use crate::linear::{matrix, qr, svd, symmetric};

pub use adapters::plan_combine;
pub use folder::{AdapterFiles, Slot};
pub use models::plan_extract;
pub use options::{CombineOptions, ExtractOptions};
pub use plan::{Factored, FactorsPlan, Outcome};
pub use report::{FactorsReport, ModuleReport, OtherReport};
pub use request::FactorsRequest;
