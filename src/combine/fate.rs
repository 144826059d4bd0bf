//! What becomes of the values of each adapter's delta, counted: how many a rule keeps, and how many of these agree with the elected sign.

use super::{Delta, Election};
use crate::wire::{Wire, wire};

/// Of the delta of one adapter for a weight, how many values …
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fate {
    /// … are not zero,
    pub values: u64,
    /// … of these are kept,
    pub kept: u64,
    /// … and of these have the elected sign: all, where none is elected.
    pub elected: u64,
}

wire!(Fate { values, kept, elected });

/// Add what other elements have come to.
#[inline(never)]
pub(crate) fn absorb(fates: &mut Vec<Fate>, others: &[Fate]) {
    fates.resize(fates.len().max(others.len()), Fate::default());
    for (fate, other) in fates.iter_mut().zip(others) {
        fate.values += other.values;
        fate.kept += other.kept;
        fate.elected += other.elected;
    }
}

/// Write them behind other bytes.
#[inline(never)]
pub(crate) fn put(fates: &[Fate], out: &mut Vec<u8>) {
    fates.iter().for_each(|fate| fate.put(out));
}

/// Those that [`put`] wrote.
#[inline(never)]
pub(crate) fn take(mut bytes: &[u8]) -> Vec<Fate> {
    std::iter::from_fn(|| Fate::take(&mut bytes)).collect()
}

/// The fate of adapter number `member`.
fn of(fates: &mut Vec<Fate>, member: usize) -> &mut Fate {
    fates.resize(fates.len().max(member + 1), Fate::default());
    &mut fates[member]
}

fn not_zero(delta: &Delta) -> u64 {
    delta.values.iter().filter(|value| **value != 0.0).count() as u64
}

/// Count the values before a rule takes some away.
pub(super) fn count_values(deltas: &[Delta], fates: &mut Vec<Fate>) {
    deltas.iter().for_each(|delta| of(fates, delta.member).values += not_zero(delta));
}

/// Count those that are left, and those that agree with the sign that they elect as [`mix`](super::mix::mix) has it elected.
pub(super) fn count_left(deltas: &[Delta], election: Election, weighted: bool, fates: &mut Vec<Fate>) {
    let vote = |delta: &Delta| if weighted { delta.weight } else { 1.0 };
    let mut sides: Vec<f32> = vec![0.0; deltas.first().map_or(0, |delta| delta.values.len())];
    for delta in deltas {
        for (side, value) in sides.iter_mut().zip(&delta.values) {
            let voted = vote(delta) * value;
            *side += match election {
                Election::None => 0.0,
                Election::Total => voted,
                Election::Frequency => f32::from(i8::from(voted > 0.0) - i8::from(voted < 0.0)),
            };
        }
    }
    for delta in deltas {
        let kept = not_zero(delta);
        let agrees = |(side, value): &(&f32, &f32)| {
            let agreement = vote(delta) * **value * if **side < 0.0 { -1.0 } else { 1.0 };
            agreement > 0.0 || agreement.is_nan()
        };
        let elected = match election {
            Election::None => kept,
            _ => sides.iter().zip(&delta.values).filter(agrees).count() as u64,
        };
        let fate = of(fates, delta.member);
        fate.kept += kept;
        fate.elected += elected;
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix::mix;
    use super::super::{Divide, Prune};
    use super::*;
    use crate::combine::{Member, Part, Rescale, Rule, Selection, Sparse};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn deltas(values: &[&[f32]], weights: &[f32]) -> Vec<Delta> {
        let each = values.iter().zip(weights).enumerate();
        each.map(|(member, (values, &weight))| Delta { member, weight, values: values.to_vec() }).collect()
    }

    const VALUES: [&[f32]; 3] = [
        &[1.0, -4.0, 0.0, 2.0, 1.0, -1.0, 3.0],
        &[2.0, 3.0, 0.0, -2.0, 1.0, -2.0, -1.0],
        &[-4.0, 0.5, 0.0, 0.0, 1.0, -3.0, -1.0],
    ];

    #[test]
    fn what_agrees_is_what_is_mixed() {
        let counts = |election, weights: &[f32], weighted| {
            let mut fates = Vec::new();
            count_left(&deltas(&VALUES, weights), election, weighted, &mut fates);
            fates.iter().map(|fate| (fate.kept, fate.elected)).collect::<Vec<_>>()
        };
        // Sums −1, −0.5, 0 (+), 0 (+), 3, −6, 1.
        assert_eq!(counts(Election::Total, &[1.0; 3], false), [(6, 5), (6, 2), (5, 3)]);
        // Of the signs: +, +, 0 (+), 0 (+), +, −, −.
        assert_eq!(counts(Election::Frequency, &[1.0; 3], false), [(6, 4), (6, 5), (5, 4)]);
        assert_eq!(counts(Election::None, &[1.0; 3], false), [(6, 6), (6, 6), (5, 5)]);
        // The first alone decides.
        assert_eq!(counts(Election::Total, &[100.0, 1.0, 1.0], true)[0], (6, 6));
        assert_eq!(counts(Election::Total, &[-100.0, 1.0, 1.0], true), [(6, 6), (6, 3), (5, 3)]);
        // An adapter's weight counts in the elements that it is added in, and in no others.
        for election in [Election::Total, Election::Frequency] {
            for (member, (_, elected)) in counts(election, &[1.0; 3], false).into_iter().enumerate() {
                let mixed = |weight: f32| {
                    let mut some = deltas(&VALUES, &[1.0; 3]);
                    some[member].weight = weight;
                    let mut out = vec![0.0; 7];
                    mix(&some, election, false, Divide::No, &mut out);
                    out
                };
                let changed = mixed(0.25).iter().zip(mixed(0.75)).filter(|(one, other)| **one != *other).count();
                assert_eq!(elected, changed as u64, "{election:?} {member}");
            }
        }
    }

    #[test]
    fn a_rule_counts_before_and_after_it_prunes() {
        let member = Member { density: 3.0 / 7.0, kept: 3, ..Member::default() };
        let (prune, election, divide) = (Prune::Smallest, Election::Total, Divide::Agreeing);
        let rule = Sparse { prune, rescale: Rescale::No, election, weighted: false, divide, members: vec![member; 3] };
        // What a search finds: the third largest, of equal ones the first.
        let selections: Vec<Selection> = [2.0f32, 2.0, 1.0]
            .iter()
            .zip([3, 3, 4])
            .map(|(value, last)| Selection::Known(super::super::Found { key: value.to_bits(), last }))
            .collect();
        let part = Part { first: 0, width: 7, step: 0, cols: 7, selections: &selections, sums: &[] };
        let (mut fates, mut out) = (Vec::new(), vec![0.0; 7]);
        rule.combine(&mut deltas(&VALUES, &[1.0; 3]), &part, Some(&mut fates), &mut out);
        let found: Vec<_> = fates.iter().map(|fate| (fate.values, fate.kept, fate.elected)).collect();
        // Left are -4, 2, 3; 2, 3, -2; -4, 1, -3: sums −2, −1, 0 (+), 1, −3, 3.
        assert_eq!(found, [(6, 3, 3), (6, 3, 0), (5, 3, 3)]);
        let mut twice = fates.clone();
        absorb(&mut twice, &fates);
        let mut bytes = Vec::new();
        put(&twice, &mut bytes);
        assert_eq!(take(&bytes), twice);
        assert_eq!(twice[1].values, 12);
    }
}
