//! The reference library's own cases: every input answers as it does there.

use serde_json::Value;
use strata_model::Reference;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/references/references.json");
    let text = std::fs::read_to_string(path).expect("the cases are part of the repository");
    serde_json::from_str(&text).expect("the cases are JSON")
}

fn text<'a>(case: &'a Value, key: &str) -> Option<&'a str> {
    case.get(key).and_then(Value::as_str)
}

#[test]
fn normalization_answers_as_the_reference_library_does() {
    let cases = cases();
    assert_eq!(cases.len(), 382);
    let mut wrong = Vec::new();
    for case in &cases {
        let input = text(case, "input").unwrap();
        let found = match Reference::parse(input) {
            Ok(reference) => serde_json::json!({
                "string": reference.to_string(),
                "domain": reference.host().as_str(),
                "path": reference.repository().as_str(),
                "tag": reference.tag().map(|tag| tag.as_str()),
                "digest": reference.digest().map(|digest| digest.to_string()),
                "familiar": reference.familiar(),
                "with_default_tag": reference.clone().with_default_tag().to_string(),
            }),
            Err(error) => Value::String(error.to_string()),
        };
        let equal = match (case.get("normalized"), &found) {
            (Some(Value::Object(expected)), Value::Object(found)) => {
                found.iter().all(|(key, value)| expected.get(key).unwrap_or(&Value::Null) == value)
            }
            _ => text(case, "normalized_error") == found.as_str(),
        };
        if !equal {
            wrong.push(format!("{case:#}\nfound {found:#}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_strict_grammar_answers_as_the_reference_library_does() {
    let mut wrong = Vec::new();
    for case in &cases() {
        let input = text(case, "input").unwrap();
        let equal = match (case.get("parse"), Reference::parse_strict(input)) {
            (Some(expected), Ok((name, tag, digest))) => {
                let whole = match text(expected, "domain") {
                    Some(domain) if !domain.is_empty() => format!("{domain}/{}", text(expected, "path").unwrap()),
                    _ => text(expected, "path").unwrap_or_default().to_owned(),
                };
                name == whole
                    && text(expected, "tag").filter(|tag| !tag.is_empty()) == tag.as_ref().map(|tag| tag.as_str())
                    && text(expected, "digest").map(str::to_owned) == digest.map(|digest| digest.to_string())
            }
            (None, Err(error)) => text(case, "parse_error") == Some(error.to_string().as_str()),
            _ => false,
        };
        if !equal {
            wrong.push(format!("{case:#}\nfound {:?}", Reference::parse_strict(input)));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_answered_and_what_is_accepted_prints_as_itself(input in "\\PC{0,80}") {
        if let Ok(reference) = Reference::parse(&input) {
            let printed = reference.to_string();
            proptest::prop_assert_eq!(Reference::parse(&printed).unwrap(), reference.clone());
            proptest::prop_assert_eq!(Reference::parse(&reference.familiar()).unwrap(), reference);
        }
    }
}
