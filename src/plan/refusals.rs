//! Why adapters cannot be matched with a base.

use super::adapter::Adapter;
use super::matching::Matcher;
use super::tied;
use super::unmerged;
use crate::adapter::dialect::ModuleUpdate;
use crate::error::{Error, ErrorKind, Result};
use crate::findings::Finding;
use crate::model::placement::SeveralParts;

/// What the user can do about a quantised base.
pub(super) const NOT_QUANTISED: &str = "merge into the base that is not quantised";

impl Matcher<'_> {
    /// The delta belongs to one of these parts, and would be wrong in all others.
    pub(super) fn ambiguous(&self, several: &SeveralParts) -> Error {
        let more = several.all - several.prefixes.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let prefixes = several.prefixes.join(", ") + &more;
        let reason = format!("the adapter fits several parts of the base ({prefixes})");
        Error::unmatched_key(self.adapter.name.clone(), self.adapter.updates[0].key.clone(), reason)
            .kind(ErrorKind::AmbiguousPart)
            .found(prefixes)
            .fix("put the prefix of the one it was trained on before its keys")
    }

    /// One module in two spellings: if both were added, the delta would be twice what was trained.
    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn placed_twice(&self, tensor: usize, one: &ModuleUpdate, other: &ModuleUpdate) -> Error {
        let tensor = self.tensors.infos[tensor].name;
        let reason = format!("{:?} and {:?} both mean {tensor} of the base", one.key, other.key);
        Error::bad_header(self.adapter.name.clone(), reason)
            .adapter(self.adapter.name.clone())
            .found(format!("{}, {}", one.key, other.key))
            .fix("remove one of the two")
    }

    pub(super) fn unmatched(&self, update: &ModuleUpdate, wanted: &str, findings: &mut Vec<Finding>) -> Result<()> {
        let error = |reason: String| Error::unmatched_key(self.adapter.name.clone(), update.key.clone(), reason);
        let error = if update.module.ends_with("lm_head") {
            let (reason, fix) = match self.model.tied {
                Some(false) => (
                    "the base has no lm_head.weight, and config.json says that it is not tied to the embedding",
                    "set tie_word_embeddings to true if it is tied after all; else weights of the base are missing",
                ),
                _ => {
                    ("the base has no lm_head.weight of its own: its output layer is tied to its embedding", tied::FIX)
                }
            };
            error(reason.into()).kind(ErrorKind::TiedHead).expected("lm_head.weight").fix(fix)
        } else if let Some(method) = &self.model.quantised {
            let reason = format!(
                "the base is quantised ({method}): it has no plain {wanted}, and quantised weights cannot be merged into"
            );
            error(reason).kind(ErrorKind::QuantisedBase).expected(wanted.to_string()).fix(NOT_QUANTISED)
        } else {
            let example = self.tensors.example;
            error(format!("the base has no tensor {wanted} (it has, for example, {example})"))
                .expected(wanted.to_string())
                .found(example)
                .fix(self.adapter.right_base())
        };
        if !self.options.allow_unmatched {
            return Err(error);
        }
        let mut finding = Finding::warning("unmatched-key", Some(&self.adapter.name), error.to_string());
        finding.tensor = Some(update.key.clone());
        findings.push(finding);
        Ok(())
    }

    #[inline(never)] // In the WebAssembly it is in the second half.
    pub(super) fn misfit(&self, update: &ModuleUpdate, tensor: usize, shape: &[u64]) -> Error {
        let layer = || update.op.layer.to_string();
        let (found, expected) =
            (format!("{shape:?}"), update.share.map_or_else(layer, |share| share.layer(&update.op)));
        let reason = format!("the base has {found}, the adapter was trained on {expected}");
        Error::shape_mismatch(self.adapter.name.clone(), self.tensors.infos[tensor].name, reason)
            .kind(ErrorKind::OtherShape)
            .found(found)
            .expected(expected)
            .fix(self.adapter.right_base())
    }

    /// Where the configuration and the file do not agree.
    pub(super) fn check_mismatches(&self, findings: &mut Vec<Finding>) -> Result<()> {
        for mismatch in &self.adapter.mismatches {
            let is_beside = mismatch.code == unmerged::CODE;
            if !(if is_beside { self.options.allow_unmerged } else { self.options.allow_unmatched }) {
                return Err(mismatch.error.clone());
            }
            let reason = mismatch.error.reason();
            // Patterns name themselves; of files beside the adapter there may be several.
            let message = match &mismatch.error.facts().file {
                Some(file) if is_beside => format!("{file}: {reason}"),
                _ => reason.to_string(),
            };
            findings.push(Finding::warning(mismatch.code, Some(&self.adapter.name), message));
        }
        Ok(())
    }
}

/// Two adapters bring a weight in place of the base's.
pub(super) fn two_bases(adapter: &Adapter, tensor: &str, key: &str) -> Error {
    Error::unsupported(tensor, "two adapters bring a weight in place of the base's")
        .kind(ErrorKind::NotImplemented)
        .adapter(adapter.name.clone())
        .tensor(key)
        .fix("remove it from one of them, if the two are the same")
}
