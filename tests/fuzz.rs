//! The fuzz targets on stable inputs: the committed corpus, and some thousand mutations of it from a seed. `fuzz/` runs the same targets
//! with a fuzzer.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::Path;

use crate::fuzz_targets;
use crate::model::Random;

fn run(target: &str, mutations: u64, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!corpus.is_empty());
    corpus.iter().for_each(|input| body(input));
    let mut random = Random(mutations);
    for _ in 0..mutations {
        let mut input = corpus[random.below(corpus.len() as u64) as usize].clone();
        for _ in 0..1 + random.below(4) {
            mutate(&mut input, &corpus, &mut random);
        }
        body(&input);
    }
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() as u64 + 1) as usize;
    let end = (at + random.below(16) as usize).min(input.len());
    match random.below(5) {
        0 => drop(input.drain(at..end)),
        1 => input.insert(at, random.next() as u8),
        2 => input.extend_from_within(at..end),
        3 => {
            let other = &corpus[random.below(corpus.len() as u64) as usize];
            let from = random.below(other.len() as u64 + 1) as usize;
            input.splice(at..end, other[from..].iter().take(32).copied());
        }
        _ if at < input.len() => input[at] = random.next() as u8,
        _ => {}
    }
}

macro_rules! targets {
    ($($target:ident $mutations:literal),+ $(,)?) => {
        $(#[test]
        fn $target() {
            run(stringify!($target), $mutations, fuzz_targets::$target);
        })+

        /// The same targets as in `fuzz/`.
        #[test]
        fn every_target_is_run() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert_eq!(names, [$(concat!(stringify!($target), ".rs")),+]);
        }
    };
}

targets! {
    adapter_config 5000,
    config_json 10000,
    encoding 500,
    header 20000,
    index 20000,
    op 500,
    pickle 20000,
    plan 2000,
    torch 10000,
}

/// What mutations start from is read: they come as far as the checks go.
#[test]
fn the_corpus_of_pickles_is_of_tensors() {
    let read =
        |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/pickle").join(name)).unwrap();
    for name in ["state-dict", "views-and-types"] {
        assert_eq!(fuzz_targets::open_pickle(&read(name)).0.map(|header| header.len()), Ok(7), "{name}");
    }
    let error = fuzz_targets::open_pickle(&read("a-call")).0.unwrap_err();
    assert_eq!(error.facts().found.as_deref(), Some("posix.system"));
}
