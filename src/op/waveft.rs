//! WaveFT (arXiv 2505.12532): W' = W + scaling · Δ, Δ with values at few places, or its inverse wavelet transform; PEFT's
//! `WaveFTLayer.get_delta_weight`. Torch's generator decides where the values are.

use super::dense::{Delta, Dense};
use super::fourierft::{places, sparse_fit};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::scatter::{ByRow, Scatter};
use super::{LayerShape, Method, Op, Place, wavelet};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::model::orientation::Fit;
use crate::wire::wire;

/// The values, and what decides their places.
#[derive(Debug, Clone, PartialEq)]
pub struct Waveft {
    /// `waveft_spectrum` (count,).
    pub spectrum: Operand,
    /// Its length.
    pub count: u64,
    /// `random_loc_seed`.
    pub seed: u64,
    /// `scaling`.
    pub scaling: f64,
    /// The wavelet (`wavelet_family`), where the values are coefficients of its transform (`use_idwt`).
    pub wavelet: Option<String>,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Waveft { spectrum, count, seed, scaling, wavelet, transposed });

impl Method for Waveft {
    const NAME: &'static str = "waveft";

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
        let mut values = self.spectrum.values(&operands[0], adapter)?;
        values.iter_mut().for_each(|value| *value *= self.scaling);
        // Row and column as stored.
        let stored = |(output, input)| if self.transposed { (input, output) } else { (output, input) };
        let places = places(place, self.transposed, values.len(), self.seed).into_iter().map(stored);
        let places = places.zip(values);
        let wavelets = match &self.wavelet {
            None => Wavelets::Places(Scatter::new(places.map(|((row, col), value)| (row, col, value)), place)),
            Some(name) => {
                let filters = wavelet::filters(name)
                    .ok_or_else(|| Error::internal(format!("the plan has the unknown wavelet {name:?}")))?;
                Wavelets::Coefficients(Coefficients::new(places, filters, place))
            }
        };
        Ok(Dense::new(wavelets, place, self.transposed))
    }
}

/// The delta in memory, as stored.
pub(crate) enum Wavelets {
    Places(Scatter),
    Coefficients(Coefficients),
}

impl Delta for Wavelets {
    fn bytes(&self) -> u64 {
        match self {
            Wavelets::Places(scatter) => scatter.bytes(),
            Wavelets::Coefficients(coefficients) => coefficients.all.bytes(),
        }
    }

    fn output(&self, output: usize, first: usize, out: &mut [f64]) {
        match self {
            Wavelets::Places(scatter) => scatter.output(output, first, out),
            Wavelets::Coefficients(coefficients) => coefficients.row(output, first, out),
        }
    }

    fn input(&self, input: usize, first: usize, out: &mut [f64]) {
        self.output(input, first, out);
    }
}

/// One level of an inverse wavelet transform with few coefficients. Each gives value · row filter · column filter from its first element on.
pub(crate) struct Coefficients {
    /// By half their first row, counted from the first row that any has.
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
    /// Which filter its rows and its columns have.
    row_filter: usize,
    col_filter: usize,
    value: f64,
}

/// Where the coefficients of one side lie: its length is made up to what the filters take away, and to an even number, half before and half
/// behind. The first half of the coefficients is the approximation, the second the detail.
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

    /// The place of the coefficient at `at` in its half, and whether that is the second.
    fn place(&self, at: usize) -> (usize, usize) {
        let at = at + self.before;
        let second = usize::from(at >= self.half);
        (at - second * self.half, second)
    }

    /// The first element that the coefficient of a place in its half reaches.
    fn first(&self, place: usize) -> i64 {
        2 * place as i64 - self.cut
    }
}

impl Coefficients {
    fn new(places: impl Iterator<Item = ((usize, usize), f64)>, filters: [Vec<f64>; 2], place: &Place) -> Coefficients {
        let length = filters[0].len();
        let (rows, cols) = (Side::new(place.of, length), Side::new(place.cols, length));
        // PEFT has the detail of the columns at the right, and filters the rows with its high-pass, and the other way round.
        let coefficient = |((row, col), value)| {
            let ((place, col_filter), (col, row_filter)) = (rows.place(row), cols.place(col));
            let (row, col) = (rows.first(place), cols.first(col));
            (place, Coefficient { row, col, row_filter, col_filter, value })
        };
        let all: Vec<_> = places.map(coefficient).collect();
        Coefficients { all: ByRow::new(rows.half, &all), rows, filters }
    }

    fn row(&self, row: usize, first: usize, out: &mut [f64]) {
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
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "WAVEFT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["waveft_spectrum"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("n_frequency", Field::Read),
            ("n_frequency_pattern", Field::Read),
            ("proportional_parameters", Field::Read),
            ("random_loc_seed", Field::Read),
            ("scaling", Field::Read),
            ("use_idwt", Field::Read),
            ("wavelet_family", Field::Read),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (spectrum, [count]) = module.operand::<1>("waveft_spectrum")?;
        let pattern = config.pattern("n_frequency_pattern", module.module)?;
        // Otherwise every layer has its part of a budget, which depends on the other layers.
        if !config.flag("proportional_parameters", false)? {
            let expected = match pattern {
                Some(number) => number as u64,
                None => config.whole("n_frequency", 2592)?,
            };
            module.expect_shape("waveft_spectrum", &[expected])?;
        }
        let wavelet = match config.flag("use_idwt", true)? {
            true => Some(config.text("wavelet_family")?.unwrap_or_else(|| "db1".into()).to_ascii_lowercase()),
            false => None,
        };
        if wavelet.as_ref().is_some_and(|name| wavelet::filters(name).is_none()) {
            return Err(
                config.refuse("wavelet_family", &format!("its filters are not known; {} are", wavelet::names()))
            );
        }
        let (seed, scaling) = (config.whole("random_loc_seed", 777)?, config.number("scaling", 25.0)?);
        let op = Op::Waveft(Waveft { spectrum, count, seed, scaling, wavelet, transposed: false });
        Ok(ParameterUpdate::weight(op))
    }
}
