//! `target_parameters`: factors of bare parameters (PEFT's `ParamWrapper`). Keys name only the module, not the parameter.
//!
//! If a module has several such parameters, their wrappers are nested: the key of the parameter that was registered first has the most
//! `base_layer`s.

use serde_json::Value;

use crate::adapter::dialect::AdapterFiles;
use crate::adapter::fields::FieldReader;
use crate::adapter::pairs::Pair;
use crate::adapter::pattern::PatternBudget;
use crate::adapter::stack::{Candidate, SquareLayout, Wrapper};
use crate::adapter::{AdapterConfig, SettingsLookup};
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::op::Packing;

/// What PEFT refuses together with `target_parameters`, and what helps.
const REFUSED: [(&str, &str); 6] = [
    ("lora_dropout", "set lora_dropout to 0: a merge has no dropout"),
    ("fan_in_fan_out", "remove it"),
    ("lora_bias", "train without lora_bias"),
    ("use_dora", "train without use_dora"),
    ("velora_config", "train without velora_config"),
    ("kasa_config", "train without kasa_config"),
];

/// The path of a module without its wrappers, and their number without the outermost.
pub(super) fn unwrapped(module: &str) -> (&str, usize) {
    let (mut path, mut inside) = (module, 0);
    while let Some(outer) = path.strip_suffix(".base_layer") {
        (path, inside) = (outer, inside + 1);
    }
    (path, inside)
}

/// Finds out which pairs belong to bare parameters.
pub(super) struct Parameters<'a> {
    pub(super) adapter: &'a str,
    pub(super) config: &'a AdapterConfig,
    /// The user's alpha.
    pub(super) alpha: Option<f64>,
    /// How `lora_B` orders the experts.
    pub(super) packing: Packing,
}

impl Parameters<'_> {
    /// What is known about a pair that may belong to a bare parameter of `module`; `None` for any other pair.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn wrapper(
        &self,
        pair: &Pair,
        (module, inside): (&str, usize),
        lookup: &mut SettingsLookup,
        budget: &mut PatternBudget,
    ) -> Result<Option<Wrapper>> {
        let mut named: Vec<&str> = Vec::new();
        for target in &self.config.target_parameters {
            let (of, parameter) = target.rsplit_once('.').unwrap_or(("", target));
            let is_of =
                of.is_empty() || module.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
            if is_of && !named.contains(&parameter) {
                named.push(parameter);
            }
        }
        if named.is_empty() && inside == 0 || !pair.kernel.is_empty() || pair.embedding {
            return Ok(None);
        }
        let mut candidates = Vec::with_capacity(named.len());
        let (mut expected, mut found) = (String::new(), pair.rank);
        for parameter in named {
            let settings = lookup.find(&format!("{module}.{parameter}"), budget)?;
            if pair.rank == pair.rank_of_b && pair.rank.is_multiple_of(settings.rank) {
                let alpha = self.alpha.unwrap_or(settings.alpha);
                let scale = self.config.scale(alpha, settings.rank);
                candidates.push(Candidate { parameter: parameter.into(), rank: settings.rank, alpha, scale });
            } else {
                (expected, found) = (format!("a multiple of {}", settings.rank), pair.rank_of_b);
            }
        }
        // The name of a linear layer may also match an entry that means a bare parameter.
        let own = lookup.find(module, budget)?;
        if inside == 0 && own.rank == pair.rank && !candidates.iter().any(|one| one.parameter == "weight") {
            let alpha = self.alpha.unwrap_or(own.alpha);
            let scale = self.config.scale(alpha, own.rank);
            candidates.push(Candidate { parameter: "weight".into(), rank: own.rank, alpha, scale });
        }
        if candidates.is_empty() {
            let (key, reason) = (pair.a.key.clone(), "no entry of target_parameters fits these factors");
            return Err(match expected.is_empty() {
                true => Error::bad_config("adapter_config.json", reason)
                    .adapter(self.adapter)
                    .tensor(key)
                    .kind(ErrorKind::UnmatchedPattern)
                    .field("target_parameters"),
                false => Error::shape_mismatch(self.adapter, key, format!("its rank is {found}, not {expected}"))
                    .found(found.to_string())
                    .expected(expected),
            });
        }
        let square = SquareLayout::of(self.config.peft_version.as_deref());
        Ok(Some(Wrapper { around: inside, candidates, square, packing: self.packing }))
    }
}

/// Refuse by name what PEFT refuses together with `target_parameters`.
///
/// # Errors
/// `unsupported`.
pub(super) fn check(reader: &FieldReader, fields: &[(String, Value)]) -> Result<()> {
    for (name, value) in fields {
        let Some((_, fix)) = REFUSED.iter().find(|(refused, _)| refused == name) else { continue };
        let says_something = match value {
            Value::Number(number) => number.as_f64() != Some(0.0),
            value => !crate::adapter::fields::says_nothing(value),
        };
        if says_something {
            let meaning = "PEFT refuses it together with target_parameters, so no training can have made this adapter";
            return Err(reader.refuse(name, value, meaning).fix(*fix));
        }
    }
    Ok(())
}

/// Nothing in the file tells how `lora_B` is packed: adapters from Unsloth may have either order.
pub(super) fn packing_doubt(files: &AdapterFiles, stacks: bool) -> Option<Finding> {
    let says =
        |word: &str| files.config.is_some_and(|(_, json)| json.windows(word.len()).any(|text| text == word.as_bytes()));
    if !stacks || files.packing == Packing::ExpertMajor || !says("unsloth") {
        return None;
    }
    let message = "it seems to come from Unsloth, which ordered the columns of lora_B by expert before September 2026: \
                   they are taken as PEFT orders them, unless expertPacking is \"expert\"";
    Some(Finding::warning("expert-packing", Some(files.adapter), message.into()))
}
