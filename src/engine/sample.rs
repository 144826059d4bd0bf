//! Which elements are looked at for what rounding keeps, where not all are: runs of rows here and there, which tensor and shape decide alone, so
//! that neither blocks nor workers show.

use std::ops::Range;

use crate::plan::Program;
use crate::tensor::philox::random_of;

/// Rows of a run: as many as the kernel computes together.
const ROWS: u64 = 4;

/// Elements of a run at least: shorter ones would differ by chance alone.
const ELEMENTS: u64 = 4096;

/// One run of so many is looked at …
const OF_RUNS: u64 = 256;

/// … but of every tensor so many: with fewer nobody could say how good the estimate is.
const LEAST: u64 = 4;

/// Where the random numbers begin that choose.
const KEY: u64 = 0;

/// The sample of a program: its rows in runs, these in strata of about equally many, and of each stratum one run, by chance.
pub(super) struct Sample {
    /// Elements of a run.
    run: u64,
    runs: u64,
    strata: u64,
    elements: u64,
}

impl Sample {
    pub(super) fn of(program: &Program) -> Sample {
        let cols = program.cols.max(1);
        let rows = ELEMENTS.div_ceil(cols).next_multiple_of(ROWS);
        let runs = program.rows.div_ceil(rows);
        let strata = (runs / OF_RUNS).max(LEAST.min(runs));
        Sample { run: rows.saturating_mul(cols), runs, strata, elements: program.elements() }
    }

    /// What of the sample is in `elements`, run by run.
    pub(super) fn within(self, elements: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let first = if elements.is_empty() { self.strata } else { self.stratum(elements.start / self.run) };
        let of_strata = (first..self.strata).map(move |stratum| {
            let start = self.chosen(stratum).saturating_mul(self.run);
            start..start.saturating_add(self.run).min(self.elements)
        });
        let end = elements.end;
        let near = of_strata.take_while(move |run| run.start < end);
        near.map(move |run| run.start.max(elements.start)..run.end.min(end)).filter(|run| !run.is_empty())
    }

    /// The first run of a stratum. The first strata have one run more where they cannot have equally many.
    fn start(&self, stratum: u64) -> u64 {
        stratum * (self.runs / self.strata) + stratum.min(self.runs % self.strata)
    }

    /// The run of a stratum that is looked at.
    fn chosen(&self, stratum: u64) -> u64 {
        let start = self.start(stratum);
        start + u64::from(random_of(stratum, KEY)) % (self.start(stratum + 1) - start)
    }

    /// The stratum that a run is in.
    fn stratum(&self, run: u64) -> u64 {
        let (each, more) = (self.runs / self.strata, self.runs % self.strata);
        let in_longer = more * (each + 1);
        if run < in_longer { run / (each + 1) } else { more + (run - in_longer) / each }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine::Combine;
    use crate::encoding::{Plain, Stored};
    use crate::tensor::{Float, Rounding};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn program(rows: u64, cols: u64) -> Program {
        Program {
            tensor: "t".into(),
            rows,
            cols,
            source: Stored::Plain(Plain { float: Float::Bf16, input: 0, start: 0 }),
            updates: Vec::new(),
            combine: Combine::Linear,
            to: Float::Bf16,
            rounding: Rounding::Nearest,
        }
    }

    #[test]
    fn any_part_has_its_part_of_the_sample() {
        for (rows, cols) in [(4096, 3), (2048, 40), (5000, 1), (37, 700), (1, 9), (3, 50_000), (0, 4), (4, 0)] {
            let program = program(rows, cols);
            let elements = program.elements();
            let whole: Vec<u64> = Sample::of(&program).within(0..elements).flatten().collect();
            assert!(whole.is_sorted_by(|one, other| one < other) && whole.last().is_none_or(|last| *last < elements));
            for step in [1, 7, 1000, 4096, 10_007] {
                let parts = (0..elements).step_by(step).map(|at| at..(at + step as u64).min(elements));
                let found: Vec<u64> = parts.flat_map(|part| Sample::of(&program).within(part)).flatten().collect();
                assert_eq!(found, whole, "{rows} × {cols} in steps of {step}");
                if elements > 100_000 {
                    break;
                }
            }
        }
    }

    #[test]
    fn small_tensors_are_looked_at_as_a_whole_and_large_ones_hardly() {
        let share = |rows, cols| {
            let program = program(rows, cols);
            let seen: u64 = Sample::of(&program).within(0..program.elements()).map(|run| run.end - run.start).sum();
            seen as f64 / program.elements() as f64
        };
        assert_eq!(share(64, 64), 1.0);
        assert_eq!(share(3, 5), 1.0);
        assert_eq!(share(2048, 2048), 4.0 / 512.0);
        assert!((0.98 / 256.0..=1.0 / 256.0).contains(&share(32_000, 2048)));
        // No side is too long for the arithmetic.
        assert!(Sample::of(&program(u64::MAX / 8, 8)).within(1 << 60..(1 << 60) + (1 << 25)).count() > 0);
    }
}
