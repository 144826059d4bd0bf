//! Every test of the crate from outside that needs nothing but the crate's tarball, in one binary: what each of them uses of the crate is compiled and
//! linked once. A test that needs fixtures is in `fixture_suite.rs`.

#[cfg(not(target_arch = "wasm32"))]
mod folders;
mod model;

mod adapters;
mod codes;
mod dora;
mod example;
mod extracted;
mod inputs;
mod module_weights;
mod native;
mod oracle;
mod oversized;
mod pattern;
mod provenance;
mod ranges;
mod rooms;
mod rotations;
mod runs;
mod seams;
mod signal;
mod strips;
mod suites;
mod task_vectors;
mod transfer;
mod verify;
