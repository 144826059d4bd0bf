//! Adapters: their configuration, the names of their tensors, the pairs of factors, and each pair's scale.

pub mod blocks;
pub(crate) mod choice;
pub mod config;
pub mod dialect;
pub(crate) mod fields;
pub mod keys;
pub mod module_settings;
pub mod pairs;
pub mod pattern;
pub mod stack;
pub mod targets;

pub use config::{AdapterConfig, Start};
pub use module_settings::{ModuleSettings, SettingsLookup};
