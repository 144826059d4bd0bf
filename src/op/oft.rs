//! OFT (arXiv 2306.07280): the layer's input is rotated, block by block; PEFT's `OFTLayer`. A linear layer computes (x·R)·Wᵀ, so that
//! W' = W·Rᵀ; an embedding gives W·R. R has a rotation for each run of inputs, made of a skew-symmetric Q by Cayley's transform or by the
//! beginning of its series.

use super::orthogonal::{SPARES, cayley, neumann, skew, transpose, try_zeros};
use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::turn::{Blocks, Turned, fit_columns};
use super::{Footprint, LayerShape, Method, Op, Place};
use crate::encoding::Operand;
use crate::error::{Error, ErrorKind, Result};
use crate::model::orientation::Fit;
use crate::wire::{wire, wire_enum};

/// The rotations of one module's input.
#[derive(Debug, Clone, PartialEq)]
pub struct Oft {
    /// `oft_R.weight`, shape (blocks, block · (block − 1) / 2): the strict upper triangle of each Q, row by row.
    pub upper: Operand,
    /// Rotations in the file.
    pub blocks: u64,
    /// Inputs that a rotation turns.
    pub block: u64,
    /// The one rotation is that of every run of inputs.
    pub shared: bool,
    /// How Q becomes R.
    pub rotation: Rotation,
    /// The largest norm of each Q, of a constrained OFT.
    pub radius: Option<f64>,
    /// The output of an embedding is rotated.
    pub embedding: bool,
}

wire!(Oft { upper, blocks, block, shared, rotation, radius, embedding });

/// How a skew-symmetric Q becomes a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// (I − Q)(I + Q)⁻¹.
    Cayley,
    /// I + 2·Q + 2·Q² + …
    Series {
        /// Powers of Q, I included.
        powers: u64,
        /// The last power is taken once, not twice: PEFT since 0.18.
        halved: bool,
    },
}

wire_enum!(Rotation { Cayley, Series { powers, halved } });

impl Method for Oft {
    const NAME: &'static str = "oft";

    type Prepared = Turned<Blocks>;

    fn vanishes_at_zero(&self) -> bool {
        true
    }

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.upper]
    }

    fn footprint(&self) -> Footprint {
        Footprint::Rows
    }

    fn layer(&self) -> LayerShape {
        let turned = self.blocks.checked_mul(self.block).filter(|_| !self.shared);
        let (inputs, outputs) = if self.embedding { (None, turned) } else { (turned, None) };
        LayerShape { inputs, outputs, embedding: self.embedding, ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        let fit = fit_columns(shape, None, |columns| match self.shared {
            true => columns.checked_rem(self.block) == Some(0),
            false => self.blocks.checked_mul(self.block) == Some(columns),
        });
        match (self.embedding, fit) {
            (false, fit) => fit,
            (true, Fit::Straight) => Fit::Certain { transposed: true },
            (true, _) => Fit::Neither,
        }
    }

    fn refuses(&self, shape: &[u64]) -> Option<&'static str> {
        let kernel = shape.get(2..).unwrap_or_default();
        kernel.iter().any(|&side| side != 1).then_some(
            "PEFT trains OFT on a convolution whose kernel is larger than 1 by adding up overlapping patches of the input, which no weight \
             of that size does",
        )
    }

    fn transpose(&mut self, _transposed: bool) {}

    fn transposed(&self) -> bool {
        self.embedding
    }

    fn prepare(&self, _place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Turned<Blocks>> {
        let key = &self.upper.key;
        let upper = self.upper.values(&operands[0], adapter)?;
        let (count, side) = (self.blocks as usize, self.block as usize);
        let mut blocks = Blocks::try_new(key, count, side)?;
        let mut spare = try_zeros(key, side.checked_mul(side).and_then(|square| square.checked_mul(SPARES)))?;
        let triangle = upper.len() / count.max(1);
        let all = blocks.values.chunks_exact_mut((side * side).max(1));
        for (block, upper) in all.zip(upper.chunks_exact(triangle.max(1))) {
            skew(upper, side, block);
            if let Some(radius) = self.radius {
                shorten(block, radius);
            }
            match self.rotation {
                Rotation::Cayley => cayley(block, side, &mut spare),
                Rotation::Series { powers, halved } => neumann(block, side, powers, halved, &mut spare),
            }
            if !self.embedding {
                transpose(block, side);
            }
        }
        Ok(Turned::new(blocks))
    }
}

/// Makes Q no longer than `radius`; PEFT's `_project_batch`.
fn shorten(q: &mut [f64], radius: f64) {
    let norm = q.iter().map(|value| value * value).sum::<f64>().sqrt();
    if norm > radius {
        q.iter_mut().for_each(|value| *value *= radius / norm);
    }
}

/// PEFT's `OFTConfig`.
pub(super) struct Peft;

/// Powers of the series: more change nothing, and PEFT takes five.
const MOST_POWERS: u64 = 1000;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "OFT"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["oft_R", "oft_embedding_R", "oft_r"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[
            ("r", Field::Training),
            ("oft_block_size", Field::Training),
            ("module_dropout", Field::Training),
            ("coft", Field::Read),
            ("eps", Field::Read),
            ("block_share", Field::Read),
            ("use_cayley_neumann", Field::Read),
            ("num_cayley_neumann_terms", Field::Read),
        ]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        if let Some(old) = module.find("oft_r") {
            let reason = "it is of PEFT 0.15 or older, whose OFT is another method under the same name";
            return Err(Error::unsupported(old.key.clone(), reason)
                .kind(ErrorKind::NotImplemented)
                .adapter(module.adapter)
                .tensor(old.key.clone())
                .found("oft_r")
                .expected("oft_R")
                .fix("merge it with the PEFT that made it (0.15.2 at the latest), or train it again"));
        }
        let embedding = module.find("oft_embedding_R").is_some();
        let name = if embedding { "oft_embedding_R" } else { "oft_R" };
        let (upper, [blocks, triangle]) = module.operand::<2>(name)?;
        let misshapen = |expected: &str| Ok(module.misshapen(module.tensor(name)?, expected));
        let Some(block) = side_of(triangle) else {
            return Err(misshapen("rotations of n inputs in n·(n − 1)/2 numbers each")?);
        };
        let shared = config.flag("block_share", false)?;
        if shared && blocks != 1 {
            return Err(misshapen("one rotation, as block_share says")?);
        }
        if blocks.checked_mul(block).is_none() {
            return Err(misshapen("as many inputs as a layer may have")?);
        }
        let eps = config.number("eps", 6e-5)?;
        let radius = config.flag("coft", false)?.then(|| eps / (blocks as f64).sqrt());
        let rotation = rotation(config)?;
        Ok(ParameterUpdate::weight(Op::Oft(Oft { upper, blocks, block, shared, rotation, radius, embedding })))
    }
}

/// The n of n·(n − 1)/2 numbers.
fn side_of(triangle: u64) -> Option<u64> {
    let side = triangle.checked_mul(8)?.checked_add(1)?.isqrt().div_ceil(2);
    (side.checked_mul(side - 1)? / 2 == triangle).then_some(side)
}

/// PEFT's `_cayley_batch`.
fn rotation(config: &mut dyn Settings) -> Result<Rotation> {
    let terms = config.whole("num_cayley_neumann_terms", 5)?;
    if !config.flag("use_cayley_neumann", true)? {
        return Ok(Rotation::Cayley);
    }
    if terms > MOST_POWERS {
        return Err(config.wrong("num_cayley_neumann_terms", &format!("{MOST_POWERS} at most")));
    }
    Ok(match (terms, halves_the_last(&config.text("peft_version")?.unwrap_or_default())) {
        (0..=2, _) | (_, false) => Rotation::Series { powers: terms, halved: false },
        // Three terms are I, Q, Q² and the last power.
        (3, true) => Rotation::Series { powers: 4, halved: true },
        (_, true) => Rotation::Series { powers: terms, halved: true },
    })
}

/// Whether the PEFT that trained the adapter took the last power once. Before 0.18, which is also when configurations began to say the
/// version, it was taken twice. PEFT of today takes it once of every adapter, and warns of old ones.
fn halves_the_last(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse::<u64>().ok());
    (numbers.next(), numbers.next()) >= (Some(0), Some(18))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_tells_its_side() {
        assert_eq!([1, 3, 6, 496].map(side_of), [2, 3, 4, 32].map(Some));
        assert_eq!([2, 5, 495, u64::MAX].map(side_of), [None; 4]);
    }

    #[test]
    fn versions_from_0_18_on_halve_the_last_power() {
        for (version, halves) in [("", false), ("0.17.1", false), ("0.18.0", true), ("0.21.2", true), ("1.0", true)] {
            assert_eq!(halves_the_last(version), halves, "{version}");
        }
        assert!(halves_the_last("0.18.1.dev0@abc") && halves_the_last("0.18"));
    }

    #[test]
    fn a_constrained_q_is_shortened_only_if_it_is_too_long() {
        let mut q = [0.0, 3.0, -4.0, 0.0];
        shorten(&mut q, 5.0);
        assert_eq!(q, [0.0, 3.0, -4.0, 0.0]);
        shorten(&mut q, 2.5);
        assert_eq!(q, [0.0, 1.5, -2.0, 0.0]);
    }
}
