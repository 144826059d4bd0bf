//! The scales of each adapter's updates, for the report and the recipe.

use std::collections::HashMap;

use super::adapter::Adapter;
use super::tensors::Tensors;
use crate::op::Scale;

/// The scales of all adapters.
pub(super) struct Scales {
    /// With the number of the adapter's weight file among all inputs.
    adapters: Vec<(usize, AdapterScales)>,
}

/// The scales of one adapter.
#[derive(Debug, Clone, Default)]
pub(super) struct AdapterScales {
    /// Number of its updates. The experts of a stack count as one.
    pub(super) updates: usize,
    /// Each scale and the number of its updates, in the order of the tensors.
    pub(super) scales: Vec<(Scale, u64)>,
}

impl Scales {
    /// The scales of the updates of all tensors, in one pass: an adapter may have as many scales as updates.
    pub(super) fn of(tensors: &Tensors, of: &[Adapter]) -> Scales {
        let mut adapters: Vec<(usize, AdapterScales)> = Vec::new();
        // Rank and alpha decide the scale. 0 and -0 are the same alpha.
        let mut places: HashMap<(usize, u64, u64), usize> = HashMap::new();
        // For each adapter, the factors that belong to many experts.
        let mut stacks: Vec<HashMap<&str, usize>> = Vec::new();
        for update in tensors.programs().iter().flat_map(|program| &program.updates) {
            let Some(input) = update.op.input() else { continue };
            let whole = of.iter().find(|adapter| adapter.shards.contains(&input));
            let input = whole.map_or(input, |adapter| adapter.input);
            let number = adapters.iter().position(|(other, _)| *other == input).unwrap_or(adapters.len());
            if number == adapters.len() {
                adapters.push((input, AdapterScales::default()));
                stacks.push(HashMap::new());
            }
            let AdapterScales { updates, scales } = &mut adapters[number].1;
            let is_more = match update.op.operands.as_slice() {
                [a, b, ..] if b.columns.is_some() => stacks[number].insert(&a.key, 0).is_some(),
                _ => false,
            };
            *updates += usize::from(!is_more);
            let Some(scale) = update.op.scale else { continue };
            let place = *places.entry((input, scale.rank, (scale.alpha + 0.0).to_bits())).or_insert(scales.len());
            match scales.get_mut(place) {
                Some((_, count)) => *count += 1,
                None => scales.push((scale, 1)),
            }
        }
        Scales { adapters }
    }

    /// The scales of one adapter.
    pub(super) fn of_adapter(&self, adapter: &Adapter) -> AdapterScales {
        let found = self.adapters.iter().find(|(input, _)| *input == adapter.input);
        found.map(|(_, scales)| scales.clone()).unwrap_or_default()
    }
}
