//! FourierFT (arXiv 2405.03003): W' = W + scaling · Re(ifft2(S)), where S is a matrix with few values; PEFT's
//! `FourierFTLayer.get_delta_weight`. Torch's generator decides where the values are: at the first elements of a permutation of all.

use super::dense::{Delta, added};
use super::fourier::{Complex, InverseFourier};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::torch_random::permutation;
use super::{Given, Method, Op, Prepared};
use crate::error::Result;
use crate::model::orientation::Fit;

/// `fourierft_spectrum` (`n`,), with places that follow from `random_loc_seed` (`s`), and its factor.
pub static FOURIERFT: Method = Method { fit: sparse_fit, spellings: &[PEFT], ..Method::new("fourierft", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let place = given.place;
    let values = given.values(0)?;
    let scale = given.number(0) / (place.of as f64 * place.cols as f64);
    // A stored row is one output or one input. The transform is the same for both.
    let places = places(given, values.len());
    let values = places.into_iter().zip(values).map(|((row, col), value)| (row, col, scale * value)).collect();
    let (rows, cols) = (InverseFourier::new(place.of), InverseFourier::new(place.cols));
    added(Spectrum { values, rows, cols }, given)
}

/// A linear layer with at least `n` elements, stored either way.
pub(super) fn sparse_fit(op: &Op, shape: &[u64]) -> Fit {
    match shape {
        [rows, cols] if rows.saturating_mul(*cols) >= op.size('n') && *rows > 0 && *cols > 0 => Fit::Either,
        _ => Fit::Neither,
    }
}

/// Row and column, as stored, of each of the first `count` elements of torch's permutation of a weight.
pub(super) fn places(given: &Given, count: usize) -> Vec<(usize, usize)> {
    let (place, transposed) = (given.place, given.op.transposed);
    let inputs = if transposed { place.of } else { place.cols };
    let elements = place.of as u64 * place.cols as u64;
    let split = |at: u64| {
        let (output, input) = ((at / inputs as u64) as usize, (at % inputs as u64) as usize);
        if transposed { (input, output) } else { (output, input) }
    };
    permutation(elements, count, given.op.size('s')).into_iter().map(split).collect()
}

/// The values by row and column as stored, scaled.
struct Spectrum {
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
const PEFT: Spelling = Spelling {
    reads: "n_frequency n_frequency_pattern random_loc_seed scaling",
    ..Spelling::new("FOURIERFT", "fourierft_spectrum", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let expected = count(module, config, 1000)?;
    let seed = config.whole("random_loc_seed", 777)?;
    let op = module.op(&FOURIERFT, "fourierft_spectrum:n", &[('n', expected), ('s', seed)])?;
    ParameterUpdate::weight(Op { numbers: vec![config.number("scaling", 150.0)?], ..op })
}

/// How many values a module has.
pub(super) fn count(module: &ModuleTensors, config: &mut dyn Settings, default: u64) -> Result<u64> {
    match config.pattern("n_frequency_pattern", module.module)? {
        Some(number) => Ok(number as u64),
        None => config.whole("n_frequency", default),
    }
}
