//! JSON as Go's `encoding/json` writes it.
//!
//! Go escapes `<`, `>` and `&` as `\u003c`, `\u003e` and `\u0026` unless told not to, always escapes U+2028 and U+2029,
//! and writes floating point numbers without exponent between 1e-6 and 1e21. Objects keep the order of their keys.

use serde_json::Value;

use crate::{Error, go_number};

/// Whether `<`, `>` and `&` are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As `json.Marshal`, and so API documents, rows of `--format json` and inspect output.
    Html,
    /// As the template function `json` on plain values.
    Minimal,
}

/// Writes `value` without any white space.
pub fn to_string(value: &Value, escape: Escape) -> String {
    let mut out = String::new();
    write_value(&mut out, value, escape);
    out
}

/// Writes `value` with `indent` (docker: four spaces or a tab) per level, without a final line break.
pub fn to_string_indented(value: &Value, indent: &str, escape: Escape) -> String {
    respace(&to_string(value, escape), Some(indent))
}

/// Indents a JSON text without changing its strings, numbers or order of keys: `docker inspect` on what the API sent.
///
/// # Errors
/// [`Error::Json`] when `text` is not one JSON value.
pub fn indent(text: &str, indent: &str) -> Result<String, Error> {
    check(text).map(|()| respace(text, Some(indent)))
}

/// Removes the white space of a JSON text and changes nothing else: `docker inspect --format json`.
///
/// # Errors
/// As [`indent`].
pub fn compact(text: &str) -> Result<String, Error> {
    check(text).map(|()| respace(text, None))
}

fn check(text: &str) -> Result<(), Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ()).map_err(|cause| Error::Json(cause.to_string()))
}

fn write_value(out: &mut String, value: &Value, escape: Escape) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => out.push_str(&go_number::format_json(float)),
            _ => out.push_str(&number.to_string()),
        },
        Value::String(text) => write_string(out, text, escape),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(out, item, escape);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, member)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_string(out, key, escape);
                out.push(':');
                write_value(out, member, escape);
            }
            out.push('}');
        }
    }
}

fn write_string(out: &mut String, text: &str, escape: Escape) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\0'..='\x1f' | '\u{2028}' | '\u{2029}' => write_escape(out, character),
            '<' | '>' | '&' if escape == Escape::Html => write_escape(out, character),
            _ => out.push(character),
        }
    }
    out.push('"');
}

fn write_escape(out: &mut String, character: char) {
    out.push_str(&format!("\\u{:04x}", u32::from(character)));
}

/// Rewrites the white space outside the strings of a valid JSON text: one line per member with an indent, none without.
fn respace(text: &str, indent: Option<&str>) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let new_line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(indent, depth));
        }
    };
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '"' => {
                out.push('"');
                copy_string(&mut characters, &mut out);
            }
            '{' | '[' => {
                out.push(character);
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        new_line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                new_line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(',');
                new_line(&mut out, depth);
            }
            ':' => out.push_str(if indent.is_some() { ": " } else { ":" }),
            _ => out.push(character),
        }
    }
    out
}

/// Copies the rest of a string, its final quote included.
fn copy_string(characters: &mut impl Iterator<Item = char>, out: &mut String) {
    while let Some(character) = characters.next() {
        out.push(character);
        match character {
            '\\' => out.extend(characters.next()),
            '"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn escapes_as_go() {
        let value = json!({"Cmd": ["a && b", "<none>"], "Text": "\u{2028}\"\\\n\x01é\x7f"});
        assert_eq!(
            to_string(&value, Escape::Html),
            r#"{"Cmd":["a \u0026\u0026 b","\u003cnone\u003e"],"Text":"\u2028\"\\\n\u0001é"#.to_owned() + "\x7f\"}"
        );
        assert_eq!(to_string(&json!("a & <b>"), Escape::Minimal), r#""a & <b>""#);
        assert_eq!(
            to_string(&json!([1, -1, 1.5, 1e21, 18_446_744_073_709_551_615u64]), Escape::Html),
            "[1,-1,1.5,1e+21,18446744073709551615]"
        );
    }

    #[test]
    fn indents_as_docker() {
        let value =
            json!([{"Id": "", "RepoTags": null, "RootFS": {}, "Layers": [], "Size": 0, "Metadata": {"a": [1, 2]}}]);
        let expected = "[\n    {\n        \"Id\": \"\",\n        \"RepoTags\": null,\n        \"RootFS\": {},\n        \
                        \"Layers\": [],\n        \"Size\": 0,\n        \"Metadata\": {\n            \"a\": [\n                \
                        1,\n                2\n            ]\n        }\n    }\n]";
        assert_eq!(to_string_indented(&value, "    ", Escape::Html), expected);
        assert_eq!(to_string_indented(&json!({"a": 1}), "\t", Escape::Html), "{\n\t\"a\": 1\n}");
    }

    #[test]
    fn respacing_keeps_the_text_of_values() {
        let text = "{ \"b\" : 1.0e2 ,\n\"a\": [ ] , \"s\": \"\\u003c , \\\" {\" }";
        assert_eq!(compact(text).unwrap(), r#"{"b":1.0e2,"a":[],"s":"\u003c , \" {"}"#);
        assert_eq!(indent("{ \"b\" : { } }", "  ").unwrap(), "{\n  \"b\": {}\n}");
        assert!(indent("{", " ").is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn strings_read_back(text in "\\PC{0,16}[\\x00-\\x20<>&]{0,4}") {
            for escape in [Escape::Html, Escape::Minimal] {
                let value = json!({ text.clone(): [text.clone()] });
                let written = to_string(&value, escape);
                prop_assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), &value);
                prop_assert_eq!(&compact(&indent(&written, "\t").unwrap()).unwrap(), &written);
            }
        }
    }
}
