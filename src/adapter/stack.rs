//! Factors of bare parameters (`target_parameters`), which may be stacks of matrices: one for each expert.

use crate::op::{Packing, RowOrder};

/// Which way round PEFT takes an expert's matrix, if its shape does not tell. PEFT's versions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SquareLayout {
    /// (in, out): up to 0.18.
    InOut,
    /// (in, out) if the model's class says `is_transposed`: from 0.19.1 on.
    ByModel,
    /// The other way round: 0.19.0.
    Inverted,
}

impl SquareLayout {
    /// The way of the PEFT version that a configuration names. Versions before 0.18 do not name themselves.
    pub(crate) fn of(version: Option<&str>) -> SquareLayout {
        let Some(version) = version else { return SquareLayout::InOut };
        let mut numbers = version.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u64>().unwrap_or(0)
        });
        let mut next = || numbers.next().unwrap_or(0);
        match (next(), next(), next()) {
            (0, ..=18, _) => SquareLayout::InOut,
            (0, 19, 0) => SquareLayout::Inverted,
            _ => SquareLayout::ByModel,
        }
    }

    /// Whether a square matrix is (in, out). `is_transposed`: what the model's class says.
    pub(crate) fn is_in_out(self, is_transposed: bool) -> bool {
        match self {
            SquareLayout::InOut => true,
            SquareLayout::ByModel => is_transposed,
            SquareLayout::Inverted => !is_transposed,
        }
    }
}

/// A parameter of a module that factors may belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The parameter's name.
    pub parameter: String,
    /// Rank of the factors of one expert.
    pub rank: u64,
    /// Alpha after patterns and override.
    pub alpha: f64,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
}

/// What is known about factors of a bare parameter without the base: PEFT names the module, but not the parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrapper {
    /// How many wrappers are around its own: none for the parameter that the module registered last.
    pub around: usize,
    /// The parameters that `target_parameters` names.
    pub candidates: Vec<Candidate>,
    /// Which way round a square matrix is.
    pub square: SquareLayout,
    /// How `lora_B` orders the experts.
    pub packing: Packing,
}

/// Which part of a tensor an update covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// All of it: one matrix, stored (in, out) or not.
    Matrix {
        /// (in, out).
        transposed: bool,
    },
    /// Every matrix of a stack.
    All {
        /// The number of matrices that have factors.
        experts: u64,
        /// How `lora_B` orders them.
        packing: Packing,
        /// Which of how many equal parts of the rows of each.
        part: (u64, u64),
        /// The order of these rows in the tensor.
        order: RowOrder,
        /// (in, out) where it is square.
        in_out: bool,
    },
    /// Some rows of one matrix of a stack.
    One {
        /// Which matrix.
        expert: u64,
        /// Which of how many equal parts of its rows.
        part: (u64, u64),
        /// (in, out) where it is square.
        in_out: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::SquareLayout;

    #[test]
    fn versions_of_peft_differ() {
        for (version, layout) in [
            (None, SquareLayout::InOut),
            (Some("0.17.1"), SquareLayout::InOut),
            (Some("0.18.2"), SquareLayout::InOut),
            (Some("0.19.0"), SquareLayout::Inverted),
            (Some("0.19.1"), SquareLayout::ByModel),
            (Some("0.19.1rc1"), SquareLayout::ByModel),
            (Some("0.21.2"), SquareLayout::ByModel),
            (Some("0.20.1.dev0@5d602fdb"), SquareLayout::ByModel),
            (Some("1.0"), SquareLayout::ByModel),
        ] {
            assert_eq!(SquareLayout::of(version), layout, "{version:?}");
        }
        assert!(SquareLayout::InOut.is_in_out(false) && SquareLayout::Inverted.is_in_out(false));
        assert!(!SquareLayout::ByModel.is_in_out(false) && SquareLayout::ByModel.is_in_out(true));
    }
}
