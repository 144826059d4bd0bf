//! The fold: W + L·R for a range of elements, decoded, added and rounded in one pass, the same bits on every CPU.
//!
//! For each element of W (rows × cols, row-major) the product of the factors L (rows × rank) and R (rank × cols) is summed up in f32,
//! k ascending, each step a multiplication and then an addition; the sum is added to W in f32 (in f64 if W is f64) and
//! rounded once, to nearest even, to the output type. With rank 0 that is an exact cast. NaNs are written canonically.
//!
//! [`Factors`] packs L and R; [`fold_in_place`] and [`fold_into`] do the work, by a [tile] generic over the instruction set's
//! [vector](vector::Vector). Every elementary operation is the same IEEE 754 operation in every instruction set, nothing is fused or
//! reordered, so neither the CPU nor the split into ranges can show in the result.
#![allow(unsafe_code, reason = "vector loads and stores through pointers; nothing unsafe is exported")]
#![allow(rustdoc::private_intra_doc_links, reason = "for those who read the source")]

#[cfg(target_endian = "big")]
compile_error!("the kernels load little-endian tensors as they are");

mod converting;
mod difference;
mod element;
mod factors;
mod fold;
mod four;
mod isa;
mod norms;
mod panels;
mod products;
mod random;
mod real;
mod rounded;
mod rows;
mod scalar;
mod statistics;
mod thin;
mod tile;
mod two;
mod vector;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm32;

#[cfg(feature = "bench")]
pub mod bench;

pub use factors::{FactorLayout, Factors, Unrepresentable};
pub use fold::{NonFinite, fold_in_place, fold_into};
pub use four::{Count, FOUR, Four, Mask, each_four, fours, padded};
pub use norms::{Value, column_squares, row_squares, scale_columns, scale_rows};
pub use products::{PANEL_COLS, PANEL_ROWS, panel_products, sample_products};
pub use random::random_numbers;
pub use real::{Real, bytes_of, bytes_of_mut, decode, fold_tile};
pub use rounded::{Bytes, Rounded, add_rounded};
pub use rows::{STRIP, Strip, multiply, weighted_sum};
pub use statistics::{Spread, Statistics};
pub use thin::{Left, THIN};
pub use two::{TWO, Two, each_two};

#[cfg(test)]
pub(crate) mod tests;
