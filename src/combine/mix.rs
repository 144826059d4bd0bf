//! The weighted sum of deltas whose signs agree with what they elect, value by value: TIES (arXiv 2306.01708); PEFT's
//! `calculate_majority_sign_mask` and `disjoint_merge`, mergekit's `get_mask`.

use super::Delta;
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

/// Values that are worked on together: what is kept of them fits the first-level cache.
const CHUNK: usize = 128;

/// The mixture of `deltas` into `out`. `weighted`: the election is one of weight times delta.
pub(super) fn mix(deltas: &[Delta], election: Election, weighted: bool, divide: Divide, out: &mut [f32]) {
    for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
        let (from, count) = (chunk * CHUNK, out.len());
        let (mut elected, mut divisors) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        let (elected, divisors) = (&mut elected[..count], &mut divisors[..count]);
        let parts = || deltas.iter().map(|delta| (&delta.values[from..from + count], delta.weight));
        out.fill(-0.0);
        for (values, weight) in parts() {
            let vote = if weighted { weight } else { 1.0 };
            match election {
                Election::None => {}
                Election::Total => elected.iter_mut().zip(values).for_each(|(sum, value)| *sum += vote * value),
                Election::Frequency => {
                    elected.iter_mut().zip(values).for_each(|(sum, value)| *sum += sign(vote * value))
                }
            }
        }
        let side = |sum: f32| if sum >= 0.0 { 1.0f32 } else { -1.0 };
        elected.iter_mut().for_each(|sum| *sum = side(*sum));
        for (values, weight) in parts() {
            if election == Election::None {
                out.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
                continue;
            }
            let vote = if weighted { weight } else { 1.0 };
            let counts = if matches!(divide, Divide::Weights | Divide::AtLeast(_)) { weight } else { 1.0 };
            for (((sum, divisor), value), elected) in out.iter_mut().zip(divisors.iter_mut()).zip(values).zip(&*elected)
            {
                let agrees = vote * value * elected > 0.0;
                *sum += if agrees { weight * value } else { 0.0 };
                *divisor += if agrees { counts } else { 0.0 };
            }
        }
        match divide {
            Divide::No => {}
            Divide::By(number) => out.iter_mut().for_each(|sum| *sum /= number as f32),
            Divide::Agreeing => out.iter_mut().zip(&*divisors).for_each(|(sum, divisor)| *sum /= divisor.max(1.0)),
            Divide::AtLeast(least) => {
                out.iter_mut().zip(&*divisors).for_each(|(sum, divisor)| *sum /= divisor.max(least as f32));
            }
            Divide::Weights => {
                let divisor = |divisor: f32| if divisor.abs() < NO_WEIGHT { 1.0 } else { divisor };
                out.iter_mut().zip(&*divisors).for_each(|(sum, &by)| *sum /= divisor(by));
            }
        }
    }
}

/// The sign of a value; 0 of zero, as torch's `sign`.
fn sign(value: f32) -> f32 {
    f32::from(u8::from(value > 0.0)) - f32::from(u8::from(value < 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(deltas: &[(f32, f32)], election: Election, weighted: bool, divide: Divide) -> f32 {
        let deltas: Vec<Delta> = (0..)
            .zip(deltas)
            .map(|(member, &(weight, value))| Delta { member, weight, values: vec![value; CHUNK + 3] })
            .collect();
        let mut out = vec![0.0; CHUNK + 3];
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
