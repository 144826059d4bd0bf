//! Element types: their names in safetensors files, their sizes, and their exact conversions to and from f32 and f64.

pub mod bf16;
mod dtype;
pub mod f16;
mod float;
pub mod philox;
mod rounding;
mod stochastic;

pub use dtype::{Dtype, dtype_named};
pub use float::Float;
pub use rounding::Rounding;
pub use stochastic::write_stochastic;

#[cfg(test)]
pub(crate) mod tests;
