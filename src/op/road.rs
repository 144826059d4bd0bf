//! RoAd (arXiv 2409.00119): pairs of the layer's outputs are turned and stretched: W' = R·W, b' = R·b; PEFT's `_get_delta_weight`.
//!
//! Outputs stand in groups. Output i of a group's first half makes a pair with output i of its second half:
//! y1 = a1·cos θ1·x1 − b1·sin φ1·x2 and y2 = a2·cos θ2·x2 + b2·sin φ2·x1.

use super::peft::{Field, ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Apply, Footprint, LayerShape, Method, Op, Place, RowOrder, Tile};
use crate::encoding::Operand;
use crate::error::{Error, Result};
use crate::kernel::Real;
use crate::model::orientation::Fit;
use crate::wire::{wire, wire_enum};

/// The angles and lengths of one module's outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Road {
    /// `road_theta`, angles in radians.
    pub angles: Operand,
    /// `road_alpha`, as many.
    pub lengths: Operand,
    /// What belongs to which output.
    pub variant: Variant,
    /// Outputs of a group.
    pub group: u64,
    /// Outputs of the layer.
    pub outputs: u64,
    /// It is for the layer's bias.
    pub bias: bool,
}

wire!(Road { angles, lengths, variant, group, outputs, bias });

/// How many angles there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// One for each pair.
    One,
    /// One for each output.
    Two,
    /// Two for each output: in each group those of the cosines, then those of the sines.
    Four,
}

wire_enum!(Variant { One, Two, Four });

impl Method for Road {
    const NAME: &'static str = "road";

    type Prepared = Pairs;

    fn operands(&self) -> Vec<&Operand> {
        vec![&self.angles, &self.lengths]
    }

    fn footprint(&self) -> Footprint {
        Footprint::RowGroups(self.group)
    }

    fn layer(&self) -> LayerShape {
        LayerShape { outputs: Some(self.outputs), vector: self.bias, ..LayerShape::default() }
    }

    fn fit(&self, shape: &[u64]) -> Fit {
        match (self.bias, shape) {
            (true, [outputs]) if *outputs == self.outputs => Fit::Certain { transposed: false },
            // PEFT has it for `nn.Linear` alone.
            (false, [outputs, _]) if *outputs == self.outputs => Fit::Straight,
            _ => Fit::Neither,
        }
    }

    fn transpose(&mut self, _transposed: bool) {}

    fn transposed(&self) -> bool {
        false
    }

    fn prepare(&self, place: &Place, operands: &[Vec<u8>], adapter: &str) -> Result<Pairs> {
        let angles = self.angles.values(&operands[0], adapter)?;
        let lengths = self.lengths.values(&operands[1], adapter)?;
        let group = self.group as usize;
        let Place { rows, order, .. } = place;
        if *order != RowOrder::AsIs || rows.start % group != 0 || rows.end % group != 0 {
            let reason = "its groups of outputs do not stand together in the weight";
            return Err(Error::unsupported(self.angles.key.clone(), reason).adapter(adapter));
        }
        let factor = |at: usize, of: fn(f64) -> f64| match (lengths.get(at), angles.get(at)) {
            (Some(length), Some(&angle)) => length * of(angle),
            _ => 0.0,
        };
        let at = |output: usize, second: usize| match self.variant {
            Variant::One => output / group * (group / 2) + output % (group / 2),
            Variant::Two => output,
            Variant::Four => (output / group * 2 + second) * group + output % group,
        };
        let own = rows.clone().map(|output| factor(at(output, 0), libm::cos)).collect();
        let other = rows.clone().map(|output| factor(at(output, 1), libm::sin)).collect();
        Ok(Pairs { own, other, group })
    }
}

/// What each output is made of: so much of itself, and so much of the other of its pair.
pub(crate) struct Pairs {
    own: Vec<f64>,
    other: Vec<f64>,
    group: usize,
}

impl Apply for Pairs {
    fn bytes(&self) -> u64 {
        2 * size_of_val(self.own.as_slice()) as u64
    }

    fn apply<R: Real>(&self, tile: &Tile<R>, out: &mut [R]) {
        let half = self.group / 2 * tile.cols;
        if half == 0 {
            return;
        }
        let factors = self.own.iter().zip(&self.other).skip(tile.row);
        let factors: Vec<(f64, f64)> = factors.map(|(&own, &other)| (own, other)).collect();
        let groups = tile.base.chunks_exact(2 * half).zip(out.chunks_exact_mut(2 * half));
        for ((base, out), factors) in groups.zip(factors.chunks_exact(self.group)) {
            let ((first, second), (above, below)) = (base.split_at(half), out.split_at_mut(half));
            let (upper, lower) = factors.split_at(self.group / 2);
            mix(first, second, upper, -1.0, tile.cols, above);
            mix(second, first, lower, 1.0, tile.cols, below);
        }
    }
}

/// own·x + sign·other·y, row by row, in f64 and rounded once.
fn mix<R: Real>(x: &[R], y: &[R], factors: &[(f64, f64)], sign: f64, cols: usize, out: &mut [R]) {
    let rows = x.chunks_exact(cols).zip(y.chunks_exact(cols)).zip(out.chunks_exact_mut(cols));
    for (((x, y), out), &(own, other)) in rows.zip(factors) {
        let other = sign * other;
        for ((&x, &y), out) in x.iter().zip(y).zip(out) {
            let (x, y): (f64, f64) = (x.into(), y.into());
            *out = R::from_f64(own * x + other * y);
        }
    }
}

/// PEFT's `RoadConfig`.
pub(super) struct Peft;

impl Spelling for Peft {
    fn peft_type(&self) -> &'static str {
        "ROAD"
    }

    fn tensors(&self) -> &'static [&'static str] {
        &["road_theta", "road_alpha"]
    }

    fn fields(&self) -> &'static [(&'static str, Field)] {
        &[("variant", Field::Read), ("group_size", Field::Read)]
    }

    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
        let (angles, [count]) = module.operand::<1>("road_theta")?;
        let lengths = module.operand::<1>("road_alpha")?.0;
        module.expect_shape("road_alpha", &[count])?;
        let (variant, outputs) = match config.text("variant")?.as_deref() {
            None | Some("road_1") => (Variant::One, count.checked_mul(2)),
            Some("road_2") => (Variant::Two, Some(count)),
            Some("road_4") => (Variant::Four, (count % 2 == 0).then_some(count / 2)),
            Some(_) => return Err(config.wrong("variant", "road_1, road_2 or road_4")),
        };
        let group = config.whole("group_size", 64)?;
        if group == 0 || group % 2 != 0 {
            return Err(config.wrong("group_size", "an even number above 0"));
        }
        let Some(outputs) = outputs.filter(|outputs| outputs % group == 0) else {
            let expected = format!("the angles of whole groups of {group} outputs");
            return Err(module.misshapen(module.tensor("road_theta")?, &expected));
        };
        let op =
            |bias| Op::Road(Road { angles: angles.clone(), lengths: lengths.clone(), variant, group, outputs, bias });
        Ok(vec![
            ParameterUpdate { parameter: "weight", optional: false, tied: false, op: op(false) },
            ParameterUpdate { parameter: "bias", optional: true, tied: false, op: op(true) },
        ])
    }
}
