//! How PEFT spells a method: its `peft_type`, the names of its tensors, the fields of its configuration. A method says it in its own file;
//! `adapter/dialect/peft/` reads the files.

use super::Op;
use crate::encoding::{Operand, integer};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::tensor::{Dtype, Float};

/// A method as PEFT spells it.
pub(crate) trait Spelling: Sync {
    /// The `peft_type`.
    fn peft_type(&self) -> &'static str;

    /// The names of its tensors behind the path of their module: `base_model.model.MODULE.NAME`.
    fn tensors(&self) -> &'static [&'static str];

    /// Tensors that all modules share, by the ends of their keys (`base_model.vera_A`).
    fn shared(&self) -> &'static [&'static str] {
        &[]
    }

    /// What its fields mean, beside those that every method of PEFT has. A field of neither is refused.
    fn fields(&self) -> &'static [(&'static str, Field)];

    /// Refuse a configuration that cannot be merged. Called once, before any tensor is read.
    ///
    /// # Errors
    /// `unsupported` or `bad-config`.
    fn check(&self, _config: &mut dyn Settings) -> Result<()> {
        Ok(())
    }

    /// What the tensors of one module do to its parameters.
    ///
    /// # Errors
    /// `missing-pair`, `shape-mismatch`, `unsupported`, `bad-config`.
    fn read(&self, module: &ModuleTensors, config: &mut dyn Settings) -> Result<Vec<ParameterUpdate>>;
}

/// What a field of a configuration means for a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// [`Spelling::read`] or [`Spelling::check`] reads it.
    Read,
    /// It changed the training alone.
    Training,
    /// It changes the result, and is not implemented unless it says nothing (null, false, empty): the reason.
    Refused(&'static str),
}

/// What a method does to one parameter of a module.
pub(crate) struct ParameterUpdate {
    /// The parameter: `weight`, `bias`.
    pub(crate) parameter: &'static str,
    /// Nothing is wrong where the base does not have it.
    pub(crate) optional: bool,
    /// An output layer that is tied to it changes with it, as it did in the training.
    pub(crate) tied: bool,
    /// What happens to it.
    pub(crate) op: Op,
}

impl ParameterUpdate {
    /// An update of the module's weight.
    pub(crate) fn weight(op: Op) -> Vec<ParameterUpdate> {
        vec![ParameterUpdate { parameter: "weight", optional: false, tied: false, op }]
    }

    /// An update of the module's bias, where it has one.
    pub(crate) fn bias(op: Op) -> ParameterUpdate {
        ParameterUpdate { parameter: "bias", optional: true, tied: false, op }
    }
}

/// The configuration of an adapter. A field that is absent or null has the default.
pub(crate) trait Settings {
    /// A whole number of 0 or more.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn whole(&mut self, field: &str, default: u64) -> Result<u64>;

    /// A finite number.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn number(&mut self, field: &str, default: f64) -> Result<f64>;

    /// True or false.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn flag(&mut self, field: &str, default: bool) -> Result<bool>;

    /// A string.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn text(&mut self, field: &str) -> Result<Option<String>>;

    /// Whether a field says something: that is not null, false or empty.
    fn says(&self, field: &str) -> bool;

    /// The strings of a list; a string alone is a list of one.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn list(&mut self, field: &str) -> Result<Vec<String>>;

    /// A list of whole numbers.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn indices(&mut self, field: &str) -> Result<Vec<u64>>;

    /// Whether a field that is a string, taken as a regular expression, matches the whole of `module`; `None` where it is no string.
    ///
    /// # Errors
    /// `unsupported` for a pattern that is not understood, `limit-exceeded` where it takes too many steps.
    fn matches(&mut self, field: &'static str, module: &str) -> Result<Option<bool>>;

    /// What the first pattern of a table (`rank_pattern`) that matches `module` says.
    ///
    /// # Errors
    /// `bad-config` for a table that is none, `limit-exceeded` where the patterns take too many steps.
    fn pattern(&mut self, table: &'static str, module: &str) -> Result<Option<f64>>;

    /// The user's alpha, which replaces the configuration's.
    fn alpha(&self) -> Option<f64>;

    /// The error that a field says something which cannot be merged.
    fn refuse(&self, field: &str, meaning: &str) -> Error;

    /// The error that a field says something which is wrong.
    fn wrong(&self, field: &str, expected: &str) -> Error;
}

/// The rank and alpha of `module`: what `rank_pattern` and `alpha_pattern` say, or `r` and `alpha_field`. PEFT's `LycorisConfig` has both.
///
/// # Errors
/// Those of [`Settings::pattern`].
pub(crate) fn rank_and_alpha(
    config: &mut dyn Settings,
    module: &str,
    alpha_field: &str,
    default: (u64, f64),
) -> Result<(u64, f64)> {
    let rank = match config.pattern("rank_pattern", module)? {
        Some(rank) if rank >= 1.0 && rank.fract() == 0.0 => rank as u64,
        Some(_) => return Err(config.wrong("rank_pattern", "whole numbers above 0")),
        None => config.whole("r", default.0)?,
    };
    let alpha = match (config.alpha(), config.pattern("alpha_pattern", module)?) {
        (Some(alpha), _) | (None, Some(alpha)) => alpha,
        (None, None) => config.number(alpha_field, default.1)?,
    };
    Ok((rank, alpha))
}

/// One tensor of an adapter's file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdapterTensor {
    /// Its key in the file.
    pub(crate) key: String,
    /// Its shape.
    pub(crate) shape: Vec<u64>,
    /// Its element type.
    pub(crate) dtype: Dtype,
    /// Its bytes.
    pub(crate) at: Span,
}

/// The tensors that an adapter's file has for one module, and those that all its modules share.
pub(crate) struct ModuleTensors<'a> {
    /// What errors call the adapter.
    pub(crate) adapter: &'a str,
    /// Path of the module, without PEFT's prefix.
    pub(crate) module: &'a str,
    /// By their names behind the path.
    pub(crate) tensors: Vec<(&'static str, AdapterTensor)>,
    /// By the ends of their keys.
    pub(crate) shared: &'a [(&'static str, AdapterTensor)],
}

impl ModuleTensors<'_> {
    /// The tensor called `name`, where there is one.
    pub(crate) fn find(&self, name: &str) -> Option<&AdapterTensor> {
        let mut all = self.tensors.iter().chain(self.shared);
        all.find(|(found, _)| *found == name).map(|(_, tensor)| tensor)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// `missing-pair` where there is none.
    pub(crate) fn tensor(&self, name: &str) -> Result<&AdapterTensor> {
        self.find(name).ok_or_else(|| {
            let there = self.tensors.first().map_or_else(String::new, |(_, tensor)| tensor.key.clone());
            Error::missing_pair(self.adapter, there, format!("{}.{name}", self.module))
        })
    }

    /// The tensor called `name` as numbers, and its shape of `N` sides, none of them 0.
    ///
    /// # Errors
    /// `missing-pair`, `shape-mismatch` for another number of sides, `unsupported` for a type that is no floating-point type.
    pub(crate) fn operand<const N: usize>(&self, name: &str) -> Result<(Operand, [u64; N])> {
        let tensor = self.tensor(name)?;
        let shape = self.shape::<N>(tensor)?;
        Ok((self.floats(tensor)?, shape))
    }

    /// The shape of a tensor, which has `N` sides, none of them 0.
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub(crate) fn shape<const N: usize>(&self, tensor: &AdapterTensor) -> Result<[u64; N]> {
        match <[u64; N]>::try_from(tensor.shape.as_slice()) {
            Ok(shape) if !shape.contains(&0) => Ok(shape),
            _ => Err(self.misshapen(tensor, &format!("{N} sides, none of them 0"))),
        }
    }

    /// The tensor as an operand.
    ///
    /// # Errors
    /// `unsupported` for a type that is no floating-point type.
    pub(crate) fn floats(&self, tensor: &AdapterTensor) -> Result<Operand> {
        if Float::of(tensor.dtype).is_none() {
            let found = tensor.dtype.to_string();
            let reason = format!("it is stored as {found}, not as a floating-point type");
            return Err(Error::unsupported(tensor.key.clone(), reason)
                .adapter(self.adapter)
                .tensor(tensor.key.clone())
                .found(found)
                .expected("F16, BF16, F32 or F64"));
        }
        Ok(Operand::whole(&tensor.key, tensor.at, tensor.dtype))
    }

    /// The tensor called `name` as indices, and its shape of `N` sides, none of them 0.
    ///
    /// # Errors
    /// `missing-pair`, `shape-mismatch` for another number of sides, `unsupported` for a type that is no integer.
    #[cfg_attr(not(feature = "rare"), allow(dead_code))]
    pub(crate) fn indices<const N: usize>(&self, name: &str) -> Result<(Operand, [u64; N])> {
        let tensor = self.tensor(name)?;
        let shape = self.shape::<N>(tensor)?;
        if integer(tensor.dtype).is_none() {
            let found = tensor.dtype.to_string();
            return Err(Error::unsupported(tensor.key.clone(), format!("it is stored as {found}, not as integers"))
                .adapter(self.adapter)
                .tensor(tensor.key.clone())
                .found(found)
                .expected("an integer type"));
        }
        Ok((Operand::whole(&tensor.key, tensor.at, tensor.dtype), shape))
    }

    /// The error that a tensor has another shape than `expected`.
    pub(crate) fn misshapen(&self, tensor: &AdapterTensor, expected: &str) -> Error {
        let found = format!("{:?}", tensor.shape);
        let reason = format!("its shape is {found}, not {expected}");
        Error::shape_mismatch(self.adapter, tensor.key.clone(), reason).found(found).expected(expected)
    }

    /// The product of sides that the tensor called `name` tells.
    ///
    /// # Errors
    /// `shape-mismatch` where it is beyond what any weight has.
    pub(crate) fn elements(&self, name: &str, sides: &[u64]) -> Result<u64> {
        let product = sides.iter().try_fold(1u64, |product, side| product.checked_mul(*side));
        match product.filter(|product| *product <= 1 << 53) {
            Some(product) => Ok(product),
            None => Err(self.misshapen(self.tensor(name)?, "the sides of a weight")),
        }
    }

    /// Make sure of a shape.
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub(crate) fn expect_shape(&self, name: &str, expected: &[u64]) -> Result<()> {
        let tensor = self.tensor(name)?;
        if tensor.shape == expected { Ok(()) } else { Err(self.misshapen(tensor, &format!("{expected:?}"))) }
    }
}
