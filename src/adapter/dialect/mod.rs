//! Dialects: how a tool spells an adapter. Every dialect is a file here and an entry of `DIALECTS`.
//!
//! A dialect reads a configuration and the names and shapes of tensors, and gives updates: which module of the model changes, and how. It
//! does not know where that module is in the base: the plan places it.

mod peft;

use crate::adapter::pattern::PatternBudget;
use crate::adapter::stack::{Share, Wrapper};
use crate::adapter::targets::Targets;
use crate::container::Header;
use crate::encoding::Plain;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::op::{Op, Packing};
use crate::order::sort_by;
use crate::wire::wire;

/// The dialects. The first that recognises an adapter reads it.
const DIALECTS: [&dyn Dialect; 1] = [&peft::Peft];

/// An adapter's files, without its weights.
pub struct AdapterFiles<'a> {
    /// What errors call the adapter.
    pub adapter: &'a str,
    /// Name of the weight file.
    pub file: &'a str,
    /// Number of the weight file among all inputs.
    pub input: usize,
    /// The configuration: its file's name and its text.
    pub config: Option<(&'a str, &'a [u8])>,
    /// The user's alpha, which replaces the configuration's.
    pub alpha: Option<f64>,
    /// How `lora_B` orders the experts, if it holds several.
    pub packing: Packing,
    /// Whether the base is already the one that the adapter's initialisation changed.
    pub residual: bool,
    /// Whether the delta of `out_proj` in nn.MultiheadAttention is added once, not twice.
    pub out_proj_once: bool,
    /// Which of several adapters in the file is meant.
    pub wanted: Option<&'a str>,
}

/// How one tool spells adapters.
trait Dialect: Sync {
    /// Whether this tool wrote the adapter.
    fn recognises(&self, files: &AdapterFiles) -> bool;

    /// Read the adapter. The configuration is judged first, before a header that cannot be read.
    fn read(&self, files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates>;
}

/// What an adapter contains.
#[derive(Debug, Clone)]
pub struct Updates {
    /// One for each module, in the order of their paths.
    pub updates: Vec<ModuleUpdate>,
    /// What reports say about the whole adapter.
    pub summary: Summary,
    /// `layer_replication`: the layers of the base, from each first to before each last, that it was trained on.
    pub replication: Vec<[u64; 2]>,
    /// What the configuration names and the file does not have, or the other way round. These are errors, unless the user allows them.
    pub mismatches: Vec<Mismatch>,
    /// What the user should know.
    pub findings: Vec<Finding>,
    /// Which modules the configuration says were trained.
    pub targets: Targets,
}

/// What an adapter does to one module.
#[derive(Debug, Clone, PartialEq)]
pub struct ModuleUpdate {
    /// Path of the module in the model, without the tool's prefix.
    pub module: String,
    /// The module's parameter: `weight`, `bias`.
    pub parameter: String,
    /// It is no error if the base does not have the parameter.
    pub optional: bool,
    /// If the base lacks the parameter, it is added: the head of a classifier, which the adapter brings as a whole.
    pub adds: bool,
    /// An output layer that is tied to the parameter changes with it, as it did in training.
    pub tied: bool,
    /// The key of its first tensor, for errors.
    pub key: String,
    /// The method.
    pub op: Op,
    /// The weight that it was trained on, if the file brings it along. It is loaded in place of the base's.
    pub base: Option<BaseWeight>,
    /// If the file does not name the parameter: what is known about it without the base.
    pub wrapper: Option<Box<Wrapper>>,
    /// If the tensor is a stack of experts' matrices, or was one in training: the part that the update covers.
    pub share: Option<Share>,
}

impl ModuleUpdate {
    /// The shape of the weight that the adapter brings along, in place of the base's.
    pub(crate) fn brought(&self) -> Option<(&str, &[u64])> {
        match (&self.base, &self.op.replacement) {
            _ if self.op.is_task_vector() => None,
            (Some(base), _) => Some((&base.key, &base.shape)),
            (None, Some(replace)) => Some((&replace.key, &replace.shape)),
            (None, None) => None,
        }
    }

    /// The name that the parameter has in a model without prefixes.
    pub fn tensor(&self) -> String {
        if self.module.is_empty() { self.parameter.clone() } else { format!("{}.{}", self.module, self.parameter) }
    }
}

/// A weight of the base in an adapter's file.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseWeight {
    /// Its key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its type and place.
    pub stored: Plain,
}

/// Sort updates by the paths of their parameters.
fn in_order(updates: &mut [ModuleUpdate]) {
    sort_by(updates, |one, other| (&one.module, &one.parameter).cmp(&(&other.module, &other.parameter)));
}

/// What reports say about an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The `peft_type` of its configuration.
    pub peft_type: String,
    /// Rank where no pattern says otherwise, where it has one.
    pub r: Option<u64>,
    /// Numerator of the scale where no pattern says otherwise, where it has one.
    pub alpha: Option<f64>,
    /// Scale by α/√r instead of α/r.
    pub rslora: bool,
    /// What the configuration says about the orientation of the base's weights. It is a hint, because PEFT decides by layer class.
    pub fan_in_fan_out: bool,
    /// The base that the configuration names.
    pub base_name: Option<String>,
}

wire!(Summary { peft_type, r, alpha, rslora, fan_in_fan_out, base_name });

/// A configuration and a file that do not agree.
#[derive(Debug, Clone, PartialEq)]
pub struct Mismatch {
    /// The error, unless the user allows it.
    pub error: Error,
    /// The code of the finding, if the user allows it.
    pub code: &'static str,
}

/// Read an adapter in the dialect it is written in. Its patterns take their steps from `budget`.
///
/// # Errors
/// `bad-config`, `bad-header`, `missing-pair`, `shape-mismatch`, `unsupported`, `limit-exceeded`, and the error that `header` is.
pub fn read(files: &AdapterFiles, header: Result<Header>, budget: &mut PatternBudget) -> Result<Updates> {
    // An adapter that no dialect recognises is read as PEFT's, whose errors say what is missing.
    let dialect = DIALECTS.iter().find(|dialect| dialect.recognises(files)).unwrap_or(&DIALECTS[0]);
    dialect.read(files, header, budget)
}
