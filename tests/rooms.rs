//! The code is as ARCHITECTURE.md draws it: what a room uses lies below it, `unsafe` stays in two rooms, and files stay short.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The only rooms with `unsafe`: vector instructions, and what JavaScript sees of the memory.
const UNSAFE: [&str; 2] = ["kernel", "wasm"];

/// Lines of code that a file may have, without its tests.
const LINES: usize = 400;

/// Files that may have more, and how many.
const LONGER: [(&str, usize); 1] = [
    // Everything between a range of elements and its tiles is about the same two pointers: one file says where they may point.
    ("kernel/fold.rs", 440),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, with its code line by line: without comments and tests.
fn sources() -> Vec<(PathBuf, Vec<(usize, String)>)> {
    let mut files = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().take_while(|line| *line != "#[cfg(test)]").enumerate();
                let code = code.map(|(number, line)| (number + 1, line.split("//").next().unwrap().to_string()));
                files.push((path.strip_prefix(root().join("src")).unwrap().to_path_buf(), code.collect()));
            }
        }
    }
    assert!(files.len() > 50);
    files
}

/// The room that a file is in: its folder in src, or the file itself.
fn room(file: &Path) -> String {
    file.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string()
}

/// The rooms as ARCHITECTURE.md draws them, by how high they stand.
fn drawing() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, after) = text.split_once("uses only rooms below it").expect("the drawing of the rooms");
    let lines = after.lines().skip_while(|line| !line.starts_with("    ")).take_while(|line| line.starts_with("    "));
    let lines: Vec<&str> = lines.collect();
    let room = |(height, line): (usize, &&str)| {
        line.split_whitespace().map(|name| (name.to_string(), height)).collect::<Vec<_>>()
    };
    lines.iter().rev().enumerate().flat_map(room).collect()
}

/// The rooms that a line of code names: `crate::room`, and each of `crate::{…}`.
fn named(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let after = line.split("crate::").skip(1);
    after
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(list) => list.split(',').map(|item| word(item.trim())).collect(),
            None => vec![word(rest)],
        })
        .collect()
}

#[test]
fn what_a_room_uses_lies_below_it() {
    let drawing = drawing();
    let mut arrows = 0;
    for (file, code) in sources() {
        let from = room(&file);
        if from == "lib" {
            continue;
        }
        let height = drawing.get(&from).unwrap_or_else(|| panic!("{from} is not in the drawing"));
        for (number, line) in code {
            for to in named(&line).into_iter().filter(|to| *to != from) {
                let place = format!("src/{}:{number}", file.display());
                let below = drawing.get(&to).unwrap_or_else(|| panic!("{place}: {to} is not in the drawing"));
                assert!(below < height, "{place}: {from} uses {to}, which is not below it");
                arrows += 1;
            }
        }
    }
    assert!(arrows > 100, "{arrows}");
    let rooms: Vec<String> = sources().iter().map(|(file, _)| room(file)).collect();
    assert!(drawing.keys().all(|name| rooms.contains(name)), "{drawing:?}");
}

#[test]
fn unsafe_stays_in_two_rooms() {
    let has_unsafe = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    let mut rooms = Vec::new();
    for (file, code) in sources() {
        if code.iter().any(|(_, line)| has_unsafe(line)) {
            assert!(UNSAFE.contains(&room(&file).as_str()), "src/{}", file.display());
            rooms.push(room(&file));
        }
    }
    assert!(UNSAFE.iter().all(|name| rooms.iter().any(|room| room == name)));
}

#[test]
fn files_stay_short() {
    let may_have =
        |file: &Path| LONGER.iter().find(|(name, _)| file == Path::new(name)).map_or(LINES, |(_, lines)| *lines);
    let long: Vec<_> =
        sources().into_iter().filter(|(file, code)| code.len() > may_have(file)).map(|(file, _)| file).collect();
    assert!(long.is_empty(), "more than {LINES} lines: {long:?}");
}
