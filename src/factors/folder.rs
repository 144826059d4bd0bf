//! The two files of an adapter in PEFT's format.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::copies::Copies;
use super::layer::saved_key;
use super::plan::{Body, FactorsPlan, Making, Outcome, Part};
use super::report::{FactorsReport, ModuleReport, OtherReport};
use super::stacks::Stack;
use crate::container::{HeaderWriter, TensorInfo};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::json;
use crate::model::config_json::torch_name;
use crate::order::sort_by;
use crate::plan::is_vocabulary;
use crate::tensor::Dtype;

/// What a configuration takes over from those that it is made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    pub(crate) base_name: Option<String>,
    pub(crate) task_type: Option<String>,
    pub(crate) fan_in_fan_out: bool,
    /// `target_modules`, where it is known; else the modules' own paths, or the names in `names` that mean these and no others.
    pub(crate) targets: Option<Vec<String>>,
    /// The modules of the model that no factors are made for.
    pub(crate) untouched: Vec<String>,
    pub(crate) modules_to_save: Vec<String>,
    /// `bias`: `none`, `all` or `lora_only`.
    pub(crate) bias: Option<String>,
    /// The output layer is tied to the embedding.
    pub(crate) ties: bool,
    /// Modules whose parameters are tensors of others.
    pub(crate) copies: Vec<Copies>,
    /// Modules that have another path in memory than in files, in order, with that path.
    pub(crate) in_memory: Vec<(String, String)>,
    /// `target_parameters`.
    pub(crate) parameters: Vec<String>,
    /// The version of PEFT that trained them.
    pub(crate) peft_version: Option<String>,
    /// The factors are those of DoRA.
    pub(crate) dora: bool,
}

/// The key of what was made of what, in the file's metadata.
const KEY: &str = "lorafold.factors";

/// An adapter, all of it but the values of its tensors.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdapterFiles {
    /// `adapter_config.json`.
    pub config: Vec<u8>,
    /// How `adapter_model.safetensors` begins.
    pub header: Vec<u8>,
    /// What follows, in order.
    pub slots: Vec<Slot>,
    /// What is told of it.
    pub report: FactorsReport,
}

/// Some bytes of `adapter_model.safetensors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Slot {
    /// The values of a part: those of A (0) or of B (1).
    Values {
        /// The part.
        part: usize,
        /// 0 or 1.
        side: usize,
        /// How many bytes.
        bytes: u64,
    },
    /// Bytes of an input.
    Copy(Span),
}

impl Slot {
    /// How many bytes it is.
    pub fn bytes(self) -> u64 {
        match self {
            Slot::Values { bytes, .. } => bytes,
            Slot::Copy(span) => span.bytes,
        }
    }
}

impl AdapterFiles {
    /// The names and sizes of the two files.
    pub fn files(&self) -> [(&'static str, u64); 2] {
        let values: u64 = self.slots.iter().map(|slot| slot.bytes()).sum();
        [
            ("adapter_config.json", self.config.len() as u64),
            ("adapter_model.safetensors", self.header.len() as u64 + values),
        ]
    }
}

/// A tensor of the file.
struct Stored {
    key: String,
    dtype: Dtype,
    shape: Vec<u64>,
    slot: Slot,
}

impl FactorsPlan {
    /// The files, once every part is computed: `outcomes` are those of the parts, in their order.
    ///
    /// # Errors
    /// `wrong-input` where there is nothing to keep; `limit-exceeded` where memory does not suffice.
    // Not inlined into what wasm-bindgen exports, whose name has no path: the second half of the module could not have it.
    #[inline(never)]
    pub fn finish(&self, outcomes: &[Outcome]) -> Result<AdapterFiles> {
        let whole = Wholes::of(self, outcomes);
        let (mut stored, mut modules, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let width = self.dtype.bytes() as u64;
        for (part, (Part { module, body }, outcome)) in self.parts.iter().zip(outcomes).enumerate() {
            match body {
                Body::Factors(layer, _) | Body::Weights { layer, .. } if outcome.rank > 0 => {
                    let (keys, shapes) = (layer.keys(module), layer.shapes(outcome.rank));
                    for (side, (key, shape)) in keys.into_iter().zip(shapes).enumerate() {
                        let bytes = shape.iter().product::<u64>() * width;
                        let slot = Slot::Values { part, side, bytes };
                        stored.push(Stored { key, dtype: self.dtype.dtype(), shape, slot });
                    }
                    modules.push(ModuleReport::of(module.clone(), outcome));
                }
                Body::Stack(stack, _) if outcome.rank > 0 => {
                    let Stack { layer, experts, .. } = &**stack;
                    let (keys, rows) = (layer.keys(&stack.path(module)), outcome.rank * experts);
                    for (side, (key, shape)) in keys.into_iter().zip(layer.shapes(rows)).enumerate() {
                        let slot = Slot::Values { part, side, bytes: shape.iter().product::<u64>() * width };
                        stored.push(Stored { key, dtype: self.dtype.dtype(), shape, slot });
                    }
                    modules.push(ModuleReport::of(stack.name(module), outcome));
                }
                Body::Factors(..) | Body::Stack(..) | Body::Weights { .. } => {}
                Body::Bias(outputs, parts) => {
                    let key = saved_key(module, "lora_B.bias");
                    let slot = Slot::Values { part, side: 0, bytes: outputs * width };
                    if !parts.is_empty() {
                        let tensor = format!("{module}.lora_B.bias");
                        others.push(OtherReport { tensor, norm: outcome.norm, saved: true });
                    }
                    stored.push(Stored { key, dtype: self.dtype.dtype(), shape: vec![*outputs], slot });
                }
                Body::Whole { name, dtype, shape, at, .. } => {
                    let key = whole.key(module, body, outcome);
                    let saved = key.is_some();
                    if let Some(key) = key {
                        stored.push(Stored { key, dtype: *dtype, shape: shape.clone(), slot: Slot::Copy(*at) });
                    }
                    if saved || outcome.norm != Some(0.0) {
                        others.push(OtherReport { tensor: name.clone(), norm: outcome.norm, saved });
                    }
                }
            }
        }
        for Copies { module, parameters } in &whole.copies {
            for (source, parameter) in parameters {
                let of_source = |part: &&Part| matches!(&part.body, Body::Whole { name, .. } if name == source);
                let Some(Body::Whole { dtype, shape, at, .. }) =
                    self.parts.iter().find(of_source).map(|part| &part.body)
                else {
                    continue;
                };
                let (key, tensor) = (saved_key(module, parameter), format!("{module}.{parameter}"));
                stored.push(Stored { key, dtype: *dtype, shape: shape.clone(), slot: Slot::Copy(*at) });
                others.push(OtherReport { tensor, norm: None, saved: true });
            }
        }
        if let (true, Some(other)) = (modules.is_empty(), others.first()) {
            let reason = format!(
                "no weight differs for which LoRA has factors, only others ({}, …): PEFT has no LoRA adapter without factors",
                other.tensor
            );
            let error = Error::wrong_input("the adapter", reason).tensor(other.tensor.clone());
            return Err(
                error.fix("merge the model itself in the place of an adapter: its difference is taken as a whole")
            );
        }
        if modules.is_empty() {
            return Err(Error::wrong_input("the adapter", "there is nothing to keep: no weight differs")
                .fix("give a model that was trained from this base"));
        }
        let rank = usual(modules.iter().map(|module| module.rank));
        let config = self.config(rank, outcomes, &whole);
        let method = self.recipe.get("method").and_then(Value::as_str).unwrap_or_default();
        let report = FactorsReport {
            method: method.into(),
            dtype: torch_name(self.dtype).into(),
            rank,
            modules,
            others,
            findings: self.findings.clone(),
        };
        let header = self.header(&stored)?;
        Ok(AdapterFiles { config, header, slots: stored.into_iter().map(|stored| stored.slot).collect(), report })
    }

    fn header(&self, stored: &[Stored]) -> Result<Vec<u8>> {
        let recipe = json::text(&self.recipe);
        let metadata = [("format", "pt"), (KEY, recipe.as_str())];
        let mut at = 0;
        let infos: Vec<TensorInfo> = stored
            .iter()
            .map(|Stored { key, dtype, shape, slot }| {
                let start = at;
                at += slot.bytes();
                TensorInfo { name: key, dtype: *dtype, shape, start, end: at }
            })
            .collect();
        let writer = HeaderWriter::new(infos.into_iter(), metadata.into_iter());
        writer.read("adapter_model.safetensors", 0..writer.bytes())
    }

    /// `adapter_config.json`: α is the rank everywhere, so that the scale is 1.
    fn config(&self, rank: u64, outcomes: &[Outcome], whole: &Wholes) -> Vec<u8> {
        let Fields {
            base_name,
            task_type,
            fan_in_fan_out,
            targets,
            untouched,
            modules_to_save,
            bias,
            ties,
            in_memory,
            ..
        } = &self.fields;
        let saved: Vec<&str> =
            modules_to_save.iter().map(String::as_str).chain(whole.modules.iter().copied()).collect();
        let ties = *ties && saved.iter().any(|module| is_vocabulary(&format!("{module}.weight")));
        let bias = bias.as_deref().unwrap_or(if whole.biases { "all" } else { "none" });
        let (mut ranks, mut paths, mut stacks, mut biases) = (Vec::new(), Vec::new(), false, false);
        for (Part { module, body }, outcome) in self.parts.iter().zip(outcomes) {
            match body {
                Body::Factors(..) | Body::Weights { .. } if outcome.rank > 0 => {
                    paths.push(module.as_str());
                    ranks.push((module.clone(), outcome.rank));
                    // PEFT looks a module up by its path in memory.
                    if let Ok(at) = in_memory.binary_search_by(|(of, _)| of.cmp(module)) {
                        ranks.push((in_memory[at].1.clone(), outcome.rank));
                    }
                }
                Body::Stack(stack, _) if outcome.rank > 0 => {
                    stacks = true;
                    let names = stack.parameters.iter().map(|name| format!("{module}.{name}"));
                    ranks.extend(names.map(|name| (name, outcome.rank)));
                }
                Body::Bias(..) => biases = true,
                _ => {}
            }
        }
        ranks.retain(|(_, other)| *other != rank);
        // PEFT takes the first that the path ends with: the longest first, so that none hides another.
        sort_by(&mut ranks, |one, other| other.0.len().cmp(&one.0.len()));
        let ranks: Map<String, Value> = ranks.into_iter().map(|(module, rank)| (module, rank.into())).collect();
        let targets = targets.clone().unwrap_or_else(|| super::targets::named(paths.iter().copied(), untouched));
        let mut config = json!({
            "peft_type": "LORA",
            "task_type": task_type,
            "base_model_name_or_path": base_name,
            "inference_mode": true,
            "r": rank,
            "lora_alpha": rank,
            "lora_dropout": 0.0,
            "bias": bias,
            "fan_in_fan_out": fan_in_fan_out,
            "init_lora_weights": true,
            "target_modules": targets,
            "modules_to_save": (!saved.is_empty()).then_some(saved),
            "rank_pattern": ranks,
            "alpha_pattern": ranks,
            "use_rslora": false,
            "use_dora": self.fields.dora,
        });
        // Versions of PEFT before 0.18 do not know it, and refuse what they do not know.
        if let (true, Some(fields)) = (ties, config.as_object_mut()) {
            fields.insert("ensure_weight_tying".into(), true.into());
        }
        if let (true, Some(fields)) = (biases, config.as_object_mut()) {
            fields.insert("lora_bias".into(), true.into());
        }
        if let (true, Some(fields)) = (stacks, config.as_object_mut()) {
            fields.insert("target_parameters".into(), json!(self.fields.parameters));
            fields.extend(self.fields.peft_version.iter().map(|version| ("peft_version".into(), json!(version))));
        }
        format!("{}\n", json::pretty(&config, "  ", "\n")).into_bytes()
    }
}

/// What is brought along as a whole.
struct Wholes<'a> {
    /// The modules with factors, in order.
    factored: Vec<&'a str>,
    /// Of two models, the modules that `modules_to_save` names: PEFT loads all of their parameters.
    modules: Vec<&'a str>,
    /// Whether there are biases of other modules.
    biases: bool,
    /// Modules that are saved because what they have copies of is.
    copies: Vec<&'a Copies>,
    /// Of adapters, everything that they bring is kept, under its key.
    all: bool,
    saves: bool,
}

impl<'a> Wholes<'a> {
    fn of(plan: &'a FactorsPlan, outcomes: &[Outcome]) -> Wholes<'a> {
        let all = matches!(plan.making, Making::Combine(..));
        let (factored, modules, copies) = (Vec::new(), Vec::new(), Vec::new());
        let mut wholes = Wholes { factored, modules, copies, biases: false, all, saves: plan.saves() };
        let mut saved = Vec::new();
        for (Part { module, body }, outcome) in plan.parts.iter().zip(outcomes) {
            if let Body::Whole { name, .. } = body
                && !all
                && wholes.saves
                && outcome.norm != Some(0.0)
            {
                saved.push(name.as_str());
            }
            match body {
                Body::Whole { name, .. }
                    if !all
                        && wholes.saves
                        && outcome.norm != Some(0.0)
                        && !is_bias(name)
                        && wholes.modules.last() != Some(&module.as_str()) =>
                {
                    wholes.modules.push(module);
                }
                Body::Whole { .. } => {}
                _ if outcome.rank > 0 => {
                    wholes.factored.push(module);
                }
                _ => {}
            }
        }
        let is_saved = |(source, _): &(String, &str)| saved.contains(&source.as_str());
        for copy in plan.fields.copies.iter().filter(|copy| copy.parameters.iter().any(is_saved)) {
            if let Err(at) = wholes.modules.binary_search(&copy.module.as_str()) {
                wholes.modules.insert(at, &copy.module);
            }
            wholes.copies.push(copy);
        }
        let biases = plan.parts.iter().zip(outcomes);
        wholes.biases = !all
            && biases.into_iter().any(|(Part { module, body }, outcome)| {
                matches!(body, Body::Whole { name, .. } if is_bias(name) && wholes.saves && outcome.norm != Some(0.0))
                    && !wholes.has(module)
            });
        wholes
    }

    /// Whether a module is saved as a whole. The parts come in the order of their modules.
    fn has(&self, module: &str) -> bool {
        self.modules.binary_search(&module).is_ok()
    }

    /// The key of a tensor that is brought along.
    fn key(&self, module: &str, body: &Body, outcome: &Outcome) -> Option<String> {
        let Body::Whole { key, name, .. } = body else { return None };
        if self.all || self.has(module) {
            return Some(key.clone());
        }
        let differs = self.saves && outcome.norm != Some(0.0);
        // A layer with factors is inside of what PEFT puts around it.
        let inside = if self.factored.binary_search(&module).is_ok() { "base_layer.bias" } else { "bias" };
        (differs && is_bias(name)).then(|| saved_key(module, inside))
    }
}

fn is_bias(name: &str) -> bool {
    name.ends_with(".bias")
}

/// The rank that most have; the largest of those that equally many have.
fn usual(ranks: impl Iterator<Item = u64>) -> u64 {
    let mut counts: Vec<(u64, u64)> = Vec::new();
    for rank in ranks {
        match counts.iter_mut().find(|(other, _)| *other == rank) {
            Some((_, count)) => *count += 1,
            None => counts.push((rank, 1)),
        }
    }
    counts.iter().max_by_key(|(rank, count)| (*count, *rank)).map_or(1, |(rank, _)| *rank)
}

/// The key of a saved parameter as it is, or as PEFT would spell it.
pub(crate) fn key_of(key: &str, module: &str, parameter: &str) -> String {
    if key.starts_with("base_model.model.") { key.into() } else { saved_key(module, parameter) }
}
