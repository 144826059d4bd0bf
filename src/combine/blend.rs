//! Deltas with one coefficient each, which depends on their lengths and the angles between them: Model Stock (arXiv 2403.19522), spherical
//! interpolation of two, the Karcher mean. What mergekit computes of whole tensors follows from the Gram matrix alone.

use super::mix::mix;
use super::{Delta, Divide, Election, Fate, Lanes, Part, Rule, Selection};
use crate::wire::{wire, wire_enum};

/// The rule for one weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Blend {
    /// How the coefficients are computed.
    pub kind: BlendKind,
    /// How many adapters change the weight.
    pub members: usize,
    /// Where whole weights are blended, W + D in place of D: of each adapter of the merge which of the members it is, if it changes the weight at
    /// all. Empty where deltas are.
    pub whole: Vec<Option<usize>>,
}

wire!(Blend { kind, members, whole });

/// How the coefficients of a [`Blend`] are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BlendKind {
    /// As far from the base as the mean of the deltas' cosines says.
    Stock,
    /// On the sphere between two: the share `t` of the way from the first to the second. In a straight line where |cos| is above `straight`.
    Slerp {
        /// The share.
        t: f64,
        /// The cosine.
        straight: f64,
    },
    /// The mean on the sphere.
    Karcher,
}

wire_enum!(BlendKind { Stock, Slerp { t, straight }, Karcher });

/// Steps of the Karcher mean at most, and below which angle it has arrived (mergekit's `max_iter`, `tol`).
const STEPS: usize = 10;
const ARRIVED: f64 = 1e-5;

/// Below which a product of norms, or a denominator, is as good as zero.
const NO_LENGTH: f64 = 1e-6;

/// The products of all deltas with each other.
struct Gram<'a> {
    /// Of each the products with itself and those after it.
    products: &'a [f64],
    members: usize,
}

impl Gram<'_> {
    fn product(&self, one: usize, other: usize) -> f64 {
        let (first, second) = (one.min(other), one.max(other));
        self.products.get(place(self.members, first, second)).copied().unwrap_or(0.0)
    }

    fn norm(&self, one: usize) -> f64 {
        self.product(one, one).sqrt()
    }
}

/// Where the product of two stands, the first of which comes first.
fn place(members: usize, first: usize, second: usize) -> usize {
    first * members - first * first.saturating_sub(1) / 2 + second - first
}

impl Blend {
    /// How many vectors there are: the deltas, and the base's weight after them where whole weights are blended.
    fn vectors(&self) -> usize {
        self.members + usize::from(self.takes_base())
    }

    /// How far each coefficient may be off where every product is: by `relative` of itself, and by `angle` of the product of both lengths.
    pub(crate) fn sway(&self, products: &[f64], relative: f64, angle: f64) -> Vec<f64> {
        let exact = self.coefficients(products);
        let mut sway = vec![0.0; exact.len()];
        let gram = Gram { products, members: self.vectors() };
        for (one, other) in (0..self.vectors()).flat_map(|one| (one..self.vectors()).map(move |other| (one, other))) {
            let at = place(self.vectors(), one, other);
            let Some(&product) = products.get(at) else { continue };
            let error = relative * product.abs() + angle * gram.norm(one) * gram.norm(other);
            let off = |error: f64| {
                let mut products = products.to_vec();
                products[at] += error;
                self.coefficients(&products)
            };
            let (less, more) = (off(-error), off(error));
            for (number, sway) in sway.iter_mut().enumerate() {
                *sway += (less[number] - exact[number]).abs().max((more[number] - exact[number]).abs());
            }
        }
        sway
    }

    /// The coefficient of each delta, and of the base's weight, where it is one of the vectors: what is added to it.
    fn coefficients(&self, products: &[f64]) -> Vec<f64> {
        let vectors = Gram { products, members: self.vectors() };
        if self.whole.is_empty() {
            return self.of(&vectors);
        }
        // ⟨W + D, W + E⟩, where an adapter that does not change the weight has a D of nothing.
        let base = self.members;
        let with = |one: Option<usize>, other: usize| one.map_or(0.0, |one| vectors.product(one, other));
        let mut products = Vec::new();
        for (number, &one) in self.whole.iter().enumerate() {
            for &other in &self.whole[number..] {
                let deltas = other.map_or(0.0, |other| with(one, other));
                products.push(vectors.product(base, base) + with(one, base) + with(other, base) + deltas);
            }
        }
        let whole = self.of(&Gram { products: &products, members: self.whole.len() });
        let mut coefficients = vec![0.0; self.vectors()];
        for (&member, &coefficient) in self.whole.iter().zip(&whole) {
            if let Some(own) = member.and_then(|member| coefficients.get_mut(member)) {
                *own += coefficient;
            }
        }
        coefficients[base] = whole.iter().sum::<f64>() - 1.0;
        coefficients
    }

    /// The coefficient of each of the vectors that are blended.
    fn of(&self, gram: &Gram) -> Vec<f64> {
        match self.kind {
            BlendKind::Stock => vec![stock(gram) / gram.members.max(1) as f64; gram.members],
            BlendKind::Slerp { t, straight } => slerp(gram, t, straight).into(),
            BlendKind::Karcher => karcher(gram),
        }
    }
}

/// How far the mean of the deltas is gone: t = N·cos / (1 + (N − 1)·cos), with the mean cosine of all pairs; 0 where that has no end.
fn stock(gram: &Gram) -> f64 {
    let count = gram.members as f64;
    let (mut sum, mut pairs) = (0.0, 0.0);
    for one in 0..gram.members {
        for other in one + 1..gram.members {
            let norms = (gram.norm(one) * gram.norm(other)).max(NO_LENGTH);
            sum += (gram.product(one, other) / norms).clamp(-1.0, 1.0);
            pairs += 1.0;
        }
    }
    let cosine = sum / f64::max(pairs, 1.0);
    let denominator = 1.0 + (count - 1.0) * cosine;
    if denominator.abs() < NO_LENGTH { 0.0 } else { count * cosine / denominator }
}

/// The two coefficients.
fn slerp(gram: &Gram, t: f64, straight: f64) -> [f64; 2] {
    const LEAST: f64 = 1e-7;
    let cosine = (gram.product(0, 1) / (gram.norm(0).max(LEAST) * gram.norm(1).max(LEAST))).clamp(-1.0, 1.0);
    if cosine.abs() > straight {
        return [1.0 - t, t];
    }
    let angle = libm::acos(cosine);
    let sine = libm::sin(angle);
    [libm::sin((1.0 - t) * angle) / sine, libm::sin(t * angle) / sine]
}

/// Of deltas of length one the point from which the directions to all of them add up to nothing, at the mean of their lengths. Everything is done
/// on coefficients: products with each delta follow from the Gram matrix.
fn karcher(gram: &Gram) -> Vec<f64> {
    let count = gram.members;
    let norms: Vec<f64> = (0..count).map(|one| gram.norm(one)).collect();
    let valid: Vec<usize> = (0..count).filter(|&one| norms[one] > ARRIVED).collect();
    let mut coefficients = vec![0.0; count];
    let Some(&first) = valid.first() else { return coefficients };
    let share = 1.0 / valid.len() as f64;
    // The product of two sums of deltas of length one.
    let dot = |a: &[f64], b: &[f64]| {
        let mut sum = 0.0;
        for &one in &valid {
            for &other in &valid {
                sum += a[one] * b[other] * gram.product(one, other) / (norms[one] * norms[other]);
            }
        }
        sum
    };
    let unit = |one: usize| {
        let mut unit = vec![0.0; count];
        unit[one] = 1.0;
        unit
    };
    let mut mean = vec![0.0; count];
    valid.iter().for_each(|&one| mean[one] = share);
    let length = dot(&mean, &mean).max(0.0).sqrt();
    if length < ARRIVED {
        mean = unit(first);
    } else {
        mean.iter_mut().for_each(|value| *value /= length);
    }
    for _ in 0..STEPS {
        let mut tangent = vec![0.0; count];
        for &one in &valid {
            let cosine = dot(&mean, &unit(one)).clamp(-1.0, 1.0);
            let angle = libm::acos(cosine);
            if angle < ARRIVED {
                continue;
            }
            let step = share * angle / libm::sin(angle);
            for (number, value) in tangent.iter_mut().enumerate() {
                let to = if number == one { 1.0 } else { 0.0 };
                *value += step * (to - cosine * mean[number]);
            }
        }
        let length = dot(&tangent, &tangent).max(0.0).sqrt();
        if length < ARRIVED {
            break;
        }
        let (cosine, sine) = (libm::cos(length), libm::sin(length));
        mean.iter_mut().zip(&tangent).for_each(|(mean, tangent)| *mean = cosine * *mean + sine * tangent / length);
        let length = dot(&mean, &mean).max(0.0).sqrt();
        if length > ARRIVED {
            mean.iter_mut().for_each(|value| *value /= length);
        }
    }
    let scale = norms.iter().sum::<f64>() / count.max(1) as f64;
    valid.iter().for_each(|&one| coefficients[one] = scale * mean[one] / norms[one]);
    coefficients
}

impl Rule for Blend {
    fn selections(&self, _: u64, _: bool) -> Vec<Selection> {
        Vec::new()
    }

    fn sums(&self) -> usize {
        self.vectors() * (self.vectors() + 1) / 2
    }

    fn takes_base(&self) -> bool {
        !self.whole.is_empty()
    }

    fn gather(&self, deltas: &mut [Delta], part: &Part, sums: &mut [Lanes]) {
        for (number, one) in deltas.iter().enumerate() {
            for other in &deltas[number..] {
                let products = one.values.iter().zip(&other.values).map(|(&a, &b)| f64::from(a) * f64::from(b));
                if let Some(lanes) = sums.get_mut(place(self.vectors(), one.member, other.member)) {
                    lanes.add(part.first, products);
                }
            }
        }
    }

    fn combine(&self, deltas: &mut [Delta], part: &Part, _: Option<&mut Vec<Fate>>, out: &mut [f32]) {
        let coefficients = self.coefficients(part.sums);
        for delta in &mut *deltas {
            delta.weight = coefficients.get(delta.member).map_or(0.0, |&value| value as f32);
        }
        mix(deltas, Election::None, false, Divide::No, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    /// The Gram matrix of vectors.
    fn products(vectors: &[&[f64]]) -> Vec<f64> {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        (0..vectors.len()).flat_map(|one| vectors[one..].iter().map(move |other| dot(vectors[one], other))).collect()
    }

    fn blend(kind: BlendKind, vectors: &[&[f64]]) -> Vec<f64> {
        let blend = Blend { kind, members: vectors.len(), whole: Vec::new() };
        let gram = products(vectors);
        assert_eq!(gram.len(), blend.sums());
        let coefficients = blend.coefficients(&gram);
        (0..vectors[0].len())
            .map(|at| (0..vectors.len()).map(|one| coefficients[one] * vectors[one][at]).sum())
            .collect()
    }

    #[track_caller]
    fn near(found: &[f64], expected: &[f64]) {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?} is not {expected:?}");
    }

    #[test]
    fn in_the_plane() {
        let half = 0.5f64.sqrt();
        let slerp = |t| BlendKind::Slerp { t, straight: 0.9995 };
        near(&blend(slerp(0.5), &[&[1.0, 0.0], &[0.0, 1.0]]), &[half, half]);
        near(&blend(slerp(0.25), &[&[2.0, 0.0], &[3.0, 0.0]]), &[2.25, 0.0]);
        near(&blend(BlendKind::Karcher, &[&[1.0, 0.0], &[0.0, 3.0]]), &[2.0 * half, 2.0 * half]);
        near(&blend(BlendKind::Karcher, &[&[0.0, 0.0], &[0.0, 3.0]]), &[0.0, 1.5]);
        near(&blend(BlendKind::Karcher, &[&[0.0], &[0.0]]), &[0.0]);
        // Deltas at right angles say nothing, equal ones everything, opposite ones nothing that could be computed.
        near(&blend(BlendKind::Stock, &[&[1.0, 0.0], &[0.0, 1.0]]), &[0.0, 0.0]);
        near(&blend(BlendKind::Stock, &[&[1.0, 2.0], &[1.0, 2.0]]), &[1.0, 2.0]);
        near(&blend(BlendKind::Stock, &[&[1.0, 0.0], &[-1.0, 0.0]]), &[0.0, 0.0]);
    }
    /// What becomes of a weight and some adapters' deltas, of which each adapter has one or none.
    fn whole(kind: BlendKind, base: &[f64], deltas: &[&[f64]], whole: &[Option<usize>]) -> Vec<f64> {
        let blend = Blend { kind, members: deltas.len(), whole: whole.into() };
        let vectors = [deltas, &[base]].concat();
        let gram = products(&vectors);
        assert_eq!(gram.len(), blend.sums());
        let coefficients = blend.coefficients(&gram);
        let added = |at: usize| (0..vectors.len()).map(|one| coefficients[one] * vectors[one][at]).sum::<f64>();
        (0..base.len()).map(|at| base[at] + added(at)).collect()
    }

    #[test]
    fn whole_weights_are_blended_as_if_they_were_there() {
        let slerp = BlendKind::Slerp { t: 0.3, straight: 0.9995 };
        let (base, one, other): ([f64; 2], [f64; 2], [f64; 2]) = ([1.0, 2.0], [0.5, -1.5], [-2.0, 1.0]);
        let sum = |delta: [f64; 2]| [base[0] + delta[0], base[1] + delta[1]];
        for kind in [slerp, BlendKind::Karcher] {
            let expected = blend(kind, &[&sum(one), &sum(other)]);
            near(&whole(kind, &base, &[&one, &other], &[Some(0), Some(1)]), &expected);
            // The order is the adapters', and one that does not change the weight stands for the base's.
            let expected = blend(kind, &[&base, &sum(one)]);
            near(&whole(kind, &base, &[&one], &[None, Some(0)]), &expected);
            let expected = blend(kind, &[&sum(one), &base]);
            near(&whole(kind, &base, &[&one], &[Some(0), None]), &expected);
        }
        let three = blend(BlendKind::Karcher, &[&sum(one), &base, &sum(other)]);
        near(&whole(BlendKind::Karcher, &base, &[&one, &other], &[Some(0), None, Some(1)]), &three);
    }
}
