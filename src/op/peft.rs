//! How PEFT spells a method: its `peft_type`, the names of its tensors, the fields of its configuration. Each method says so in its own file;
//! `adapter/dialect/peft/` reads adapters' files.

use super::{LayerShape, Method, Op};
use crate::encoding::{Operand, is_integer};
use crate::error::{Error, Result};
use crate::inputs::Span;
use crate::tensor::{Dtype, Float};

/// A method as PEFT spells it. Names in lists are separated by spaces.
pub(crate) struct Spelling {
    /// The `peft_type`.
    pub(crate) peft_type: &'static str,
    /// The names of its tensors after the path of their module: `base_model.model.MODULE.NAME`.
    pub(crate) tensors: &'static str,
    /// Tensors that all modules share, by the ends of their keys (`base_model.vera_A`).
    pub(crate) shared: &'static str,
    /// The fields of its configuration that `read` or `check` reads. A field that is neither in one of these lists nor common to all methods of
    /// PEFT is refused.
    pub(crate) reads: &'static str,
    /// Fields that affected only the training.
    pub(crate) training: &'static str,
    /// Fields that change the result and are not implemented, each with the reason. An empty value (null, false, …) is accepted.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    /// Refuse a configuration that cannot be merged. Called once, before any tensor is read.
    ///
    /// # Errors
    /// `unsupported` or `bad-config`.
    pub(crate) check: fn(&mut dyn Settings) -> Result<()>,
    /// What the tensors of one module do to its parameters.
    ///
    /// # Errors
    /// `missing-pair`, `shape-mismatch`, `unsupported`, `bad-config`.
    pub(crate) read: fn(&ModuleTensors, &mut dyn Settings) -> Result<Vec<ParameterUpdate>>,
}

impl Spelling {
    /// A method without fields, whose tensors have these names.
    pub(crate) const fn new(
        peft_type: &'static str,
        tensors: &'static str,
        read: fn(&ModuleTensors, &mut dyn Settings) -> Result<Vec<ParameterUpdate>>,
    ) -> Spelling {
        Spelling { peft_type, tensors, shared: "", reads: "", training: "", refused: &[], check: |_| Ok(()), read }
    }
}

/// Whether `name` is in a list of names separated by spaces.
#[inline(never)]
pub(crate) fn lists(list: &str, name: &str) -> bool {
    list.split(' ').any(|known| known == name)
}

/// What a method does to one parameter of a module.
pub(crate) struct ParameterUpdate {
    /// The parameter: `weight`, `bias`.
    pub(crate) parameter: &'static str,
    /// It is no error if the base does not have it.
    pub(crate) optional: bool,
    /// An output layer that is tied to it changes with it, as it did in training.
    pub(crate) tied: bool,
    /// What happens to it.
    pub(crate) op: Op,
}

impl ParameterUpdate {
    /// An update of a parameter that the module must have.
    pub(crate) fn of(parameter: &'static str, op: Op) -> ParameterUpdate {
        ParameterUpdate { parameter, optional: false, tied: false, op }
    }

    /// An update of the module's weight.
    pub(crate) fn weight(op: Op) -> Result<Vec<ParameterUpdate>> {
        Ok(vec![ParameterUpdate::of("weight", op)])
    }

    /// An update of the module's bias, if it has one.
    pub(crate) fn bias(op: Op) -> ParameterUpdate {
        ParameterUpdate { optional: true, ..ParameterUpdate::of("bias", op) }
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

    /// Whether a field has a value other than null, false or something empty.
    fn says(&self, field: &str) -> bool;

    /// The strings of a list. A single string is a list of one.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn list(&mut self, field: &str) -> Result<Vec<String>>;

    /// A list of whole numbers.
    ///
    /// # Errors
    /// `bad-config` for anything else.
    fn indices(&mut self, field: &str) -> Result<Vec<u64>>;

    /// If a field is a string: whether it, as a regular expression, matches all of `module`. `None` if it is not a string.
    ///
    /// # Errors
    /// `unsupported` for a pattern that is not supported, `limit-exceeded` if it takes too many steps.
    fn matches(&mut self, field: &'static str, module: &str) -> Result<Option<bool>>;

    /// The value of the first pattern in a table (such as `rank_pattern`) that matches `module`.
    ///
    /// # Errors
    /// `bad-config` if it is not a table, `limit-exceeded` if the patterns take too many steps.
    fn pattern(&mut self, table: &'static str, module: &str) -> Result<Option<f64>>;

    /// The user's alpha, which replaces the configuration's.
    fn alpha(&self) -> Option<f64>;

    /// The error for a value of a field that cannot be merged.
    fn refuse(&self, field: &str, meaning: &str) -> Error;

    /// The error for a wrong value of a field.
    fn wrong(&self, field: &str, expected: &str) -> Error;
}

/// The rank and alpha of `module`: from `rank_pattern` and `alpha_pattern`, or else from `r` and `alpha_field`. PEFT's `LycorisConfig` has both.
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

/// The user's alpha, or the field's value.
///
/// # Errors
/// `bad-config` if that is not a number.
pub(crate) fn alpha(config: &mut dyn Settings, field: &str, default: f64) -> Result<f64> {
    match config.alpha() {
        Some(alpha) => Ok(alpha),
        None => config.number(field, default),
    }
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

impl AdapterTensor {
    fn operand(&self) -> Operand {
        Operand::whole(&self.key, self.at, self.dtype)
    }
}

/// The tensors of one module in an adapter's file, and those that all modules share.
pub(crate) struct ModuleTensors<'a> {
    /// What errors call the adapter.
    pub(crate) adapter: &'a str,
    /// Path of the module, without PEFT's prefix.
    pub(crate) module: &'a str,
    /// The module's tensors, by their names after the path.
    pub(crate) tensors: Vec<(&'static str, AdapterTensor)>,
    /// The shared tensors, by the ends of their keys.
    pub(crate) shared: &'a [(&'static str, AdapterTensor)],
}

impl ModuleTensors<'_> {
    /// The tensor called `name`, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<&AdapterTensor> {
        let mut all = self.tensors.iter().chain(self.shared);
        all.find(|(found, _)| *found == name).map(|(_, tensor)| tensor)
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// `missing-pair` if there is none.
    pub(crate) fn tensor(&self, name: &str) -> Result<&AdapterTensor> {
        self.find(name).ok_or_else(|| {
            let there = self.tensors.first().map_or_else(String::new, |(_, tensor)| tensor.key.clone());
            Error::missing_pair(self.adapter, there, format!("{}.{name}", self.module))
        })
    }

    /// An update by `method` of a layer's weight. `operands` are its tensors, separated by spaces. Each is a name, `:` and a letter for each
    /// dimension, as in `lora_A:ri lora_B:or`. The same letter means the same size everywhere, as in [`Sizes`]; the sizes in `known` do not come
    /// from the tensors. A digit is a dimension of that length. A dimension with a capital letter may be 0. `#` after a name means integers.
    ///
    /// [`Sizes`]: super::Sizes
    ///
    /// # Errors
    /// `missing-pair`, `shape-mismatch` for other dimensions or one that is 0, `unsupported` for another element type.
    pub(crate) fn op(&self, method: &'static Method, tensors: &str, known: &[(char, u64)]) -> Result<Op> {
        let mut op = Op::new(method);
        for &(letter, size) in known {
            op.sizes.get_or(letter, size);
        }
        for tensor in tensors.split(' ') {
            self.add(&mut op, tensor)?;
        }
        op.layer = LayerShape { outputs: op.sizes.get('o'), inputs: op.sizes.get('i'), ..LayerShape::default() };
        Ok(op)
    }

    /// Add one more tensor to the operands of an update, as in [`op`](Self::op).
    ///
    /// # Errors
    /// The same.
    pub(crate) fn add(&self, op: &mut Op, tensor: &str) -> Result<()> {
        let (name, sides) = tensor.split_once(':').unwrap_or((tensor, ""));
        let (name, has_integers) = name.strip_suffix('#').map_or((name, false), |name| (name, true));
        let tensor = self.tensor(name)?;
        let may_be = |(letter, side): (char, &u64)| *side > 0 || letter.is_ascii_uppercase();
        if tensor.shape.len() != sides.len() || !sides.chars().zip(&tensor.shape).all(may_be) {
            return Err(self.misshapen(tensor, &format!("{} dimensions, none of them 0", sides.len())));
        }
        let operand = if has_integers { self.integers(tensor)? } else { self.floats(tensor)? };
        let mut expected = Vec::with_capacity(sides.len());
        for (letter, &found) in sides.chars().zip(&tensor.shape) {
            expected.push(letter.to_digit(10).map_or_else(|| op.sizes.get_or(letter, found), u64::from));
        }
        op.operands.push(operand);
        self.expect_shape(name, &expected)
    }

    /// The tensor as an operand.
    ///
    /// # Errors
    /// `unsupported` for a type that is not a floating-point type.
    pub(crate) fn floats(&self, tensor: &AdapterTensor) -> Result<Operand> {
        match Float::of(tensor.dtype) {
            Some(_) => Ok(tensor.operand()),
            None => Err(self.of_type(tensor, "a floating-point type", "F16, BF16, F32 or F64")),
        }
    }

    /// The tensor as an operand of integers.
    ///
    /// # Errors
    /// `unsupported` for a type that is not an integer.
    fn integers(&self, tensor: &AdapterTensor) -> Result<Operand> {
        match is_integer(tensor.dtype) {
            true => Ok(tensor.operand()),
            false => Err(self.of_type(tensor, "integers", "an integer type")),
        }
    }

    /// The error for a tensor with another element type than `expected`.
    fn of_type(&self, tensor: &AdapterTensor, what: &str, expected: &str) -> Error {
        let found = tensor.dtype.to_string();
        Error::unsupported(tensor.key.clone(), format!("it is stored as {found}, not as {what}"))
            .adapter(self.adapter)
            .tensor(tensor.key.clone())
            .found(found)
            .expected(expected)
    }

    /// The error for a tensor with another shape than `expected`.
    pub(crate) fn misshapen(&self, tensor: &AdapterTensor, expected: &str) -> Error {
        let found = format!("{:?}", tensor.shape);
        let reason = format!("its shape is {found}, not {expected}");
        Error::shape_mismatch(self.adapter, tensor.key.clone(), reason).found(found).expected(expected)
    }

    /// Check a shape.
    ///
    /// # Errors
    /// `shape-mismatch`.
    pub(crate) fn expect_shape(&self, name: &str, expected: &[u64]) -> Result<()> {
        let tensor = self.tensor(name)?;
        if tensor.shape == expected { Ok(()) } else { Err(self.misshapen(tensor, &format!("{expected:?}"))) }
    }

    /// The product of some of an update's sizes, without those that it does not have. The tensor called `name` tells these dimensions.
    ///
    /// # Errors
    /// `shape-mismatch` if it is larger than any weight.
    pub(crate) fn product(&self, op: &Op, name: &str, letters: &str) -> Result<u64> {
        let sides = letters.chars().filter_map(|letter| op.sizes.get(letter));
        let product = sides.into_iter().try_fold(1u64, |product, side| product.checked_mul(side));
        match product.filter(|product| *product <= 1 << 53) {
            Some(product) => Ok(product),
            None => Err(self.misshapen(self.tensor(name)?, "the dimensions of a weight")),
        }
    }
}
