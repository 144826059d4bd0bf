//! VeRA (arXiv 2310.11454): W' = W + (λ_b ∘ B)@(λ_d ∘ A), where all modules share A and B, cut to their sizes; PEFT's
//! `VeraLayer.get_delta_weight`. PVeRA draws λ_d ∘ A at random in training, and its merge takes the mean: the first half of both; PEFT's
//! `PveraLayer.get_delta_weight`.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Op};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::{self, Fit};
use crate::wire::wire;

/// The vectors of a module between the shared projections.
#[derive(Debug, Clone, PartialEq)]
pub struct Vera {
    /// `vera_lambda_d`, shape (rank,), or `pvera_lambda_d`, (2 · rank,).
    pub lambda_d: Operand,
    /// `vera_lambda_b`, shape (outputs,).
    pub lambda_b: Operand,
    /// The first rows of `vera_A`: (rank, `longest`).
    pub a: Operand,
    /// The first rows of `vera_B`: (outputs, `rank`).
    pub b: Operand,
    /// Rank of the projections.
    pub rank: u64,
    /// The longest input that the projections are made for.
    pub longest: u64,
    /// Width of the layer's output.
    pub outputs: u64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Vera { lambda_d, lambda_b, a, b, rank, longest, outputs, transposed });

impl Factored for Vera {
    const NAME: &'static str = "vera";

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.lambda_d, &self.lambda_b, &self.a, &self.b]
    }

    fn layer(&self) -> LayerShape {
        LayerShape { outputs: Some(self.outputs), ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        let fits = |outputs: u64, inputs: u64| outputs == self.outputs && inputs <= self.longest;
        match *shape {
            [rows, cols] => orientation::fit(fits(rows, cols), fits(cols, rows)),
            _ => Fit::Neither,
        }
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn rank(&self) -> u64 {
        self.rank
    }

    fn compute(&self, values: &[Numbers], k: usize, a: &mut [f64], b: &mut [f64]) {
        let [lambda_d, lambda_b, shared_a, shared_b] = values else { return };
        let d = lambda_d.get(k);
        let row = shared_a.every(1, k * self.longest as usize);
        a.iter_mut().zip(row).for_each(|(a, value)| *a = d * value);
        let column = shared_b.every(self.rank as usize, k);
        b.iter_mut().zip(lambda_b.every(1, 0).zip(column)).for_each(|(b, (lambda, value))| *b = lambda * value);
    }
}

/// What two configurations differ in.
struct Names {
    lambda_d: &'static str,
    lambda_b: &'static str,
    a: &'static str,
    b: &'static str,
    /// How many times the rank λ_d and A have.
    halves: u64,
}

fn read(module: &ModuleTensors, config: &mut dyn Settings, names: &Names) -> Result<Vec<ParameterUpdate>> {
    let (lambda_d, [length]) = module.operand::<1>(names.lambda_d)?;
    let (lambda_b, [outputs]) = module.operand::<1>(names.lambda_b)?;
    let (a, [rows, longest]) = module.operand::<2>(names.a)?;
    let (b, [widest, rank]) = module.operand::<2>(names.b)?;
    let said = config.whole("r", 256)?;
    if rank != said || widest < outputs {
        let expected = format!("[{outputs} or more, {said}]");
        return Err(module.misshapen(module.tensor(names.b)?, &expected));
    }
    if rank.checked_mul(names.halves) != Some(rows) {
        return Err(module.misshapen(module.tensor(names.a)?, &format!("[{} · {rank}, inputs]", names.halves)));
    }
    if length != rows {
        return Err(module.misshapen(module.tensor(names.lambda_d)?, &format!("[{rows}]")));
    }
    let (lambda_d, a) = (first(lambda_d, rank, length), first(a, rank, rows));
    let b = first(b, outputs, widest);
    Ok(ParameterUpdate::weight(Op::Vera(Vera { lambda_d, lambda_b, a, b, rank, longest, outputs, transposed: false })))
}

/// The first `rows` of an operand's rows.
fn first(mut operand: Operand, rows: u64, of: u64) -> Operand {
    operand.at.bytes = operand.at.bytes / of * rows;
    operand
}

/// Projections that the file does not have come from torch's generator, and their size from the largest layer that was adapted.
pub(super) fn check_projections(config: &mut dyn Settings) -> Result<()> {
    if config.flag("save_projection", true)? {
        return Ok(());
    }
    let meaning = "the shared projections are not in the file, and PEFT makes them again from torch's random numbers";
    let fix = "merge this adapter with PEFT, with the version and kind of machine that trained it";
    Err(config.refuse("save_projection", meaning).fix(fix))
}

/// PEFT's `VeraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "VERA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["vera_lambda_d", "vera_lambda_b"]
    }

    fn shared(&self) -> &'static [&'static str] {
        &["vera_A", "vera_B"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("save_projection", Field::Read),
            ("projection_prng_key", Field::Training),
            ("vera_dropout", Field::Training),
            ("d_initial", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        check_projections(config)
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let names = Names { lambda_d: "vera_lambda_d", lambda_b: "vera_lambda_b", a: "vera_A", b: "vera_B", halves: 1 };
        read(module, config, &names)
    }
}

/// PEFT's `PveraConfig`.
pub(super) struct Probabilistic;

impl Spelling for Probabilistic {
    fn peft_type(&self) -> &'static str {
        "PVERA"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["pvera_lambda_d", "pvera_lambda_b"]
    }

    fn shared(&self) -> &'static [&'static str] {
        &["pvera_A", "pvera_B"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("save_projection", Field::Read),
            (
                "sample_at_inference",
                Field::Refused("it draws its delta at random for every input, and a merge can only take the mean"),
            ),
            ("projection_prng_key", Field::Training),
            ("pvera_dropout", Field::Training),
            ("d_initial", Field::Training),
            ("generator_seed", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        check_projections(config)
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let names =
            Names { lambda_d: "pvera_lambda_d", lambda_b: "pvera_lambda_b", a: "pvera_A", b: "pvera_B", halves: 2 };
        read(module, config, &names)
    }
}
