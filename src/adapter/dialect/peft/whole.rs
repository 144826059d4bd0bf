//! Whole parameters in an adapter's file: `modules_to_save`, biases, and embeddings after the vocabulary was resized.

use serde_json::Value;

use crate::adapter::dialect::{Mismatch, ModuleUpdate};
use crate::adapter::fields::FieldReader;
use crate::adapter::pairs::Whole;
use crate::error::{Error, ErrorKind, Result};
use crate::op::replace;

/// What a configuration says about whole modules.
#[derive(Debug, Clone, Default)]
pub(super) struct Saved {
    /// `modules_to_save`: ends of modules' paths, which need not begin at a dot (PEFT's `str.endswith`).
    modules: Vec<String>,
    /// Modules that PEFT adds for the task.
    of_task: &'static [&'static str],
    /// `ensure_weight_tying`: a tied output layer follows the embedding.
    tying: bool,
}

impl Saved {
    /// Read it from the fields of a configuration.
    ///
    /// # Errors
    /// `bad-config` for values of other types.
    pub(super) fn of(reader: &FieldReader, fields: &[(String, Value)]) -> Result<Saved> {
        let mut saved = Saved::default();
        for (name, value) in fields {
            match name.as_str() {
                "modules_to_save" => saved.modules = reader.texts(name, value)?,
                "ensure_weight_tying" => saved.tying = reader.flag(name, value)?,
                "task_type" => {
                    saved.of_task = match value.as_str() {
                        Some("SEQ_CLS" | "TOKEN_CLS") => &["classifier", "score"],
                        Some("QUESTION_ANS") => &["qa_outputs"],
                        _ => &[],
                    };
                }
                _ => {}
            }
        }
        Ok(saved)
    }

    /// Whether a tied output layer follows whatever changes the embedding.
    pub(super) fn ties(&self) -> bool {
        self.tying
    }

    /// Whether the module, or one around it, is saved as a whole under one of the names in `ends`.
    fn holds(module: &str, end: &str) -> bool {
        let ends = module.match_indices('.').map(|(dot, _)| dot).chain([module.len()]);
        ends.into_iter().any(|at| module[..at].ends_with(end))
    }

    /// The updates of whole parameters.
    ///
    /// # Errors
    /// `internal` for values of a type that was not checked.
    pub(super) fn updates(&self, wholes: &[Whole]) -> Result<Vec<ModuleUpdate>> {
        let mut updates = Vec::with_capacity(wholes.len());
        for Whole { module, parameter, values, shape } in wholes {
            let names = self.modules.iter().map(String::as_str).chain(self.of_task.iter().copied());
            let saved = names.into_iter().any(|end| Self::holds(module, end));
            updates.push(ModuleUpdate {
                module: module.clone(),
                parameter: parameter.clone(),
                optional: false,
                adds: saved,
                // If it is not a saved module, it is a copy of the base's tensor, which a tied output layer shares.
                tied: !saved || self.tying,
                key: values.key.clone(),
                op: replace(values, shape)?,
                base: None,
                wrapper: None,
                share: None,
            });
        }
        Ok(updates)
    }

    /// The entries of `modules_to_save` that the file has no tensors for.
    pub(super) fn missing(&self, adapter: &str, wholes: &[Whole]) -> Vec<Mismatch> {
        // PEFT names every module that the task may have, whether or not the model has it.
        let named = self.modules.iter().filter(|end| !self.of_task.contains(&end.as_str()));
        let absent = named.filter(|end| !wholes.iter().any(|whole| Self::holds(&whole.module, end)));
        let mismatch = |end: &String| {
            let reason = format!("modules_to_save names {end:?}, and the file has no tensors of such a module");
            let error = Error::bad_config("adapter_config.json", reason).in_adapter(adapter);
            let error = error.kind(ErrorKind::UnmatchedPattern).field("modules_to_save").found(end.clone());
            Mismatch {
                error: error.fix("give the file that has them, or remove the entry if they were not trained"),
                code: "unmatched-pattern",
            }
        };
        absent.map(mismatch).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Saved;

    #[test]
    fn an_entry_is_the_end_of_a_path_and_what_is_below() {
        for (module, end, holds) in [
            ("score", "score", true),
            ("model.my_score", "score", true),
            ("classifier.dense", "classifier", true),
            ("classifiers.dense", "classifier", false),
            ("lm_head", "head", true),
            ("score.x", "x.y", false),
        ] {
            assert_eq!(Saved::holds(module, end), holds, "{module} {end}");
        }
    }
}
