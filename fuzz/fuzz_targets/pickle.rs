#![no_main]

#[path = "../../tests/fuzz_targets/mod.rs"]
mod fuzz_targets;
#[path = "../../tests/model/mod.rs"]
mod model;

libfuzzer_sys::fuzz_target!(|input: &[u8]| fuzz_targets::pickle(input));
