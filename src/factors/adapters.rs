//! Reading the adapters that become one: their configurations and headers. Every mistake that these can show is an error before a weight is
//! read.

use serde_json::{Map, Value, json};

use super::folder::{Fields, key_of};
use super::layer::Layer;
use super::options::CombineOptions;
use super::plan::{Body, FactorsPlan, Given, Making, Part};
use super::rule::Method;
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::keys::attention_of;
use crate::adapter::pattern::PatternBudget;
use crate::container::limits;
use crate::encoding::Stored;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing, Span, read_whole};
use crate::json::entries;
use crate::op::Op;
use crate::order::{sort, sort_by};
use crate::plan::{Adapter, AdapterOptions, open_adapter};
use crate::tensor::{Dtype, Float};

/// Read adapters and decide how they become one.
///
/// # Errors
/// Whatever can be seen in headers and configurations: `bad-option`, `bad-config`, `bad-header`, `wrong-input`, `missing-pair`,
/// `shape-mismatch`; `unsupported` for what has no factors; those of reading.
pub async fn plan_combine(
    inputs: &impl Inputs,
    adapters: &[(Listing, AdapterOptions)],
    options: &CombineOptions,
) -> Result<FactorsPlan> {
    let mut checked = options.check()?;
    if adapters.is_empty() {
        return Err(Error::bad_option("adapters", "none is given").fix("give at least one"));
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
        let weights = adapter.digests.into_iter().rev().find(|file| file.name != "adapter_config.json");
        let sha256 = weights.map_or(String::new(), |file| file.sha256);
        given.push(Given { name: adapter.name, weight: adapter.weight, sha256 });
    }
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
    let (mut parts, mut widest, mut wide) = (Vec::with_capacity(modules.len()), 1, false);
    for updates in modules {
        findings.extend(updates.iter().filter_map(|(number, update)| beside(given.get(*number)?, update)));
        let part = part(updates, &given)?;
        if let Body::Factors(_, ops) = &part.body {
            widest = ops.iter().map(|(_, op)| op.positions()).fold(widest, u64::max);
            wide |= ops.iter().flat_map(|(_, op)| &op.operands).any(|operand| operand.dtype == Dtype::F64);
        }
        parts.push(part);
    }
    if matches!(checked.method, Method::Deltas(_)) && checked.keep.energy.is_none() && checked.keep.rank.is_none() {
        // PEFT's default.
        checked.keep.rank = Some(widest as usize);
    }
    let dtype = checked.dtype.unwrap_or(if wide { Float::F64 } else { Float::F32 });
    let recipe = recipe(options, described);
    Ok(FactorsPlan {
        parts,
        dtype,
        fields: together(fields, &mut findings),
        recipe,
        findings,
        making: Making::Combine(checked, given),
    })
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

/// What becomes of a parameter that some adapters have updates of.
fn part(updates: Vec<(usize, ModuleUpdate)>, adapters: &[Given]) -> Result<Part> {
    let name = |number: usize| adapters.get(number).map_or("", |adapter| &adapter.name);
    let mut factors: Vec<(usize, Op)> = Vec::with_capacity(updates.len());
    let mut layer: Option<Layer> = None;
    let count = updates.len();
    let mut module = String::new();
    for (number, update) in updates {
        let refuse = |what: &str, fix: &str| {
            let error = Error::unsupported(update.key.clone(), what).kind(ErrorKind::NotImplemented);
            Err(error.adapter(name(number)).tensor(update.key.clone()).fix(fix))
        };
        const MERGE: &str = "merge the adapters into the base, and extract an adapter from the result";
        if let Some(replace) = &update.op.replacement {
            if count > 1 {
                return refuse(
                    "another adapter changes this parameter too, and this one replaces it as a whole",
                    MERGE,
                );
            }
            let stored = Stored::Plain(replace.stored);
            let elements = replace.shape.iter().product();
            let Some(&at) = stored.reads(0..elements).first() else { return refuse("it is empty", MERGE) };
            let body = Body::Whole {
                key: key_of(&replace.key, &update.module, &update.parameter),
                name: update.tensor(),
                dtype: replace.stored.float.dtype(),
                shape: replace.shape.clone(),
                at: Span { ..at },
                base: None,
            };
            return Ok(Part { module: update.module, body });
        }
        let is_of_attention = attention_of(&update.key).is_some() || update.parameter == "in_proj_weight";
        if update.wrapper.is_some() {
            return refuse("factors of bare parameters (target_parameters) cannot be combined yet", MERGE);
        }
        if update.parameter != "weight" || is_of_attention || !update.op.has_factors() {
            let what = format!("what {} does here is no product of factors by itself", update.op.method.name);
            return refuse(&what, MERGE);
        }
        let Some(this) = Layer::of(&update.op.layer) else {
            return refuse("the file does not tell the sides of the layer", MERGE);
        };
        if this.outputs == 0 || this.columns().is_none_or(|columns| columns == 0) {
            return refuse("the layer has no elements", MERGE);
        }
        match &layer {
            Some(other) if *other != this => {
                let reason = "it is for a layer of another shape than that of another adapter";
                return Err(Error::shape_mismatch(name(number), update.key.clone(), reason)
                    .found(this.to_string())
                    .expected(other.to_string())
                    .fix("combine adapters of the same base"));
            }
            _ => layer = Some(this),
        }
        module = update.module;
        factors.push((number, update.op));
    }
    match layer {
        Some(layer) => Ok(Part { module, body: Body::Factors(layer, factors) }),
        None => Err(Error::internal("a parameter has no updates")),
    }
}

/// What the configuration of an adapter says that the new one repeats.
async fn said(inputs: &impl Inputs, folder: &Listing, adapter: &Adapter) -> Result<Fields> {
    let summary = &adapter.summary;
    let mut fields =
        Fields { base_name: summary.base_name.clone(), fan_in_fan_out: summary.fan_in_fan_out, ..Fields::default() };
    let Some(at) = folder.files.iter().position(|file| file.name == "adapter_config.json") else { return Ok(fields) };
    let json = read_whole(inputs, folder, at, limits::CONFIG_BYTES).await?;
    let entries = entries(&json).map_err(|reason| Error::bad_config("adapter_config.json", reason.to_string()))?;
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| text.as_str().map(Into::into)).collect()
    };
    let mut chooses = false;
    for (name, value) in &entries {
        match name.as_str() {
            "task_type" => fields.task_type = value.as_str().map(Into::into),
            "target_modules" => fields.targets = texts(value),
            "modules_to_save" => fields.modules_to_save = texts(value).unwrap_or_default(),
            "bias" => fields.bias = value.as_str().filter(|bias| *bias != "none").map(Into::into),
            "layers_to_transform" | "exclude_modules" => chooses |= !value.is_null(),
            _ => {}
        }
    }
    if chooses {
        fields.targets = None;
    }
    Ok(fields)
}

/// What the new configuration says.
fn together(all: Vec<Fields>, findings: &mut Vec<Finding>) -> Fields {
    let mut together = Fields::default();
    let mut targets = Some(Vec::new());
    for fields in all {
        match (&together.base_name, fields.base_name) {
            (Some(one), Some(other)) if *one != other => {
                let message = format!("the adapters name different bases: {one} and {other}");
                findings.push(Finding::warning("other-base", None, message));
            }
            (None, Some(name)) => together.base_name = Some(name),
            _ => {}
        }
        together.task_type = together.task_type.or(fields.task_type);
        together.bias = together.bias.or(fields.bias);
        together.fan_in_fan_out |= fields.fan_in_fan_out;
        together.modules_to_save.extend(fields.modules_to_save);
        targets = targets.zip(fields.targets).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }
    together.modules_to_save = distinct(together.modules_to_save);
    // Without any, as in a file without a configuration, the modules' own paths.
    together.targets = targets.map(distinct).filter(|targets| !targets.is_empty());
    together
}

/// Names in order, each once.
fn distinct(mut names: Vec<String>) -> Vec<String> {
    sort(&mut names);
    names.dedup();
    names
}
