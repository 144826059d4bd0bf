use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::json;

use super::*;

fn edited(text: &str, edit: impl Fn(&mut Object)) -> String {
    let mut document = Document::parse(text).unwrap();
    edit(document.root_mut());
    document.to_string()
}

#[test]
fn what_python_writes_is_kept() {
    for text in [
        "{}",
        " { } ",
        "\u{FEFF}\r\n{\r\n\t\"a\" : [ 1 , { \"b\" :NaN} ]\r\n}\r\n",
        r#"{"a":[0.0,Infinity,-Infinity,NaN,1e999,-0,1.50E+07,123456789012345678901234567890]}"#,
        r#"{"\ud800":"\udfff","é\u00e9":"\u{7f}\\\"\/\b\f\n\r\t","":{"":{}}}"#,
        "{\"a\":\"\u{FFFF}Infinity\u{FFFF}\"}",
    ] {
        let text = text.replace("\\u{7f}", "\u{7f}");
        assert_eq!(Document::parse(&text).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_not_valid_is_an_error() {
    for text in [
        "",
        "{",
        "{}x",
        "{}{}",
        "[]",
        "1",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":[1,]}",
        "{\"a\":[1}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":-}",
        "{\"a\":-NaN}",
        "{\"a\":--Infinity}",
        "{\"a\":NaN1}",
        "{\"a\":Infinit}",
        "{\"a\":tru}",
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12g4\"}",
        "{\"a",
        "{\"a\\",
        "{\"a\\u00",
        "\u{FEFF}\u{FEFF}{}",
        "{\u{A0}}",
    ] {
        assert!(Document::parse(text).is_err(), "{text}");
    }
    assert_eq!(
        Document::parse("{\n  \"a\": 1,\n  \"b\": x}").err().as_deref(),
        Some("not valid: expected a value at line 3 column 8")
    );
}

#[test]
fn depth_and_members_are_bounded() {
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "1" + &close.repeat(depth);
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let document = |depth| Document::parse(&format!("{{\"a\":{}}}", nested(open, close, depth)));
        assert!(document(63).is_ok());
        assert!(document(100_000).unwrap_err().contains("more than 128 lists and objects"));
    }
    let members = |count| Document::parse(&format!("{{{}}}", vec!["\"\":0"; count].join(",")));
    assert!(members(MEMBERS).is_ok());
    assert!(members(MEMBERS + 1).unwrap_err().contains("more than 200000 members"));
}

#[test]
fn new_members_look_like_their_neighbours() {
    for (before, after) in [
        ("{}", r#"{"x": 1}"#),
        ("{ }", r#"{ "x": 1 }"#),
        ("{\n}", "{\n  \"x\": 1\n}"),
        (r#"{"a":1}"#, r#"{"a":1,"x":1}"#),
        (r#"{"a": 1}"#, r#"{"a": 1, "x": 1}"#),
        (r#"{ "a": 1 }"#, r#"{ "a": 1, "x": 1 }"#),
        (r#"{"a": 1, "b": 2}"#, r#"{"a": 1, "b": 2, "x": 1}"#),
        ("{\n    \"a\": 1\n}\n", "{\n    \"a\": 1,\n    \"x\": 1\n}\n"),
        ("{\r\n\t\"a\" : 1\r\n}", "{\r\n\t\"a\" : 1,\r\n\t\"x\" : 1\r\n}"),
        ("{\n  \"a\": 1,\n\n  \"b\": 2 }", "{\n  \"a\": 1,\n\n  \"b\": 2,\n  \"x\": 1 }"),
    ] {
        assert_eq!(edited(before, |root| root.set("x", &json!(1))), after);
    }
}

#[test]
fn new_objects_and_lists_are_laid_out_as_the_text_around_them() {
    let value = json!({"0": ["no", {}], "1": {}});
    let set = |text: &str| edited(text, |root| root.set("x", &value));
    assert_eq!(set(r#"{"a":1}"#), r#"{"a":1,"x":{"0":["no",{}],"1":{}}}"#);
    let expected = "{\n\t\"a\": 1,\n\t\"x\": {\n\t\t\"0\": [\n\t\t\t\"no\",\n\t\t\t{}\n\t\t],\n\t\t\"1\": {}\n\t}\n}";
    assert_eq!(set("{\n\t\"a\": 1\n}"), expected);
    assert_eq!(set(expected), expected);
    assert_eq!(set(&expected.replace("\"no\"", "\"yes\"")), expected);
    assert_eq!(set("{\r\n \"a\": 1\r\n}"), expected.replace('\t', " ").replace('\n', "\r\n"));
}

#[test]
fn a_member_leaves_no_gap() {
    for (before, after) in [
        (r#"{"x": 1}"#, "{}"),
        ("{\n  \"x\": 1\n}", "{}"),
        (r#"{"x": 1, "a": 2}"#, r#"{"a": 2}"#),
        (r#"{"a": 2, "x": 1}"#, r#"{"a": 2}"#),
        ("{\n  \"a\": 2,\n  \"x\": 1\n}", "{\n  \"a\": 2\n}"),
        ("{\n  \"x\": 1,\n  \"a\": 2\n}", "{\n  \"a\": 2\n}"),
        (r#"{"a":1}"#, r#"{"a":1}"#),
    ] {
        assert_eq!(edited(before, |root| root.remove("x")), after);
    }
}

#[test]
fn of_a_name_given_twice_the_last_counts() {
    let text = r#"{"a": 1, "\u0061": {"b": 2}, "b": 3}"#;
    let document = Document::parse(text).unwrap();
    assert_eq!(document.root().get("a").and_then(Node::value), Some(json!({"b": 2})));
    assert_eq!(document.root().members().count(), 2);
    assert_eq!(edited(text, |root| root.set("a", &json!(4))), r#"{"a": 1, "\u0061": 4, "b": 3}"#);
    assert_eq!(edited(text, |root| root.remove("a")), r#"{"b": 3}"#);
    assert_eq!(
        edited(text, |root| root.at_mut(&["a"]).unwrap().set("b", &json!(5))),
        r#"{"a": 1, "\u0061": {"b": 5}, "b": 3}"#
    );
}

#[test]
fn equal_values_stay_as_they_are_written() {
    let text = r#"{"a": "\u0062", "b": 1.50, "c": [ ]}"#;
    for (name, value) in [("a", json!("b")), ("b", json!(1.5)), ("c", json!([]))] {
        assert_eq!(edited(text, |root| root.set(name, &value)), text);
    }
}

/// Keys as they are written, each for another name.
const KEYS: [&str; 7] =
    ["\"a\"", "\"\\u0062\"", "\"\"", "\"tie_word\\u005fembeddings\"", "\"\u{FFFF}\"", "\"\\\"}\"", "\"é\""];
const NAMES: [&str; 7] = ["a", "b", "", "tie_word_embeddings", "\u{FFFF}", "\"}", "é"];

fn space() -> impl Strategy<Value = &'static str> + Clone {
    select(vec!["", "", " ", "\n", "\n  ", "\r\n\t", "\n\n    "])
}

/// Text of values, of those that only Python accepts too if `python`.
fn value_text(python: bool) -> impl Strategy<Value = String> {
    let mut scalars = vec!["0", "-1.50e3", "\"[{,\"", "\"\\\\\\\"\\u00e9\u{FFFF}\"", "true", "false", "null"];
    if python {
        scalars.extend(["NaN", "Infinity", "-Infinity", "1e999", "123456789012345678901234567890", "\"\\ud800\""]);
    }
    let scalar = select(scalars).prop_map(String::from);
    scalar.prop_recursive(4, 40, 6, |inner| {
        let item =
            (space(), inner, space()).prop_map(|(before, value, after)| format!("{before}{value}{after}")).boxed();
        let list = prop::collection::vec(item.clone(), 1..4).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![list, object_text(item), space().prop_map(|space| format!("{{{space}}}"))]
    })
}

fn object_text(item: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let member = (space(), space(), item).prop_map(|(before, after, item)| (before, format!("{after}:{item}")));
    (subsequence(&KEYS, 1..6), prop::collection::vec(member, 6)).prop_map(|(keys, members)| {
        let member = |(key, (before, rest)): (&str, (&str, String))| format!("{before}{key}{rest}");
        let members: Vec<String> = keys.into_iter().zip(members).map(member).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn document_text(python: bool) -> impl Strategy<Value = String> {
    (space(), object_text(value_text(python).boxed()), space())
        .prop_map(|(before, root, after)| before.to_string() + &root + after)
}

/// A path, a name, and the value that it is set to, or `None` to remove it.
type Edit = (Vec<&'static str>, &'static str, Option<Value>);

fn edit() -> impl Strategy<Value = Edit> {
    let value = value_text(false).prop_map(|text| serde_json::from_str(&text).unwrap());
    (prop::collection::vec(select(&NAMES[..]), 0..3), select(&NAMES[..]), prop::option::of(value))
}

fn apply_to_document(document: &mut Document, (path, name, value): &Edit) {
    if let Some(object) = document.root_mut().at_mut(path) {
        match value {
            Some(value) => object.set(name, value),
            None => object.remove(name),
        }
    }
}

fn apply_to_value(root: &mut Value, (path, name, value): &Edit) {
    let object = path.iter().try_fold(root, |value, name| value.as_object_mut()?.get_mut(*name));
    if let Some(Value::Object(object)) = object {
        match value {
            Some(value) => drop(object.insert((*name).into(), value.clone())),
            None => drop(object.shift_remove(*name)),
        }
    }
}

proptest! {
    #[test]
    fn a_text_without_edits_is_the_same(text in document_text(true)) {
        prop_assert_eq!(Document::parse(&text).unwrap().to_string(), text);
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[{}\\[\\]\",:\\\\0-9a-fINue \n.+-]{0,40}") {
        if let Ok(document) = Document::parse(&text) {
            prop_assert_eq!(document.to_string(), text);
        } else {
            prop_assert!(serde_json::from_str::<serde_json::Map<String, Value>>(&text).is_err());
        }
    }

    #[test]
    fn editing_and_parsing_commute(text in document_text(false), edits in prop::collection::vec(edit(), 0..6)) {
        let mut document = Document::parse(&text).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        for edit in &edits {
            apply_to_document(&mut document, edit);
            apply_to_value(&mut value, edit);
        }
        let written = document.to_string();
        let parsed: Value = serde_json::from_str(&written).unwrap();
        // As text, so that the order of the members counts.
        prop_assert_eq!(parsed.to_string(), value.to_string());
        prop_assert_eq!(Document::parse(&written).unwrap().to_string(), written);
    }

    #[test]
    fn a_new_member_that_is_removed_leaves_no_trace(text in document_text(true), (path, _, value) in edit()) {
        let mut document = Document::parse(&text).unwrap();
        apply_to_document(&mut document, &(path.clone(), "new", Some(value.unwrap_or(Value::Null))));
        apply_to_document(&mut document, &(path, "new", None));
        prop_assert_eq!(document.to_string(), text);
    }
}
