//! What a merge may have kept of each delta, if it pruned them otherwise than was expected: another share of them, or other random elements.

use super::check::prunes;
use super::evidence::Pruned;
use super::report::Instead;
use super::verdict::DEVIATIONS;
use super::weights::Range;
use crate::combine::{Combine, Member, Prune};
use crate::plan::Program;

/// Whether random numbers decide what is kept.
pub(super) fn is_random(program: &Program) -> bool {
    matches!(prunes(program), Some(Prune::Random | Prune::Ranks))
}

/// What each adapter should keep.
fn members(program: &Program) -> &[Member] {
    match &program.combine {
        Combine::Sparse(sparse) => &sparse.members,
        _ => &[],
    }
}

/// Whether what a tool must have kept, and dropped, of each delta may be the share that is expected, of random elements: within what Hoeffding's
/// inequality allows, as for the deviations.
pub(super) fn is_mask(program: &Program, pruned: &Pruned) -> bool {
    let elements = program.elements() as f64;
    let margin = DEVIATIONS / 2.0 * elements.sqrt();
    let fits = |(counts, member): (&[u64; 2], &Member)| {
        let ([kept, dropped], expected) = (counts.map(|count| count as f64), member.density * elements);
        member.density >= 1.0 || kept <= expected + margin && elements - dropped >= expected - margin
    };
    pruned.unexplained == 0 && pruned.counts.iter().zip(members(program)).all(fits)
}

/// Other shares of the deltas that explain every element: of each adapter that must have another one the least and the most of it. Nothing where there are
/// none.
pub(super) fn densities(program: &Program, pruned: &Pruned) -> Vec<Instead> {
    // Where the largest values are kept, one threshold must be between what was kept and what was dropped.
    let ordered = prunes(program) == Some(Prune::Smallest);
    if pruned.unexplained > 0 || is_random(program) || ordered && pruned.thresholds.iter().any(Range::is_empty) {
        return Vec::new();
    }
    let (elements, names) = (program.elements().max(1) as f64, program.members());
    let instead = |adapter: Option<&&str>, factor| Instead {
        what: "other-density",
        adapter: adapter.map(|name| (*name).into()).filter(|_| names.len() > 1),
        factor,
    };
    let mut other = Vec::new();
    for ((counts, member), name) in pruned.counts.iter().zip(members(program)).zip(&names) {
        let [kept, dropped] = counts.map(|count| count as f64);
        let (least, most) = (kept / elements, 1.0 - dropped / elements);
        if member.density < 1.0 && !(least <= member.density && member.density <= most) {
            other.push(instead(Some(name), Some([least, most])));
        }
    }
    if other.is_empty() { vec![instead(None, None)] } else { other }
}
