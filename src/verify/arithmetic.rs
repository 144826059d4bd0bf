//! How tools compute a merge, and how far from the exact sum each may end: the bounds that tell a rounding from a difference.
//!
//! The exact merge of an element is W + Δ. A tool has W, computes Δ' near Δ, adds and rounds to the type of its output. Rounding to nearest is
//! monotone, so the output M can only come from a sum in the closed interval between the midpoints of M and its two neighbours: [low, high]. A
//! tool is possible where some sum that it may have had lies there:
//!
//! low − θ ≤ W + Δ + e ≤ high + θ for some |e| ≤ η
//!
//! η bounds the error of Δ', θ that of the addition. With the unit roundoff u of a type (2⁻ᵖ for p bits of significand, so that rounding to nearest
//! has a relative error of at most u), γₙ = n·u/(1 − n·u), and the amplitude P = Σ|scale·b·a| over all ranks and adapters:
//!
//! - A sum of r products in f32, in any order, with or without fused multiply-add, is at most γᵣ·P from the exact one (Higham, "Accuracy and
//!   Stability of Numerical Algorithms", 2nd edition, section 3.1). Multiplying with the scale and the weight, on either side, is two roundings
//!   more, and our own sum has the same error: η = 2·γᵣ₊₃(f32)·P.
//! - A delta that is rounded to a 16-bit type m before it is added (PEFT's `safe_merge`, its embeddings) is at most uₘ·|Δ'| further away, or half
//!   of m's smallest number where that is more.
//! - Where everything is computed in m, both factors are rounded (2 roundings), their product, the scaled product and the weighted one: five roundings of
//!   terms whose absolute values add up to at most P, ((1 + uₘ)⁵ − 1)·P. Sums inside a matrix product are in f32 on all hardware that has
//!   16-bit types.
//! - Adding in f32 before the last rounding (double rounding) is at most u(f32) of the sum, which is at most |M|·(1 + 2u): θ = 2·u(f32)·|M|. A sum
//!   that was stored in f16 before it was stored in bf16 has u(f16)·|M| more.
//! - A tool may round W itself to the type that it computes in. That is no error but another W, known exactly.
//! - DoRA divides by a norm. The norm of n numbers in f32 has the relative error γₙ/2 (the square root halves it), and the quotient and the two products
//!   have three roundings: (γₙ/2 + 4·u)·|W + Δ| more in θ. Where the norm itself is 16-bit, 4·uₘ·|W + Δ|.
//!   The product is multiplied with m/‖V‖, which is taken to be at most 2: P is twice as large.
//! - The error of other methods is not a sum of products that is known here. For these P is the largest |Δ| of the element's row, plus that of |W| where
//!   the method takes whole rows of it (rotations), and r is 64: an assumption, which holds for all of PEFT's in f32, and says "different" where
//!   it does not hold.

use super::weights::Range;
use crate::tensor::Float;

/// Unit roundoff, and half of the smallest positive number.
pub(super) fn units(float: Float) -> (f64, f64) {
    let (digits, smallest) = match float {
        Float::F16 => (11, -24),
        Float::Bf16 => (8, -133),
        Float::F32 => (24, -149),
        Float::F64 => (53, -1022),
    };
    (power(-digits), power(smallest - 1))
}

/// 2 to a power.
fn power(exponent: i32) -> f64 {
    // Exponents of f64 alone are asked for.
    f64::from_bits(((exponent.max(-1022) + 1023) as u64) << 52)
}

/// γₙ of f32.
pub(super) fn gamma(terms: u64) -> f64 {
    let error = terms as f64 * units(Float::F32).0;
    if error < 0.5 { error / (1.0 - error) } else { 1.0 }
}

/// `value` as it stands in a file of a type.
pub(super) fn rounded(float: Float, value: f64) -> f64 {
    let mut bytes = [0; 8];
    float.write(value, &mut bytes);
    float.read(&bytes)
}

/// Whether every number of one type is one of the other.
fn holds(one: Float, other: Float) -> bool {
    one == other || other == Float::F64 || other == Float::F32 && one != Float::F64
}

/// How Δ was computed.
#[derive(Clone, Copy, PartialEq)]
enum Delta {
    /// In f32.
    Single,
    /// In f32, then rounded.
    Rounded(Float),
    /// In a 16-bit type from the factors on.
    Computed(Float),
}

/// One way to compute a merge.
pub(super) struct Tool {
    /// What a report calls it.
    pub(super) name: &'static str,
    /// The type that W is rounded to before.
    pub(super) cast: Option<Float>,
    delta: Delta,
    /// A finer type that the sum is rounded to before it gets its own.
    via: Option<Float>,
    /// The type of the sum: all of its values are of this type, whatever they are stored in.
    pub(super) last: Float,
}

/// How tools may have computed a merge of type `found` from a base of type `base`, the most exact first.
pub(super) fn tools(base: Float, found: Float) -> Vec<Tool> {
    let lossy = (!holds(base, found)).then_some(found);
    let mut tools = vec![Tool { name: "sum-order", cast: None, delta: Delta::Single, via: None, last: found }];
    if lossy.is_some() {
        tools.push(Tool { name: "base-cast", cast: lossy, delta: Delta::Single, via: None, last: found });
    }
    let rounded: fn(Float) -> Delta = Delta::Rounded;
    for (name, kind) in [("delta-rounded", rounded), ("computed", Delta::Computed)] {
        for half in [Float::F16, Float::Bf16] {
            let via = (half == Float::F16 && found == Float::Bf16).then_some(half);
            let last = if via.is_some() { found } else { half };
            let name = match (name, half) {
                ("computed", Float::F16) => "computed-in-f16",
                ("computed", _) => "computed-in-bf16",
                (_, Float::F16) => "delta-in-f16",
                _ => "delta-in-bf16",
            };
            let casts = [Some(None), lossy.map(Some)];
            let in_found = |cast| Tool { name, cast, delta: kind(half), via: None, last: found };
            tools.extend(casts.into_iter().flatten().map(in_found));
            if half != found {
                tools.push(Tool { name, cast: Some(half), delta: kind(half), via, last });
            }
        }
    }
    tools
}

/// W and M of an element, and what each type makes of them, computed once for all tools.
pub(super) struct Numbers {
    /// W.
    base: f64,
    /// M.
    found: f64,
    casts: [Option<f64>; 4],
    /// The sums that M is the rounding of, none where it is no number of the type.
    sums: [Option<Option<(f64, f64)>>; 4],
}

impl Numbers {
    pub(super) fn new(base: f64, found: f64) -> Numbers {
        Numbers { base, found, casts: [None; 4], sums: [None; 4] }
    }

    fn cast(&mut self, float: Float) -> f64 {
        *self.casts[float as usize].get_or_insert_with(|| rounded(float, self.base))
    }

    fn sums(&mut self, float: Float) -> Option<(f64, f64)> {
        let found = self.found;
        *self.sums[float as usize]
            .get_or_insert_with(|| (rounded(float, found) == found).then(|| neighbourhood(float, found)))
    }
}

/// The deltas of one element of a merge.
#[derive(Clone, Copy)]
pub(super) struct Element {
    /// What is added to W beside the delta that is weighed.
    pub(super) rest: f64,
    /// The delta that is weighed.
    pub(super) delta: f64,
    /// The amplitude of `rest`.
    pub(super) rest_amplitude: f64,
    /// The amplitude of `delta`.
    pub(super) amplitude: f64,
    /// How far `delta` may be off beside its rounding errors.
    pub(super) spread: f64,
}

/// How far a tool's delta may be off.
#[derive(Clone, Copy)]
pub(super) struct Errors {
    /// Relative to its amplitude.
    pub(super) of_amplitude: f64,
    /// Relative to itself.
    pub(super) of_delta: f64,
    /// What is added to the relative error of DoRA's norms.
    pub(super) of_norm: f64,
    /// What is below the smallest number of a type.
    tiny: f64,
    /// The unit roundoff of the type that it is computed in, or stored.
    pub(super) unit: f64,
}

/// What holds for all elements of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// γ of the sum of products.
    pub(super) gamma: f64,
    /// The relative error of the norms of DoRA in f32, where there are some.
    pub(super) norm: Option<f64>,
}

impl Tool {
    /// The merge of an element, with the tool's roundings of W and of the sum alone.
    pub(super) fn rounded(&self, numbers: &mut Numbers, delta: f64) -> f64 {
        let sum = self.cast.map_or(numbers.base, |cast| numbers.cast(cast)) + delta;
        rounded(self.last, self.via.map_or(sum, |via| rounded(via, sum)))
    }

    /// How far all deltas may be off by the same factor: the scale and the weight were rounded, and their product.
    pub(super) fn systematic(&self) -> f64 {
        let single = 4.0 * units(Float::F32).0;
        match self.delta {
            Delta::Single => single,
            Delta::Rounded(half) | Delta::Computed(half) => single + units(half).0,
        }
    }

    /// The factors on the delta, those of at least 0 and the absolute values of those of at most 0, with which the tool may give the element's M.
    pub(super) fn factors(&self, numbers: &mut Numbers, element: &Element, terms: Terms) -> [Range; 2] {
        let Element { rest, delta, rest_amplitude, amplitude, spread } = *element;
        let Some(([low, high], errors)) = self.window(numbers, element, terms) else { return [Range::NONE; 2] };
        let error = errors.of_amplitude * amplitude + errors.of_delta * delta.abs() + spread;
        let slack = errors.of_amplitude * rest_amplitude + errors.of_delta * rest.abs();
        let (low, high) = (low - slack - rest, high + slack - rest);
        [delta, -delta].map(|delta| Range::of(delta, error, low, high))
    }

    /// The deltas with which the tool gives the element's M, and how far one may be off.
    pub(super) fn window(&self, numbers: &mut Numbers, element: &Element, terms: Terms) -> Option<([f64; 2], Errors)> {
        let Element { rest, delta, .. } = *element;
        let (low, high) = numbers.sums(self.last)?;
        let (found, base) = (numbers.found, self.cast.map_or(numbers.base, |cast| numbers.cast(cast)));
        let total = delta.abs() + rest.abs();
        let (single, tiny) = units(Float::F32);
        let sum = if self.last == Float::F64 { 2.0 * units(Float::F64).0 } else { 2.0 * single };
        let mut slack = sum * found.abs() + 2.0 * tiny;
        let errors = self.errors(terms.gamma);
        slack += errors.tiny;
        let norm = terms.norm.map(|norm| norm + errors.of_norm);
        if let Some(via) = self.via {
            let (unit, tiny) = units(via);
            slack += unit * (1.0 + 2.0 * units(self.last).0) * found.abs() + tiny;
        }
        if let Some(norm) = norm {
            slack += norm * (base.abs() + total);
        }
        Some(([low - slack - base, high + slack - base], errors))
    }

    /// How far a delta may be off that is a sum of products with this γ.
    pub(super) fn errors(&self, gamma: f64) -> Errors {
        let single =
            Errors { of_amplitude: 2.0 * gamma, of_delta: 0.0, of_norm: 0.0, tiny: 0.0, unit: units(Float::F32).0 };
        match self.delta {
            Delta::Single => single,
            Delta::Rounded(half) => {
                let (unit, tiny) = units(half);
                let of_amplitude = single.of_amplitude * (1.0 + unit);
                Errors { of_amplitude, of_delta: unit, of_norm: 4.0 * unit, tiny: 2.0 * tiny, unit }
            }
            Delta::Computed(half) => {
                let (unit, tiny) = units(half);
                let once = 1.0 + unit;
                let of_amplitude = single.of_amplitude + once * once * once * once * once - 1.0;
                Errors { of_amplitude, of_norm: 4.0 * unit, tiny: 8.0 * tiny, unit, ..single }
            }
        }
    }
}

/// The sums that are rounded to `value`: from one midpoint to the next, or of f64 from one neighbour to the next.
fn neighbourhood(float: Float, value: f64) -> (f64, f64) {
    if float == Float::F64 {
        return (value.next_down(), value.next_up());
    }
    let (unit, half) = units(float);
    let magnitude = value.abs();
    // The power of two below, and half the distance of the numbers from there on.
    let binade = f64::from_bits(magnitude.to_bits() & (0x7ff << 52));
    let above = (binade * unit).max(half);
    let below = if magnitude == binade { (above / 2.0).max(half) } else { above };
    if value.is_sign_negative() { (value - above, value + below) } else { (value - below, value + above) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbourhood_ends_where_rounding_changes() {
        for float in [Float::F16, Float::Bf16, Float::F32] {
            let tiny = units(float).1 * 2.0;
            for value in [0.0, tiny, 3.0 * tiny, 1.0, -1.0, 1.5, -0.75, 1000.0, 4096.0, tiny * 1024.0, tiny * 2048.0] {
                let value = rounded(float, value);
                let (low, high) = neighbourhood(float, value);
                for inside in [low + (value - low) * 1e-6, high - (high - value) * 1e-6] {
                    assert_eq!(rounded(float, inside), value, "{float:?} {value:e}: {inside:e}");
                }
                for outside in [low - (value - low) * 1e-6, high + (high - value) * 1e-6] {
                    assert_ne!(rounded(float, outside), value, "{float:?} {value:e}: {outside:e}");
                }
            }
        }
        assert_eq!(neighbourhood(Float::F16, 65504.0).1, 65520.0);
    }

    #[test]
    fn what_a_tool_gives_is_within_its_bounds() {
        let (w, a, b) = (rounded(Float::Bf16, 0.1234), 0.0377, 0.411);
        let delta = a * b;
        let round = |value| rounded(Float::Bf16, value);
        let element = Element { rest: 0.0, delta, rest_amplitude: 0.0, amplitude: delta, spread: 0.0 };
        let terms = Terms { gamma: gamma(4), norm: None };
        let weights = |tool: &Tool, found: f64| tool.factors(&mut Numbers::new(w, found), &element, terms)[0];
        let tools = tools(Float::Bf16, Float::Bf16);
        let of = |name: &str| tools.iter().find(|tool| tool.name == name).unwrap();
        assert!(weights(of("sum-order"), round(w + delta)).contains(1.0));
        assert!(weights(of("delta-in-bf16"), round(w + round(delta))).contains(1.0));
        let computed = round(w + round(round(a) * round(b)));
        assert!(weights(of("computed-in-bf16"), computed).contains(1.0));
        assert!(!weights(of("computed-in-bf16"), round(w + 2.0 * delta)).contains(1.0));
        assert!(!weights(of("computed-in-bf16"), w).contains(1.0));
        assert!(weights(of("sum-order"), w).contains(0.0));
        assert!(!weights(of("computed-in-f16"), 0.1).contains(1.0), "what is no number of the type");
    }
}
