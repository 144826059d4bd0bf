//! HiRA (ICLR 2025): W' = W + W ∘ (B@A), without a scale; PEFT's `HiraLayer._merge`.

use super::dense::multiplied;
use super::matmul::Matmul;
use super::peft::{ModuleTensors, ParameterUpdate, Settings, Spelling};
use super::{Given, LayerShape, Method, Op, Prepared};
use crate::error::Result;

/// `hira_A` (rank, inputs, kernel…), or `hira_embedding_A` (rank, tokens), and `hira_B` (outputs, rank, 1…), or `hira_embedding_B`.
pub static HIRA: Method = Method { vanishes: true, packed: 2, spellings: &[PEFT], ..Method::new("hira", prepare) };

fn prepare(given: &Given) -> Result<Prepared> {
    let (a, b) = (given.values(0)?, given.values(1)?);
    multiplied(Matmul::new(b, a, given.size('r'), 1.0), given)
}

/// PEFT's `HiraConfig`.
const PEFT: Spelling = Spelling {
    reads: "rank_pattern",
    training: "r hira_dropout",
    ..Spelling::new("HIRA", "hira_A hira_B hira_embedding_A hira_embedding_B", read)
};

fn read(module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>> {
    // PEFT itself reads `rank_pattern` in two ways. The factors tell the rank.
    config.pattern("rank_pattern", module.module)?;
    if module.find("hira_embedding_A").is_some() {
        let op = module.op(&HIRA, "hira_embedding_A:ri hira_embedding_B:or", &[])?;
        let layer = LayerShape::embedding(op.size('i'), op.size('o'));
        return ParameterUpdate::weight(Op { layer, ..op });
    }
    let a = module.tensor("hira_A")?;
    let tensors = match a.shape.len() {
        2 => "hira_A:ri hira_B:or",
        3 => "hira_A:rix hira_B:or1",
        4 => "hira_A:rixy hira_B:or11",
        5 => "hira_A:rixyz hira_B:or111",
        _ => return Err(module.misshapen(a, "the rank, the inputs, and a convolution's kernel")),
    };
    let op = module.op(&HIRA, tensors, &[])?;
    let kernel = a.shape.get(2..).unwrap_or_default();
    let layer = LayerShape::convolution(op.size('o'), op.size('i'), kernel);
    ParameterUpdate::weight(Op { layer, ..op })
}
