//! The types of everything that crosses to JavaScript, as TypeScript: `pkg-templates/src/schema.ts` is made from them.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use ts_rs::{Config, TS, TypeVisitor};

use crate::engine::FactJob;
use crate::error::{ErrorCode, Facts};
use crate::factors::{FactorsReport, FactorsRequest, Slot};
use crate::inspect::Description;
use crate::plan::{Piece, PlanRequest, Report, Run};
use crate::verify::{CheckJob, VerifyReport, VerifyRequest};

const HEADER: &str = "\
// Generated from the types of the crate by `npm run schema`: do not edit. A test of the crate fails while the two differ.
";

/// The declarations of types and of all types in them, each once, sorted by name, because ts-rs has no order of its own.
struct Declarations {
    config: Config,
    seen: Vec<TypeId>,
    texts: BTreeMap<String, String>,
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if self.seen.contains(&TypeId::of::<T>()) {
            return;
        }
        self.seen.push(TypeId::of::<T>());
        T::visit_generics(self);
        T::visit_dependencies(self);
        // Numbers and lists have no declaration.
        if T::output_path().is_some() {
            let documentation = T::docs().unwrap_or_default();
            let text = format!("\n{}\nexport {}\n", documentation.trim_end(), T::decl(&self.config));
            self.texts.insert(T::ident(&self.config), text);
        }
    }
}

/// The text with each field on a line of its own, indented.
fn laid_out(text: &str) -> String {
    let lines = text.replace("{ \n", "{\n").replace(", }", ",\n}").replace("\"kind\":", "kind:").replace(", \n", ",\n");
    // Links of rustdoc mean nothing here.
    let lines = lines.replace("[`", "`").replace("`]", "`");
    let (mut depth, mut out) = (0, String::new());
    for line in lines.lines() {
        depth -= usize::from(line.starts_with('}'));
        let margin = if line.starts_with(" *") { " " } else { "" };
        let indent = if line.is_empty() { 0 } else { 2 * depth };
        out += &format!("{}{margin}{}\n", " ".repeat(indent), line.trim());
        depth += usize::from(line.ends_with('{') || line.ends_with("\",") && line.contains("{ "));
    }
    out
}

/// The text, in which the defaults in comments (`` `keep` (default) ``, `` `1` by default ``) are written for TSDoc.
fn with_defaults(text: &str) -> String {
    let (mut found, mut out) = (None, String::new());
    for line in text.lines() {
        let said = [" (default)", " by default"]
            .iter()
            .find_map(|words| Some(line.split_once(words)?.0.strip_suffix('`')?.rsplit_once('`')?.1));
        found = said.map(str::to_string).or(found);
        if let Some((indent, "")) = line.split_once("*/")
            && let Some(value) = found.take()
        {
            let is_text = value.parse::<f64>().is_err() && value.parse::<bool>().is_err();
            out += &if is_text {
                format!("{indent}* @default {value:?}\n")
            } else {
                format!("{indent}* @default {value}\n")
            };
        }
        out += &format!("{line}\n");
    }
    out
}

#[test]
fn typescript_has_the_types_of_the_crate() {
    let mut all =
        Declarations { config: Config::new().with_large_int("number"), seen: Vec::new(), texts: BTreeMap::new() };
    all.visit::<PlanRequest>();
    all.visit::<Piece>();
    all.visit::<Run>();
    all.visit::<FactJob>();
    all.visit::<Report>();
    all.visit::<Description>();
    all.visit::<FactorsRequest>();
    all.visit::<FactorsReport>();
    all.visit::<Slot>();
    all.visit::<ErrorCode>();
    all.visit::<Facts>();
    all.visit::<VerifyRequest>();
    all.visit::<CheckJob>();
    all.visit::<VerifyReport>();
    let schema = HEADER.to_string() + &with_defaults(&laid_out(&all.texts.into_values().collect::<String>()));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pkg-templates/src/schema.ts");
    if env::var_os("LORAFOLD_WRITE_SCHEMA").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    // A packaged crate comes without the npm package.
    let Ok(committed) = fs::read_to_string(&path) else { return };
    assert!(committed == schema, "pkg-templates/src/schema.ts is out of date: run `npm run schema`");
}
