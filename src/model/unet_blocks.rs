//! The blocks of Stable Diffusion's UNet, as users of block weights number them: IN00 to IN11, MID, OUT00 to OUT11; all else is BASE.
//!
//! The numbers are those of the original layout (`input_blocks.4`). In diffusers' a block of the UNet has two layers on its way down and three on its
//! way up, and what changes the resolution counts as one more of the first (sd-scripts `svd_merge_lora.py`, sd-webui-lora-block-weight).

/// How many there are: BASE, twelve on the way down, the middle, twelve on the way up.
pub(crate) const BLOCKS: usize = 26;

/// The number of the middle.
const MID: usize = 13;

/// The first on the way up.
const OUT: usize = 14;

/// Blocks as bits: the first is BASE.
pub(crate) type BlockSet = u32;

/// The lists of weights that there are, by their lengths: which block each entry is of (17 and 26 of SD 1.5, 12 and 20 of SDXL).
const LAYOUTS: [(usize, BlockSet); 4] = [
    (12, set(&[0, 5, 6, 8, 9, MID, OUT, OUT + 1, OUT + 2, OUT + 3, OUT + 4, OUT + 5])),
    (17, set(&[0, 2, 3, 5, 6, 8, 9, MID, 17, 18, 19, 20, 21, 22, 23, 24, 25])),
    (20, set(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, MID, 14, 15, 16, 17, 18, 19, 20, 21, 22])),
    (26, (1 << BLOCKS) - 1),
];

const fn set(blocks: &[usize]) -> BlockSet {
    let (mut bits, mut at) = (0, 0);
    while at < blocks.len() {
        bits |= 1 << blocks[at];
        at += 1;
    }
    bits
}

/// What sd-webui-lora-block-weight calls some lists, each as the entries of 17 that are 1.
const PRESETS: [(&str, u32); 9] = [
    ("NONE", 0),
    ("ALL", 0x1ffff),
    ("INS", 0xf),
    ("IND", 0x71),
    ("INALL", 0x7f),
    ("MIDD", 0xff1),
    ("OUTD", 0xf01),
    ("OUTS", 0x1f001),
    ("OUTALL", 0x1ff01),
];

/// The weights that a list of numbers, or the name of one, gives to blocks; the others keep 1, as in sd-scripts.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn weights(text: &str) -> Result<Vec<(BlockSet, f64)>, String> {
    let list: Vec<f64> = match PRESETS.iter().find(|(name, _)| *name == text.trim()) {
        Some((_, ones)) => (0..17).map(|entry| f64::from(ones >> entry & 1)).collect(),
        None => {
            let number = |part: &str| part.trim().parse().ok().filter(|number: &f64| number.is_finite());
            let list: Option<Vec<f64>> = text.split(',').map(number).collect();
            list.ok_or_else(|| format!("{text:?} is neither a list of numbers nor one of {}", names()))?
        }
    };
    let Some((_, blocks)) = LAYOUTS.iter().find(|(length, _)| *length == list.len()) else {
        return Err(format!("there are {} weights, and lists have 17 or 26 (SD 1.5), or 12 or 20 (SDXL)", list.len()));
    };
    let of_list = (0..BLOCKS).filter(|block| blocks >> block & 1 == 1);
    Ok(of_list.map(|block| 1 << block).zip(list).collect())
}

fn names() -> String {
    PRESETS.map(|(name, _)| name).join(", ")
}

/// The blocks that a text names: `IN04`, `MID` (or `M00`), `OUT03-OUT08`, `IN` for all on that side, with commas between them.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn blocks(text: &str) -> Result<BlockSet, String> {
    let mut all = 0;
    for part in text.split(',').map(str::trim) {
        let range = match part.split_once('-') {
            Some((first, last)) => block(first.trim()).zip(block(last.trim())).map(|(first, last)| first..=last),
            None if part == "IN" => Some(1..=MID - 1),
            None if part == "OUT" => Some(OUT..=BLOCKS - 1),
            None => block(part).map(|block| block..=block),
        };
        let Some(range) = range.filter(|range| !range.is_empty()) else {
            return Err(format!("{part:?} is none of BASE, IN00 to IN11, MID, OUT00 to OUT11, and no range of them"));
        };
        all |= range.fold(0, |bits, block| bits | 1 << block);
    }
    Ok(all)
}

/// The number of a block by its name.
fn block(name: &str) -> Option<usize> {
    let number =
        |text: &str, first: usize| text.parse().ok().filter(|number| *number < 12).map(|number: usize| first + number);
    match name {
        "BASE" => Some(0),
        "MID" | "M00" => Some(MID),
        _ => match (name.strip_prefix("IN"), name.strip_prefix("OUT")) {
            (Some(text), _) => number(text, 1),
            (_, Some(text)) => number(text, OUT),
            _ => None,
        },
    }
}

/// The number of the block that a tensor is in.
pub(crate) fn block_of(tensor: &str) -> usize {
    let mut parts = tensor.split('.');
    let kinds = ["input_blocks", "output_blocks", "middle_block", "down_blocks", "up_blocks", "mid_block"];
    let Some(kind) = parts.find(|part| kinds.contains(part)) else {
        // The first layer, which diffusers has beside the blocks.
        return usize::from(tensor.strip_prefix("conv_in.").is_some_and(|rest| !rest.contains('.')));
    };
    let rest: Vec<&str> = parts.collect();
    let number = |at: usize| rest.get(at)?.parse::<usize>().ok();
    // In diffusers' layout, three for each block.
    let behind = |layer: Option<usize>| number(0)?.checked_mul(3)?.checked_add(layer?);
    let (side, found) = match (kind, rest.get(1).copied()) {
        ("middle_block" | "mid_block", _) => return MID,
        ("input_blocks", _) => (1, number(0)),
        ("output_blocks", _) => (OUT, number(0)),
        ("down_blocks", Some("downsamplers")) => (1, behind(Some(3))),
        ("down_blocks", _) => (1, behind(number(2).and_then(|layer| layer.checked_add(1)))),
        (_, Some("upsamplers")) => (OUT, behind(Some(2))),
        (..) => (OUT, behind(number(2))),
    };
    found.filter(|number| *number < 12).map_or(0, |number| side + number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(block: usize) -> String {
        match block {
            0 => "BASE".into(),
            MID => "MID".into(),
            1..MID => format!("IN{:02}", block - 1),
            _ => format!("OUT{:02}", block - OUT),
        }
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
            found.map(|(set, _)| named(set.trailing_zeros() as usize)).collect::<Vec<_>>().join(" ")
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
        let named = |text: &str| {
            let bits = blocks(text)?;
            Ok::<_, String>((0..BLOCKS).filter(|b| bits >> b & 1 == 1).map(named).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(named("IN04-IN06, M00,OUT11").unwrap(), "IN04 IN05 IN06 MID OUT11");
        assert_eq!(named("IN10-OUT01").unwrap(), "IN10 IN11 MID OUT00 OUT01");
        assert_eq!(named("OUT").unwrap().split(' ').count(), 12);
        assert!(named("IN12").is_err() && named("OUT03-IN02").is_err() && named("").is_err());
    }
}
