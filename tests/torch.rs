//! Weights in PyTorch's own format: what is merged of them is what is merged of the same weights as safetensors, and what could run code, or
//! is something else, is refused by its name. The fixtures are not in the published crate, and this test isn't either.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::folders::{Scratch, files};
use crate::model::archive::{Content, Sparse, archive};
use crate::model::{self, Memory, block_on};
use lorafold::container::torch::read_header;
use lorafold::container::{Header, ShardIndex};
use lorafold::inputs::FileInfo;
use lorafold::inspect::{Description, inspect};
use lorafold::tensor::Dtype;
use lorafold::{AdapterFolder, Error, Listing, Merge};
use safetensors::SafeTensors;
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn merge(base: &Path, adapter: &Path, out: &Path) -> lorafold::Result<()> {
    Merge::builder().base(base).adapter(AdapterFolder::new(adapter)).plan()?.run(out).map(drop)
}

/// The type, shape and bytes of every tensor, and the names in their order.
type Tensors = BTreeMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)>;

fn tensors(folder: &Path) -> Tensors {
    let mut tensors = Tensors::new();
    for bytes in files(folder).into_iter().filter(|(name, _)| name.ends_with(".safetensors")).map(|(_, bytes)| bytes) {
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            tensors.insert(name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
        }
    }
    tensors
}

#[test]
fn the_merged_bytes_are_those_of_safetensors() {
    let scratch = Scratch::new("torch");
    let mut cases = 0;
    for entry in fs::read_dir(fixtures()).unwrap() {
        let case = entry.unwrap().path();
        if !case.join("torch.json").exists() {
            continue;
        }
        cases += 1;
        let name = case.file_name().unwrap().to_str().unwrap().to_string();
        let twin = fixtures().join(json(&case.join("torch.json"))["twin"].as_str().unwrap());
        let [out, of_twin] = ["torch", "twin"].map(|end| scratch.join(&format!("{name}-{end}")));
        merge(&twin.join("base"), &twin.join("adapter"), &of_twin).unwrap();
        merge(&case.join("base"), &case.join("adapter"), &out).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (mut found, expected) = (tensors(&out), tensors(&of_twin));
        // A tied output layer has the bytes of the embedding, which safetensors do not repeat.
        if let Some(head) = found.remove("lm_head.weight").filter(|_| !expected.contains_key("lm_head.weight")) {
            assert_eq!(head, expected["transformer.wte.weight"]);
        } else if let Some(head) = expected.get("lm_head.weight") {
            found.insert("lm_head.weight".into(), head.clone());
        }
        assert!(found == expected, "{name}");

        // As save_pretrained names them; nothing of torch's is left.
        let base = files(&case.join("base"));
        for file in files(&out).keys() {
            assert!(!file.contains("bin") && !file.contains("pytorch"), "{name}: {file}");
        }
        for (file, bytes) in &base {
            match file.strip_prefix("pytorch_model") {
                Some(rest) => assert!(out.join(format!("model{}", rest.replace(".bin", ".safetensors"))).exists()),
                None => assert!(fs::read(out.join(file)).unwrap() == *bytes, "{name}: {file}"),
            }
        }
        for (file, bytes) in files(&out).iter().filter(|(file, _)| file.ends_with(".safetensors")) {
            let length = Header::json_bytes(file, *bytes.first_chunk().unwrap(), bytes.len() as u64).unwrap() as usize;
            let header = Header::parse(file, &bytes[8..8 + length], bytes.len() as u64).unwrap();
            assert!(header.metadata().any(|entry| entry == ("format", "pt")));
            for tensor in header.iter() {
                let width = (tensor.dtype.bitsize() / 8) as u64;
                assert_eq!((header.data_start + tensor.start) % width, 0, "{name}: {} is not aligned", tensor.name);
            }
            let torch = file.replacen("model", "pytorch_model", 1).replace(".safetensors", ".bin");
            let inputs = Memory(vec![base[&torch].clone()]);
            let info = FileInfo::new(torch.clone(), base[&torch].len() as u64);
            let before = block_on(read_header(&inputs, 0, &info)).unwrap();
            assert!(header.iter().map(|tensor| tensor.name).eq(before.iter().map(|tensor| tensor.name)), "{name}");
        }
        if let Ok(index) = fs::read(out.join("model.safetensors.index.json")) {
            let index = ShardIndex::parse("index", &index).unwrap();
            assert!(index.shards().all(|shard| out.join(shard).exists()));
            assert!(index.iter().map(|(tensor, _)| tensor).eq({
                let before = ShardIndex::parse("index", &base["pytorch_model.bin.index.json"]).unwrap();
                before.iter().map(|(tensor, _)| tensor.to_string()).collect::<Vec<_>>()
            }));
        }
    }
    assert_eq!(cases, 3);
}

#[test]
fn safetensors_win_and_what_is_there_besides_stays_behind() {
    let scratch = Scratch::new("torch-beside");
    let [base, out] = ["base", "out"].map(|name| scratch.join(name));
    fs::create_dir_all(&base).unwrap();
    let (safe, torch) = (fixtures().join("gpt2/base"), fixtures().join("torch-gpt2/base"));
    for path in [safe.join("config.json"), safe.join("model.safetensors"), torch.join("pytorch_model.bin")] {
        fs::copy(&path, base.join(path.file_name().unwrap())).unwrap();
    }
    let adapter = fixtures().join("torch-gpt2/adapter");
    let plan = Merge::builder().base(&base).adapter(AdapterFolder::new(&adapter)).plan().unwrap();
    assert!(plan.plan().findings.iter().any(|finding| finding.message.contains("pytorch_model.bin")));
    plan.run(&out).unwrap();
    assert!(tensors(&out).len() == tensors(&safe).len());
    // A file by itself, whatever it is called.
    let [base, out] = ["weights.bin", "alone"].map(|name| scratch.join(name));
    fs::copy(torch.join("pytorch_model.bin"), &base).unwrap();
    merge(&base, &adapter, &out).unwrap();
    assert!(out.join("weights.safetensors").exists());
}

/// What opening a file as the only one of a base, and of an adapter, fails with.
fn errors(scratch: &Scratch, name: &str, bytes: &[u8]) -> [Error; 2] {
    let [base, adapter] = ["base", "adapter"].map(|folder| {
        let folder = scratch.join(&format!("{name}-{folder}"));
        fs::create_dir_all(&folder).unwrap();
        folder
    });
    let good = fixtures().join("torch-gpt2");
    fs::write(base.join("pytorch_model.bin"), bytes).unwrap();
    fs::write(adapter.join("adapter_model.bin"), bytes).unwrap();
    fs::copy(good.join("adapter/adapter_config.json"), adapter.join("adapter_config.json")).unwrap();
    [(base.as_path(), good.join("adapter").as_path()), (good.join("base").as_path(), adapter.as_path())]
        .map(|(base, adapter)| merge(base, adapter, &scratch.join("out")).expect_err(name))
}

#[test]
fn whatever_else_is_refused_by_its_name() {
    let folder = fixtures().join("torch-refused");
    let scratch = Scratch::new("torch-refused");
    let expected = json(&folder.join("expected.json"));
    assert!(expected.as_object().unwrap().len() > 20);
    for (name, expected) in expected.as_object().unwrap() {
        for error in errors(&scratch, name, &fs::read(folder.join(name)).unwrap()) {
            let sentence = error.to_string();
            assert_eq!(error.code(), expected["code"], "{name}: {sentence}");
            let kind = error.facts().kind.map(|kind| serde_json::to_value(kind).unwrap()).unwrap_or_default();
            assert_eq!(kind, expected["kind"], "{name}: {sentence}");
            for says in expected["says"].as_array().unwrap() {
                assert!(sentence.contains(says.as_str().unwrap()), "{name}: {says} in {sentence}");
            }
            assert!(error.facts().file.as_ref().unwrap().ends_with("_model.bin"), "{name}: {sentence}");
            assert!(error.code() != "unsupported" || error.facts().fix.is_some(), "{name}: {sentence}");
        }
    }
    assert!(!scratch.join("out").exists());
}

#[test]
fn inspect_describes_them() {
    let describe = |path: &str| {
        let folder = fixtures().join("torch-gpt2").join(path);
        let mut inputs = Memory::default();
        let listing: Listing = model::add_folder(&mut inputs, path, files(&folder));
        block_on(inspect(&inputs, &listing, false)).unwrap()
    };
    let Description::Model(model) = describe("base") else { panic!("not a model") };
    assert_eq!(model.files[0].name, "pytorch_model.bin");
    assert!(model.tensors.iter().any(|tensor| tensor.name == "lm_head.weight" && tensor.dtype == "BF16"));
    let Description::Adapter(adapter) = describe("adapter") else { panic!("not an adapter") };
    assert!(adapter.files.iter().any(|file| file.name == "adapter_model.bin") && adapter.modules.len() == 8);
}

/// A pickle of one tensor, of type F16 and the shape given, in storage 0.
fn one_tensor(name: &str, shape: [u64; 2]) -> Vec<u8> {
    let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let int = |number: u64| [b"\x8a\x08", &number.to_le_bytes()[..]].concat();
    let mut pickle = [b"\x80\x02}(", &text(name)[..], b"ctorch._utils\n_rebuild_tensor_v2\n(("].concat();
    let [storage, key, place, elements] =
        [text("storage"), text("0"), text("cpu"), int(shape[0].wrapping_mul(shape[1]))];
    pickle.extend([&storage[..], b"ctorch\nHalfStorage\n", &key, &place, &elements, b"tQK\0"].concat());
    pickle.extend([&int(shape[0])[..], &int(shape[1]), b"\x86", &int(shape[1]), b"K\x01\x86"].concat());
    pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRu.");
    pickle
}

fn open(file: &Sparse) -> lorafold::Result<Header> {
    block_on(read_header(file, 0, &FileInfo::new("f", file.size)))
}

#[test]
fn archives_beyond_four_gib_are_read() {
    let shape = [1 << 20, 1 << 13];
    let (first, second) = (one_tensor("large", shape), Content::Zeros((1 << 34) + 10));
    let entries = [
        ("before/that", Content::Zeros(0)),
        ("pytorch_model/data/0", Content::Zeros(1 << 34)),
        ("pytorch_model/data/1", second),
        ("pytorch_model/data.pkl", Content::Bytes(&first)),
    ];
    let file = archive(&entries, 11);
    assert!(file.size > 1 << 35);
    let header = open(&file).unwrap();
    let tensor = header.tensor(0);
    assert_eq!((tensor.name, tensor.dtype, tensor.shape, tensor.bytes()), ("large", Dtype::F16, &shape[..], 1 << 34));
    assert_eq!(header.data_start + tensor.start, (30 + 11 + 11) + (30 + 20 + 11));
    assert_eq!(header.file_bytes, file.size);
}

#[test]
fn numbers_that_overflow_are_errors() {
    for shape in [[1 << 62, 1 << 62], [u64::MAX >> 1, 3], [0, u64::MAX >> 1], [1 << 40, 1 << 12], [u64::MAX, 1]] {
        let pickle = one_tensor("w", shape);
        let file = archive(&[("a/data.pkl", Content::Bytes(&pickle)), ("a/data/0", Content::Zeros(8))], 0);
        let error = open(&file);
        assert!(
            shape[0] == 0 || matches!(error.as_ref().map_err(Error::code), Err("bad-header" | "unsupported")),
            "{shape:?}: {error:?}"
        );
    }
}

#[test]
fn every_byte_that_is_cut_off_is_an_error() {
    let whole = fs::read(fixtures().join("torch-gpt2/adapter/adapter_model.bin")).unwrap();
    for length in (0..whole.len()).step_by(7).chain(whole.len() - 200..whole.len()) {
        let inputs = Memory(vec![whole[..length].to_vec()]);
        let error = block_on(read_header(&inputs, 0, &FileInfo::new("f", length as u64))).unwrap_err();
        assert!(["truncated", "wrong-input"].contains(&error.code()), "{length}: {error}");
    }
}
