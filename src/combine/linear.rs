//! The weighted sum: W + Σ weight_i · (op_i(W) − W).

use crate::kernel::Real;

/// Add `weight · (changed − base)` to `sum`, each step rounded once.
pub(crate) fn add_weighted<R: Real>(sum: &mut [R], base: &[R], changed: &[R], weight: f64) {
    let weight = R::from_f64(weight);
    for ((sum, &base), &changed) in sum.iter_mut().zip(base).zip(changed) {
        *sum += weight * (changed - base);
    }
}
