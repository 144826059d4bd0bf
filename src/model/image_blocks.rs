//! The blocks of image models, as users of block weights number them. All else is BASE.
//!
//! Stable Diffusion's UNet has IN00 to IN11, MID, OUT00 to OUT11. The numbers are those of the original layout (`input_blocks.4`). In diffusers' a
//! block of the UNet has two layers on its way down and three on its way up, and what changes the resolution counts as one more of the first (sd-scripts
//! `svd_merge_lora.py`, sd-webui-lora-block-weight).
//!
//! Transformers such as Flux and SD3 have D00, D01, …, the blocks with a stream for the image and one for the text (`double_blocks`,
//! `joint_blocks`; `transformer_blocks` in diffusers), which are called J00, … too, and S00, …, those with one stream (`single_blocks`;
//! `single_transformer_blocks`). The lists of 58 and 61 numbers are those of Flux in ComfyUI-Inspire-Pack and sd-webui-lora-block-weight.

use crate::json;

/// The number of the middle.
const MID: usize = 13;

/// The first on the way up.
const OUT: usize = 14;

/// What is beside the blocks of a transformer: the text encoders CLIP and T5, the first layers, the last ones. They are BASE, too.
const CLIP: usize = 26;
const T5: usize = 27;
const FIRST: usize = 28;
const LAST: usize = 29;

/// The first of the blocks with two streams, and of those with one; no transformer has more of a kind.
const DOUBLE: usize = 32;
const SINGLE: usize = DOUBLE + MOST;
const MOST: usize = 64;

/// Some blocks, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct BlockSet([u64; 3]);

impl BlockSet {
    /// Those from `first` to `last`. BASE is all that has no number of its own.
    fn range(first: usize, last: usize) -> BlockSet {
        let mut set = BlockSet::default();
        let base = if first == 0 { CLIP..LAST + 1 } else { 0..0 };
        for block in (first..last + 1).chain(base) {
            set.0[block / 64] |= 1 << (block % 64);
        }
        set
    }

    fn and(self, other: BlockSet) -> BlockSet {
        let BlockSet([a, b, c]) = self;
        let BlockSet([d, e, f]) = other;
        BlockSet([a | d, b | e, c | f])
    }

    /// Whether a block is one of them.
    pub(crate) fn has(self, block: usize) -> bool {
        self.0[block / 64] >> (block % 64) & 1 == 1
    }

    /// Whether a proper block is one of them, not only what is beside the blocks.
    pub(crate) fn has_blocks(self) -> bool {
        (1..CLIP).chain(DOUBLE..SINGLE + MOST).any(|block| self.has(block))
    }
}

/// The lists of weights that there are, by their lengths: which blocks their entries are of, from each first to each last. 17 and 26 are of SD 1.5, 12
/// and 20 of SDXL, 58 and 61 of Flux.
const LAYOUTS: [(usize, &[(usize, usize)]); 6] = [
    (12, &[(0, 0), (5, 6), (8, 9), (MID, OUT + 5)]),
    (17, &[(0, 0), (2, 3), (5, 6), (8, 9), (MID, MID), (17, 25)]),
    (20, &[(0, 9), (MID, 22)]),
    (26, &[(0, 25)]),
    (58, &[(0, 0), (DOUBLE, DOUBLE + 18), (SINGLE, SINGLE + 37)]),
    (61, &[(CLIP, FIRST), (DOUBLE, DOUBLE + 18), (SINGLE, SINGLE + 37), (LAST, LAST)]),
];

/// Entries of a list, from each first to each last.
type Spans = &'static [(usize, usize)];

/// What sd-webui-lora-block-weight and, from FLUX-ALL on, ComfyUI-Inspire-Pack call some lists: their lengths, and the entries that are 1, from each
/// first to each last. Inspire's lists without the blocks of one stream give these their last number.
const PRESETS: [(&str, usize, Spans); 20] = [
    ("NONE", 17, &[]),
    ("ALL", 17, &[(0, 16)]),
    ("INS", 17, &[(0, 3)]),
    ("IND", 17, &[(0, 0), (4, 6)]),
    ("INALL", 17, &[(0, 6)]),
    ("MIDD", 17, &[(0, 0), (4, 11)]),
    ("OUTD", 17, &[(0, 0), (8, 11)]),
    ("OUTS", 17, &[(0, 0), (12, 16)]),
    ("OUTALL", 17, &[(0, 0), (8, 16)]),
    ("FLUXALL", 61, &[(0, 60)]),
    ("FLUX-ALL", 58, &[(0, 57)]),
    ("FLUX-DBL-ALL", 58, &[(0, 57)]),
    ("FLUX-DBL-FRONT7", 58, &[(0, 7)]),
    ("FLUX-DBL-MID6", 58, &[(0, 0), (8, 13)]),
    ("FLUX-DBL-TAIL6", 58, &[(0, 0), (14, 57)]),
    ("FLUX-SINGLE-ALL", 58, &[(0, 0), (20, 57)]),
    ("FLUX-SINGLE-1to10", 58, &[(0, 0), (20, 29)]),
    ("FLUX-SINGLE-11to20", 58, &[(0, 0), (30, 39)]),
    ("FLUX-SINGLE-21to30", 58, &[(0, 0), (40, 49)]),
    ("FLUX-SINGLE-31to37", 58, &[(0, 0), (50, 57)]),
];

/// The weights that a list of numbers, or the name of one, gives to blocks; the others keep 1, as in sd-scripts.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn weights(text: &str) -> Result<Vec<(BlockSet, f64)>, String> {
    let list: Vec<f64> = match PRESETS.iter().find(|(name, ..)| *name == text.trim()) {
        Some((_, length, ones)) => {
            let is_one = |entry: usize| ones.iter().any(|&(first, last)| (first..=last).contains(&entry));
            (0..*length).map(|entry| f64::from(u8::from(is_one(entry)))).collect()
        }
        None => {
            // By the reader of JSON: the standard library's has 10 kB of tables. It wants a digit before the point.
            let number = |part: &str| {
                let part = part.trim();
                let text = if part.starts_with('.') { format!("0{part}") } else { part.into() };
                json::parse(text.as_bytes()).ok()?.as_f64()
            };
            let list: Option<Vec<f64>> = text.split(',').map(number).collect();
            list.ok_or_else(|| format!("{text:?} is neither a list of numbers nor one of {}", names()))?
        }
    };
    let Some((_, ranges)) = LAYOUTS.iter().find(|(length, _)| *length == list.len()) else {
        let count = list.len();
        return Err(format!(
            "there are {count} weights, and lists have 17 or 26 (SD 1.5), 12 or 20 (SDXL), 58 or 61 (Flux)"
        ));
    };
    let blocks = ranges.iter().flat_map(|&(first, last)| first..=last);
    Ok(blocks.map(|block| BlockSet::range(block, block)).zip(list).collect())
}

fn names() -> String {
    PRESETS.map(|(name, ..)| name).join(", ")
}

/// The blocks that a text names: `IN04`, `MID` (or `M00`), `OUT03-OUT08`, `D00-D06`, `S12`, `IN` or `D` for all on that side, with commas between
/// them.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn blocks(text: &str) -> Result<BlockSet, String> {
    let mut all = BlockSet::default();
    for part in text.split(',').map(str::trim) {
        let side = |first: usize, last: usize| Some(BlockSet::range(first, last));
        let set = match part {
            "IN" => side(1, MID - 1).map(|set| set.and(BlockSet::range(FIRST, FIRST))),
            "OUT" => side(OUT, CLIP - 1).map(|set| set.and(BlockSet::range(LAST, LAST))),
            "D" | "J" => side(DOUBLE, SINGLE - 1),
            "S" => side(SINGLE, SINGLE + MOST - 1),
            _ => {
                let (first, last) = part.split_once('-').unwrap_or((part, part));
                let ends = block(first.trim()).zip(block(last.trim()));
                // No range leads from the blocks of the one kind of model to those of the other.
                let ends = ends.filter(|(first, last)| first <= last && (*first < DOUBLE) == (*last < DOUBLE));
                ends.map(|(first, last)| BlockSet::range(first, last))
            }
        };
        let Some(set) = set else {
            return Err(format!(
                "{part:?} is none of BASE, IN00 to IN11, MID, OUT00 to OUT11 (UNet), D00 or J00 to D63, S00 to S63 (Flux, SD3), and no range of them"
            ));
        };
        all = all.and(set);
    }
    Ok(all)
}

/// The number of a block by its name.
fn block(name: &str) -> Option<usize> {
    let number = |text: &str, first: usize, count: usize| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        text.parse().ok().filter(|number| is_number && *number < count).map(|number: usize| first + number)
    };
    match name {
        "BASE" => return Some(0),
        "MID" | "M00" => return Some(MID),
        _ => {}
    }
    let kinds = [("IN", 1, 12), ("OUT", OUT, 12), ("D", DOUBLE, MOST), ("J", DOUBLE, MOST), ("S", SINGLE, MOST)];
    kinds.into_iter().find_map(|(kind, first, count)| number(name.strip_prefix(kind)?, first, count))
}

/// The parts of names by which blocks are known.
const KINDS: [&str; 13] = [
    "input_blocks",
    "output_blocks",
    "middle_block",
    "down_blocks",
    "up_blocks",
    "mid_block",
    "double_blocks",
    "joint_blocks",
    "transformer_blocks",
    "joint_transformer_blocks",
    "single_blocks",
    "single_transformer_blocks",
    "text_model",
];

/// The number of the block that a tensor is in.
pub(crate) fn block_of(tensor: &str) -> usize {
    let mut parts = tensor.split('.');
    let Some(kind) = parts.find(|part| KINDS.contains(part)) else { return beside(tensor) };
    let rest: Vec<&str> = parts.collect();
    let number = |at: usize| rest.get(at)?.parse::<usize>().ok();
    // In diffusers' layout, three for each block.
    let behind = |layer: Option<usize>| number(0)?.checked_mul(3)?.checked_add(layer?);
    let (side, found) = match (kind, rest.get(1).copied()) {
        ("middle_block" | "mid_block", _) => return MID,
        ("text_model", _) => return CLIP,
        ("single_blocks" | "single_transformer_blocks", _) => return streams(SINGLE, number(0)),
        ("double_blocks" | "joint_blocks" | "transformer_blocks" | "joint_transformer_blocks", _) => {
            return streams(DOUBLE, number(0));
        }
        ("input_blocks", _) => (1, number(0)),
        ("output_blocks", _) => (OUT, number(0)),
        ("down_blocks", Some("downsamplers")) => (1, behind(Some(3))),
        ("down_blocks", _) => (1, behind(number(2).and_then(|layer| layer.checked_add(1)))),
        (_, Some("upsamplers")) => (OUT, behind(Some(2))),
        (..) => (OUT, behind(number(2))),
    };
    found.filter(|number| *number < 12).map_or(0, |number| side + number)
}

fn streams(side: usize, number: Option<usize>) -> usize {
    number.filter(|number| *number < MOST).map_or(0, |number| side + number)
}

/// The same for a tensor that is in no block.
fn beside(tensor: &str) -> usize {
    // The first layer of a UNet, which diffusers has beside the blocks.
    if tensor.strip_prefix("conv_in.").is_some_and(|rest| !rest.contains('.')) {
        return 1;
    }
    // Of Flux and SD3, as they were published and in diffusers.
    const OF_TRANSFORMERS: [(usize, &str); 3] = [
        (
            FIRST,
            "img_in txt_in time_in vector_in guidance_in x_embedder t_embedder y_embedder context_embedder pos_embed time_text_embed",
        ),
        (LAST, "final_layer norm_out proj_out"),
        (T5, "SelfAttention DenseReluDense"),
    ];
    let is_in = |names: &str| names.split(' ').any(|name| tensor.split('.').any(|part| part == name));
    OF_TRANSFORMERS.iter().find(|(_, names)| is_in(names)).map_or(0, |(block, _)| *block)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(block: usize) -> String {
        match block {
            0 => "BASE".into(),
            MID => "MID".into(),
            1..MID => format!("IN{:02}", block - 1),
            OUT..CLIP => format!("OUT{:02}", block - OUT),
            CLIP => "CLIP".into(),
            T5 => "T5".into(),
            FIRST => "first".into(),
            LAST => "last".into(),
            DOUBLE..SINGLE => format!("D{:02}", block - DOUBLE),
            _ => format!("S{:02}", block - SINGLE),
        }
    }

    fn numbers(set: BlockSet) -> Vec<usize> {
        (0..SINGLE + MOST).filter(|block| set.has(*block)).collect()
    }

    #[test]
    fn a_tensor_is_in_the_same_block_in_both_layouts() {
        for (ldm, diffusers, block) in [
            ("input_blocks.0.0.weight", "conv_in.weight", "IN00"),
            ("input_blocks.1.1.proj_in.weight", "down_blocks.0.attentions.0.proj_in.weight", "IN01"),
            ("input_blocks.3.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight", "IN03"),
            ("input_blocks.5.0.out_layers.3.weight", "down_blocks.1.resnets.1.conv2.weight", "IN05"),
            ("input_blocks.8.1.proj_in.weight", "down_blocks.2.attentions.1.proj_in.weight", "IN08"),
            ("middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight", "MID"),
            ("output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight", "OUT02"),
            ("output_blocks.4.1.proj_in.weight", "up_blocks.1.attentions.1.proj_in.weight", "OUT04"),
            ("output_blocks.11.1.proj_in.weight", "up_blocks.3.attentions.2.proj_in.weight", "OUT11"),
            ("time_embed.0.weight", "time_embedding.linear_1.weight", "BASE"),
            ("out.2.weight", "conv_out.weight", "BASE"),
        ] {
            assert_eq!(named(block_of(&format!("model.diffusion_model.{ldm}"))), block, "{ldm}");
            assert_eq!(named(block_of(diffusers)), block, "{diffusers}");
        }
        assert_eq!(block_of("model.layers.3.mlp.conv_in.weight"), 0);
        assert_eq!(block_of("up_blocks.99999999999999999999.resnets.0.conv.weight"), 0);
        assert_eq!(block_of("down_blocks.18446744073709551615.resnets.18446744073709551615.conv.weight"), 0);
    }

    #[test]
    fn lists_and_names() {
        let shown = |text: &str| {
            let found = weights(text).unwrap().into_iter().filter(|(_, weight)| *weight == 1.0);
            found.map(|(set, _)| named(numbers(set)[0])).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown("INS"), "BASE IN01 IN02 IN04");
        assert_eq!(shown("IND"), "BASE IN05 IN07 IN08");
        assert_eq!(shown("MIDD"), "BASE IN05 IN07 IN08 MID OUT03 OUT04 OUT05 OUT06");
        assert_eq!(shown("OUTD"), "BASE OUT03 OUT04 OUT05 OUT06");
        assert_eq!(shown("OUTS"), "BASE OUT07 OUT08 OUT09 OUT10 OUT11");
        assert_eq!(shown("INALL"), "BASE IN01 IN02 IN04 IN05 IN07 IN08");
        assert_eq!(shown("OUTALL"), "BASE OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11");
        assert_eq!(shown("1,1,0,0,0,1,1,0,0,0,0,0"), "BASE IN04 MID OUT00");
        assert_eq!(weights(&["1"; 20].join(",")).unwrap().len(), 20);
        assert!(weights("1,2").unwrap_err().contains("2 weights") && weights("SOME").unwrap_err().contains("MIDD"));
        assert!(weights("nan,1,1,1,1,1,1,1,1,1,1,1").is_err());
        let named =
            |text: &str| Ok::<_, String>(numbers(blocks(text)?).into_iter().map(named).collect::<Vec<_>>().join(" "));
        assert_eq!(named("IN04-IN06, M00,OUT11").unwrap(), "IN04 IN05 IN06 MID OUT11");
        assert_eq!(named("IN10-OUT01").unwrap(), "IN10 IN11 MID OUT00 OUT01");
        assert_eq!(named("OUT").unwrap().split(' ').count(), 13);
        assert_eq!(named("BASE").unwrap(), "BASE CLIP T5 first last");
        assert_eq!(named("D03-D04,J18, S37").unwrap(), "D03 D04 D18 S37");
        assert_eq!(named("D62-S01").unwrap(), "D62 D63 S00 S01");
        assert_eq!(named("S").unwrap().split(' ').count(), 64);
        assert!(named("D64").is_err() && named("OUT11-D00").is_err() && named("D+1").is_err() && named("D").is_ok());
        assert!(named("IN12").is_err() && named("OUT03-IN02").is_err() && named("").is_err());
    }

    #[test]
    fn lists_of_flux() {
        let ones = |text: &str| {
            let found = weights(text).unwrap().into_iter().filter(|(_, weight)| *weight == 1.0);
            found.map(|(set, _)| named(numbers(set)[0])).collect::<Vec<_>>()
        };
        assert_eq!(ones("FLUX-DBL-FRONT7").join(" "), "BASE D00 D01 D02 D03 D04 D05 D06");
        assert_eq!(ones("FLUX-DBL-MID6").join(" "), "BASE D07 D08 D09 D10 D11 D12");
        assert_eq!(ones("FLUX-SINGLE-31to37").join(" "), "BASE S30 S31 S32 S33 S34 S35 S36 S37");
        assert_eq!(
            ones("FLUX-SINGLE-11to20")[1..],
            ["S10", "S11", "S12", "S13", "S14", "S15", "S16", "S17", "S18", "S19"]
        );
        assert_eq!(ones("FLUX-DBL-TAIL6").len(), 1 + 6 + 38);
        let all = ones("FLUXALL");
        assert_eq!(
            (all.len(), &all[..4], all.last().unwrap().as_str()),
            (61, &["CLIP", "T5", "first", "D00"].map(String::from)[..], "last")
        );
        assert_eq!((ones("FLUX-ALL").len(), ones("FLUX-DBL-ALL")), (58, ones("FLUX-ALL")));
        assert!(weights(&["1"; 57].join(",")).unwrap_err().contains("57 weights"));
    }

    #[test]
    fn transformers_have_the_same_blocks_in_both_layouts() {
        for (published, diffusers, block) in [
            ("double_blocks.0.img_attn.qkv.weight", "transformer_blocks.0.attn.to_q.weight", "D00"),
            ("double_blocks.18.txt_mlp.0.weight", "transformer_blocks.18.ff_context.net.0.proj.weight", "D18"),
            ("single_blocks.37.linear1.weight", "single_transformer_blocks.37.proj_mlp.weight", "S37"),
            ("joint_blocks.23.x_block.attn.qkv.weight", "transformer_blocks.23.attn.to_k.weight", "D23"),
            ("img_in.weight", "x_embedder.weight", "first"),
            ("time_in.in_layer.weight", "time_text_embed.timestep_embedder.linear_1.weight", "first"),
            ("final_layer.linear.weight", "proj_out.weight", "last"),
            ("double_blocks.64.img_mlp.0.weight", "transformer_blocks.640.attn.to_q.weight", "BASE"),
        ] {
            assert_eq!(named(block_of(&format!("model.diffusion_model.{published}"))), block, "{published}");
            assert_eq!(named(block_of(diffusers)), block, "{diffusers}");
        }
        assert_eq!(block_of("text_model.encoder.layers.3.self_attn.q_proj.weight"), CLIP);
        assert_eq!(block_of("encoder.block.3.layer.0.SelfAttention.q.weight"), T5);
        // A block of the UNet has a list of this name inside.
        assert_eq!(named(block_of("down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight")), "IN04");
    }
}
