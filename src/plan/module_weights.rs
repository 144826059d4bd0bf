//! Weights by module: which tensors an adapter changes, and with which factor beside its own.

use serde::Serialize;

use super::adapter::finite;
use super::options::ModuleChoice;
use super::task_vectors::list;
use crate::adapter::pattern::{Pattern, PatternBudget};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::json::from_json;
use crate::model::image_blocks::{self, BlockSet};
use crate::wire::wire;

/// A factor on an adapter's delta in some of its tensors, beside the factor on all of it. What is given of `match`, `layers` and `blocks`, one at
/// least, says which: those of which all holds. Of several entries that say so the last counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
#[non_exhaustive]
pub struct ModuleWeight {
    /// A regular expression, Python's, that matches somewhere in the tensor's name in the base.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Layers, counted from 0: `0-7`, `8-`, `-3`, `5`, with commas between them. A tensor's layer is the first number in its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<String>,
    /// Blocks of an image model: `IN00` to `IN11`, `MID`, `OUT00` to `OUT11` of Stable Diffusion's UNet; `D00`, … (`double_blocks`, SD3's `joint_blocks`,
    /// also called `J00`, …) and `S00`, … (`single_blocks`) of Flux and SD3; `BASE` for all else; `IN`, `OUT`, `D`, `S` for a side; with `-` between the first and
    /// the last of several, and commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocks: Option<String>,
    /// The factor.
    pub weight: f64,
}

impl ModuleWeight {
    /// `weight` in the tensors in whose name `pattern` matches.
    pub fn matching(pattern: impl Into<String>, weight: f64) -> ModuleWeight {
        ModuleWeight { pattern: Some(pattern.into()), weight, ..ModuleWeight::default() }
    }

    /// `weight` in layers: `0-7`, `8-`, `3,5`.
    pub fn of_layers(layers: impl Into<String>, weight: f64) -> ModuleWeight {
        ModuleWeight { layers: Some(layers.into()), weight, ..ModuleWeight::default() }
    }

    /// `weight` in blocks of an image model: `IN04-IN08,MID`, `D00-D06,S12`.
    pub fn of_blocks(blocks: impl Into<String>, weight: f64) -> ModuleWeight {
        ModuleWeight { blocks: Some(blocks.into()), weight, ..ModuleWeight::default() }
    }
}

from_json!(ModuleWeight { pattern: "match", layers, blocks, weight });
wire!(ModuleWeight { pattern, layers, blocks, weight });

/// What is said of the modules of one adapter, to be asked.
#[derive(Debug)]
pub(super) struct Selection {
    rules: Vec<Rule>,
    /// The first of `only`, the first of `skip`, among the rules, and their end: factors come first.
    starts: [usize; 3],
}

/// A condition.
#[derive(Debug)]
struct Rule {
    /// The option, and what it says.
    field: &'static str,
    text: String,
    pattern: Option<Pattern>,
    /// First and last of each range.
    layers: Vec<(u64, u64)>,
    blocks: Option<BlockSet>,
    weight: f64,
    /// Whether it has matched. One of a list of all blocks need not.
    used: bool,
    may_be_idle: bool,
}

impl ModuleChoice {
    /// The first option that says something.
    pub(crate) fn option(&self) -> &'static str {
        match (self.only.is_empty(), self.skip.is_empty(), self.weights.is_empty()) {
            (false, ..) => "only",
            (_, false, _) => "skip",
            (.., false) => "weights",
            _ => "blockWeights",
        }
    }

    /// Ready to be asked.
    ///
    /// # Errors
    /// `bad-option` for a pattern, a range or a list that is none, and for a factor that is not finite.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn selection(&self) -> Result<Selection> {
        let mut rules = Vec::new();
        if let Some(text) = &self.block_weights {
            let list = image_blocks::weights(text).map_err(|reason| bad("blockWeights", text, reason))?;
            for (blocks, weight) in list {
                let may_be_idle = true;
                rules.push(Rule { blocks: Some(blocks), weight, may_be_idle, ..Rule::of("blockWeights", text) });
            }
        }
        for entry in &self.weights {
            rules.push(factor(entry)?);
        }
        let mut starts = [rules.len(); 3];
        for (at, (field, texts)) in [("only", &self.only), ("skip", &self.skip)].into_iter().enumerate() {
            for text in texts {
                rules.push(Rule { pattern: Some(pattern(field, text)?), ..Rule::of(field, text) });
            }
            starts[at + 1] = rules.len();
        }
        Ok(Selection { rules, starts })
    }
}

fn bad(field: &'static str, text: &str, reason: String) -> Error {
    Error::bad_option(field, reason).found(text)
}

fn pattern(field: &'static str, text: &str) -> Result<Pattern> {
    Pattern::anywhere(text).map_err(|reason| bad(field, text, reason).expected("a regular expression"))
}

fn factor(ModuleWeight { pattern: matches, layers, blocks, weight }: &ModuleWeight) -> Result<Rule> {
    const FIELD: &str = "weights";
    let said = [matches, layers, blocks].map(|text| text.as_deref().unwrap_or_default());
    let text = said.iter().copied().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return Err(
            Error::bad_option(FIELD, "an entry says neither match nor layers nor blocks").expected("one of them")
        );
    }
    let mut rule = Rule { weight: finite(FIELD, *weight)?, ..Rule::of(FIELD, &text) };
    rule.pattern = matches.as_deref().map(|text| pattern(FIELD, text)).transpose()?;
    if let Some(text) = layers {
        let range = |part: &str| -> Option<(u64, u64)> {
            let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
            let number = |text: &str, open: u64| if text.is_empty() { Some(open) } else { text.trim().parse().ok() };
            let range = (number(first, 0)?, number(last, u64::MAX)?);
            (range.0 <= range.1 && !part.trim().is_empty() && part.trim() != "-").then_some(range)
        };
        let ranges: Option<Vec<(u64, u64)>> = text.split(',').map(range).collect();
        let wrong = || {
            bad(FIELD, text, format!("{text:?} is not a range of layers: the first number must be the smaller"))
                .expected("0-7, 8- or 3,5")
        };
        rule.layers = ranges.ok_or_else(wrong)?;
    }
    rule.blocks = blocks
        .as_deref()
        .map(|text| image_blocks::blocks(text).map_err(|reason| bad(FIELD, text, reason)))
        .transpose()?;
    Ok(rule)
}

/// The layer that a tensor is in: the first number among the parts of its name.
fn layer_of(tensor: &str) -> Option<u64> {
    tensor.split('.').find_map(|part| part.parse().ok())
}

impl Rule {
    fn of(field: &'static str, text: &str) -> Rule {
        let (layers, text) = (Vec::new(), text.into());
        Rule { field, text, pattern: None, layers, blocks: None, weight: 1.0, used: false, may_be_idle: false }
    }

    fn holds(&mut self, tensor: &str, budget: &mut PatternBudget) -> Result<bool> {
        let is_in = |layer: u64| self.layers.iter().any(|&(first, last)| (first..=last).contains(&layer));
        let block = || image_blocks::block_of(tensor);
        let mut holds = (self.layers.is_empty() || layer_of(tensor).is_some_and(is_in))
            && self.blocks.is_none_or(|blocks| blocks.has(block()));
        if let (true, Some(pattern)) = (holds, &self.pattern) {
            holds = pattern.matches(tensor, budget).map_err(|error| error.of_pattern(self.field, &self.text))?;
        }
        self.used |= holds;
        Ok(holds)
    }
}

impl Selection {
    /// The factor on the delta of a tensor, beside the adapter's; 0 where it is left out.
    ///
    /// # Errors
    /// `limit-exceeded` where a pattern takes too many steps.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn factor(&mut self, tensor: &str, budget: &mut PatternBudget) -> Result<f64> {
        let [only, skip, _] = self.starts;
        let (mut factor, mut is_wanted, mut is_skipped) = (1.0, only == skip, false);
        for (number, rule) in self.rules.iter_mut().enumerate() {
            if !rule.holds(tensor, budget)? {
                continue;
            }
            match number {
                _ if number < only => factor = rule.weight,
                _ if number < skip => is_wanted = true,
                _ => is_skipped = true,
            }
        }
        Ok(if is_wanted && !is_skipped { factor } else { 0.0 })
    }

    /// What is to be said, where `left` of `all` tensors are left out.
    ///
    /// # Errors
    /// `bad-option` for what matches none of them, unless the user allows it.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn findings(&self, adapter: &str, left: &[&str], all: usize, allow: bool) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for error in self.unmatched(adapter) {
            if !allow {
                return Err(error);
            }
            findings.push(Finding::warning("unmatched-pattern", Some(adapter), error.to_string()));
        }
        if !left.is_empty() {
            let message = format!("{} of the {all} tensors that it changes are left out: {}", left.len(), list(left));
            findings.push(Finding::info("left-out", adapter, message));
        }
        Ok(findings)
    }

    /// What matches none of the tensors that were asked for: an error for each.
    fn unmatched(&self, adapter: &str) -> Vec<Error> {
        let of_list = |rule: &&Rule| rule.may_be_idle;
        // A list for blocks means one of them at least.
        let is_block = |rule: &Rule| rule.used && rule.blocks.is_some_and(BlockSet::has_blocks);
        let mut list = self.rules.iter().filter(of_list).peekable();
        let list = list.peek().copied().filter(|_| !self.rules.iter().filter(of_list).any(is_block));
        let single = self.rules.iter().filter(|rule| !rule.used && !rule.may_be_idle);
        let error = |rule: &Rule| {
            let reason = format!("{:?} matches none of the tensors that the adapter changes", rule.text);
            let error = Error::bad_option(rule.field, reason).adapter(adapter).kind(ErrorKind::UnmatchedPattern);
            error.found(rule.text.clone()).fix("correct it, or remove it; names are those of the base's tensors")
        };
        list.into_iter().chain(single).map(error).collect()
    }
}
