//! OFT (arXiv 2306.07280): the layer's input is rotated, block by block; PEFT's `OFTLayer`. A linear layer computes (x·R)·Wᵀ, so that
//! W' = W·Rᵀ; an embedding gives W·R. R has a rotation for each run of inputs, made from a skew-symmetric Q by the Cayley transform or by the
//! first terms of its series.

use super::inverse::{invert, no_inverse};
use super::method::Needs;
use super::orthogonal::{SPARES, cayley, neumann, skew, transpose, try_zeros};
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::turn::{Blocks, fit_rows, turned};
use super::{Given, Inverse, LayerShape, Method, Op, Prepared};
use crate::error::{Error, ErrorKind, Result};
use crate::model::orientation::Fit;

/// `oft_R.weight`, shape (`n` blocks, block · (block − 1) / 2): the strict upper triangle of each Q, row by row. Each rotates `b` inputs; if `s` is
/// 1, the same rotation is used for every run of inputs. Q becomes R by the Cayley transform, (I − Q)(I + Q)⁻¹; or, if there is a `p`, by its
/// series I + 2·Q + 2·Q² + … with `p` powers, I included, of which the last is taken once if `h` is 1 (PEFT since 0.18). The number, if there is
/// one, is the largest norm of each Q in a constrained OFT. For an embedding (`e`) the output is rotated.
pub static OFT: Method =
    Method { vanishes: true, needs: Needs::Rows, fit, refuses, spellings: &[PEFT], ..Method::new("oft", prepare) };

fn fit(op: &Op, shape: &[u64]) -> Fit {
    let columns = shape.iter().skip(1).fold(1u64, |all, &side| all.saturating_mul(side));
    if op.size('s') == 1 && columns.checked_rem(op.size('b')) != Some(0) {
        return Fit::Neither;
    }
    // For an embedding the output is rotated, which is its columns.
    match (op.layer.embedding, fit_rows(None, op.layer.inputs.or(op.layer.outputs), shape)) {
        (false, fit) => fit,
        (true, Fit::Straight) => Fit::Certain { transposed: true },
        (true, _) => Fit::Neither,
    }
}

fn refuses(shape: &[u64]) -> Option<&'static str> {
    let kernel = shape.get(2..).unwrap_or_default();
    kernel.iter().any(|&side| side != 1).then_some(
        "PEFT trains OFT on a convolution whose kernel is larger than 1 by adding up overlapping patches of the input, which no weight \
         of that size does",
    )
}

fn prepare(given: &Given) -> Result<Prepared> {
    let (key, upper) = (given.key(), given.values(0)?);
    let (count, side) = (given.size('n'), given.size('b'));
    let mut blocks = Blocks::try_new(key, count, side)?;
    let mut spare = try_zeros(key, side.checked_mul(side).and_then(|square| square.checked_mul(SPARES)))?;
    let triangle = upper.len() / count.max(1);
    let (back, embedding) = (Inverse::of(given), given.size('e') == 1);
    let all = blocks.values.chunks_exact_mut((side * side).max(1));
    for (number, (block, upper)) in all.zip(upper.chunks_exact(triangle.max(1))).enumerate() {
        skew(upper, side, block);
        if let Some(radius) = given.op.numbers.first() {
            shorten(block, *radius);
        }
        match given.op.sizes.get('p') {
            None => cayley(block, side, &mut spare),
            Some(powers) => neumann(block, side, powers, given.size('h') == 1, &mut spare),
        }
        // The inverse of a rotation is its transpose. What the series gives is one only nearly.
        let is_rotation = given.op.sizes.get('p').is_none();
        if embedding == (back && is_rotation) {
            transpose(block, side);
        }
        if back && !is_rotation && !invert(block, side) {
            return Err(no_inverse(given, number * triangle, "the matrix that the series gives has no inverse"));
        }
    }
    turned(blocks, Vec::new())
}

/// Reduce the norm of Q to `radius` if it is larger; PEFT's `_project_batch`.
fn shorten(q: &mut [f64], radius: f64) {
    let norm = q.iter().map(|value| value * value).sum::<f64>().sqrt();
    if norm > radius {
        q.iter_mut().for_each(|value| *value *= radius / norm);
    }
}

/// PEFT's `OFTConfig`.
const PEFT: Spelling = Spelling {
    reads: "coft eps block_share use_cayley_neumann num_cayley_neumann_terms",
    training: "r oft_block_size module_dropout",
    ..Spelling::new("OFT", "oft_R oft_embedding_R oft_r", read)
};

/// Most powers of the series. More change nothing, and PEFT takes five by default.
const MOST_POWERS: u64 = 1000;

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
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
    let (name, tensor) = if embedding { ("oft_embedding_R", "oft_embedding_R:nt") } else { ("oft_R", "oft_R:nt") };
    let shared = config.flag("block_share", false)?;
    let op = module.op(&OFT, tensor, &[('e', embedding.into()), ('s', shared.into())])?;
    let misshapen = |expected: &str| Ok(module.misshapen(module.tensor(name)?, expected));
    let blocks = op.size('n');
    let Some(block) = side_of(op.size('t')) else {
        return Err(misshapen("rotations of n inputs in n·(n − 1)/2 numbers each")?);
    };
    if shared && blocks != 1 {
        return Err(misshapen("one rotation, as block_share says")?);
    }
    let Some(turned) = blocks.checked_mul(block) else {
        return Err(misshapen("as many inputs as a layer may have")?);
    };
    let eps = config.number("eps", 6e-5)?;
    let radius = config.flag("coft", false)?.then(|| eps / (blocks as f64).sqrt());
    let turned = Some(turned).filter(|_| !shared);
    let (inputs, outputs) = if embedding { (None, turned) } else { (turned, None) };
    let layer = LayerShape { inputs, outputs, embedding, ..LayerShape::default() };
    let mut op = Op { numbers: radius.into_iter().collect(), layer, ..op }.with('b', block);
    if let Some((powers, halved)) = series(config)? {
        op = op.with('p', powers).with('h', halved.into());
    }
    ParameterUpdate::weight(op)
}

/// n, if there are n·(n − 1)/2 numbers.
fn side_of(triangle: u64) -> Option<u64> {
    let side = triangle.checked_mul(8)?.checked_add(1)?.isqrt().div_ceil(2);
    (side.checked_mul(side - 1)? / 2 == triangle).then_some(side)
}

/// If a series is used: how many powers it has, and whether the last is taken once; PEFT's `_cayley_batch`.
fn series(config: &mut dyn Settings) -> Result<Option<(u64, bool)>> {
    let terms = config.whole("num_cayley_neumann_terms", 5)?;
    if !config.flag("use_cayley_neumann", true)? {
        return Ok(None);
    }
    if terms > MOST_POWERS {
        return Err(config.wrong("num_cayley_neumann_terms", &format!("{MOST_POWERS} at most")));
    }
    let halved = terms > 2 && halves_the_last(&config.text("peft_version")?.unwrap_or_default());
    // Three terms are I, Q, Q² and the last power.
    Ok(Some((if halved { terms.max(4) } else { terms }, halved)))
}

/// Whether the version of PEFT that trained the adapter took the last power once. Before 0.18, which is also the first version that names itself
/// in configurations, it was taken twice. Today's PEFT takes it once for every adapter, and warns about old ones.
fn halves_the_last(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
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
