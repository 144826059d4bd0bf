//! WaveFT (arXiv 2505.12532): W' = W + scaling · Δ, where Δ has values at few places, or is the inverse wavelet transform of such a matrix; PEFT's
//! `WaveFTLayer.get_delta_weight`. Torch's generator decides where the values are.

use super::dense::{Delta, added};
use super::fourierft::{count, places, sparse_fit};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::scatter::{ByRow, Scatter};
use super::{Given, Method, Op, Place, Prepared, wavelet};
use crate::error::{Error, Result};

/// `waveft_spectrum` (`n`,), with places that follow from `random_loc_seed` (`s`), and its factor. If there is a `w`, the values are coefficients of
/// the transform by the wavelet with that number (`use_idwt`).
pub(super) static WAVEFT: Method = Method { fit: sparse_fit, spellings: &[PEFT], ..Method::new("waveft", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let mut values = given.values(0)?;
    values.iter_mut().for_each(|value| *value *= given.number(0));
    let places = places(given, values.len()).into_iter().zip(values);
    match given.op.sizes.get('w') {
        None => {
            let entries = places.map(|((row, col), value)| (row, col, value));
            added(Scatter::new(entries, given.place), given)
        }
        Some(number) => {
            let filters =
                wavelet::filters(number as usize).ok_or_else(|| Error::internal("the plan has an unknown wavelet"))?;
            added(Coefficients::new(places, filters, given.place), given)
        }
    }
}

/// One level of an inverse wavelet transform with few coefficients. Each adds value · row filter · column filter, beginning at its first element.
struct Coefficients {
    /// The coefficients by half their first row, counted from the first row of all.
    all: ByRow<Coefficient>,
    rows: Side,
    /// Low-pass and high-pass.
    filters: [Vec<f64>; 2],
}

#[derive(Clone, Copy)]
struct Coefficient {
    /// First row and column, which may lie before the weight.
    row: i64,
    col: i64,
    /// Which filter is for its rows and which for its columns.
    row_filter: usize,
    col_filter: usize,
    value: f64,
}

/// Where the coefficients of one dimension are. Its length is padded by what the filters take away, and to an even number, half before and half
/// after it. The first half of the coefficients is the approximation, the second the detail.
struct Side {
    before: usize,
    half: usize,
    cut: i64,
}

impl Side {
    fn new(length: usize, filter: usize) -> Side {
        let padded = (length + filter - 2).next_multiple_of(2);
        let restored = padded + 2 - filter;
        Side { before: (padded - length) / 2, half: padded / 2, cut: (filter - 2 + (restored - length) / 2) as i64 }
    }

    /// The place of the coefficient at `at` in its half, and whether that is the second half.
    fn place(&self, at: usize) -> (usize, usize) {
        let at = at + self.before;
        let second = usize::from(at >= self.half);
        (at - second * self.half, second)
    }

    /// The first element that a coefficient at this place in its half reaches.
    fn first(&self, place: usize) -> i64 {
        2 * place as i64 - self.cut
    }
}

impl Coefficients {
    fn new(places: impl Iterator<Item = ((usize, usize), f64)>, filters: [Vec<f64>; 2], place: &Place) -> Coefficients {
        let length = filters[0].len();
        let (rows, cols) = (Side::new(place.of, length), Side::new(place.cols, length));
        // PEFT stores the detail of the columns at the right, but applies its high-pass filter to the rows, and the other way round.
        let coefficient = |((row, col), value)| {
            let ((place, col_filter), (col, row_filter)) = (rows.place(row), cols.place(col));
            let (row, col) = (rows.first(place), cols.first(col));
            (place, Coefficient { row, col, row_filter, col_filter, value })
        };
        let all: Vec<_> = places.map(coefficient).collect();
        Coefficients { all: ByRow::new(rows.half, &all), rows, filters }
    }
}

impl Delta for Coefficients {
    fn bytes(&self) -> u64 {
        self.all.bytes()
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        self.output(input, first, out);
    }

    /// Rows are those of the weight as stored.
    fn output(&self, row: usize, first: usize, out: &mut [f64]) {
        out.fill(0.0);
        let (row, first) = (row as i64, first as i64);
        // A coefficient reaches the rows from its first on, as many as a filter has numbers.
        let last = (row + self.rows.cut) / 2;
        let most = self.filters[0].len() as i64 / 2;
        for coefficient in self.all.of((last + 1 - most).max(0) as usize..(last + 1) as usize) {
            let at = usize::try_from(row - coefficient.row).ok();
            let Some(filter) = at.and_then(|at| self.filters[coefficient.row_filter].get(at)) else { continue };
            let factor = coefficient.value * filter;
            for (col, filter) in (coefficient.col - first..).zip(&self.filters[coefficient.col_filter]) {
                if let Some(out) = usize::try_from(col).ok().and_then(|col| out.get_mut(col)) {
                    *out += factor * filter;
                }
            }
        }
    }
}

/// PEFT's `WaveFTConfig`.
const PEFT: Spelling = Spelling {
    reads: "n_frequency n_frequency_pattern proportional_parameters random_loc_seed scaling use_idwt wavelet_family",
    ..Spelling::new("WAVEFT", "waveft_spectrum", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    let expected = count(module, config, 2592)?;
    let mut known = vec![('s', config.whole("random_loc_seed", 777)?)];
    // Otherwise every layer has a share of a budget, which depends on the other layers.
    if !config.flag("proportional_parameters", false)? {
        known.push(('n', expected));
    }
    if config.flag("use_idwt", true)? {
        let name = config.text("wavelet_family")?.unwrap_or_else(|| "db1".into()).to_ascii_lowercase();
        let Some(number) = wavelet::number(&name) else {
            let reason = format!("its filters are not known; {} are", wavelet::names());
            return Err(config.refuse("wavelet_family", &reason));
        };
        known.push(('w', number as u64));
    }
    let op = module.op(&WAVEFT, "waveft_spectrum:n", &known)?;
    ParameterUpdate::weight(Op { numbers: vec![config.number("scaling", 25.0)?], ..op })
}
