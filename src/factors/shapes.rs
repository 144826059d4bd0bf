//! What the base says of the layers that adapters are for: some methods' files tell one side only, or not which part of a side is a kernel.

use std::collections::HashMap;

use crate::adapter::dialect::ModuleUpdate;
use crate::error::{Error, Result};
use crate::inputs::{Inputs, Listing};
use crate::json::sorted;
use crate::model::config_json::Config;
use crate::model::orientation::{Evidence, Fit};
use crate::model::placement::Placement;
use crate::op::LayerShape;
use crate::plan::open_base;

/// The layers of a base, by the names that the adapters have for their weights.
#[derive(Debug)]
pub(super) struct Shapes {
    layers: HashMap<String, LayerShape>,
    /// What errors call the base.
    base: String,
}

impl Shapes {
    /// Read the headers of a base, and find the weights in it that the adapters change.
    ///
    /// # Errors
    /// Those of [`open_base`]; `unmatched-key` where the adapters fit several parts of it.
    pub(super) async fn of(
        inputs: &impl Inputs,
        base: &Listing,
        updates: impl Iterator<Item = &ModuleUpdate> + Clone,
    ) -> Result<Shapes> {
        let base = open_base(inputs, base).await?;
        let config = base.config.as_deref().map(Config::parse).transpose()?;
        let types = config.as_ref().map(|config| config.model().types).unwrap_or_default();
        let mut infos = HashMap::new();
        let mut names = Vec::new();
        for info in base.shards.iter().flat_map(|shard| shard.header.iter()) {
            names.push(info.name);
            infos.insert(info.name, info);
        }
        let factored =
            updates.filter(|update| update.wrapper.is_none() && (update.op.has_factors() || update.op.is_dora()));
        let wanted: Vec<String> = factored.clone().map(ModuleUpdate::tensor).collect();
        let mut sought = sorted(wanted.iter().map(String::as_str).collect());
        sought.dedup();
        let placement = Placement::choose(&sought, &names, &types).map_err(|several| {
            let parts = several.prefixes.join(", ");
            let reason = format!("the adapters fit several parts of it: {parts}");
            Error::wrong_input(base.name.clone(), reason).fix("give the part of the model that they were trained on")
        })?;
        // As a merge decides it, the shapes that are not square say how the others are stored.
        let mut evidence = Evidence::new(&types, false);
        let place = |name: &str| infos.get(placement.place(name)?);
        for (update, name) in factored.clone().zip(&wanted) {
            if let Some(info) = place(name) {
                evidence.note(&update.module, update.op.fit(info.shape));
            }
        }
        let mut layers = HashMap::new();
        for (update, name) in factored.zip(&wanted) {
            let Some(info) = place(name) else { continue };
            let transposed = match update.op.fit(info.shape) {
                Fit::Transposed | Fit::Certain { transposed: true } => true,
                Fit::Either => evidence.square_is_transposed(&update.module).0,
                _ => false,
            };
            let layer = match *info.shape {
                [rows, cols] if update.op.layer.embedding => LayerShape::embedding(rows, cols),
                [rows, cols] if transposed => LayerShape::linear(cols, rows),
                [outputs, inputs, ref kernel @ ..] => LayerShape::convolution(outputs, inputs, kernel),
                _ => continue,
            };
            layers.insert(name.clone(), layer);
        }
        Ok(Shapes { layers, base: base.name.clone() })
    }

    /// The layer that an update is for.
    ///
    /// # Errors
    /// `unmatched-key` where the base has none of its name.
    pub(super) fn layer(&self, update: &ModuleUpdate, adapter: &str) -> Result<LayerShape> {
        let name = update.tensor();
        self.layers.get(&name).cloned().ok_or_else(|| {
            let reason = format!("{} has no such tensor with rows and columns", self.base);
            Error::unmatched_key(adapter, update.key.clone(), reason)
                .expected(name)
                .fix("give the base that the adapters were trained on")
        })
    }
}
