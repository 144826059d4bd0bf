//! Every test of the crate that needs the fixtures that PEFT made or the fuzzer's corpus, in one binary (see `suite.rs`). They are not in the crate's tarball.

#[cfg(not(target_arch = "wasm32"))]
mod folders;
#[cfg(not(target_arch = "wasm32"))]
mod fuzz_targets;
mod model;
#[cfg(not(target_arch = "wasm32"))]
mod rule_cases;

mod combined;
mod evidence;
mod experts;
mod factors;
mod fixture_ranges;
mod fuzz;
mod methods;
mod peft;
mod receipts;
mod recorded;
mod rounding;
mod rules;
mod torch;
mod verified;
mod verify_methods;
