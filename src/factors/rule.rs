//! PEFT's rules by which several tensors become one (`peft/utils/merge_utils.py`), value by value, in f64.

use super::prune::Prune;
use crate::combine::Election;
use crate::error::{Error, Result};

/// What is done before the weighted sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pruning {
    /// Nothing.
    Nothing,
    /// Only the largest values are kept.
    Magnitude,
    /// Random values are kept (DARE).
    Random,
}

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) pruning: Pruning,
    /// TIES (arXiv 2306.01708): of each value only those of the elected sign count, and their mean is taken.
    pub(crate) elects: bool,
}

/// What `add_weighted_adapter` calls `combination_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The factors one beside the other: the exact sum.
    Cat,
    /// A rule on the matrices A, and on the matrices B.
    Factors(Rule),
    /// A rule on the deltas, of whose result the largest singular values are kept.
    Deltas(Rule),
}

/// The weighted sum and nothing else.
pub(crate) const LINEAR: Rule = Rule { pruning: Pruning::Nothing, elects: false };

impl Method {
    /// By its name in PEFT.
    ///
    /// # Errors
    /// `bad-option` for another.
    pub(crate) fn named(name: &str) -> Result<Method> {
        const NAMES: &str = "svd, linear, cat, ties, ties_svd, dare_linear, dare_ties, dare_linear_svd, dare_ties_svd, magnitude_prune, magnitude_prune_svd";
        let rule = |pruning, elects| Rule { pruning, elects };
        let of_deltas = name.strip_suffix("_svd");
        let rule = match of_deltas.unwrap_or(name) {
            "cat" if of_deltas.is_none() => return Ok(Method::Cat),
            "svd" if of_deltas.is_none() => return Ok(Method::Deltas(LINEAR)),
            "linear" if of_deltas.is_none() => LINEAR,
            "ties" => rule(Pruning::Magnitude, true),
            "magnitude_prune" => rule(Pruning::Magnitude, false),
            "dare_linear" => rule(Pruning::Random, false),
            "dare_ties" => rule(Pruning::Random, true),
            _ => {
                let error = Error::bad_option("method", format!("{name:?} is none of {NAMES}"));
                return Err(error.found(name).expected(NAMES));
            }
        };
        Ok(if of_deltas.is_some() { Method::Deltas(rule) } else { Method::Factors(rule) })
    }

    /// Its rule; `cat` has none.
    pub(crate) fn rule(self) -> Option<Rule> {
        match self {
            Method::Cat => None,
            Method::Factors(rule) | Method::Deltas(rule) => Some(rule),
        }
    }
}

/// A rule for the tensors of some adapters.
#[derive(Debug, Clone)]
pub(crate) struct Mixer {
    pub(crate) elects: bool,
    pub(crate) sign: Election,
    /// For each adapter its weight, and what is kept of its tensor.
    pub(crate) parts: Vec<(f64, Prune)>,
}

impl Mixer {
    /// The values from number `first` on of what the tensors become. `tensors` are their values, one tensor for each adapter; they are pruned.
    pub(crate) fn mix(&self, first: u64, tensors: &mut [Vec<f64>], out: &mut [f64]) {
        for ((_, prune), values) in self.parts.iter().zip(tensors.iter_mut()) {
            prune.apply(first, values);
        }
        for (at, out) in out.iter_mut().enumerate() {
            let values = || tensors.iter().filter_map(|values| values.get(at)).copied();
            let weighted = || self.parts.iter().zip(values()).map(|((weight, _), value)| (*weight, value));
            if !self.elects {
                *out = weighted().fold(0.0, |sum, (weight, value)| sum + weight * value);
                continue;
            }
            // `calculate_majority_sign_mask`, of the values without their weights: a sum of zero elects plus.
            let elected = match self.sign {
                Election::Frequency => values().fold(0.0, |sum, value| sum + sign(value)),
                Election::None | Election::Total => values().fold(0.0, |sum, value| sum + value),
            };
            let elected = if elected >= 0.0 { 1.0 } else { -1.0 };
            // `disjoint_merge`: the mean of those that agree, by their count and not by their weights.
            let agree = weighted().filter(|(_, value)| sign(*value) == elected);
            let (sum, count) = agree.fold((0.0, 0.0), |(sum, n), (weight, value)| (sum + weight * value, n + 1.0));
            *out = if count > 0.0 { sum / count } else { 0.0 };
        }
    }
}

/// −1, 0 or 1.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn the_numbers_of_peft() {
        // By peft 0.21.2: `merge_utils.ties([a, b], [1, 2], density, method)` and `magnitude_prune`.
        let (a, b) = (vec![1.0, -2.0, 3.0, 0.5], vec![-4.0, 2.0, 1.0, 0.4]);
        for (elects, sign, density, expected) in [
            (true, Election::Total, 0.5, [-8.0, 4.0, 3.0, 0.0]),
            (true, Election::Total, 1.0, [-8.0, 4.0, 2.5, 0.65]),
            (true, Election::Frequency, 1.0, [1.0, 4.0, 2.5, 0.65]),
            (false, Election::Total, 0.5, [-8.0, 2.0, 3.0, 0.0]),
        ] {
            let prune = |values: &[f64]| {
                Prune::largest(density, 4, &mut |take| {
                    take(values);
                    Ok(())
                })
            };
            let parts = vec![(1.0, prune(&a).unwrap()), (2.0, prune(&b).unwrap())];
            let mut out = [0.0; 4];
            Mixer { elects, sign, parts }.mix(0, &mut [a.clone(), b.clone()], &mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn every_name_of_peft_is_known() {
        let types = "svd linear cat ties ties_svd dare_ties dare_linear dare_ties_svd dare_linear_svd magnitude_prune magnitude_prune_svd";
        let all: Vec<Method> = types.split(' ').map(|name| Method::named(name).unwrap()).collect();
        assert!(all.iter().enumerate().all(|(at, method)| !all[..at].contains(method)));
        for name in ["cat_svd", "svd_svd", "linear_svd", "ties_cat", ""] {
            assert_eq!(Method::named(name).unwrap_err().code(), "bad-option", "{name}");
        }
    }
}
