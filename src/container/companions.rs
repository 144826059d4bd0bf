//! Which files of a model's folder are copied along with its weights. What a loadable model consists of is known, and listed here.

/// Endings of files that describe a model: configurations, tokenizers, the code of its architecture, texts and their pictures.
const DESCRIBES: [&str; 26] = [
    "json", "jsonl", "txt", "md", "jinja", "jinja2", "model", "spm", "tiktoken", "vocab", "bpe", "codes", "merges",
    "tsv", "csv", "py", "yaml", "yml", "toml", "npz", "pdf", "png", "jpg", "jpeg", "gif", "svg",
];
/// Endings of weights in other formats, of a training's state, and of unfinished downloads and writes.
const STAYS: [&str; 33] = [
    "safetensors",
    "bin",
    "pt",
    "pth",
    "pt2",
    "ptl",
    "pte",
    "ckpt",
    "pkl",
    "pickle",
    "h5",
    "hdf5",
    "keras",
    "msgpack",
    "ot",
    "tflite",
    "pb",
    "onnx",
    "onnx_data",
    "ort",
    "mlmodel",
    "mlpackage",
    "gguf",
    "ggml",
    "ggmf",
    "engine",
    "nemo",
    "dat",
    "incomplete",
    "lock",
    "partial",
    "tmp",
    "log",
];
/// A file with an unknown ending may belong to a tokenizer if it is at most this small.
const SMALL: u64 = 1 << 20;

/// Whether the file `name` of `bytes` bytes belongs to a loadable model, besides its weights, index and config.json.
pub(crate) fn travels(name: &str, bytes: u64) -> bool {
    let ends = |ends: &[&str], end: &str| ends.iter().any(|known| end.eq_ignore_ascii_case(known));
    match name.rsplit_once('.') {
        // Hidden files belong to systems and tools. This one says how the hub stores the others.
        Some(_) if name.starts_with('.') => name == ".gitattributes",
        // Adapters, and the indexes of shards that stay behind (`model.safetensors.index.fp16.json`).
        _ if name.starts_with("adapter_") || name.contains(".index.") => false,
        Some((_, end)) if ends(&DESCRIBES, end) => true,
        Some((_, end)) if ends(&STAYS, end) => false,
        // LICENSE, merges_file, bpe.codes.v1
        _ => bytes <= SMALL,
    }
}

/// Whether the file says how the weights beside it are quantised.
pub(crate) fn says_quantised(name: &str) -> bool {
    matches!(name, "quantize_config.json" | "quant_config.json" | "hf_quant_config.json" | "quantization_config.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_loadable_model_has() {
        for name in [
            "tokenizer.json",
            "chat_template.jinja",
            "LICENSE",
            "README.md",
            "modeling_x.py",
            "sentencepiece.bpe.model",
            "qwen.tiktoken",
            "vocab.bpe",
            "source.spm",
            ".gitattributes",
            "dict.de.txt",
            "logo.PNG",
            "ice_text.tok",
        ] {
            assert!(travels(name, 1000), "{name}");
        }
        for name in [
            "rust_model.ot",
            "64.tflite",
            "model.pt2",
            "model.mlmodel",
            "ggml-model-q4_0.bin",
            "model.safetensors.incomplete",
            "config.json.lock",
            "training_args.bin",
            "optimizer.bin",
            ".DS_Store",
            "._config.json",
            "imatrix.dat",
            "model.safetensors.index.fp32.json",
            "pytorch_model.bin.index.json",
            "tf_model.h5",
            "adapter_config.json",
            ".config.json.0a1b.partial",
            ".lorafold-part-1-of-2.json",
            "model.GGUF",
        ] {
            assert!(!travels(name, 1000), "{name}");
        }
        assert!(travels("tokenizer.json", 50 << 20));
        assert!(!travels("weights.q8", 50 << 20));
    }
}
