//! FourierFT (arXiv 2405.03003): W' = W + scaling · Re(ifft2(S)), S a matrix with few values; PEFT's `FourierFTLayer.get_delta_weight`. Torch's
//! generator decides where the values are: the first ones of a permutation of all elements.

use super::dense::{Delta, Dense};
use super::fourier::{Complex, InverseFourier};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::torch_random::permutation;
use super::{LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The values, and what decides their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Fourierft {
    /// `fourierft_spectrum` (count,).
    pub spectrum: Operand,
    /// Its length.
    pub count: u64,
    /// `random_loc_seed`.
    pub seed: u64,
    /// `scaling`.
    pub scaling: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Fourierft { spectrum, count, seed, scaling, transposed });

impl Method for Fourierft {
    const NAME: &'static str = "fourierft";

    type Prepared = Dense;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.spectrum]
    }

    fn layer(&self) -> LayerShape {
        LayerShape::default()
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        sparse_fit(shape, self.count)
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Dense> {
        let values = self.spectrum.values(&operands[0], adapter)?;
        let places = places(place, self.transposed, values.len(), self.seed);
        let scale = self.scaling / (place.of as f64 * place.cols as f64);
        // A row as stored is one output, or one input; the transform is the same of both sides.
        let value = |((output, input), value)| {
            let (row, col) = if self.transposed { (input, output) } else { (output, input) };
            (row, col, scale * value)
        };
        let values = places.into_iter().zip(values).map(value).collect();
        let (rows, cols) = (InverseFourier::new(place.of), InverseFourier::new(place.cols));
        Ok(Dense::new(Spectrum { values, rows, cols }, place, self.transposed))
    }
}

/// A matrix with at least `count` elements, either way round.
pub(super) fn sparse_fit(shape: &[u64], count: u64) -> Fit {
    match shape {
        [rows, cols] if rows.saturating_mul(*cols) >= count && *rows > 0 && *cols > 0 => Fit::Either,
        _ => Fit::Neither,
    }
}

/// Output and input of each of the first `count` elements of torch's permutation of a weight.
pub(super) fn places(place: &Place, transposed: bool, count: usize, seed: u64) -> Vec<(usize, usize)> {
    let inputs = if transposed { place.of } else { place.cols };
    let elements = place.of as u64 * place.cols as u64;
    let split = |at: u64| ((at / inputs as u64) as usize, (at % inputs as u64) as usize);
    permutation(elements, count, seed).into_iter().map(split).collect()
}

/// The values by row and column as stored, scaled.
pub(crate) struct Spectrum {
    values: Vec<(usize, usize, f64)>,
    rows: InverseFourier,
    cols: InverseFourier,
}

impl Delta for Spectrum {
    fn bytes(&self) -> u64 {
        size_of_val(self.values.as_slice()) as u64 + self.rows.bytes() + self.cols.bytes()
    }

    /// The sum over the rows of the spectrum, then the transform along the row.
    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        let mut row = vec![Complex::default(); self.cols.length()];
        for &(at, col, value) in &self.values {
            let root = self.rows.root(at, output);
            row[col].re += value * root.re;
            row[col].im += value * root.im;
        }
        let values = self.cols.transform(&row);
        out.iter_mut().zip(&values[first..]).for_each(|(out, value)| *out = value.re);
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        self.output(input, first, out);
    }
}

/// PEFT's `FourierFTConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "FOURIERFT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["fourierft_spectrum"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("n_frequency", Field::Read),
            ("n_frequency_pattern", Field::Read),
            ("random_loc_seed", Field::Read),
            ("scaling", Field::Read),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (spectrum, [count]) = module.operand::<1>("fourierft_spectrum")?;
        let expected = match config.pattern("n_frequency_pattern", module.module)? {
            Some(number) => number as u64,
            None => config.whole("n_frequency", 1000)?,
        };
        module.expect_shape("fourierft_spectrum", &[expected])?;
        let (seed, scaling) = (config.whole("random_loc_seed", 777)?, config.number("scaling", 150.0)?);
        let op = Op::Fourierft(Fourierft { spectrum, count, seed, scaling, transposed: false });
        Ok(ParameterUpdate::weight(op))
    }
}
