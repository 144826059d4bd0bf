//! What config.json and the names of the tensors tell about a base: its family, how its layers are stored, whether its output
//! layer is tied, and where an adapter's modules are in it.

pub mod config_json;
pub(crate) mod experts;
mod fitting;
pub(crate) mod image_blocks;
pub mod orientation;
mod paths;
pub mod placement;
mod relatives;
pub mod renames;
pub(crate) mod suffixes;

/// What config.json says that matters to a merge.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    /// Every `model_type`, including those of the model's parts.
    pub(crate) types: Vec<String>,
    /// Whether the output layer is tied to the embedding, if config.json says so.
    pub(crate) tied: Option<bool>,
    pub(crate) encoder_decoder: bool,
    /// The method by which config.json says that its weights are quantised.
    pub(crate) quantised: Option<String>,
}
