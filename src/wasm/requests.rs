//! What JavaScript asks for, read from JSON.

use crate::error::{Error, Result};
use crate::inputs::{FileInfo, Listing, UNKNOWN_SIZE};
use crate::json::Json;
use crate::kernel::Statistics;
use crate::plan::{AdapterOptions, FactorSpec, MergeSpec, PlanOptions, Term};
use crate::tensor::{Float, dtype_named};

/// What `Plan.open` is given.
pub(super) struct PlanRequest {
    pub(super) base: Listing,
    pub(super) adapters: Vec<(Listing, AdapterOptions)>,
    pub(super) options: PlanOptions,
}

/// Fields of an object, an absent one being the same as null.
struct Fields<'a> {
    /// What is read, for errors.
    what: &'a str,
    entries: &'a [(String, Json)],
}

impl<'a> Fields<'a> {
    fn of(what: &'a str, json: &'a Json) -> Result<Fields<'a>> {
        match json {
            Json::Object(entries) => Ok(Fields { what, entries }),
            _ => Err(Error::bad_option(what, "not an object")),
        }
    }

    fn get(&self, name: &str) -> Option<&'a Json> {
        self.entries.iter().find(|(key, _)| key == name).map(|(_, value)| value).filter(|value| **value != Json::Null)
    }

    /// The field as `read` takes it; an error where it does not.
    fn optional<T>(&self, name: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(name))
    }

    fn demanded<T>(&self, name: &str, read: impl Fn(&'a Json) -> Option<T>) -> Result<T> {
        self.get(name).and_then(read).ok_or_else(|| self.wrong(name))
    }

    #[cold]
    fn wrong(&self, name: &str) -> Error {
        let reason = format!("{name} is missing or of the wrong type in {}", self.what);
        Error::bad_option(name, reason)
    }

    fn text(&self, name: &str) -> Result<String> {
        self.demanded(name, text)
    }

    fn whole(&self, name: &str) -> Result<u64> {
        self.demanded(name, Json::whole)
    }

    fn number(&self, name: &str) -> Result<f64> {
        self.demanded(name, number)
    }

    fn float(&self, name: &str) -> Result<Float> {
        self.demanded(name, |value| text(value).and_then(|name| Float::of(dtype_named(&name)?)))
    }

    fn list(&self, name: &str) -> Result<&'a [Json]> {
        self.demanded(name, list)
    }
}

fn text(json: &Json) -> Option<String> {
    match json {
        Json::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        _ => None,
    }
}

fn flag(json: &Json) -> Option<bool> {
    match json {
        Json::Bool(flag) => Some(*flag),
        _ => None,
    }
}

fn list(json: &Json) -> Option<&[Json]> {
    match json {
        Json::List(items) => Some(items),
        _ => None,
    }
}

fn parse(what: &str, json: &str) -> Result<Json> {
    Json::parse(json.as_bytes()).map_err(|reason| Error::bad_option(what, reason))
}

/// `{ name, files: [{ name, size, version }], folders: [name] }`; the files follow those of the folders before among the inputs.
fn listed(fields: &Fields, first_input: usize) -> Result<Listing> {
    let mut files = Vec::new();
    for file in fields.list("files")? {
        let file = Fields::of("files", file)?;
        let size = file.optional("size", Json::whole)?.unwrap_or(UNKNOWN_SIZE);
        files.push(FileInfo { name: file.text("name")?, size, version: file.optional("version", text)? });
    }
    let folders = fields.optional("folders", list)?.unwrap_or_default().iter().filter_map(text).collect();
    Ok(Listing { name: fields.text("name")?, first_input, files, folders })
}

/// A folder alone.
pub(super) fn folder(request: &str) -> Result<Listing> {
    listed(&Fields::of("request", &parse("request", request)?)?, 0)
}

/// `{ base, adapters: [{ folder, options: { weight, alpha } }], options }`.
pub(super) fn plan_request(request: &str) -> Result<PlanRequest> {
    let request = parse("request", request)?;
    let request = Fields::of("request", &request)?;
    let base = listed(&Fields::of("base", request.get("base").unwrap_or(&Json::Null))?, 0)?;
    let mut first_input = base.files.len();
    let mut adapters = Vec::new();
    for adapter in request.list("adapters")? {
        let adapter = Fields::of("adapters", adapter)?;
        let folder = listed(&Fields::of("folder", adapter.get("folder").unwrap_or(&Json::Null))?, first_input)?;
        first_input += folder.files.len();
        let options = Fields::of("options", adapter.get("options").unwrap_or(&Json::Null))?;
        let options =
            AdapterOptions { weight: options.optional("weight", number)?, alpha: options.optional("alpha", number)? };
        adapters.push((folder, options));
    }
    let options = Fields::of("options", request.get("options").unwrap_or(&Json::Null))?;
    let options = PlanOptions {
        dtype: options.optional("dtype", text)?,
        method: options.optional("method", text)?,
        rounding: options.optional("rounding", text)?,
        only: options.optional("only", text)?,
        skip: options.optional("skip", text)?,
        max_shard_size: options.optional("maxShardSize", Json::whole)?,
        allow_unmatched: options.optional("allowUnmatched", flag)?.unwrap_or(false),
    };
    Ok(PlanRequest { base, adapters, options })
}

/// A [`MergeSpec`] as serde writes it.
pub(super) fn merge_spec(spec: &str) -> Result<MergeSpec> {
    let spec = parse("spec", spec)?;
    let spec = Fields::of("spec", &spec)?;
    let mut terms = Vec::new();
    for term in spec.list("terms")? {
        let term = Fields::of("terms", term)?;
        terms.push(Term {
            adapter: term.text("adapter")?,
            a: factor(&term, "a")?,
            b: factor(&term, "b")?,
            rank: term.whole("rank")?,
            alpha: term.number("alpha")?,
            scale: term.number("scale")?,
            weight: term.number("weight")?,
        });
    }
    Ok(MergeSpec {
        tensor: spec.text("tensor")?,
        input: spec.whole("input")? as usize,
        start: spec.whole("start")?,
        rows: spec.whole("rows")?,
        cols: spec.whole("cols")?,
        from: spec.float("from")?,
        to: spec.float("to")?,
        transposed: spec.demanded("transposed", flag)?,
        terms,
    })
}

fn factor(term: &Fields, name: &str) -> Result<FactorSpec> {
    let factor = Fields::of("terms", term.get(name).unwrap_or(&Json::Null))?;
    Ok(FactorSpec {
        key: factor.text("key")?,
        input: factor.whole("input")? as usize,
        start: factor.whole("start")?,
        bytes: factor.whole("bytes")?,
        float: factor.float("float")?,
    })
}

/// `[[tensor, statistics]]`, of each tensor any number, added up: (tensor, sum).
pub(super) fn statistics(statistics: &str, tensors: usize) -> Result<Vec<(usize, Statistics)>> {
    let json = parse("statistics", statistics)?;
    let mut sums = vec![Statistics::default(); tensors];
    for block in list(&json).unwrap_or_default() {
        let Json::List(pair) = block else { continue };
        let [tensor, statistics] = pair.as_slice() else { continue };
        let fields = Fields::of("statistics", statistics)?;
        // JSON has no infinite sums: they are null.
        let sum = |name: &str| fields.optional(name, number).map(|sum| sum.unwrap_or(f64::NAN));
        let statistics = Statistics {
            elements: fields.whole("elements")?,
            changed: fields.whole("changed")?,
            delta_sq: sum("delta_sq")?,
            base_sq: sum("base_sq")?,
            max_delta: fields.number("max_delta")? as f32,
            kept: sum("kept")?,
        };
        if let Some(sum) = tensor.whole().and_then(|tensor| sums.get_mut(tensor as usize)) {
            sum.absorb(&statistics);
        }
    }
    Ok(sums.into_iter().enumerate().filter(|(_, sum)| sum.elements > 0).collect())
}
