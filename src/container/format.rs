//! The formats that weights come in, and what their files are called.

use crate::wire::wire_enum;
use std::borrow::Cow;

/// Ending of the file that holds the index of a sharded model.
pub const INDEX_SUFFIX: &str = ".safetensors.index.json";
/// Ending of weight files, and of every weight file that is written.
const SUFFIX: &str = ".safetensors";
/// How `save_pretrained` calls a file of torch, where it calls safetensors `model`.
const TORCH_STEM: &str = "pytorch_model";
/// The files of torch that trainers leave beside weights.
const NO_WEIGHTS: [&str; 4] = ["training_args.bin", "optimizer.bin", "scheduler.bin", "scaler.bin"];

/// How a weight file holds its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Safetensors.
    #[default]
    Safetensors,
    /// PyTorch's own format, read without executing anything.
    Torch,
}

wire_enum!(Format { Safetensors, Torch });

impl Format {
    /// The format of the weights in a model folder with the files `names`: safetensors if there are any, as in transformers.
    pub fn of_model(names: &[&str]) -> Format {
        let is_safetensors = |name: &&&str| Format::Safetensors.is_index(name) || Format::Safetensors.is_weights(name);
        let is_torch = |name: &&&str| Format::Torch.is_index(name) || Format::Torch.is_weights(name);
        match (names.iter().find(is_safetensors), names.iter().find(is_torch), names) {
            (Some(_), ..) => Format::Safetensors,
            (None, Some(_), _) => Format::Torch,
            // A file that was given alone.
            (None, None, [single]) if is_torch_file(single) => Format::Torch,
            _ => Format::Safetensors,
        }
    }

    /// The weight file of an adapter's folder among its files `names`: the one with PEFT's name, else the only one. Safetensors come first.
    ///
    /// # Errors
    /// The number of safetensors files, if it is not clear which of them is meant.
    pub fn of_adapter(names: &[&str]) -> Result<(usize, Format), usize> {
        let position = |wanted: &str| names.iter().position(|name| *name == wanted);
        let is_file = |&at: &usize, end: &str| names[at].ends_with(end) && !is_resource_fork(names[at]);
        let ending = |end: &str| (0..names.len()).filter(|at| is_file(at, end)).collect::<Vec<_>>();
        let safetensors = ending(SUFFIX);
        // The last one is MLX's, which keeps the files of earlier steps beside it.
        let named = position("adapter_model.safetensors").or_else(|| position("adapters.safetensors"));
        match (named, safetensors.as_slice(), position("adapter_model.bin")) {
            (Some(at), ..) => Ok((at, Format::Safetensors)),
            (None, [single], _) => Ok((*single, Format::Safetensors)),
            (None, [], Some(at)) => Ok((at, Format::Torch)),
            (None, [], None) => {
                match ending(".bin").into_iter().filter(|&at| !NO_WEIGHTS.contains(&names[at])).collect::<Vec<_>>()[..]
                {
                    [single] => Ok((single, Format::Torch)),
                    _ => Err(0),
                }
            }
            (None, several, _) => Err(several.len()),
        }
    }

    /// The ending of an index of shards.
    pub fn index_suffix(self) -> &'static str {
        match self {
            Format::Safetensors => INDEX_SUFFIX,
            Format::Torch => ".bin.index.json",
        }
    }

    /// The ending of a weight file.
    pub fn suffix(self) -> &'static str {
        match self {
            Format::Safetensors => SUFFIX,
            Format::Torch => ".bin",
        }
    }

    /// The name of a model in one file.
    pub fn single(self) -> &'static str {
        match self {
            Format::Safetensors => "model.safetensors",
            Format::Torch => "pytorch_model.bin",
        }
    }

    /// Whether the file `name` of a model's folder holds weights of this format, by its name alone.
    pub fn is_weights(self, name: &str) -> bool {
        match self {
            Format::Safetensors => name.ends_with(SUFFIX) && is_of_model(name),
            // Also diffusion_pytorch_model.bin and pytorch_model.fp16.bin; not freqs.bin or training_args.bin.
            Format::Torch => name.ends_with(".bin") && name.contains(TORCH_STEM) && is_of_model(name),
        }
    }

    /// Whether the file `name` of a model's folder is an index of shards of this format, by its name alone.
    pub fn is_index(self, name: &str) -> bool {
        name.ends_with(self.index_suffix()) && is_of_model(name)
    }

    /// The name of the merged file for the weight file or index `name`: always safetensors, whatever the base has.
    pub fn output_name(self, name: &str) -> Cow<'_, str> {
        if self == Format::Safetensors {
            return name.into();
        }
        let (name, end) = match name.strip_suffix(self.index_suffix()) {
            Some(stem) => (stem, INDEX_SUFFIX),
            None => ([".bin", ".pt", ".pth"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name), SUFFIX),
        };
        let model = name.strip_prefix(TORCH_STEM).map(|rest| format!("model{rest}{end}"));
        model.unwrap_or_else(|| format!("{name}{end}")).into()
    }
}

/// Whether a file is not an adapter's.
fn is_of_model(name: &str) -> bool {
    !name.starts_with("adapter_") && !is_resource_fork(name)
}

/// Whether it is a file that macOS leaves beside another one on a foreign volume: `._model.safetensors`.
fn is_resource_fork(name: &str) -> bool {
    name.starts_with("._")
}

/// Whether a file's name is one of torch's.
fn is_torch_file(name: &str) -> bool {
    [".bin", ".pt", ".pth"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safetensors_first() {
        for (names, format) in [
            (["model.safetensors", "pytorch_model.bin"].as_slice(), Format::Safetensors),
            (&["model.safetensors.index.json", "pytorch_model.bin"], Format::Safetensors),
            (&["adapter_model.safetensors", "pytorch_model.bin"], Format::Torch),
            (&["config.json", "diffusion_pytorch_model.bin"], Format::Torch),
            (&["pytorch_model.bin.index.json"], Format::Torch),
            (&["config.json", "freqs.bin"], Format::Safetensors),
            (&["anything.pt"], Format::Torch),
            (&[], Format::Safetensors),
        ] {
            assert_eq!(Format::of_model(names), format, "{names:?}");
        }
        for (names, found) in [
            (["adapter_model.bin", "adapter_model.safetensors"].as_slice(), Ok((1, Format::Safetensors))),
            (&["adapter_model.bin", "a.safetensors"], Ok((1, Format::Safetensors))),
            (&["adapter_model.bin", "a.safetensors", "b.safetensors"], Err(2)),
            (&["training_args.bin", "lora.bin"], Ok((1, Format::Torch))),
            (&["._lora.safetensors", "lora.safetensors"], Ok((1, Format::Safetensors))),
            (&["0000100_adapters.safetensors", "adapters.safetensors"], Ok((1, Format::Safetensors))),
            (&["one.bin", "two.bin"], Err(0)),
            (&["a.safetensors", "b.safetensors", "c.bin"], Err(2)),
        ] {
            assert_eq!(Format::of_adapter(names), found, "{names:?}");
        }
    }

    #[test]
    fn what_is_written_is_safetensors() {
        for (name, output) in [
            ("pytorch_model.bin", "model.safetensors"),
            ("pytorch_model-00001-of-00002.bin", "model-00001-of-00002.safetensors"),
            ("pytorch_model.bin.index.json", "model.safetensors.index.json"),
            ("diffusion_pytorch_model.bin", "diffusion_pytorch_model.safetensors"),
            ("weights", "weights.safetensors"),
        ] {
            assert_eq!(Format::Torch.output_name(name), output);
            assert_eq!(Format::Safetensors.output_name(name), name);
        }
    }
}
