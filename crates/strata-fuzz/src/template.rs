//! What a user writes behind `--format` and `--filter`.

use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde_json::json;
use strata_format::formatter::{Format, Formatter};
use strata_format::template::{List, Map, MissingKey, Struct, Template, Value};
use strata_format::{duration, glob, size, timestamp};

use crate::text;

/// A `--format`: as the template of `inspect`, and as the rows of a list.
pub fn template(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Ok(template) = Template::parse(text) {
        let image = image();
        let _ = template.execute_with(&image, MissingKey::Error);
        let _ = template.execute_or_raw(&image, &json!({"Id": "sha256:0", "Size": 1, "Config": {"Cmd": null}}));
    }
    let format = Format::new(text, "table {{.ID}}\t{{.Size}}", Some("id: {{.ID}}\n"));
    if let Ok(formatter) = Formatter::new(&format, [("ID", "IMAGE ID"), ("Size", "SIZE"), ("Config", "CONFIG")]) {
        let _ = formatter.render(&[image(), image()]);
    }
}

fn image() -> Value {
    let config = Struct::new("*dockerspec.DockerOCIImageConfig")
        .field("Env", List::strings(["PATH=/bin", "A=b"]))
        .field("Entrypoint", List::nil("string"))
        .field("Labels", Map::strings([("a.b", "one & <two>"), ("maintainer", "me")]));
    Struct::new("*image.InspectResponse")
        .field("ID", "sha256:706db57fb206")
        .field("RepoTags", List::strings(["alpine:latest", "alpine:3"]))
        .field("Size", 8_320_000i64)
        .field("Ratio", 0.5)
        .field("Official", true)
        .field("Config", config)
        .field("Descriptor", Value::NilPointer("*v1.Descriptor".into()))
        .field("Nothing", Value::Nil)
        .into()
}

/// Values of filters and flags: a pattern and a name on two lines, sizes, durations, points in time.
pub fn filter_value(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (pattern, name) = text.split_once('\n').unwrap_or((text, "library/nginx:1.22"));
    let _ = glob::matches(pattern, name);
    for bytes in [size::parse_decimal(text), size::parse_binary(text)].into_iter().flatten() {
        assert!(!size::human_size(bytes as f64).is_empty());
    }
    if let Ok(nanoseconds) = duration::parse(text) {
        let printed = duration::to_go_string(nanoseconds);
        assert_eq!(duration::parse(&printed), Ok(nanoseconds), "{printed:?} of {text:?}");
        assert!(!duration::human(nanoseconds).is_empty());
    }
    let _ = duration::parse_with_days(text);
    let now = Zoned::new(Timestamp::UNIX_EPOCH, TimeZone::UTC);
    if let Ok(time) = timestamp::parse(text, &now) {
        assert!(!timestamp::to_rfc3339(time).is_empty());
    }
}
