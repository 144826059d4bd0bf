//! PiSSA (arXiv 2404.02948): W' = W − U_r S_r V_rᵀ + s·B@A, where U_r S_r V_rᵀ are the r largest singular values of the weight with their vectors. PEFT's
//! `pissa_init` makes the base for the training from the given one: A and B begin as parts of the decomposition, and their product is subtracted
//! from the base. The scale is in neither part: it divides the singular values, and multiplies the product.
//!
//! U_r S_r V_rᵀ = W V_r V_rᵀ, so the right vectors suffice: r × columns numbers, a fact that is found in rounds (`linear/leading.rs`). They and a row
//! of W give that row. Which way round the weight is stored makes no difference.

use super::low_rank::{self, Product};
use super::method::Needs;
use super::{Apply, Given, Method, Prepared, Tile};
use crate::error::{Error, ErrorKind, Result};
use crate::linear::gram::add_gram;
use crate::linear::leading::{self, Leading, Round};
use crate::linear::matrix::dot;

/// The operands of LoRA, trained on a base from which the leading part is subtracted. In memory there is also a block of vectors, in f64.
pub static PISSA: Method = Method { needs: Needs::Leading, packed: 4, ..Method::new("pissa", prepare) };

/// What PEFT can do where lorafold cannot.
const FIX: &str = "merge into the base that was saved without it, with the option residualBase; or convert the adapter with PEFT: save_pretrained(path_initial_model_for_weight_conversion=…)";

fn prepare(given: &Given) -> Result<Prepared> {
    let (product, rank, adapter) = (low_rank::product(given, 1.0)?, given.size('r'), given.adapter.to_string());
    Prepared::other(Residual { product, rank, adapter, block: Vec::new() })
}

/// The update in memory.
struct Residual {
    product: Product,
    rank: usize,
    /// What errors call the adapter.
    adapter: String,
    /// (columns, width), row by row: the vectors of the round that is under way; at last those that are subtracted, and zeros behind them.
    block: Vec<f64>,
}

impl Apply for Residual {
    fn bytes(&self) -> u64 {
        self.product.bytes() + size_of_val(self.block.as_slice()) as u64
    }

    fn gather(&self, tile: &Tile<f64>, sums: &mut [f64]) {
        let width = self.block.len() / tile.cols.max(1);
        add_gram(tile.base, tile.cols, &self.block, width, sums);
    }

    fn learn(&mut self, fact: &[f64]) -> Result<()> {
        if let Some(failure) = fact.first().and_then(|first| Failure::of(*first)) {
            return Err(failure.error(self.rank, &self.adapter));
        }
        self.block = fact.to_vec();
        Ok(())
    }

    fn apply(&self, tile: &Tile<f64>, out: &mut [f64]) {
        self.product.apply_wide(tile, out);
        let width = self.block.len() / tile.cols.max(1);
        if width == 0 {
            return;
        }
        let rank = self.rank.min(width);
        let mut shares = vec![0.0; width];
        for (row, out) in tile.base.chunks_exact(tile.cols).zip(out.chunks_exact_mut(tile.cols)) {
            shares.fill(0.0);
            for (value, vectors) in row.iter().zip(self.block.chunks_exact(width)) {
                shares.iter_mut().zip(vectors).for_each(|(share, vector)| *share += value * vector);
            }
            for (out, vectors) in out.iter_mut().zip(self.block.chunks_exact(width)) {
                *out -= dot(&shares[..rank], &vectors[..rank]);
            }
        }
    }
}

/// Why there are no vectors. It stands in the fact's place, as a number that no vector has.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Failure {
    Unclear,
    NotFinite,
    NoMemory,
}

impl Failure {
    fn number(self) -> f64 {
        match self {
            Failure::Unclear => f64::NAN,
            Failure::NotFinite => f64::INFINITY,
            Failure::NoMemory => f64::NEG_INFINITY,
        }
    }

    fn of(number: f64) -> Option<Failure> {
        match number {
            f64::INFINITY => Some(Failure::NotFinite),
            f64::NEG_INFINITY => Some(Failure::NoMemory),
            number if number.is_nan() => Some(Failure::Unclear),
            _ => None,
        }
    }

    /// The tensor is added by whoever knows it.
    fn error(self, rank: usize, adapter: &str) -> Error {
        let error = match self {
            Failure::Unclear => {
                let reason = format!(
                    "PiSSA took its {rank} largest singular values from it, and the next one is too near to tell which these were"
                );
                Error::unsupported("init_lora_weights", reason).kind(ErrorKind::NotImplemented)
            }
            Failure::NotFinite => Error::unsupported(
                "init_lora_weights",
                "a weight with values that are NaN, infinite or huge has no singular values",
            ),
            Failure::NoMemory => {
                let reason = "there is not enough memory for the singular vectors of this weight";
                Error::limit_exceeded("init_lora_weights", reason).kind(ErrorKind::NoMemory)
            }
        };
        error.adapter(adapter).field("init_lora_weights").fix(FIX)
    }
}

/// The leading vectors of a weight, as a fact that takes several rounds.
#[derive(Debug)]
pub(crate) struct Rounds(Option<Leading>);

impl Rounds {
    /// Numbers of the fact: those of a block.
    pub(crate) fn length(rank: u64, cols: u64) -> usize {
        let length = leading::width(rank, cols).saturating_mul(cols);
        usize::try_from(length).unwrap_or(usize::MAX)
    }

    /// What is known before the first round.
    pub(crate) fn start(fact: &mut [f64]) {
        leading::start(fact);
    }

    /// The search for `rank` vectors of a weight with so many columns.
    pub(crate) fn of(rank: u64, cols: u64) -> Rounds {
        // The operands of this rank are in memory, so the numbers fit.
        Rounds(Leading::new(rank as usize, cols as usize).ok())
    }

    /// Take the sums of a round, and put into `fact` what is known now. Whether that is all.
    pub(crate) fn next(&mut self, sums: &[f64], fact: &mut [f64]) -> bool {
        let failure = match self.0.as_mut().map(|leading| leading.next(sums, fact)) {
            Some(Ok(Round::Another)) => return false,
            Some(Ok(Round::Found)) => return true,
            Some(Ok(Round::Unclear)) => Failure::Unclear,
            Some(Ok(Round::NotFinite)) => Failure::NotFinite,
            Some(Err(_)) | None => Failure::NoMemory,
        };
        self.0 = None;
        fact.fill(failure.number());
        true
    }
}
