//! Methods that have a `peft_type` of their own. Each says how it is spelt; this module reads its file.

use serde_json::Value;

use super::unmatched_pattern;
use super::whole::Saved;
use crate::adapter::choice::choose;
use crate::adapter::dialect::{AdapterFiles, ModuleUpdate, Summary, Updates, in_order};
use crate::adapter::fields::{FieldReader, says_nothing};
use crate::adapter::keys::{self, Key};
use crate::adapter::pairs::Whole;
use crate::adapter::pattern::{Lookup, Pattern, PatternBudget, PatternTable};
use crate::adapter::targets::Targets;
use crate::container::{Header, TensorInfo};
use crate::encoding::Operand;
use crate::error::{Error, ErrorKind, Result};
use crate::op::peft::{AdapterTensor, ModuleTensors, ParameterUpdate, Settings, Spelling, lists};
use crate::order::sort_by;
use crate::tensor::Float;

/// Fields that every method of PEFT has, and that do not change the numbers of a merge from files.
const TRAINING: &str = "auto_mapping base_model_name_or_path bias ensure_weight_tying exclude_modules fan_in_fan_out inference_mode init_weights layers_pattern layers_to_transform modules_to_save peft_type peft_version revision target_modules task_type";

/// Tables of patterns that a method may have.
const TABLES: [&str; 3] = ["rank_pattern", "alpha_pattern", "n_frequency_pattern"];

/// Read an adapter of `method`.
#[inline(never)] // In the WebAssembly it is in the second half.
pub(super) fn read(
    method: &Spelling,
    files: &AdapterFiles,
    reader: &FieldReader,
    fields: &[(String, Value)],
    header: Result<Header>,
    budget: &mut PatternBudget,
) -> Result<Updates> {
    check_fields(method, reader, fields)?;
    let mut tables = Vec::new();
    // AdaLoRA has a field of the same name that is no table of patterns.
    for name in TABLES.into_iter().filter(|name| lists(method.reads, name)) {
        if let Some((_, value)) = fields.iter().find(|(field, _)| field == name) {
            tables.push((name, reader.patterns(name, value, FieldReader::number)?));
        }
    }
    let mut settings = FieldSettings::new(files, reader, fields, &tables, budget);
    (method.check)(&mut settings)?;
    let header = header?;
    let Found { modules, shared, wholes } = tensors_of(method, files, &header)?;
    let saved = Saved::of(reader, fields)?;
    let mut updates = saved.updates(&wholes)?;
    for (module, tensors) in modules {
        let key = tensors.first().map(|(_, tensor)| tensor.key.clone()).unwrap_or_default();
        let tensors = ModuleTensors { adapter: files.adapter, module: &module, tensors, shared: &shared };
        let read = (method.read)(&tensors, &mut settings).map_err(|error| error.in_adapter(files.adapter))?;
        updates.extend(read.into_iter().map(|ParameterUpdate { parameter, optional, tied, op }| ModuleUpdate {
            module: module.clone(),
            parameter: parameter.into(),
            optional,
            adds: false,
            tied: tied || saved.ties(),
            key: key.clone(),
            op,
            base: None,
            wrapper: None,
            share: None,
        }));
    }
    in_order(&mut updates);
    let mut mismatches = saved.missing(files.adapter, &wholes);
    mismatches.extend(settings.unmatched().map(|(field, key)| unmatched_pattern(files.adapter, field, key)));
    let said = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    Ok(Updates {
        updates,
        replication: Vec::new(),
        mismatches,
        findings: Vec::new(),
        targets: Targets::of(fields),
        summary: Summary {
            peft_type: method.peft_type.into(),
            r: said("r").and_then(Value::as_u64),
            alpha: said("alpha").and_then(Value::as_f64),
            rslora: false,
            fan_in_fan_out: said("fan_in_fan_out").and_then(Value::as_bool).unwrap_or(false),
            base_name: said("base_model_name_or_path").and_then(Value::as_str).map(Into::into),
        },
    })
}

/// Check that every field is known, and asks for nothing that is not implemented.
fn check_fields(method: &Spelling, reader: &FieldReader, fields: &[(String, Value)]) -> Result<()> {
    for (name, value) in fields {
        let known = |list: &str| lists(list, name);
        if says_nothing(value) || [method.reads, method.training, TRAINING].into_iter().any(known) {
            continue;
        }
        match method.refused.iter().find(|(field, _)| field == name) {
            Some((_, meaning)) => return Err(reader.not_yet(name, value, meaning)),
            None => {
                return Err(reader
                    .refuse(name, value, "an unknown field, which may change the result")
                    .kind(ErrorKind::UnknownField)
                    .fix("update lorafold; or remove the field, if you know that it changes nothing"));
            }
        }
    }
    Ok(())
}

/// Tensors by their names.
type Named = Vec<(&'static str, AdapterTensor)>;

/// The tensors of an adapter's file.
#[derive(Default)]
struct Found {
    /// The tensors of each module, in the order of the modules' paths.
    modules: Vec<(String, Named)>,
    /// The tensors that all modules share.
    shared: Named,
    /// Whole parameters of the base.
    wholes: Vec<Whole>,
}

fn tensors_of(method: &Spelling, files: &AdapterFiles, header: &Header) -> Result<Found> {
    let mut found = Found::default();
    let mut of_modules: Vec<(String, &'static str, AdapterTensor)> = Vec::new();
    let chosen = choose(files, header.iter().filter_map(|tensor| name_in(method, tensor.name)).collect())?;
    for tensor in header.iter() {
        if chosen.is_some() && name_in(method, tensor.name).is_some_and(|name| Some(name) != chosen) {
            continue;
        }
        let at = header.span(files.input, &tensor);
        let path = keys::path(tensor.name);
        let of_module = split(&path, method.tensors);
        let (module, name) = match (of_module, split(&path, method.shared)) {
            // Tensors that all modules share are beside the model in the keys, not inside it.
            (_, Some((model, name))) if matches!(model.as_str(), "" | "base_model") => (None, name),
            (Some((module, name)), _) => (Some(module), name),
            (None, Some((_, name))) => (None, name),
            (None, None) => {
                let (module, parameter) = match Key::parse(tensor.name) {
                    Key::Whole { module, parameter } => (module, parameter.to_string()),
                    Key::BaseWeight { module } => (module, "weight".into()),
                    Key::TrainingState => continue,
                    _ => return Err(foreign(method, files, &tensor)),
                };
                if Float::of(tensor.dtype).is_none() {
                    return Err(foreign(method, files, &tensor));
                }
                let values = Operand::whole(tensor.name, at, tensor.dtype);
                found.wholes.push(Whole { module, parameter, values, shape: tensor.shape.into() });
                continue;
            }
        };
        let tensor = AdapterTensor { key: tensor.name.into(), shape: tensor.shape.into(), dtype: tensor.dtype, at };
        match module {
            None => add(files, &mut found.shared, name, tensor)?,
            Some(module) => of_modules.push((module, name, tensor)),
        }
    }
    sort_by(&mut of_modules, |(one, ..), (other, ..)| one.cmp(other));
    for (module, name, tensor) in of_modules {
        match found.modules.last_mut() {
            Some((last, group)) if *last == module => add(files, group, name, tensor)?,
            _ => found.modules.push((module, vec![(name, tensor)])),
        }
    }
    if found.modules.is_empty() {
        let error = Error::wrong_input(files.file, format!("it has no tensors of {}", method.peft_type));
        let expected = format!("tensors such as …{}", method.tensors.split(' ').next().unwrap_or(""));
        return Err(error.kind(ErrorKind::NoWeights).expected(expected));
    }
    Ok(found)
}

/// Add a tensor to those of its module, or to those that all modules share.
fn add(files: &AdapterFiles, group: &mut Named, name: &'static str, tensor: AdapterTensor) -> Result<()> {
    if let Some((_, other)) = group.iter().find(|(known, _)| *known == name) {
        let reason = format!("{:?} and {:?} are the same tensor", other.key, tensor.key);
        return Err(Error::bad_header(files.file, reason));
    }
    group.push((name, tensor));
    Ok(())
}

/// The adapter's name in a key, if it has one.
fn name_in<'a>(method: &Spelling, key: &'a str) -> Option<&'a str> {
    let path = keys::path(key);
    match split(&path, method.tensors) {
        Some((module, name)) => {
            let parts = module.split('.').filter(|part| !part.is_empty()).count() + name.split('.').count();
            keys::named(path.get(parts..)?)
        }
        None => keys::adapter_of(key),
    }
}

/// The path of the module and the name after it: the longest of `names` (separated by spaces) that is there. The adapter's name and `weight`
/// may follow it.
fn split(path: &[&str], names: &'static str) -> Option<(String, &'static str)> {
    let mut best: Option<(usize, usize, &'static str)> = None;
    for name in names.split(' ') {
        let parts: Vec<&str> = name.split('.').collect();
        for at in (0..path.len()).rev().take(parts.len() + 2) {
            let Some(rest) = path.get(at..).and_then(|path| path.strip_prefix(parts.as_slice())) else { continue };
            let is_whole = matches!(rest, [] | [_] | [_, "weight"]);
            if is_whole && best.is_none_or(|(_, length, _)| length < parts.len()) {
                best = Some((at, parts.len(), name));
            }
        }
    }
    best.map(|(at, _, name)| (path[..at].join("."), name))
}

fn foreign(method: &Spelling, files: &AdapterFiles, tensor: &TensorInfo) -> Error {
    let kind = format!("a tensor that is not one of {}", method.peft_type);
    Error::unsupported(tensor.name, format!("{kind} cannot be merged yet"))
        .kind(ErrorKind::NotImplemented)
        .adapter(files.adapter)
        .tensor(tensor.name)
        .found(kind)
}

/// A configuration's fields, as a method reads them.
struct FieldSettings<'a> {
    files: &'a AdapterFiles<'a>,
    reader: &'a FieldReader<'a>,
    fields: &'a [(String, Value)],
    lookups: Vec<(&'static str, Lookup<'a, f64>)>,
    budget: &'a mut PatternBudget,
}

impl<'a> FieldSettings<'a> {
    fn new(
        files: &'a AdapterFiles<'a>,
        reader: &'a FieldReader<'a>,
        fields: &'a [(String, Value)],
        tables: &'a [(&'static str, PatternTable<f64>)],
        budget: &'a mut PatternBudget,
    ) -> FieldSettings<'a> {
        let lookups = tables.iter().map(|(name, table)| (*name, table.lookup())).collect();
        FieldSettings { files, reader, fields, lookups, budget }
    }

    /// The value of a field, unless it is null.
    fn value(&self, field: &str) -> Option<&'a Value> {
        let found = self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value);
        found.filter(|value| !value.is_null())
    }

    /// The patterns that have matched none of the modules looked up: field and key.
    fn unmatched(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a, '_> {
        self.lookups.iter().flat_map(|(_, lookup)| lookup.unmatched())
    }
}

impl Settings for FieldSettings<'_> {
    fn whole(&mut self, field: &str, default: u64) -> Result<u64> {
        self.value(field).map_or(Ok(default), |value| match value.as_u64() {
            Some(number) => Ok(number),
            None => self.reader.bad(field, value, "a whole number"),
        })
    }

    fn number(&mut self, field: &str, default: f64) -> Result<f64> {
        self.value(field).map_or(Ok(default), |value| self.reader.number(field, value))
    }

    fn flag(&mut self, field: &str, default: bool) -> Result<bool> {
        self.value(field).map_or(Ok(default), |value| self.reader.flag(field, value))
    }

    fn text(&mut self, field: &str) -> Result<Option<String>> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value) => self.reader.bad(field, value, "a string"),
        }
    }

    fn says(&self, field: &str) -> bool {
        self.value(field).is_some_and(|value| !says_nothing(value))
    }

    fn list(&mut self, field: &str) -> Result<Vec<String>> {
        self.value(field).map_or(Ok(Vec::new()), |value| self.reader.texts(field, value))
    }

    fn indices(&mut self, field: &str) -> Result<Vec<u64>> {
        self.value(field).map_or(Ok(Vec::new()), |value| self.reader.indices(field, value))
    }

    fn matches(&mut self, field: &'static str, module: &str) -> Result<Option<bool>> {
        let Some(Value::String(text)) = self.value(field) else { return Ok(None) };
        let pattern = Pattern::whole(text).map_err(|reason| {
            let value = Value::String(text.clone());
            self.reader.refuse(field, &value, &reason).kind(ErrorKind::NotImplemented)
        })?;
        let matched = pattern.matches(module, self.budget).map_err(|error| error.of_pattern(field, text));
        matched.map(Some).map_err(|error| error.adapter(self.files.adapter))
    }

    fn pattern(&mut self, table: &'static str, module: &str) -> Result<Option<f64>> {
        match self.lookups.iter_mut().find(|(name, _)| *name == table) {
            Some((_, lookup)) => lookup.find(module, self.budget).map_err(|error| error.adapter(self.files.adapter)),
            None => Ok(None),
        }
    }

    fn alpha(&self) -> Option<f64> {
        self.files.alpha
    }

    fn refuse(&self, field: &str, meaning: &str) -> Error {
        self.reader.not_yet(field, self.value(field).unwrap_or(&Value::Null), meaning)
    }

    fn wrong(&self, field: &str, expected: &str) -> Error {
        let found = crate::json::text(self.value(field).unwrap_or(&Value::Null));
        let error = Error::bad_config(self.reader.file, format!("{field} is {found}, not {expected}"));
        error.adapter(self.files.adapter).field(field).found(found).expected(expected)
    }
}
