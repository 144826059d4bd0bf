//! RandLoRA (arXiv 2502.00987): W' = W + scale · Σ of products of projections that all modules share, weighed by λ and γ; PEFT's
//! `RandLoraLayer.get_scaled_bases` and `get_delta_weight`.
//!
//! Let s be the shorter side of the weight and l the longer one, and n the number of bases. Rank position p of the one factor is
//! λ\[k, b\] · A\[k\] ∘ γ\[b\] with k = p / n and b = p mod n; of the other, B\[:, b, k\] with b = p / r and k = p mod r. That the two count in
//! different ways is what PEFT does, in training as in its merge.

use super::factored::Factored;
use super::numbers::Numbers;
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{LayerShape, Op, Scale};
use crate::encoding::Operand;
use crate::error::Result;
use crate::model::orientation::{self, Fit};
use crate::wire::wire;

/// The weights of a module for the shared projections.
#[derive(Debug, Clone, PartialEq)]
pub struct Randlora {
    /// `randlora_lambda`, shape (rank, bases).
    pub lambda: Operand,
    /// `randlora_gamma`, shape (bases, shorter side).
    pub gamma: Operand,
    /// `randlora_A`, shape (rank, 1, shared short side).
    pub a: Operand,
    /// `randlora_B`, shape (shared long side, shared bases, rank).
    pub b: Operand,
    /// Rank of each base.
    pub rank: u64,
    /// Bases of the module.
    pub bases: u64,
    /// The shorter side of the weight.
    pub short: u64,
    /// That of the projections.
    pub shared_short: u64,
    /// The longer side of the projections.
    pub shared_long: u64,
    /// Bases of the projections.
    pub shared_bases: u64,
    /// Alpha after override.
    pub alpha: f64,
    /// The weight is stored (inputs, outputs).
    pub transposed: bool,
}

wire!(Randlora { lambda, gamma, a, b, rank, bases, short, shared_short, shared_long, shared_bases, alpha, transposed });

impl Randlora {
    /// α/r.
    fn scaling(&self) -> f64 {
        self.alpha / self.rank as f64
    }
}

impl Factored for Randlora {
    const NAME: &'static str = "randlora";

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.lambda, &self.gamma, &self.a, &self.b]
    }

    /// One side is the shorter one; which, the adapter does not tell.
    fn layer(&self) -> LayerShape {
        LayerShape { inputs: Some(self.short), ..LayerShape::default() }
    }

    /// A weight with two different sides gets the same delta either way.
    fn fit(&self, shape: &[u64]) -> Fit {
        match *shape {
            [rows, cols] => {
                let fits = rows.min(cols) == self.short && rows.max(cols) <= self.shared_long;
                orientation::fit(fits, fits)
            }
            _ => Fit::Neither,
        }
    }

    fn transposed(&self) -> bool {
        self.transposed
    }

    fn transpose(&mut self, transposed: bool) {
        self.transposed = transposed;
    }

    fn scale(&self) -> Option<Scale> {
        Some(Scale { rank: self.rank, alpha: self.alpha, scale: self.scaling() })
    }

    fn rank(&self) -> u64 {
        self.rank * self.bases
    }

    fn compute(&self, values: &[Numbers], p: usize, a: &mut [f64], b: &mut [f64]) {
        let [lambda, gamma, shared_a, shared_b] = values else { return };
        let [rank, bases, shared_bases] = [self.rank, self.bases, self.shared_bases].map(|number| number as usize);
        let (short, long) = if a.len() == self.short as usize { (a, b) } else { (b, a) };
        let weight = self.scaling() * lambda.get(p);
        let (k, base) = (p / bases, p % bases);
        let weights = gamma.every(1, base * self.short as usize);
        let row = shared_a.every(1, k * self.shared_short as usize);
        short.iter_mut().zip(row.zip(weights)).for_each(|(short, (value, gamma))| *short = weight * value * gamma);
        // The projections may have more bases than the module: those are left out before B is counted through.
        let (base, k) = (p / rank, p % rank);
        let column = shared_b.every(shared_bases * rank, base * rank + k);
        long.iter_mut().zip(column).for_each(|(long, value)| *long = value);
    }
}

/// PEFT's `RandLoraConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "RANDLORA"
    }

    /// PEFT saves the projections with every module again.
    fn tensors(&self) -> &'static [&'static str] {
        &["randlora_lambda", "randlora_gamma", "randlora_A", "randlora_B"]
    }

    fn shared(&self) -> &'static [&'static str] {
        &["randlora_A", "randlora_B"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Read),
            ("randlora_alpha", Field::Read),
            ("save_projection", Field::Read),
            ("projection_prng_key", Field::Training),
            ("sparse", Field::Training),
            ("very_sparse", Field::Training),
            ("randlora_dropout", Field::Training),
        ]
    }

    fn check(&self, config: &mut dyn Settings) -> Result<()> {
        super::vera::check_projections(config)
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let rank = config.whole("r", 32)?;
        let alpha = match config.alpha() {
            Some(alpha) => alpha,
            None => config.number("randlora_alpha", 640.0)?,
        };
        let (lambda, [_, bases]) = module.operand::<2>("randlora_lambda")?;
        let (gamma, [_, short]) = module.operand::<2>("randlora_gamma")?;
        let (a, [_, _, shared_short]) = module.operand::<3>("randlora_A")?;
        let (b, [shared_long, shared_bases, _]) = module.operand::<3>("randlora_B")?;
        if rank == 0 || bases != short.div_ceil(rank) {
            let expected = format!("[r, {short} / r], and r is {rank}");
            return Err(module.misshapen(module.tensor("randlora_lambda")?, &expected));
        }
        module.expect_shape("randlora_lambda", &[rank, bases])?;
        module.expect_shape("randlora_gamma", &[bases, short])?;
        module.expect_shape("randlora_A", &[rank, 1, shared_short.max(short)])?;
        module.expect_shape("randlora_B", &[shared_long.max(short), shared_bases.max(bases), rank])?;
        let op = Randlora {
            lambda,
            gamma,
            a,
            b,
            rank,
            bases,
            short,
            shared_short,
            shared_long,
            shared_bases,
            alpha,
            transposed: false,
        };
        Ok(ParameterUpdate::weight(Op::Randlora(op)))
    }
}
