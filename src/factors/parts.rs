//! What becomes of the parameters that adapters change: factors, the stacked factors of experts, biases, whole tensors; or the reason why they
//! cannot become one.

use super::folder::key_of;
use super::layer::Layer;
use super::plan::{Body, Given, Part};
use super::rule::Method;
use super::shapes::Shapes;
use super::stacks::{self, Wrapped};
use crate::adapter::dialect::ModuleUpdate;
use crate::adapter::keys::attention_of;
use crate::encoding::{Operand, Stored};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::inputs::Span;
use crate::model::orientation::Fit;
use crate::op::{LORA, LayerShape, Op, Replace};
use crate::tensor::{Dtype, Float};

/// What helps where adapters cannot become one.
pub(super) const MERGE: &str = "merge the adapters into the base, and extract an adapter from the result";

/// The parts of an adapter that others become, one parameter after another.
pub(super) struct Parts<'a> {
    adapters: &'a [Given],
    method: Method,
    shapes: Option<Shapes>,
    parts: Vec<Part>,
    /// The stacked factors of the module that is being read.
    wrapped: Vec<(usize, ModuleUpdate)>,
    /// The adapters whose files do not tell whether a layer is a convolution, each with the first such layer.
    unclear: Vec<(usize, String)>,
    dora: bool,
}

/// All parts, and what they have in common.
pub(super) struct Parted {
    pub(super) parts: Vec<Part>,
    /// The largest rank.
    pub(super) widest: u64,
    /// Whether some factors are stored in f64.
    pub(super) wide: bool,
    /// Whether the factors are those of DoRA.
    pub(super) dora: bool,
}

impl<'a> Parts<'a> {
    pub(super) fn new(adapters: &'a [Given], method: Method, shapes: Option<Shapes>) -> Parts<'a> {
        let (parts, wrapped, unclear) = (Vec::new(), Vec::new(), Vec::new());
        Parts { adapters, method, shapes, parts, wrapped, unclear, dora: false }
    }

    /// Add the updates of one parameter. Parameters come in the order of their modules.
    ///
    /// # Errors
    /// `unsupported` for what has no factors, `shape-mismatch` where the adapters are for layers of different shapes, `unmatched-key` where the
    /// base does not have the parameter.
    pub(super) fn add(&mut self, updates: Vec<(usize, ModuleUpdate)>) -> Result<()> {
        if let Some((_, first)) = updates.first()
            && self.wrapped.first().is_some_and(|(_, other)| other.module != first.module)
        {
            self.stacks()?;
        }
        let (replaced, changed): (Vec<_>, Vec<_>) =
            updates.into_iter().partition(|(_, update)| update.op.replacement.is_some());
        let (wrapped, changed): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|(_, update)| update.wrapper.is_some());
        let (biases, changed): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|(_, update)| update.op.adds_to_bias() && update.parameter == "bias");
        let meets = replaced.len() > 1 || !(replaced.is_empty() || changed.is_empty() && wrapped.is_empty());
        if let (true, Some((number, update))) = (meets, replaced.first()) {
            let what = "another adapter changes this parameter too, and this one replaces it as a whole";
            return Err(self.refused(*number, &update.key, what));
        }
        for (number, update) in replaced {
            self.whole(number, update)?;
        }
        self.biases(biases);
        self.factors(changed)?;
        self.wrapped.extend(wrapped);
        Ok(())
    }

    /// All parts.
    ///
    /// # Errors
    /// Those of [`add`](Self::add).
    pub(super) fn finish(mut self, findings: &mut Vec<Finding>) -> Result<Parted> {
        self.stacks()?;
        stacks::check_alone(&self.parts, self.adapters)?;
        self.complete_biases()?;
        for (number, tensor) in std::mem::take(&mut self.unclear) {
            let message = "its file does not tell linear layers and convolutions apart: its layers are taken for linear ones, unless the base is given";
            let finding = Finding::info("taken-for-linear", self.name(number), message.into());
            findings.push(Finding { tensor: Some(tensor), ..finding });
        }
        let (mut widest, mut wide) = (1, false);
        for part in &self.parts {
            let (Body::Factors(_, ops) | Body::Stack(_, ops) | Body::Bias(_, ops)) = &part.body else { continue };
            if !matches!(part.body, Body::Bias(..)) {
                widest = ops.iter().map(|(_, op)| op.positions()).fold(widest, u64::max);
            }
            wide |= ops.iter().flat_map(|(_, op)| &op.operands).any(|operand| operand.dtype == Dtype::F64);
        }
        Ok(Parted { parts: self.parts, widest, wide, dora: self.dora })
    }

    fn name(&self, adapter: usize) -> &'a str {
        self.adapters.get(adapter).map_or("", |adapter| &adapter.name)
    }

    fn refused(&self, adapter: usize, key: &str, what: &str) -> Error {
        refused(self.name(adapter), key, what)
    }

    /// A tensor that one adapter brings as a whole.
    fn whole(&mut self, number: usize, update: ModuleUpdate) -> Result<()> {
        let name = update.tensor();
        let Some(Replace { key, shape, stored }) = &update.op.replacement else { return Ok(()) };
        let elements = shape.iter().product();
        let Some(&at) = Stored::Plain(*stored).reads(0..elements).first() else {
            return Err(self.refused(number, &update.key, "it is empty"));
        };
        let key = key_of(key, &update.module, &update.parameter);
        let (dtype, shape) = (stored.float.dtype(), shape.clone());
        self.parts.push(Part { module: update.module, body: Body::Whole { key, name, dtype, shape, at, base: None } });
        Ok(())
    }

    /// Biases of `lora_B`, which add up.
    fn biases(&mut self, updates: Vec<(usize, ModuleUpdate)>) {
        let Some((_, first)) = updates.first() else { return };
        let module = first.module.clone();
        let outputs = first.op.layer.outputs.unwrap_or(0);
        let ops = updates.into_iter().map(|(number, update)| (number, update.op)).collect();
        self.parts.push(Part { module, body: Body::Bias(outputs, ops) });
    }

    /// Where one layer has a bias of `lora_B`, all have: the configuration says it once.
    fn complete_biases(&mut self) -> Result<()> {
        let mut biases: Vec<(String, u64)> = Vec::new();
        for part in &self.parts {
            if let Body::Bias(outputs, _) = part.body {
                biases.push((part.module.clone(), outputs));
            }
        }
        let Some((example, _)) = biases.first().cloned() else { return Ok(()) };
        let refuse = |module: &str, what: &str| {
            let error = Error::unsupported(module, what).kind(ErrorKind::NotImplemented).tensor(module);
            Err(error.field("lora_bias").fix(MERGE))
        };
        let mut more = Vec::new();
        let mut factored = Vec::new();
        for Part { module, body } in &self.parts {
            let layer = match body {
                Body::Factors(layer, _) if !layer.embedding => layer,
                Body::Factors(..) => {
                    let what = format!("the factors of {example} have a bias, and PEFT has none for embeddings");
                    return refuse(module, &what);
                }
                Body::Stack(..) => {
                    let what = format!("the factors of {example} have a bias, and PEFT has none for bare parameters");
                    return refuse(module, &what);
                }
                _ => continue,
            };
            factored.push(module.as_str());
            match biases.binary_search_by(|(of, _)| of.cmp(module)).map(|at| biases[at].1) {
                Err(_) => more.push(Part { module: module.clone(), body: Body::Bias(layer.outputs, Vec::new()) }),
                Ok(outputs) if outputs != layer.outputs => {
                    let reason = format!("the bias of its factors has {outputs} values, and it {}", layer.outputs);
                    return Err(Error::shape_mismatch("", module.clone(), reason));
                }
                Ok(_) => {}
            }
        }
        // The parts come in the order of their modules.
        if let Some((module, _)) = biases.iter().find(|(module, _)| factored.binary_search(&module.as_str()).is_err()) {
            return refuse(
                module,
                "an adapter changes its bias, and none has factors for its weight: LoRA has no bias without",
            );
        }
        self.parts.extend(more);
        Ok(())
    }

    /// Factors of a layer.
    fn factors(&mut self, updates: Vec<(usize, ModuleUpdate)>) -> Result<()> {
        let Some((_, first)) = updates.first() else { return Ok(()) };
        let module = first.module.clone();
        for (number, update) in &updates {
            let is_of_attention = attention_of(&update.key).is_some() || update.parameter == "in_proj_weight";
            if update.op.is_dora() && !is_of_attention {
                let alone = self.adapters.len() == 1 && self.adapters.iter().all(|adapter| adapter.weight == 1.0);
                if !alone || self.method != Method::Cat {
                    let what = "this is DoRA, which scales each output to a length: lengths do not add up, nor do they shrink with a weight (cat keeps one adapter alone, at weight 1, as it is)";
                    return Err(self.refused(*number, &update.key, what));
                }
            } else if update.parameter != "weight" || is_of_attention || !update.op.has_factors() {
                let what = format!("what {} does here is no product of factors by itself", update.op.method.name);
                return Err(self.refused(*number, &update.key, &what));
            }
        }
        let layer = self.layer(&updates)?;
        let stored = layer.stored();
        let mut ops = Vec::with_capacity(updates.len());
        for (number, update) in updates {
            let fit = update.op.fit(&stored);
            let straight = matches!(fit, Fit::Straight | Fit::Either | Fit::Certain { transposed: false });
            if !(straight || layer.embedding && fit == Fit::Certain { transposed: true }) {
                let reason = "it is for a layer of another shape than that of another adapter, or of the base";
                return Err(Error::shape_mismatch(self.name(number), update.key.clone(), reason)
                    .found(update.op.layer.to_string())
                    .expected(layer.to_string())
                    .fix("combine adapters of the same base"));
            }
            let op = match update.op.is_dora() {
                true => self.magnitude(&update)?,
                false => update.op,
            };
            ops.push((number, op));
        }
        self.parts.push(Part { module, body: Body::Factors(layer, ops) });
        Ok(())
    }

    /// The layer that updates are for: that of the base, where it is given; else that of the adapter which tells most of it.
    fn layer(&mut self, updates: &[(usize, ModuleUpdate)]) -> Result<Layer> {
        let mut found: Option<(usize, LayerShape)> = None;
        for (number, update) in updates {
            let shape = match &self.shapes {
                Some(shapes) => shapes.layer(update, self.name(*number))?,
                None => update.op.layer.clone(),
            };
            let is_told = shape.outputs.is_some() && shape.inputs.is_some() && !shape.vector;
            if is_told && found.as_ref().is_none_or(|(_, other)| other.flattened && !shape.flattened) {
                found = Some((*number, shape));
            }
        }
        let Some((number, layer)) = found.and_then(|(number, shape)| Some((number, (Layer::of(&shape)?, shape))))
        else {
            let Some((number, update)) = updates.first() else { return Err(Error::internal("there are no updates")) };
            let what = format!("a file of {} does not tell both sides of the layer", update.op.method.name);
            return Err(self
                .refused(*number, &update.key, &what)
                .fix("give the base too (base, --base): its headers tell them"));
        };
        let (layer, shape) = layer;
        if shape.flattened
            && let Some((_, update)) = updates.first()
            && !self.unclear.iter().any(|(other, _)| *other == number)
        {
            self.unclear.push((number, update.tensor()));
        }
        if layer.outputs == 0 || layer.columns().is_none_or(|columns| columns == 0) {
            let Some((number, update)) = updates.first() else { return Err(Error::internal("there are no updates")) };
            return Err(self.refused(*number, &update.key, "the layer has no elements"));
        }
        Ok(layer)
    }

    /// The pair of an update by DoRA, whose magnitudes are taken as they are.
    fn magnitude(&mut self, update: &ModuleUpdate) -> Result<Op> {
        let mut op = Op { method: &LORA, ..update.op.clone() };
        let (Some(Operand { key, at, dtype, .. }), 2) = (op.operands.pop(), op.operands.len()) else {
            return Err(Error::internal("DoRA has a pair and magnitudes"));
        };
        let width = Float::of(dtype).map_or(1, |float| float.bytes() as u64);
        let body = Body::Whole {
            key: key_of(&key, &update.module, "lora_magnitude_vector"),
            name: format!("{}.lora_magnitude_vector", update.module),
            dtype,
            shape: vec![at.bytes / width],
            at: Span { ..at },
            base: None,
        };
        self.parts.push(Part { module: update.module.clone(), body });
        self.dora = true;
        Ok(op)
    }

    /// The stacked factors that were read of one module.
    fn stacks(&mut self) -> Result<()> {
        let wrapped = std::mem::take(&mut self.wrapped);
        if !wrapped.is_empty() {
            let parts = Wrapped { adapters: self.adapters, updates: wrapped }.parts()?;
            self.parts.extend(parts);
        }
        Ok(())
    }
}

/// The error for what cannot be combined.
pub(super) fn refused(adapter: &str, key: &str, what: &str) -> Error {
    let error = Error::unsupported(key, what).kind(ErrorKind::NotImplemented);
    error.adapter(adapter).tensor(key).fix(MERGE)
}
