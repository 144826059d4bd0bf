//! `peft_type: "LORA"`: pairs of factors, and what its variants add to them.

use serde_json::Value;

use super::parameters::{self, Parameters, unwrapped};
use super::unmatched_pattern;
use super::whole::Saved;
use crate::adapter::blocks::Block;
use crate::adapter::dialect::{AdapterFiles, BaseWeight, ModuleUpdate, Summary, Updates, in_order};
use crate::adapter::fields::FieldReader;
use crate::adapter::pairs::{Pair, Tensors, tensors};
use crate::adapter::pattern::PatternBudget;
use crate::adapter::stack::{Candidate, Wrapper};
use crate::adapter::targets::{Targets, without_factors};
use crate::adapter::{AdapterConfig, ModuleSettings, SettingsLookup, Start};
use crate::container::Header;
use crate::encoding::{Operand, Plain};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::json::number;
use crate::op::{DORA, LORA, LayerShape, Method, OLORA, Op, PISSA, Sizes, add_bias, trained_rows};

/// Read an adapter of LoRA or DoRA. `fields` are those of its configuration; empty if it comes without one.
pub(super) fn read(
    files: &AdapterFiles,
    fields: &[(String, Value)],
    header: Result<Header>,
    budget: &mut PatternBudget,
) -> Result<Updates> {
    // Before the tensors, so that an error about something unsupported names its field.
    let file = files.config.map_or("adapter_config.json", |(file, _)| file);
    let fields_of = FieldReader { file, adapter: files.adapter };
    let config = files.config.map(|_| AdapterConfig::read(&fields_of, fields, files.residual)).transpose()?;
    let saved = Saved::of(&fields_of, fields)?;
    let Tensors { pairs, wholes, attentions, tokens } = tensors(files, &header?)?;
    let config = match (config, files.alpha) {
        (Some(config), _) => config,
        // Without a file, the configuration is made here, from the user's alpha and the one rank that all pairs have.
        (None, Some(alpha)) if pairs.first().is_some_and(|first| pairs.iter().all(|pair| pair.rank == first.rank)) => {
            AdapterConfig::plain(pairs[0].rank, alpha)
        }
        (None, _) => {
            let reason = "it is missing, and without it the scale is not known";
            return Err(Error::bad_config("adapter_config.json", reason)
                .kind(ErrorKind::NoConfig)
                .fix("give the adapter's folder, or its alpha"));
        }
    };
    let reader = Reader { files, config: &config, attentions };
    let mut lookup = SettingsLookup::new(&config);
    let mut updates = saved.updates(&wholes)?;
    let AdapterFiles { adapter, alpha, packing, .. } = *files;
    let parameters = Parameters { adapter, config: &config, alpha, packing };
    let mut stacks = false;
    let mut findings = reader.targets_without_factors(&pairs);
    let doubled = pairs.iter().any(|pair| reader.is_doubled(&pair.module));
    // There may be hundreds of thousands: no room is left over, and each pair goes as soon as it is read.
    updates.reserve_exact(pairs.len());
    for pair in pairs {
        let pair = &pair;
        let (module, inside) = unwrapped(&pair.module);
        let wrapper = match inside == 0 && config.target_parameters.is_empty() {
            true => None,
            false => parameters
                .wrapper(pair, (module, inside), &mut lookup, budget)
                .map_err(|error| error.adapter(adapter))?,
        };
        if let Some(wrapper) = wrapper {
            reader.unchanged("bare parameters (target_parameters)", &pair.a.key)?;
            stacks |= pair.rank > config.r;
            updates.push(reader.of_parameter(pair, module, wrapper));
            continue;
        }
        let settings = lookup.find(&pair.module, budget).map_err(|error| error.adapter(adapter))?;
        updates.extend(reader.updates(pair, settings, saved.ties())?);
    }
    if updates.iter().any(|update| update.wrapper.is_some()) {
        parameters::check(&fields_of, fields)?;
        findings.extend(parameters::packing_doubt(files, stacks));
    }
    for (module, rows, shape) in tokens {
        updates.push(reader.tokens(module, rows, &shape)?);
    }
    in_order(&mut updates);
    let mut mismatches = saved.missing(files.adapter, &wholes);
    mismatches.extend(lookup.unmatched().map(|(field, key)| unmatched_pattern(files.adapter, field, key)));
    if doubled {
        let message = "the delta of out_proj in nn.MultiheadAttention is added twice, as PEFT does in training; outProj: \"once\" adds it once";
        findings.push(Finding::warning("out-proj-twice", Some(files.adapter), message.into()));
    }
    Ok(Updates {
        updates,
        replication: config.replication.clone(),
        mismatches,
        findings,
        targets: Targets::of(fields),
        summary: Summary {
            peft_type: "LORA".into(),
            r: Some(config.r),
            alpha: Some(config.alpha),
            rslora: config.rslora,
            fan_in_fan_out: config.fan_in_fan_out,
            base_name: config.base_name.clone(),
        },
    })
}

struct Reader<'a> {
    files: &'a AdapterFiles<'a>,
    config: &'a AdapterConfig,
    /// nn.MultiheadAttention modules.
    attentions: Vec<String>,
}

impl Reader<'_> {
    /// What a pair does to its module's weight, and to its bias.
    fn updates(&self, pair: &Pair, settings: ModuleSettings, tied: bool) -> Result<Vec<ModuleUpdate>> {
        let AdapterFiles { adapter, alpha, .. } = *self.files;
        let block = self.config.blocks.of(&pair.module).map_err(|error| error.adapter(adapter))?;
        if pair.rank != pair.rank_of_b && block.is_none() {
            let reason = format!("its rank is {}, that of lora_A {}", pair.rank_of_b, pair.rank);
            let error = Error::shape_mismatch(adapter, pair.b.key.clone(), reason);
            return Err(error.found(pair.rank_of_b.to_string()).expected(pair.rank.to_string()));
        }
        let expected = settings.rank.saturating_mul(block.as_ref().map_or(1, Block::products));
        if pair.rank != expected {
            let reason = format!("its rank is {}, the configuration says {expected}", pair.rank);
            let error = Error::shape_mismatch(adapter, pair.a.key.clone(), reason);
            return Err(error.found(pair.rank.to_string()).expected(expected.to_string()));
        }
        let alpha = alpha.unwrap_or(settings.alpha);
        let mut scale = self.config.scale(alpha, settings.rank);
        if self.is_doubled(&pair.module) {
            scale *= 2.0;
        }
        let layer = match pair.embedding {
            true => LayerShape::embedding(pair.inputs, pair.outputs),
            false => LayerShape::convolution(pair.outputs, pair.inputs, &pair.kernel),
        };
        let mut lora = Op {
            operands: vec![pair.a.clone(), pair.b.clone()],
            sizes: Sizes::of(&[('r', pair.rank)]),
            layer,
            transposed: pair.embedding,
            ..Op::new(&LORA)
        }
        .scaled(pair.rank, alpha, scale);
        let op = match (&pair.magnitude, self.config.dora) {
            (None, false) => match &block {
                // PEFT initialises embeddings as usual.
                None if !pair.embedding => self.started(pair, lora)?,
                None => lora,
                Some(block) => {
                    self.unchanged("factors stored in blocks", &pair.a.key)?;
                    block.op(lora, pair.rank_of_b).map_err(|error| error.adapter(adapter))?
                }
            },
            _ if block.is_some() => {
                let reason = "factors stored in blocks have no DoRA magnitudes";
                return Err(Error::unsupported(pair.a.key.clone(), reason).adapter(adapter).field("use_dora"));
            }
            (Some(magnitude), true) => {
                self.unchanged("DoRA", &magnitude.key)?;
                lora.operands.push(magnitude.clone());
                Op { method: &DORA, ..lora }
            }
            (None, true) => {
                let missing = format!("{}.lora_magnitude_vector", pair.module);
                return Err(Error::missing_pair(adapter, pair.a.key.clone(), missing));
            }
            (Some(magnitude), false) => {
                let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
                let reason = format!("this is a DoRA magnitude, but {file} does not say use_dora: true");
                let error = Error::bad_config(file, reason).adapter(adapter).field("use_dora").expected("true");
                return Err(error.tensor(magnitude.key.clone()).fix("set use_dora as it was in training"));
            }
        };
        let base = match &pair.base {
            None => None,
            Some((base, shape)) => Some(BaseWeight {
                key: base.key.clone(),
                shape: shape.clone(),
                stored: Plain { float: base.float()?, input: base.at.input, start: base.at.start },
            }),
        };
        let update = |parameter: &str, key: &str, op, base| ModuleUpdate {
            module: pair.module.clone(),
            parameter: parameter.into(),
            optional: false,
            adds: false,
            tied,
            key: key.into(),
            op,
            base,
            wrapper: None,
            share: None,
        };
        let in_proj = self.is_attention(&pair.module);
        let mut updates = vec![update(if in_proj { "in_proj_weight" } else { "weight" }, &pair.a.key, op, base)];
        if let Some(bias) = &pair.bias {
            if in_proj {
                let reason = "PEFT leaves the bias of lora_B aside in nn.MultiheadAttention";
                return Err(Error::unsupported(bias.key.clone(), reason).adapter(adapter).field("lora_bias"));
            }
            updates.push(update("bias", &bias.key, add_bias(bias.clone(), pair.outputs, scale), None));
        }
        Ok(updates)
    }

    /// What a pair does to a bare parameter, as far as that is known without the base.
    fn of_parameter(&self, pair: &Pair, module: &str, wrapper: Wrapper) -> ModuleUpdate {
        let Candidate { parameter, rank, alpha, scale } = wrapper.candidates[0].clone();
        let op = Op {
            operands: vec![pair.a.clone(), pair.b.clone()],
            layer: LayerShape::linear(pair.outputs, pair.inputs),
            ..Op::new(&LORA)
        };
        ModuleUpdate {
            module: module.into(),
            parameter,
            optional: false,
            adds: false,
            tied: false,
            key: pair.a.key.clone(),
            op: op.of_rank(rank, alpha, scale),
            base: None,
            wrapper: Some(Box::new(wrapper)),
            share: None,
        }
    }

    /// The initialisation that has changed the base, if there was one, and the method that does so again.
    fn changes(&self) -> Option<(&'static str, &'static Method)> {
        match self.config.start {
            Start::Base => None,
            Start::Olora => Some(("OLoRA", &OLORA)),
            Start::Pissa => Some(("PiSSA", &PISSA)),
        }
    }

    /// Refuse what an initialisation that changes the base is not done again for.
    fn unchanged(&self, what: &str, key: &str) -> Result<()> {
        self.changes().map_or(Ok(()), |(name, _)| self.refuse_changed(name, what, key))
    }

    #[inline(never)] // In the WebAssembly it is in the second half.
    fn refuse_changed(&self, name: &str, what: &str, key: &str) -> Result<()> {
        let reason = format!("{what}, initialised by {name}, cannot be merged yet");
        let error = Error::unsupported(key, reason).kind(ErrorKind::NotImplemented).adapter(self.files.adapter);
        let fix = "merge into the base that was saved with it, with the option residualBase";
        Err(error.tensor(key).field("init_lora_weights").fix(fix))
    }

    /// The update of a linear layer, which began from a base that the initialisation had changed. PEFT initialises no other layer this way.
    fn started(&self, pair: &Pair, lora: Op) -> Result<Op> {
        match self.changes() {
            None => Ok(lora),
            Some((name, method)) => self.started_anew(name, method, pair, lora),
        }
    }

    #[inline(never)] // In the WebAssembly it is in the second half.
    fn started_anew(&self, name: &str, method: &'static Method, pair: &Pair, lora: Op) -> Result<Op> {
        let (adapter, key) = (self.files.adapter, pair.a.key.clone());
        let attention = pair.module.strip_suffix(".out_proj").unwrap_or(&pair.module);
        if self.is_attention(&pair.module) || self.is_attention(attention) {
            self.unchanged("nn.MultiheadAttention", &key)?;
        }
        if pair.rank > pair.inputs.min(pair.outputs) || !pair.kernel.is_empty() {
            let reason = format!("{name} has no factors of rank {} for this layer", pair.rank);
            return Err(Error::shape_mismatch(adapter, key, reason));
        }
        // PEFT divides the singular values by it, and takes their roots.
        if self.config.start == Start::Pissa && lora.scaling() <= 0.0 {
            let reason =
                format!("PiSSA needs a scale above 0, and that of {} is {}", pair.module, number(lora.scaling()));
            let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
            return Err(Error::bad_config(file, reason).adapter(adapter).field("lora_alpha").tensor(key));
        }
        Ok(Op { method, ..lora })
    }

    fn is_attention(&self, module: &str) -> bool {
        self.attentions.binary_search_by(|path| path.as_str().cmp(module)).is_ok()
    }

    /// PEFT's nn.MultiheadAttention adds the delta of `out_proj` twice: as its own, and as that of the layer inside, which is wrapped, too. Its forward
    /// pass does the same, so this is what was trained (huggingface/peft#3774).
    fn is_doubled(&self, module: &str) -> bool {
        !self.files.out_proj_once
            && module.strip_suffix(".out_proj").is_some_and(|attention| self.is_attention(attention))
    }

    /// Trained rows of an embedding.
    fn tokens(&self, module: String, rows: Operand, shape: &[u64]) -> Result<ModuleUpdate> {
        let named = self.config.tokens.iter().find(|(end, _)| module.ends_with(end.as_str()));
        let Some((_, indices)) = named else {
            let file = self.files.config.map_or("adapter_config.json", |(file, _)| file);
            let reason = format!("trainable_token_indices does not say which rows of {module} were trained");
            let error = Error::bad_config(file, reason).adapter(self.files.adapter).field("trainable_token_indices");
            return Err(error.tensor(rows.key));
        };
        let key = rows.key.clone();
        let op = trained_rows(rows, shape, indices.clone(), self.files.adapter)?;
        let parameter = "weight".to_string();
        let (wrapper, share) = (None, None);
        Ok(ModuleUpdate {
            module,
            parameter,
            optional: false,
            adds: false,
            tied: true,
            key,
            op,
            base: None,
            wrapper,
            share,
        })
    }

    /// A target without factors is no error, because lists are often written for many models, but it is worth a finding.
    fn targets_without_factors(&self, pairs: &[Pair]) -> Vec<Finding> {
        let finding = |field: &str, target: &str| {
            let message = format!("{field} names {target:?}, and the file has no factors for it");
            Finding::info("target-without-factors", self.files.adapter, message)
        };
        let AdapterConfig { target_modules, target_parameters, .. } = self.config;
        let modules = || pairs.iter().map(|pair| unwrapped(&pair.module).0);
        let lacking = without_factors(target_modules, modules());
        let mut findings: Vec<Finding> = lacking.into_iter().map(|target| finding("target_modules", target)).collect();
        // Keys name the module of a bare parameter alone.
        let owners: Vec<String> = target_parameters.iter().map(|target| owner(target).into()).collect();
        let lacking = without_factors(&owners, modules());
        let named =
            target_parameters.iter().filter(|target| !owner(target).is_empty() && lacking.contains(&owner(target)));
        findings.extend(named.map(|target| finding("target_parameters", target)));
        findings
    }
}

/// The module that has a parameter of `target_parameters`; nothing where the name is that of the parameter alone.
fn owner(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or("", |(module, _)| module)
}
