use super::*;

#[test]
fn a_sentence_says_whose_where_what_and_what_to_do() {
    let error = Error::shape_mismatch("style", "q_proj.weight", "the shapes differ")
        .found("[4, 4]")
        .expected("[8, 4]")
        .fix("give the base it was trained on");
    assert_eq!(error.to_string(), "adapter style: q_proj.weight: the shapes differ; give the base it was trained on");
    let facts = serde_json::to_value(error.facts()).unwrap();
    assert_eq!(facts["found"], "[4, 4]");
    assert_eq!(facts.get("file"), None);
}

#[test]
fn an_error_that_was_thrown_keeps_its_sentence_and_its_facts() {
    let denied = Error::fetch_failed("https://a.example/x", "the server answered 403")
        .kind(ErrorKind::AccessDenied)
        .fix("ask for access");
    let again = Error::of_sentence(denied.error_code(), &denied.to_string(), denied.facts().clone());
    assert_eq!(again, denied);
    let plain = Error::of_sentence(ErrorCode::FetchFailed, "no", Facts::default());
    assert_eq!((plain.to_string().as_str(), plain.code()), ("no", "fetch-failed"));
}

#[test]
fn the_text_of_a_code_is_what_serde_writes_and_names_it() {
    for code in [ErrorCode::BadHeader, ErrorCode::NoRangeSupport, ErrorCode::Internal] {
        assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        assert_eq!(ErrorCode::named(code.as_str()), Some(code));
    }
    assert_eq!(ErrorKind::named(ErrorKind::NoMemory.as_str()), Some(ErrorKind::NoMemory));
    assert_eq!(ErrorKind::named("NoMemory"), None);
}
