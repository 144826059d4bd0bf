//! Adapters: their configuration, the names of their tensors, the pairs of factors these make, and each pair's scale.

pub mod config;
pub mod dialect;
pub mod keys;
pub mod pairs;
pub mod pattern;

pub use config::AdapterConfig;
pub use pairs::{FactorRef, Pair};
