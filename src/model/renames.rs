//! Modules that transformers 5 renames in memory, while files keep the old names.
//!
//! PEFT writes the names in memory: `vit.layers.0.attention.q_proj` for what every file of a ViT calls
//! `vit.encoder.layer.0.attention.attention.query`. Which names change is a property of the model type; the table is made from
//! transformers' own conversion mappings (`tests/fixtures/renames.py`). Tensors that are made of several in memory, such as
//! fused experts (`experts.rs`), are not in it: they are more than another name. The list that the experts are in is.

use std::sync::OnceLock;

use crate::json::sorted;

/// Lines of model types (`*` is every type), each followed by its renames: the name in memory, the name in files. Leading parts that are the same
/// as in the line above are written as a dot only.
const TABLE: &str = include_str!("renames.txt");

/// How a path is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// Unchanged.
    Own,
    /// The name is that of transformers 5 in memory, and the base has the name in files.
    InFiles,
    /// The name is that in files, and the base has the name in memory.
    InMemory,
}

/// One rename: parts of a path, `*` for a number. Both sides have the same numbers, in the same order.
#[derive(Debug, Clone, Default)]
struct Rename {
    memory: String,
    file: String,
}

impl Rename {
    /// What replaces the first parts of `parts`, and how many parts it replaces.
    fn apply(&self, parts: &[&str], spelling: Spelling) -> Option<(usize, String)> {
        let (from, to) = match spelling {
            Spelling::Own => return None,
            Spelling::InFiles => (&self.memory, &self.file),
            Spelling::InMemory => (&self.file, &self.memory),
        };
        let mut length = 0;
        for part in from.split('.') {
            let found = *parts.get(length)?;
            if part != found && (part != "*" || !is_number(found)) {
                return None;
            }
            length += 1;
        }
        let mut numbers = from.split('.').zip(parts).filter(|(part, _)| *part == "*");
        let mut text = String::new();
        for part in to.split('.') {
            let number = if part == "*" { numbers.next() } else { None };
            push(&mut text, number.map_or(part, |number| number.1));
        }
        Some((length, text))
    }
}

/// A name of the table, below another one.
fn whole(name: &str, above: &str) -> String {
    let own = name.trim_start_matches('.');
    let mut whole = String::new();
    for part in above.split('.').take(name.len() - own.len()).chain([own]) {
        push(&mut whole, part);
    }
    whole
}

/// Add to a path.
fn push(path: &mut String, parts: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(parts);
}

/// Whether a part of a path counts the modules of a list.
pub(crate) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// The renames that apply to a model. Most models' adapters need none: the table is read when the first is asked for.
#[derive(Debug, Clone, Default)]
pub struct Renames {
    types: Vec<String>,
    read: OnceLock<Vec<Rename>>,
}

impl Renames {
    /// The renames for the model types in config.json, including those of the model's parts.
    pub fn of(types: &[String]) -> Renames {
        Renames { types: types.to_vec(), read: OnceLock::new() }
    }

    fn list(&self) -> &[Rename] {
        self.read.get_or_init(|| {
            let types = sorted(self.types.iter().map(String::as_str).collect());
            let (mut renames, mut holds) = (Vec::new(), false);
            for line in TABLE.lines() {
                match line.strip_prefix(' ').and_then(|names| names.split_once(' ')) {
                    None => holds = line.split(' ').any(|name| name == "*" || types.binary_search(&name).is_ok()),
                    Some((memory, file)) if holds => {
                        let above: Rename = renames.last().cloned().unwrap_or_default();
                        renames.push(Rename { memory: whole(memory, &above.memory), file: whole(file, &above.file) });
                    }
                    Some(_) => {}
                }
            }
            renames
        })
    }

    /// `path` in a spelling, or `None` if that is its own.
    pub(crate) fn spell(&self, path: &str, spelling: Spelling) -> Option<String> {
        if spelling == Spelling::Own { Some(path.to_string()) } else { self.respell(path, spelling) }
    }

    /// `path` in another spelling, or `None` if that changes nothing. From the left, at each part the rename that replaces the most parts is
    /// used; of several, the first by its result, whatever the order of the model's types.
    #[inline(never)] // In the WebAssembly it is in the second half, as the table is.
    pub fn respell(&self, path: &str, spelling: Spelling) -> Option<String> {
        let parts: Vec<&str> = path.split('.').collect();
        let (mut out, mut at) = (Vec::new(), 0);
        while let Some(rest) = parts.get(at..).filter(|rest| !rest.is_empty()) {
            let mut best: Option<(usize, String)> = None;
            for rename in self.list() {
                if let Some((length, text)) = rename.apply(rest, spelling)
                    && best.as_ref().is_none_or(|best| length > best.0 || (length == best.0 && text < best.1))
                {
                    best = Some((length, text));
                }
            }
            let (length, text) = best.unwrap_or_else(|| (1, rest[0].to_string()));
            out.push(text);
            at += length;
        }
        Some(out.join(".")).filter(|respelled| respelled != path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(model_type: &str) -> Renames {
        Renames::of(&[model_type.to_string()])
    }

    /// There and back: names in transformers for a few models, with every kind of rename.
    #[test]
    fn the_names_of_files_and_of_memory_are_found() {
        for (model_type, memory, file) in [
            ("vit", "vit.layers.0.attention.q_proj", "vit.encoder.layer.0.attention.attention.query"),
            ("vit", "layers.11.attention.o_proj", "encoder.layer.11.attention.output.dense"),
            ("deit", "deit.layers.3.mlp.fc2", "deit.encoder.layer.3.output.dense"),
            ("beit", "beit.layers.3.layernorm_after", "beit.encoder.layer.3.layernorm_after"),
            ("dinov2", "encoder.layer.0.attention.k_proj", "encoder.layer.0.attention.attention.key"),
            (
                "swin",
                "swin.encoder.layers.0.blocks.1.attention.v_proj",
                "swin.encoder.layers.0.blocks.1.attention.self.value",
            ),
            ("segformer", "segformer.stages.1.blocks.0.mlp.fc1", "segformer.encoder.block.1.0.mlp.dense1"),
            ("segformer", "segformer.stages.2.layer_norm", "segformer.encoder.layer_norm.2"),
            ("phimoe", "model.layers.4.mlp.router", "model.layers.4.block_sparse_moe.gate"),
            ("detr", "model.decoder.layers.0.mlp.fc1", "model.decoder.layers.0.fc1"),
            ("qwen2_5_vl", "model.language_model.layers.0.q_proj", "model.layers.0.q_proj"),
            ("llava", "lm_head", "language_model.lm_head"),
        ] {
            let renames = of(model_type);
            assert_eq!(renames.respell(memory, Spelling::InFiles).as_deref(), Some(file), "{model_type}");
            assert_eq!(renames.respell(file, Spelling::InMemory).as_deref(), Some(memory), "{model_type}");
            assert_eq!(renames.respell(memory, Spelling::Own), None);
        }
    }

    #[test]
    fn only_the_renames_of_the_models_types_hold() {
        let path = "vit.layers.0.attention.q_proj";
        assert_eq!(of("llama").respell(path, Spelling::InFiles), None);
        assert_eq!(Renames::of(&[]).respell(path, Spelling::InFiles), None);
        let parts = ["vision-encoder-decoder", "gpt2", "vit"].map(String::from);
        assert!(Renames::of(&parts).respell(path, Spelling::InFiles).is_some());
        assert_eq!(of("vit").respell("", Spelling::InFiles), None);
        assert_eq!(of("vit").respell("vit..layers", Spelling::InFiles).as_deref(), Some("vit..encoder.layer"));
        assert_eq!(of("segformer").respell("linear_projections.x.proj", Spelling::InFiles), None);
    }

    /// Parameters that may have another name in old files of every model.
    #[test]
    fn every_model_may_have_old_norms() {
        let renames = Renames::of(&[]);
        let name = renames.respell("bert.embeddings.LayerNorm.weight", Spelling::InFiles);
        assert_eq!(name.as_deref(), Some("bert.embeddings.LayerNorm.gamma"));
        assert_eq!(renames.respell("bert.embeddings.LayerNorm", Spelling::InFiles), None);
    }

    #[test]
    fn the_table_is_whole() {
        let (mut types, mut renames) = (BTreeSet::new(), 0);
        for line in TABLE.lines().filter(|line| !line.starts_with(['#', ' '])) {
            line.split(' ').for_each(|name| assert!(types.insert(name), "{name} twice"));
            let some = of(line.split(' ').next().unwrap());
            for rename in some.list() {
                let [memory, file] = [&rename.memory, &rename.file].map(|name| name.split('.').collect::<Vec<_>>());
                let stars = |parts: &[&str]| parts.iter().filter(|part| **part == "*").count();
                assert!(stars(&memory) == stars(&file) && memory != file, "{rename:?}");
                assert!(
                    [memory, file].concat().iter().all(|part| !part.is_empty() && !part.contains(' ')),
                    "{rename:?}"
                );
            }
            renames += some.list().len() - of("").list().len();
        }
        assert!(types.len() > 130 && renames > 700, "{} {renames}", types.len());
        let whole =
            of("segformer").list().iter().cloned().map(|rename| (rename.memory, rename.file)).collect::<Vec<_>>();
        let block = ("stages.*.blocks", "encoder.block.*");
        assert!(whole.contains(&(block.0.into(), block.1.into())), "{whole:?}");
    }
}
