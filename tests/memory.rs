//! Memory that is not there is an error, never the end of the program: a wasm module would not survive it.
#![cfg(not(target_arch = "wasm32"))]

use std::alloc::System;
use std::fmt::Write;

use cap::Cap;
use lorafold::Result;
use lorafold::container::{Header, ShardIndex};
use lorafold::error::ErrorKind;

#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// What `run` gives with `bytes` of memory.
fn within<T>(bytes: usize, run: impl Fn() -> T) -> T {
    MEMORY.set_limit(MEMORY.allocated() + bytes).expect("a limit above what is used");
    let result = run();
    MEMORY.set_limit(usize::MAX).expect("no limit");
    result
}

/// `run` succeeds with `enough` bytes, and with less fails with `limit-exceeded`.
fn fails_where_memory_is_short<T>(enough: usize, run: impl Fn() -> Result<T>) {
    assert!(within(enough, || run().map(drop)).is_ok());
    // 8 KiB are enough to make the error itself; each turn allows more.
    let mut refused = 0;
    for part in 0..16 {
        if let Err(error) = within(8192 + enough / 16 * part, || run().map(drop)) {
            assert_eq!(error.code(), "limit-exceeded", "{error}");
            assert_eq!(error.facts().kind, Some(ErrorKind::NoMemory), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 8, "{refused}");
}

const TENSORS: usize = 10_000;

fn name(number: usize) -> String {
    format!("model.layers.{}.mlp.experts.{number}.down_proj.weight", number / 500)
}

fn header() -> String {
    let mut json = String::from("{");
    for number in 0..TENSORS {
        let (start, sign) = (number * 12, if number == 0 { "" } else { "," });
        let name = name(number);
        write!(json, r#"{sign}"{name}":{{"dtype":"BF16","shape":[2,3],"data_offsets":[{start},{}]}}"#, start + 12)
            .unwrap();
    }
    json + "}"
}

fn index() -> String {
    let mut json = String::from(r#"{"metadata":{"total_size":1},"weight_map":{"#);
    for number in 0..TENSORS {
        let sign = if number == 0 { "" } else { "," };
        write!(json, r#"{sign}"{}":"model-{:05}-of-00200.safetensors""#, name(number), number / 500 + 1).unwrap();
    }
    json + "}}"
}

// One test, because the limit is the whole program's.
#[test]
fn headers_and_indexes() {
    let names: usize = (0..TENSORS).map(|number| name(number).len()).sum();
    let json = header();
    let size = 8 + (json.len() + TENSORS * 12) as u64;
    // The tables of a tensor of two dimensions have 40 bytes beside its name; the order of the data is 4 more for a while.
    let parse = || Header::parse("f", json.as_bytes(), size);
    fails_where_memory_is_short(names + TENSORS * 44 + 65536, parse);

    let header = parse().unwrap();
    let writer = || lorafold::container::HeaderWriter::new(header.iter(), header.metadata());
    fails_where_memory_is_short(json.len() + 65536, || writer().read("f", 0..writer().bytes()));

    let json = index();
    fails_where_memory_is_short(names + TENSORS * 12 + 131_072, || ShardIndex::parse("i", json.as_bytes()));

    // What is not a header is refused before anything is kept of it.
    let lists = format!(r#"{{"a":{}"#, "[[],".repeat(400_000));
    let text = format!(r#"{{"a":{{"dtype":"{}"}}}}"#, "\\n".repeat(1 << 20));
    for json in [lists, text] {
        let error = within(8192, || Header::parse("f", json.as_bytes(), 1 << 30).map(drop)).unwrap_err();
        assert_eq!(error.code(), "bad-header");
    }
}
