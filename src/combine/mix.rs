//! The weighted sum of deltas whose signs agree with what they elect, value by value: TIES (arXiv 2306.01708); PEFT's
//! `calculate_majority_sign_mask` and `disjoint_merge`, mergekit's `get_mask`.

use super::Delta;
use crate::kernel::{FOUR, Four};
use crate::wire::wire_enum;

/// How the sign of a value is elected. A sum of 0 elects +; a delta of 0 never agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// It is not: all deltas are summed up.
    None,
    /// By the sum of the values.
    Total,
    /// By the sum of their signs.
    Frequency,
}

wire_enum!(Election { None, Total, Frequency });

/// What a sum is divided by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Divide {
    /// Nothing.
    No,
    /// How many deltas agree, where any does.
    Agreeing,
    /// The sum of their weights, where it is not 0.
    Weights,
    /// The same, or this number where that is larger.
    AtLeast(f64),
    /// This number.
    By(f64),
}

wire_enum!(Divide { No, Agreeing, Weights, AtLeast(least), By(number) });

/// Below which a sum of weights is what rounding left of 0.
const NO_WEIGHT: f32 = 1e-6;

/// The mixture of `deltas` into `out`: −0 where nothing is left, which changes nothing that it is added to. `weighted`: the election is one of
/// weight times delta.
pub(super) fn mix(deltas: &[Delta], election: Election, weighted: bool, divide: Divide, out: &mut [f32]) {
    let (one, zero) = (Four::splat(1.0), Four::splat(0.0));
    for at in (0..out.len()).step_by(FOUR) {
        let parts = || deltas.iter().map(|delta| (Four::from(&delta.values, at), Four::splat(delta.weight)));
        let mut sum = zero;
        if election == Election::None {
            for (values, weight) in parts() {
                sum = sum.add(weight.mul(values));
            }
        }
        let mut divisor = zero;
        if election != Election::None {
            let mut elected = zero;
            for (values, weight) in parts() {
                let vote = if weighted { weight.mul(values) } else { values };
                elected = elected.add(if election == Election::Total { vote } else { sign(vote) });
            }
            // At least 0: +.
            let minus = elected.mul(Four::splat(-1.0)).positive();
            let side = Four::splat(-1.0).or(minus, one);
            for (values, weight) in parts() {
                let vote = if weighted { weight.mul(values) } else { values };
                // What is no number is not passed over: the sum shows it.
                let agrees = vote.mul(side).positive_or_nan();
                let counts = if matches!(divide, Divide::Weights | Divide::AtLeast(_)) { weight } else { one };
                sum = sum.add(weight.mul(values).only(agrees));
                divisor = divisor.add(counts.only(agrees));
            }
        }
        let divisor = match divide {
            Divide::No => one,
            Divide::By(number) => Four::splat(number as f32),
            Divide::Agreeing => divisor.or(divisor.positive(), one),
            Divide::AtLeast(least) => Four::of(divisor.values().map(|divisor| divisor.max(least as f32))),
            Divide::Weights => {
                Four::of(divisor.values().map(|divisor| if divisor.abs() < NO_WEIGHT { 1.0 } else { divisor }))
            }
        };
        let mixed = if divide == Divide::No { sum } else { sum.div(divisor) };
        Four::splat(-0.0).or(mixed.zero(), mixed).write(out, at);
    }
}

/// The signs; 0 of zero, as torch's `sign`.
fn sign(values: Four) -> Four {
    let minus = values.mul(Four::splat(-1.0)).positive();
    Four::splat(1.0).only(values.positive()).add(Four::splat(-1.0).only(minus))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(deltas: &[(f32, f32)], election: Election, weighted: bool, divide: Divide) -> f32 {
        let deltas: Vec<Delta> = (0..)
            .zip(deltas)
            .map(|(member, &(weight, value))| Delta { member, weight, values: vec![value; 131] })
            .collect();
        let mut out = vec![0.0; 131];
        mix(&deltas, election, weighted, divide, &mut out);
        assert!(out.iter().all(|value| value.to_bits() == out[0].to_bits()));
        out[0]
    }

    #[test]
    fn signs_are_elected_by_the_deltas_or_by_what_they_weigh() {
        let deltas = [(2.0, 1.0), (0.5, -3.0), (1.0, 1.5)];
        let ties = |election, weighted, divide| mixed(&deltas, election, weighted, divide);
        assert_eq!(ties(Election::Total, false, Divide::Agreeing), -1.5);
        assert_eq!(ties(Election::Frequency, false, Divide::Agreeing), 1.75);
        assert_eq!(ties(Election::Total, true, Divide::Weights), 3.5 / 3.0);
        assert_eq!(ties(Election::None, false, Divide::By(2.0)), 1.0);
        assert_eq!(ties(Election::Total, false, Divide::No), -1.5);
    }

    #[test]
    fn a_sum_of_zero_elects_plus_and_zeros_do_not_vote() {
        assert_eq!(mixed(&[(1.0, 2.0), (1.0, -2.0)], Election::Total, false, Divide::Agreeing), 2.0);
        assert_eq!(mixed(&[(1.0, 2.0), (1.0, -5.0)], Election::Frequency, false, Divide::Agreeing), 2.0);
        assert_eq!(mixed(&[(1.0, 3.0), (1.0, 0.0)], Election::Total, false, Divide::Agreeing), 3.0);
        // A negative weight turns the delta after the election, or before it.
        assert_eq!(mixed(&[(-1.0, 3.0), (1.0, 2.0)], Election::Total, false, Divide::Agreeing), -0.5);
        assert_eq!(mixed(&[(-1.0, 3.0), (1.0, 2.0)], Election::Total, true, Divide::No), -3.0);
    }

    #[test]
    fn where_nothing_is_left_there_is_no_sign_either() {
        for election in [Election::None, Election::Total, Election::Frequency] {
            for divide in [Divide::No, Divide::Agreeing, Divide::Weights] {
                assert_eq!(mixed(&[(1.0, 0.0), (2.0, 0.0)], election, false, divide), 0.0);
            }
        }
    }
}
