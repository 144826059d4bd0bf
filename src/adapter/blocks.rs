//! Factors that are stored in blocks: BD-LoRA (`use_bdlora`), and the fused layers of 2023 (`enable_lora`).

use serde_json::Value;

use super::fields::FieldReader;
use crate::error::{Error, Result};
use crate::op::{Op, Side, bd_lora, merged_linear};

/// What a configuration says about blocks.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    diagonal: Option<Diagonal>,
    /// `enable_lora`: which parts of a layer's output have a delta.
    enabled: Vec<bool>,
}

/// `use_bdlora`.
#[derive(Debug, Clone)]
struct Diagonal {
    /// A module whose path holds one of these has blocks in `lora_A`.
    in_a: Vec<String>,
    /// In `lora_B`.
    in_b: Vec<String>,
    blocks: u64,
    /// Whether every module must have blocks in one of the two factors.
    strict: bool,
}

/// How the factors of one module are stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Block {
    /// One factor has this many blocks on its diagonal.
    Diagonal(Side, u64),
    /// `lora_B` makes these parts of the output.
    Merged(Vec<bool>),
}

impl Blocks {
    /// Read `use_bdlora`.
    pub(super) fn read_diagonal(&mut self, reader: &FieldReader, value: &Value) -> Result<()> {
        let fields = match value {
            Value::Null => return Ok(()),
            Value::Object(fields) => fields,
            _ => return reader.bad("use_bdlora", value, "an object"),
        };
        let mut diagonal = Diagonal { in_a: Vec::new(), in_b: Vec::new(), blocks: 1, strict: true };
        for (name, value) in fields {
            let field = format!("use_bdlora.{name}");
            match name.as_str() {
                "target_modules_bd_a" => diagonal.in_a = reader.texts(&field, value)?,
                "target_modules_bd_b" => diagonal.in_b = reader.texts(&field, value)?,
                "nblocks" => diagonal.blocks = reader.rank(&field, value)?,
                "match_strict" => diagonal.strict = reader.flag(&field, value)?,
                _ => return Err(reader.not_yet(&field, value, "a field of BD-LoRA that lorafold does not know")),
            }
        }
        self.diagonal = Some(diagonal);
        Ok(())
    }

    /// Read `enable_lora`.
    pub(super) fn read_enabled(&mut self, reader: &FieldReader, value: &Value) -> Result<()> {
        let flags = match value {
            Value::Null => Some(Vec::new()),
            Value::Array(items) => items.iter().map(Value::as_bool).collect(),
            _ => None,
        };
        match flags {
            Some(flags) => self.enabled = flags,
            None => return reader.bad("enable_lora", value, "a list of true and false"),
        }
        Ok(())
    }

    /// How the factors of `module` are stored, if they are stored in blocks. PEFT looks for the names anywhere in the path.
    ///
    /// # Errors
    /// `bad-config` if the configuration contradicts itself about the module, or says nothing about it though it must.
    pub(crate) fn of(&self, module: &str) -> Result<Option<Block>> {
        let Some(Diagonal { in_a, in_b, blocks, strict }) = &self.diagonal else {
            let merged = self.enabled.iter().any(|enabled| *enabled);
            return Ok(merged.then(|| Block::Merged(self.enabled.clone())));
        };
        let named = |names: &[String]| names.iter().any(|name| module.contains(name.as_str()));
        let wrong = |what: &str| {
            let reason = format!("use_bdlora names {module} {what}");
            Err(Error::bad_config("adapter_config.json", reason).field("use_bdlora"))
        };
        match (named(in_a), named(in_b)) {
            (true, true) => wrong("for both factors"),
            (true, false) => Ok(Some(Block::Diagonal(Side::A, *blocks))),
            (false, true) => Ok(Some(Block::Diagonal(Side::B, *blocks))),
            (false, false) if *strict => wrong("for neither factor, and says match_strict"),
            (false, false) => Ok(None),
        }
    }
}

impl Block {
    /// How many products of the configuration's rank the factors hold.
    pub(crate) fn products(&self) -> u64 {
        match self {
            Block::Diagonal(..) => 1,
            Block::Merged(enabled) => enabled.iter().filter(|enabled| **enabled).count() as u64,
        }
    }

    /// The update of a weight by the factors of `lora`, in the shapes in which they are stored. `rank_of_b` is the number of columns of `lora_B`.
    ///
    /// # Errors
    /// `shape-mismatch` if they have other shapes.
    pub(crate) fn op(&self, lora: Op, rank_of_b: u64) -> Result<Op> {
        match self {
            Block::Diagonal(side, blocks) => bd_lora(lora, rank_of_b, *side, *blocks),
            Block::Merged(enabled) => merged_linear(lora, rank_of_b, enabled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::AdapterConfig;
    use super::*;

    fn blocks(json: &str) -> Result<Blocks> {
        let json = format!(r#"{{"peft_type":"LORA",{json}}}"#);
        AdapterConfig::parse("adapter_config.json", "a", json.as_bytes()).map(|config| config.blocks)
    }

    #[test]
    fn names_anywhere_in_a_path_say_which_factor_has_blocks() {
        let found = blocks(
            r#""use_bdlora":{"target_modules_bd_a":["mlp.d"],"target_modules_bd_b":["q_"],"nblocks":2,"match_strict":false}"#,
        )
        .unwrap();
        assert_eq!(found.of("x.mlp.down_proj").unwrap(), Some(Block::Diagonal(Side::A, 2)));
        assert_eq!(found.of("x.q_proj").unwrap(), Some(Block::Diagonal(Side::B, 2)));
        assert_eq!(found.of("x.v_proj").unwrap(), None);
        let strict = blocks(r#""use_bdlora":{"target_modules_bd_a":["q"],"target_modules_bd_b":["q_proj"]}"#).unwrap();
        for module in ["x.q_proj", "x.v_proj"] {
            assert_eq!(strict.of(module).unwrap_err().code(), "bad-config", "{module}");
        }
        assert_eq!(blocks(r#""use_bdlora":{"nblocks":0}"#).unwrap_err().code(), "bad-config");
        assert_eq!(blocks(r#""use_bdlora":{"of_tomorrow":1}"#).unwrap_err().code(), "unsupported");
    }

    #[test]
    fn parts_that_are_enabled_share_a_pair() {
        let merged = blocks(r#""enable_lora":[true,false,true]"#).unwrap().of("x.c_attn").unwrap().unwrap();
        assert_eq!((merged.products(), &merged), (2, &Block::Merged(vec![true, false, true])));
        for nothing in [r#""enable_lora":null"#, r#""enable_lora":[false]"#] {
            assert_eq!(blocks(nothing).unwrap().of("x").unwrap(), None);
        }
        assert_eq!(blocks(r#""enable_lora":[1]"#).unwrap_err().code(), "bad-config");
    }
}
