//! The inverse discrete Fourier transform of any length, by the factors of the length (Cooley and Tukey, 1965), in f64. Sines and cosines
//! are libm's, so that every machine gives the same bits.

use std::f64::consts::PI;

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Complex {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

impl Complex {
    fn plus(self, other: Complex) -> Complex {
        Complex { re: self.re + other.re, im: self.im + other.im }
    }

    fn times(self, other: Complex) -> Complex {
        let re = self.re * other.re - self.im * other.im;
        Complex { re, im: self.re * other.im + self.im * other.re }
    }
}

/// The transform of one length.
pub(crate) struct InverseFourier {
    /// e^{2πi·k/length} for every k.
    roots: Vec<Complex>,
    /// The prime factors of the length.
    factors: Vec<usize>,
}

impl InverseFourier {
    /// The transform of sequences of `length` numbers, at least one.
    pub(crate) fn new(length: usize) -> InverseFourier {
        let root = |k: usize| {
            let angle = 2.0 * PI * k as f64 / length as f64;
            Complex { re: libm::cos(angle), im: libm::sin(angle) }
        };
        let (mut factors, mut rest, mut factor) = (Vec::new(), length, 2);
        while rest > 1 {
            if factor > rest / factor {
                factor = rest;
            }
            match rest.is_multiple_of(factor) {
                true => {
                    factors.push(factor);
                    rest /= factor;
                }
                false => factor += 1,
            }
        }
        InverseFourier { roots: (0..length).map(root).collect(), factors }
    }

    /// Numbers in a sequence.
    pub(crate) fn length(&self) -> usize {
        self.roots.len()
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.roots.as_slice()) as u64
    }

    /// e^{2πi·product/length} of two whole numbers below the length.
    pub(crate) fn root(&self, one: usize, other: usize) -> Complex {
        self.roots[(one as u64 * other as u64 % self.roots.len() as u64) as usize]
    }

    /// Σ_k values[k] · e^{2πi·k·t/length} for every t, not divided by the length.
    pub(crate) fn transform(&self, values: &[Complex]) -> Vec<Complex> {
        let mut out = vec![Complex::default(); values.len()];
        let mut terms = vec![Complex::default(); self.factors.iter().copied().max().unwrap_or(0)];
        self.part(values, 1, &self.factors, &mut out, &mut terms);
        out
    }

    /// The transform of every `stride`-th value, from the first on. `terms` has room for as many numbers as the largest factor.
    fn part(&self, values: &[Complex], stride: usize, factors: &[usize], out: &mut [Complex], terms: &mut [Complex]) {
        let Some((&factor, rest)) = factors.split_first() else {
            out[0] = values[0];
            return;
        };
        let size = out.len() / factor;
        for (number, out) in out.chunks_exact_mut(size).enumerate() {
            self.part(&values[number * stride..], stride * factor, rest, out, terms);
        }
        // The root of this part's length is that of the whole to the power of `stride`.
        for k in 0..size {
            for (number, term) in terms[..factor].iter_mut().enumerate() {
                *term = out[number * size + k].times(self.roots[number * k * stride]);
            }
            for place in 0..factor {
                let step = place * size * stride;
                let (mut sum, mut at) = (terms[0], 0);
                for term in &terms[1..factor] {
                    at += step;
                    if at >= self.roots.len() {
                        at -= self.roots.len();
                    }
                    sum = sum.plus(term.times(self.roots[at]));
                }
                out[place * size + k] = sum;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_length_is_transformed() {
        for length in [1, 2, 3, 4, 5, 6, 8, 12, 13, 16, 24, 30, 49, 64, 97, 121, 360] {
            let transform = InverseFourier::new(length);
            assert_eq!(transform.factors.iter().product::<usize>(), length);
            let value = |k: usize| Complex { re: ((k * k + 3) % 11) as f64 - 5.0, im: (k * 7 % 5) as f64 - 2.0 };
            let values: Vec<Complex> = (0..length).map(value).collect();
            for (t, found) in transform.transform(&values).iter().enumerate() {
                let terms = values.iter().enumerate().map(|(k, value)| value.times(transform.root(k, t)));
                let expected = terms.fold(Complex::default(), Complex::plus);
                let off = (found.re - expected.re).abs() + (found.im - expected.im).abs();
                assert!(off < 1e-11, "{length} {t}: {found:?} is not {expected:?}");
            }
        }
    }
}
