//! Every code of errors is raised by something, and docs/errors.md lists them all.
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The texts of all files below `folder` with the ending `end`, but for those in `except`.
fn texts(folder: &str, end: &str, except: &[&str]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if except.iter().any(|name| path == root().join(name)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|other| other == end) {
                texts.push(read(path));
            }
        }
    }
    texts
}

/// The texts of an enum of `error/code.rs`.
fn named(name: &str) -> Vec<String> {
    let text = read("src/error/code.rs");
    let (_, rows) = text.split_once(&format!("pub enum {name} {{")).expect("the enum");
    let rows = rows.lines().take_while(|line| *line != "}");
    let names: Vec<String> =
        rows.filter_map(|line| Some(line.split_once(" = \"")?.1.split_once('"')?.0.into())).collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

fn codes() -> Vec<String> {
    named("ErrorCode")
}

#[test]
fn something_raises_every_code() {
    let core = texts("src", "rs", &["src/error.rs", "src/error"]);
    // The types that are made from the crate's name every code.
    let package = texts("pkg-templates/src", "ts", &["pkg-templates/src/schema.ts"]);
    // A packaged crate comes without the npm package, which raises some codes.
    if package.is_empty() {
        return;
    }
    for code in codes() {
        let call = format!("Error::{}(", code.replace('-', "_"));
        let text = format!("\"{code}\"");
        let raised = core.iter().any(|file| file.contains(&call)) || package.iter().any(|file| file.contains(&text));
        assert!(raised, "nothing raises {code}");
    }
}

#[test]
fn the_documentation_lists_every_code_and_kind() {
    let page = read("docs/errors.md");
    for (head, names) in [("| `code` | what is wrong |", codes()), ("| `kind` | what happened |", named("ErrorKind"))] {
        let (_, table) = page.split_once(head).expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let listed: Vec<String> = rows.filter_map(|row| Some(row.split('`').nth(1)?.to_string())).collect();
        assert_eq!(listed, names);
    }
}
