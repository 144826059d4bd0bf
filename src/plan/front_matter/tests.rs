use super::*;

/// `text` after its three keys are given what a merge gives them.
fn edited(text: &str) -> Result<String, String> {
    let mut front = FrontMatter::parse(text)?;
    front.set_list("base_model", &["org/base".into(), "org/lora".into()])?;
    front.set_text("base_model_relation", "merge")?;
    front.add_to_list("tags", &["merge".into(), "lora".into()])?;
    Ok(format!("{front}{}", front.rest))
}

const ADDED: &str = "base_model:\n- org/base\n- org/lora\nbase_model_relation: merge\ntags:\n- merge\n- lora\n";

#[test]
fn what_is_not_edited_stays_as_it_is() {
    let others = "# of the hub\n\nlicense:   other  # why\nlicense_name: \"x: y\"\nlanguage:\n  - en\n\n  - de # German\nmodel-index:\n- name: |\n    a\n\n    # no comment\n  results: [{task: {type: x}}]\n'quoted key': *anchor\nwidget:\n- text: |-\n    ---\n    tags: none\n# the end\n";
    let text = format!("---\n{others}---\n# Title\n\n---\ntags: [x]\n---\n");
    assert_eq!(edited(&text).unwrap(), format!("---\n{others}{ADDED}---\n# Title\n\n---\ntags: [x]\n---\n"));
}

#[test]
fn keys_are_edited_where_they_stand() {
    let text = "---\na: 1\nbase_model: org/old # the base\n# after\ntags:\n- one\n# of two\n- \"lora\"\n\nz: 2\nbase_model_relation: \"quantized\"\n---";
    let expected = "---\na: 1\nbase_model:\n- org/base\n- org/lora\n# after\ntags:\n- one\n# of two\n- \"lora\"\n- merge\n\nz: 2\nbase_model_relation: merge\n---";
    assert_eq!(edited(text).unwrap(), expected);
    assert_eq!(edited(expected).unwrap(), expected);
}

#[test]
fn lists_stay_as_they_are_written() {
    let tags = |text: &str| {
        let mut front = FrontMatter::parse(text).unwrap();
        front.add_to_list("tags", &["merge".into(), "true".into()]).map(|()| front.to_string())
    };
    for (before, after) in [
        ("tags: [a, 'b']", "tags: [a, 'b', merge, 'true']"),
        ("tags: [\n  a,\n  b,\n]", "tags: [\n  a,\n  b, merge, 'true'\n]"),
        ("tags: []", "tags:\n- merge\n- 'true'"),
        ("tags:", "tags:\n- merge\n- 'true'"),
        ("tags: ~ # none", "tags:\n- merge\n- 'true'"),
        ("tags: one", "tags:\n- one\n- merge\n- 'true'"),
        ("tags:\n   - a b\n   - 'c''d'", "tags:\n   - a b\n   - 'c''d'\n   - merge\n   - 'true'"),
        ("tags:\n- 'true'\n- merge", "tags:\n- 'true'\n- merge"),
    ] {
        assert_eq!(tags(&format!("---\n{before}\n---\n")).unwrap(), format!("---\n{after}\n---\n"), "{before}");
        let crlf = |text: &str| format!("\u{FEFF}---\n{text}\n---\n").replace('\n', "\r\n");
        assert_eq!(tags(&crlf(before)).unwrap(), crlf(after), "{before} with carriage returns");
    }
}

#[test]
fn a_text_without_front_matter_gets_some() {
    assert_eq!(edited("").unwrap(), format!("---\n{ADDED}---\n"));
    assert_eq!(edited("# Title\n---\nx\n---\n").unwrap(), format!("---\n{ADDED}---\n# Title\n---\nx\n---\n"));
    assert_eq!(edited("\u{FEFF}a\r\n").unwrap(), format!("\u{FEFF}---\n{ADDED}---\n").replace('\n', "\r\n") + "a\r\n");
}

#[test]
fn what_is_not_understood_is_refused() {
    for block in [
        "{license: mit}",
        "? a\n: b",
        "a: 1\n...\nb: 2",
        "- a\n- b",
        "a: \"x\nb: y\"",
        "a: '\nb: y'",
        "tags: &t [a]",
        "tags: [a, [b]]",
        "tags: {a: b}",
        "tags: [a] # b]",
        "tags:\n- a: b",
        "tags:\n- a\n  - b",
        "tags: a\n  b",
        "tags: |\n  a",
        "tags: \"a\\tb\"",
        "base_model: *x",
        "tags: [a]\ntags: [b]",
        "base_model_relation: [a",
        "  indented: 1",
    ] {
        assert!(edited(&format!("---\n{block}\n---\n")).is_err(), "{block}");
    }
    assert!(edited("---\na: 1\n").is_err(), "not closed");
}

#[test]
fn any_text_is_kept_or_refused() {
    // Pieces that mean something, in every order of four.
    let pieces =
        ["---\n", "tags:", " [a]", "\n", "- x\n", "  y", "'", "#", "]", ": ", "base_model: b\n", "\u{FEFF}", "\r\n"];
    for number in 0..pieces.len().pow(4) {
        let (mut left, mut text) = (number, String::from("---\n"));
        for _ in 0..4 {
            text += pieces[left % pieces.len()];
            left /= pieces.len();
        }
        text += "\n---\nrest";
        let Ok(front) = FrontMatter::parse(&text) else { continue };
        assert_eq!(format!("{front}{}", front.rest), text, "nothing is edited");
        if let Ok(once) = edited(&text) {
            assert_eq!(edited(&once).as_ref(), Ok(&once), "{text:?}");
        }
    }
}
