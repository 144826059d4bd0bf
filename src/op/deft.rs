//! DEFT (arXiv 2506.10816): W' = W + Q@(s·R − rightᵀ@W), Q and right of one matrix P; without R it is PaRa; PEFT's
//! `DeftLinear.get_delta_weight`.

use super::householder::orthonormal;
use super::inverse::{invert, no_inverse};
use super::method::Needs;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::projected::{Middle, projected};
use super::{Given, Inverse, Method, Prepared};
use crate::error::Result;

/// `deft_P` (outputs, rank), and `deft_R` (rank, inputs), which PaRa (`para`) does not have. If `q` is 1, Q and right are both the orthonormal
/// factor of P. Otherwise (`relu`) Q is P, and right is P with 0 in place of negative values. There may be no scale.
pub static DEFT: Method =
    Method { needs: Needs::Products, packed: 4, spellings: &[PEFT], ..Method::new("deft", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (values, rank) = (given.values(0)?, given.size('r'));
    let (project, mut back): (Vec<f64>, _) = if given.size('q') == 0 {
        (values.iter().map(|value| value.max(0.0)).collect(), values)
    } else {
        let q = orthonormal(&values, rank);
        (q.clone(), q)
    };
    if Inverse::of(given) && !take_back(&project, &mut back, rank) {
        return Err(no_inverse(given, 0, "a part of the weight was taken away, which is not in the merged model"));
    }
    let mut injection = if given.bytes.len() > 1 { given.values(1)? } else { Vec::new() };
    injection.iter_mut().for_each(|value| *value *= given.op.scaling());
    projected(project, back, Injection { values: injection, rank }, given)
}

/// Make −Q@(I − rightᵀ@Q)⁻¹ of Q: W = W' − Q@(I − rightᵀ@Q)⁻¹@(s·R − rightᵀ@W'), by Woodbury's identity. False where there is none.
fn take_back(project: &[f64], back: &mut [f64], rank: usize) -> bool {
    let mut middle = vec![0.0; rank * rank];
    for (project, back) in project.chunks_exact(rank.max(1)).zip(back.chunks_exact(rank.max(1))) {
        for (row, factor) in middle.chunks_exact_mut(rank.max(1)).zip(project) {
            row.iter_mut().zip(back).for_each(|(value, back)| *value -= factor * back);
        }
    }
    middle.iter_mut().step_by(rank + 1).for_each(|value| *value += 1.0);
    if !invert(&mut middle, rank) {
        return false;
    }
    let mut sums = vec![0.0; rank];
    for row in back.chunks_exact_mut(rank.max(1)) {
        sums.fill(0.0);
        for (value, inverse) in row.iter().zip(middle.chunks_exact(rank.max(1))) {
            sums.iter_mut().zip(inverse).for_each(|(sum, factor)| *sum -= value * factor);
        }
        row.copy_from_slice(&sums);
    }
    true
}

/// s·R, (rank, inputs), or nothing.
struct Injection {
    values: Vec<f64>,
    rank: usize,
}

impl Middle for Injection {
    fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64
    }

    fn change(&self, columns: &mut [f64], count: usize, first: usize) {
        columns.iter_mut().for_each(|value| *value = -*value);
        let inputs = self.values.len() / self.rank;
        if inputs > 0 {
            for (columns, row) in columns.chunks_exact_mut(count).zip(self.values.chunks_exact(inputs)) {
                columns.iter_mut().zip(&row[first..]).for_each(|(value, injected)| *value += injected);
            }
        }
    }
}

/// PEFT's `DeftConfig`.
const PEFT: Spelling = Spelling {
    reads: "r alpha para decomposition_method",
    training: "init_scale deft_dropout",
    ..Spelling::new("DEFT", "deft_P deft_R", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let outputs = module.tensor("deft_P")?.shape.first().copied().unwrap_or(0);
    let rank = config.whole("r", 8)?.min(outputs);
    let has_injection = !config.flag("para", false)?;
    let tensors = if has_injection { "deft_P:or deft_R:ri" } else { "deft_P:or" };
    let op = module.op(&DEFT, tensors, &[('r', rank)])?;
    let is_qr = match config.text("decomposition_method")?.as_deref() {
        None | Some("relu") => false,
        Some("qr") => true,
        Some(_) => return Err(config.wrong("decomposition_method", "\"relu\" or \"qr\"")),
    };
    let op = op.with('q', is_qr.into());
    ParameterUpdate::weight(match (config.alpha(), config.number("alpha", 0.0)?) {
        // PEFT treats an alpha of 0 as none: then nothing is scaled.
        (None, 0.0) => op,
        (said, alpha) => {
            let alpha = said.unwrap_or(alpha);
            op.scaled(rank, alpha, alpha / rank as f64)
        }
    })
}
