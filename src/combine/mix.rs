//! The weighted sum of deltas whose signs agree with what they elect, value by value: TIES (arXiv 2306.01708); PEFT's
//! `calculate_majority_sign_mask` and `disjoint_merge`, mergekit's `get_mask`.

use super::Delta;
use crate::kernel::{FOUR, Four, fours, padded};
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

/// Values that are worked on together, in fours: what is kept of them fits the first-level cache.
const CHUNK: usize = 64;

/// The mixture of `deltas` into `out`: −0 where nothing is left, which changes nothing that it is added to. `weighted`: the election is one of
/// weight times delta.
pub(super) fn mix(deltas: &[Delta], election: Election, weighted: bool, divide: Divide, out: &mut [f32]) {
    let asked = (election, weighted, divide);
    let (whole, tail) = out.as_chunks_mut::<FOUR>();
    let end = whole.len() * FOUR;
    let whole = match deltas {
        [one, other] if mix_two([one, other], asked, whole) => &mut [],
        _ => whole,
    };
    let mut parts: Vec<(&[[f32; FOUR]], f32)> = Vec::with_capacity(deltas.len());
    for (chunk, out) in whole.chunks_mut(CHUNK).enumerate() {
        let of = chunk * CHUNK * FOUR..chunk * CHUNK * FOUR + out.len() * FOUR;
        parts.clear();
        parts.extend(deltas.iter().map(|delta| (fours(&delta.values[of.clone()]).0, delta.weight)));
        mix_fours(&parts, asked, out);
    }
    if !tail.is_empty() {
        let ends: Vec<[[f32; FOUR]; 1]> = deltas.iter().map(|delta| [padded(&delta.values[end..])]).collect();
        let parts: Vec<_> = ends.iter().zip(deltas).map(|(end, delta)| (end.as_slice(), delta.weight)).collect();
        let mut mixed = [[0.0; FOUR]];
        mix_fours(&parts, asked, &mut mixed);
        tail.iter_mut().zip(mixed[0]).for_each(|(to, from)| *to = from);
    }
}

/// The mixture of two, by far the most frequent number, without leaving the registers: as [`mix_fours`] has it, whose order of sums it is. False where
/// it does not know the division.
fn mix_two(
    [one, other]: [&Delta; 2],
    (election, weighted, divide): (Election, bool, Divide),
    out: &mut [[f32; FOUR]],
) -> bool {
    let parts = [(fours(&one.values).0, one.weight), (fours(&other.values).0, other.weight)];
    match (election, weighted, divide) {
        (Election::None, _, Divide::No) => sum_of_two(parts, out),
        (Election::Total, false, Divide::No | Divide::Agreeing) => {
            agreeing_of_two(parts, divide == Divide::Agreeing, out, |a, b| a.plus(b));
        }
        (Election::Frequency, false, Divide::No | Divide::Agreeing) => {
            agreeing_of_two(parts, divide == Divide::Agreeing, out, |a, b| sign(a).plus(sign(b)));
        }
        _ => return false,
    }
    true
}

fn sum_of_two([(a, a_weight), (b, b_weight)]: [(&[[f32; FOUR]], f32); 2], out: &mut [[f32; FOUR]]) {
    let (a_weight, b_weight) = (Four::splat(a_weight), Four::splat(b_weight));
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let sum = a_weight.times(Four::load(a)).plus(b_weight.times(Four::load(b)));
        or_minus_zero(sum).store(out);
    }
}

/// `side`: what elects the sign. `halved`: where both agree the mean is taken, half the sum; it is exact.
#[inline(always)]
fn agreeing_of_two(
    [(a, a_weight), (b, b_weight)]: [(&[[f32; FOUR]], f32); 2],
    halved: bool,
    out: &mut [[f32; FOUR]],
    side: impl Fn(Four, Four) -> Four,
) {
    let (a_weight, b_weight) = (Four::splat(a_weight), Four::splat(b_weight));
    let (one, minus) = (Four::splat(1.0), Four::splat(-1.0));
    let half = Four::splat(if halved { 0.5 } else { 1.0 });
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (a, b) = (Four::load(a), Four::load(b));
        let side = minus.or(side(a, b).times(minus).positive(), one);
        let (a_agrees, b_agrees) = (a.times(side).positive_or_nan(), b.times(side).positive_or_nan());
        let sum = a_weight.times(a).only(a_agrees).plus(b_weight.times(b).only(b_agrees));
        or_minus_zero(sum.times(half.or(a_agrees.and(b_agrees), one))).store(out);
    }
}

/// −0 in place of zeros.
#[inline(always)]
fn or_minus_zero(values: Four) -> Four {
    Four::splat(-0.0).or(values.zero(), values)
}

/// The same of at most [`CHUNK`] fours of each delta, with its weight.
fn mix_fours(
    deltas: &[(&[[f32; FOUR]], f32)],
    (election, weighted, divide): (Election, bool, Divide),
    out: &mut [[f32; FOUR]],
) {
    let (one, zero) = (Four::splat(1.0), Four::splat(0.0));
    let (mut sides, mut sums, mut divisors) = ([zero; CHUNK], [zero; CHUNK], [zero; CHUNK]);
    for &(part, weight) in deltas {
        let vote = Four::splat(if weighted { weight } else { 1.0 });
        match election {
            Election::None => {}
            Election::Total => {
                sides.iter_mut().zip(part).for_each(|(sum, four)| *sum = sum.plus(vote.times(Four::load(four))));
            }
            Election::Frequency => {
                sides.iter_mut().zip(part).for_each(|(sum, four)| *sum = sum.plus(sign(vote.times(Four::load(four)))));
            }
        }
    }
    let minus = Four::splat(-1.0);
    // At least 0: +.
    sides.iter_mut().for_each(|sum| *sum = minus.or(sum.times(minus).positive(), one));
    for &(part, weight) in deltas {
        let weight = Four::splat(weight);
        if election == Election::None {
            sums.iter_mut().zip(part).for_each(|(sum, four)| *sum = sum.plus(weight.times(Four::load(four))));
            continue;
        }
        let vote = if weighted { weight } else { one };
        let counts = if matches!(divide, Divide::Weights | Divide::AtLeast(_)) { weight } else { one };
        for (((sum, divisor), side), four) in sums.iter_mut().zip(&mut divisors).zip(&sides).zip(part) {
            let values = Four::load(four);
            // What is no number is not passed over: the sum shows it.
            let agrees = vote.times(values).times(*side).positive_or_nan();
            *sum = sum.plus(weight.times(values).only(agrees));
            *divisor = divisor.plus(counts.only(agrees));
        }
    }
    for ((out, sum), divisor) in out.iter_mut().zip(&sums).zip(&divisors) {
        let by = match divide {
            Divide::No => one,
            Divide::By(number) => Four::splat(number as f32),
            Divide::Agreeing => divisor.or(divisor.positive(), one),
            Divide::AtLeast(least) => of_each(*divisor, |divisor| divisor.max(least as f32)),
            Divide::Weights => of_each(*divisor, |divisor| if divisor.abs() < NO_WEIGHT { 1.0 } else { divisor }),
        };
        let mixed = if divide == Divide::No { *sum } else { sum.over(by) };
        or_minus_zero(mixed).store(out);
    }
}

fn of_each(four: Four, each: impl Fn(f32) -> f32) -> Four {
    let mut values = [0.0; FOUR];
    four.store(&mut values);
    Four::load(&values.map(each))
}

/// The signs; 0 of zero, as torch's `sign`.
fn sign(values: Four) -> Four {
    let minus = values.times(Four::splat(-1.0)).positive();
    Four::splat(1.0).only(values.positive()).plus(Four::splat(-1.0).only(minus))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

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
    fn two_are_mixed_as_any_number_is() {
        let mut random = crate::kernel::tests::Random(3);
        let mut values = || {
            (0..259)
                .map(|at| match at % 9 {
                    0 => 0.0,
                    1 => -0.0,
                    2 => f32::NAN,
                    3 => f32::from_bits(random.bits() & 0x807F_FFFF),
                    4 => f32::INFINITY * random.unit() as f32,
                    _ => (random.unit() * 3.0).round() as f32 + if at % 2 == 0 { 0.0 } else { random.unit() as f32 },
                })
                .collect::<Vec<f32>>()
        };
        for weights in [(1.0, 1.0), (0.3, -2.0), (0.0, 1.5)] {
            let deltas = [
                Delta { member: 0, weight: weights.0, values: values() },
                Delta { member: 1, weight: weights.1, values: values() },
            ];
            for election in [Election::None, Election::Total, Election::Frequency] {
                for weighted in [false, true] {
                    for divide in [Divide::No, Divide::Agreeing, Divide::Weights, Divide::AtLeast(0.1), Divide::By(3.0)]
                    {
                        let mut out = vec![0.0; 259];
                        mix(&deltas, election, weighted, divide, &mut out);
                        let parts: Vec<_> = deltas.iter().map(|delta| (fours(&delta.values).0, delta.weight)).collect();
                        let mut fours = vec![[0.0; FOUR]; 64];
                        mix_fours(&parts, (election, weighted, divide), &mut fours);
                        for (one, other) in out.iter().zip(fours.as_flattened()) {
                            assert!(
                                one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan(),
                                "{one} {other} {election:?} {divide:?}"
                            );
                        }
                    }
                }
            }
        }
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
