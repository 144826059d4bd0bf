//! Reading two models whose difference becomes an adapter: which weights LoRA has factors for, and what else differs.

use serde_json::{Map, Value, json};

use super::copies::copies;
use super::folder::Fields;
use super::keep::Keep;
use super::layer::{Layer, saved_key};
use super::options::{ExtractOptions, float_named};
use super::plan::{Body, FactorsPlan, Making, Others, Part};
use crate::adapter::pattern::{Pattern, PatternBudget};
use crate::container::TensorInfo;
use crate::encoding::Plain;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing, Span};
use crate::model::config_json::Config;
use crate::model::orientation::Evidence;
use crate::model::renames::{Renames, Spelling};
use crate::order::sort_by;
use crate::plan::{Base, in_place_of, is_vocabulary, none_of, open_base};
use crate::tensor::Float;

/// The rank where nothing is asked for.
const RANK: u64 = 16;

/// Read the headers of a base and of a model that was trained from it, and decide what the adapter is made of.
///
/// # Errors
/// Those of `open_base`; `unmatched-key` and `shape-mismatch` where the two are not the same model; `unsupported` for quantised weights;
/// `bad-option`.
pub async fn plan_extract(
    inputs: &impl Inputs,
    base: &Listing,
    tuned: &Listing,
    options: &ExtractOptions,
) -> Result<FactorsPlan> {
    let others = match options.others.as_deref() {
        None | Some("save") => Others::Save,
        Some("refuse") => Others::Refuse,
        Some("drop") => Others::Drop,
        Some(other) => return Err(none_of("others", other, "save, refuse, drop")),
    };
    let rank = options.rank.or(if options.energy.is_none() { Some(RANK) } else { None });
    let keep = Keep::of(rank, options.energy)?;
    let dtype = options.dtype.as_deref().map_or(Ok(Float::F32), float_named)?;
    let mut chooser = Chooser::of(options)?;
    let base = open_base(inputs, base).await?;
    let opened = open_base(inputs, tuned).await;
    let tuned = opened.map_err(|error| in_place_of("the fine-tuned model", error))?;
    inputs.pause().await?;
    let config = base.config.as_deref().map(Config::parse).transpose()?;
    let model = config.as_ref().map(Config::model).unwrap_or_default();
    let evidence = Evidence::new(&model.types, false);
    let mut findings: Vec<Finding> = base.findings.iter().chain(&tuned.findings).cloned().collect();
    let mut fields = Fields { base_name: base_name(&base, config.as_ref()), ..Fields::default() };
    fields.task_type = task_type(config.as_ref()).map(Into::into);
    fields.ties = model.tied == Some(true);
    let mut parts = Vec::new();
    missing(&base, &tuned, &mut chooser, &mut findings)?;
    for shard in &tuned.shards {
        for info in shard.header.iter() {
            if !chooser.takes(info.name)? {
                continue;
            }
            let (module, parameter) = info.name.rsplit_once('.').unwrap_or(("", info.name));
            let before = find(&base, info.name);
            let at = Span { input: shard.input, start: shard.header.data_start + info.start, bytes: info.bytes() };
            // The copy of an embedding that is tied follows it.
            if model.tied == Some(true) && module == "lm_head" {
                continue;
            }
            let whole = |base: Option<Plain>| Body::Whole {
                key: saved_key(module, parameter),
                name: info.name.into(),
                dtype: info.dtype,
                shape: info.shape.into(),
                at,
                base,
            };
            let Some(before) = before else {
                parts.push(Part { module: module.into(), body: whole(None) });
                continue;
            };
            let resized = before.info.shape != info.shape;
            if resized && !(is_vocabulary(info.name) && info.shape.get(1..) == before.info.shape.get(1..)) {
                let [found, expected] = [info.shape, before.info.shape].map(|shape| format!("{shape:?}"));
                let reason = format!("its shape is {found}, that of the base {expected}");
                return Err(Error::shape_mismatch(tuned.name.clone(), info.name, reason)
                    .kind(ErrorKind::OtherShape)
                    .found(found)
                    .expected(expected)
                    .fix("give the base that it was trained from"));
            }
            let (Some(float), Some(plain)) = (Float::of(info.dtype), before.plain()) else {
                if info.dtype != before.info.dtype {
                    return Err(quantised(info.name));
                }
                // Integers: buffers, as a rule; or codes of a quantised weight.
                if info.shape.len() > 1 {
                    return Err(quantised(info.name));
                }
                continue;
            };
            let body = if resized {
                let message = format!("the vocabulary has {} tokens, not {}", info.shape[0], before.info.shape[0]);
                findings.push(Finding {
                    tensor: Some(info.name.into()),
                    ..Finding::warning("vocabulary-resized", None, message)
                });
                whole(None)
            } else {
                match layer(&info, module, parameter, &evidence) {
                    Some((layer, transposed)) => {
                        fields.fan_in_fan_out |= transposed;
                        let tuned = Plain { float, input: at.input, start: at.start };
                        Body::Weights { layer, base: plain, tuned, transposed }
                    }
                    None => whole(Some(plain)),
                }
            };
            if !matches!(body, Body::Weights { .. }) && parameter == "weight" {
                fields.untouched.push(module.into());
            }
            parts.push(Part { module: module.into(), body });
        }
    }
    sort_by(&mut parts, |one, other| one.module.cmp(&other.module));
    let names: Vec<&str> = tuned.shards.iter().flat_map(|shard| shard.header.iter()).map(|info| info.name).collect();
    fields.copies = copies(&names, fields.ties, architecture(config.as_ref()).as_deref());
    // Of models with an encoder and a decoder PEFT cannot tie what it saves.
    fields.ties &= fields.copies.iter().all(|copy| !copy.module.ends_with("embed_tokens"));
    let renames = Renames::of(&model.types);
    let in_memory = |part: &Part| Some((part.module.clone(), renames.respell(&part.module, Spelling::InMemory)?));
    fields.in_memory = parts.iter().filter_map(in_memory).collect();
    fields.untouched.extend(chooser.left);
    Ok(FactorsPlan {
        parts,
        making: Making::Extract { keep, seed: options.seed.unwrap_or(0), others },
        dtype,
        recipe: recipe(options, rank, &base, &tuned),
        fields,
        findings,
    })
}

/// What the new adapter says of its making.
fn recipe(options: &ExtractOptions, rank: Option<u64>, base: &Base, tuned: &Base) -> Map<String, Value> {
    let mut recipe = Map::new();
    let files = |of: &Base| {
        let shards = of.shards.iter();
        let file = |shard: &crate::plan::Shard| {
            let mut file = json!({ "name": shard.name, "size": shard.header.file_bytes });
            if let (Some(sha256), Some(fields)) = (&shard.sha256, file.as_object_mut()) {
                fields.insert("sha256".into(), sha256.as_str().into());
            }
            file
        };
        let mut described = json!({ "files": shards.map(file).collect::<Vec<_>>() });
        if let (Some(origin), Some(fields)) = (&of.origin, described.as_object_mut()) {
            fields.insert("origin".into(), origin.as_str().into());
        }
        described
    };
    let ExtractOptions { energy, others, only, skip, seed, .. } = options;
    let said = [
        ("lorafold", json!(env!("CARGO_PKG_VERSION"))),
        ("method", json!("extract")),
        ("rank", json!(rank)),
        ("energy", json!(energy)),
        ("others", json!(others)),
        ("only", json!(only)),
        ("skip", json!(skip)),
        ("seed", json!(seed)),
        ("base", files(base)),
        ("tuned", files(tuned)),
    ];
    recipe.extend(said.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.into(), value)));
    recipe
}

/// Which tensors are taken.
struct Chooser {
    only: Option<Pattern>,
    skip: Option<Pattern>,
    budget: PatternBudget,
    /// The modules of weights that are not.
    left: Vec<String>,
}

impl Chooser {
    fn of(options: &ExtractOptions) -> Result<Chooser> {
        let pattern = |option: &str, text: &Option<String>| {
            let refused = |reason| Error::bad_option(option, reason).expected("a regular expression");
            text.as_deref().map(|text| Pattern::anywhere(text).map_err(refused)).transpose()
        };
        let (only, skip) = (pattern("only", &options.only)?, pattern("skip", &options.skip)?);
        Ok(Chooser { only, skip, budget: PatternBudget::default(), left: Vec::new() })
    }

    fn takes(&mut self, name: &str) -> Result<bool> {
        let mut matches = |option: &'static str, pattern: &Option<Pattern>, absent: bool| match pattern {
            None => Ok(absent),
            Some(pattern) => pattern.matches(name, &mut self.budget).map_err(|error| error.of_pattern(option, option)),
        };
        let takes = matches("only", &self.only, true)? && !matches("skip", &self.skip, false)?;
        if let (false, Some(module)) = (takes, name.strip_suffix(".weight")) {
            self.left.push(module.into());
        }
        Ok(takes)
    }
}

/// A tensor of the base.
struct Before<'a> {
    input: usize,
    data_start: u64,
    info: TensorInfo<'a>,
}

impl Before<'_> {
    fn plain(&self) -> Option<Plain> {
        let float = Float::of(self.info.dtype)?;
        Some(Plain { float, input: self.input, start: self.data_start + self.info.start })
    }
}

fn find<'a>(base: &'a Base, name: &str) -> Option<Before<'a>> {
    base.shards.iter().find_map(|shard| {
        let info = shard.header.tensor(shard.header.find(name)?);
        Some(Before { input: shard.input, data_start: shard.header.data_start, info })
    })
}

/// What the base has and the other model lacks: an output layer that is tied there, buffers. Anything else is another model.
fn missing(base: &Base, tuned: &Base, chooser: &mut Chooser, findings: &mut Vec<Finding>) -> Result<()> {
    for info in base.shards.iter().flat_map(|shard| shard.header.iter()) {
        if find(tuned, info.name).is_some() || !chooser.takes(info.name)? {
            continue;
        }
        let may_lack = is_vocabulary(info.name) || !info.name.ends_with(".weight") && !info.name.ends_with(".bias");
        if !may_lack {
            let reason = "the fine-tuned model does not have this tensor of the base";
            return Err(Error::unmatched_key(tuned.name.clone(), info.name, reason)
                .fix("give the base that it was trained from, with the same names of tensors"));
        }
        let message = "the fine-tuned model does not have it: it is taken for unchanged".to_string();
        let finding = Finding::warning("not-in-tuned", None, message);
        findings.push(Finding { tensor: Some(info.name.into()), ..finding });
    }
    Ok(())
}

/// The layer that a tensor is the weight of, where PEFT has factors for such layers; and whether it is stored (inputs, outputs).
fn layer(info: &TensorInfo, module: &str, parameter: &str, evidence: &Evidence) -> Option<(Layer, bool)> {
    let last = module.rsplit('.').next().unwrap_or(module);
    let embedding = last.contains("emb") || ["wte", "wpe", "shared", "relative_attention_bias"].contains(&last);
    if parameter != "weight" || embedding {
        return None;
    }
    match *info.shape {
        [rows, cols] if rows > 0 && cols > 0 => {
            let transposed = evidence.square_is_transposed(module).0;
            let (outputs, inputs) = if transposed { (cols, rows) } else { (rows, cols) };
            Some((Layer { outputs, inputs, kernel: Vec::new(), embedding: false }, transposed))
        }
        // One input for each output: a convolution in groups, for which PEFT has no factors.
        [outputs, inputs, ref kernel @ ..]
            if !kernel.is_empty() && kernel.len() <= 3 && inputs > 1 && info.shape.iter().all(|&side| side > 0) =>
        {
            Some((Layer { outputs, inputs, kernel: kernel.into(), embedding: false }, false))
        }
        _ => None,
    }
}

fn quantised(name: &str) -> Error {
    Error::unsupported(name, "it is stored in codes: of quantised weights there is no difference")
        .tensor(name)
        .kind(ErrorKind::QuantisedBase)
        .fix("give both models with weights in float32, float16 or bfloat16")
}

/// The name of the base that the adapter says it belongs to: that of its repository, or the one that its configuration gives.
fn base_name(base: &Base, config: Option<&Config>) -> Option<String> {
    let of_hub = base.origin.as_deref().and_then(|origin| origin.strip_prefix("hf://"));
    let of_hub = of_hub.map(|origin| origin.split('@').next().unwrap_or(origin).to_string());
    let said = || config?.get("_name_or_path")?.as_str().filter(|name| !name.is_empty()).map(Into::into);
    of_hub.or_else(said).or_else(|| Some(base.name.clone()))
}

/// The model's class.
fn architecture(config: Option<&Config>) -> Option<String> {
    Some(config?.get("architectures")?.as_array()?.first()?.as_str()?.to_string())
}

/// PEFT's `task_type`, as far as the architecture tells it.
fn task_type(config: Option<&Config>) -> Option<&'static str> {
    let name = architecture(config)?;
    if name.ends_with("ForCausalLM") || name.ends_with("LMHeadModel") {
        Some("CAUSAL_LM")
    } else if name.ends_with("ForConditionalGeneration") {
        Some("SEQ_2_SEQ_LM")
    } else {
        None
    }
}
