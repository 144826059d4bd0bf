//! Reading the adapters that become one: their configurations and headers. Every mistake that these can show is an error before a weight is
//! read.

use serde_json::{Map, Value, json};

use super::options::CombineOptions;
use super::parts::{Parted, Parts};
use super::plan::{FactorsPlan, Given, Making};
use super::rule::Method;
use super::said::{said, together};
use super::shapes::Shapes;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::pattern::PatternBudget;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing};
use crate::order::sort_by;
use crate::plan::draws::identity;
use crate::plan::{Adapter, AdapterOptions, open_adapter};
use crate::tensor::Float;

/// Read adapters and decide how they become one. The headers of the base, where it is given, say what the adapters do not: the shapes of layers.
///
/// # Errors
/// Whatever can be seen in headers and configurations: `bad-option`, `bad-config`, `bad-header`, `wrong-input`, `missing-pair`,
/// `shape-mismatch`, `unmatched-key`; `unsupported` for what has no factors; those of reading.
pub async fn plan_combine(
    inputs: &impl Inputs,
    adapters: &[(Listing, AdapterOptions)],
    base: Option<&Listing>,
    options: &CombineOptions,
) -> Result<FactorsPlan> {
    let mut checked = options.check()?;
    if adapters.is_empty() {
        return Err(Error::bad_option("adapters", "give at least one"));
    }
    let mut budget = PatternBudget::default();
    let (mut given, mut findings, mut fields) = (Vec::new(), Vec::new(), Vec::new());
    let (mut updates, mut described) = (Vec::new(), Vec::new());
    for (number, (listing, options)) in adapters.iter().enumerate() {
        inputs.pause().await?;
        if options.density.is_some() {
            let error = Error::bad_option("density", "one density holds for all adapters that are combined");
            return Err(error.adapter(listing.name.clone()).fix("give density beside the adapters"));
        }
        let mut adapter = open_adapter(inputs, listing, options, &mut budget).await?;
        if !adapter.choice.is_all() {
            let reason = "an adapter is combined as a whole";
            let error = Error::bad_option(adapter.choice.option(), reason).adapter(adapter.name);
            return Err(error.fix("give weights by module, only and skip where the result is merged"));
        }
        if let Some(mismatch) = adapter.mismatches.first() {
            return Err(mismatch.error.clone());
        }
        findings.append(&mut adapter.findings);
        fields.push(said(inputs, listing, &adapter).await?);
        updates.extend(std::mem::take(&mut adapter.updates).into_iter().map(|update| (number, update)));
        described.push(description(&adapter));
        let identity = identity(&adapter, number);
        given.push(Given { name: adapter.name, weight: adapter.weight, identity });
    }
    let shapes = match base {
        Some(base) => Some(Shapes::of(inputs, base, updates.iter().map(|(_, update)| update)).await?),
        None => None,
    };
    let modules = by_parameter(updates);
    for (number, adapter) in given.iter().enumerate().skip(1) {
        let with_others = |of: &Vec<(usize, ModuleUpdate)>| {
            of.iter().any(|(other, _)| *other == number) && of.iter().any(|(other, _)| *other < number)
        };
        if !modules.iter().any(with_others) {
            let message = "it has no module in common with the adapters before it".to_string();
            findings.push(Finding::warning("nothing-in-common", Some(&adapter.name), message));
        }
    }
    let mut parts = Parts::new(&given, checked.method, shapes);
    for updates in modules {
        findings.extend(updates.iter().filter_map(|(number, update)| beside(given.get(*number)?, update)));
        parts.add(updates)?;
    }
    let Parted { parts, widest, wide, dora } = parts.finish(&mut findings)?;
    let mut fields = together(fields, &mut findings);
    fields.dora = dora;
    if matches!(checked.method, Method::Deltas(_)) && checked.keep.energy.is_none() && checked.keep.rank.is_none() {
        // PEFT's default.
        checked.keep.rank = Some(widest as usize);
    }
    let dtype = checked.dtype.unwrap_or(if wide { Float::F64 } else { Float::F32 });
    let recipe = recipe(options, described);
    Ok(FactorsPlan { parts, dtype, fields, recipe, findings, making: Making::Combine(checked, given) })
}

/// The updates of each parameter, in the order of the parameters' paths; those of one in the order of the adapters.
fn by_parameter(mut updates: Vec<(usize, ModuleUpdate)>) -> Vec<Vec<(usize, ModuleUpdate)>> {
    let path = |(_, update): &(usize, ModuleUpdate)| (update.module.clone(), update.parameter.clone());
    sort_by(&mut updates, |one, other| {
        (&one.1.module, &one.1.parameter, one.0).cmp(&(&other.1.module, &other.1.parameter, other.0))
    });
    let mut all: Vec<Vec<(usize, ModuleUpdate)>> = Vec::new();
    for update in updates {
        match all.last_mut() {
            Some(of) if of.first().map(path) == Some(path(&update)) => of.push(update),
            _ => all.push(vec![update]),
        }
    }
    all
}

/// What the new adapter says of its making.
fn recipe(options: &CombineOptions, adapters: Vec<Value>) -> Map<String, Value> {
    let CombineOptions { method, rank, energy, density, majority_sign, seed, .. } = options;
    let mut recipe = Map::new();
    let mut say = |name: &str, value: Value| {
        if !value.is_null() {
            recipe.insert(name.into(), value);
        }
    };
    say("lorafold", env!("CARGO_PKG_VERSION").into());
    say("method", method.as_deref().unwrap_or("svd").into());
    say("rank", json!(rank));
    say("energy", json!(energy));
    say("density", json!(density));
    say("majoritySign", json!(majority_sign));
    say("seed", json!(seed));
    say("adapters", adapters.into());
    recipe
}

fn description(adapter: &Adapter) -> Value {
    let Adapter { weight, origin, digests, wanted, .. } = adapter;
    let mut described = json!({ "weight": weight, "files": digests });
    for (name, value) in [("origin", origin), ("adapter", wanted)] {
        if let (Some(value), Some(fields)) = (value, described.as_object_mut()) {
            fields.insert(name.into(), value.as_str().into());
        }
    }
    described
}

/// What the user should know of an update that is kept otherwise than by its factors alone.
fn beside(adapter: &Given, update: &ModuleUpdate) -> Option<Finding> {
    let (code, message) = if update.op.replacement.is_some() && adapter.weight != 1.0 {
        ("weight-without-part", "it is a whole parameter, which is kept as it is: the weight has no part in it")
    } else if update.base.is_some() {
        ("base-weight-left", "the copy of the base's weight that the adapter brings is left out")
    } else {
        return None;
    };
    let finding = Finding::info(code, &adapter.name, message.into());
    Some(Finding { tensor: Some(update.tensor()), ..finding })
}
