//! Files of a container as a tar, both ways.

use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::json;
use strata_engine::{ExtractOptions, PathStat, archive_container_path, extract_to_container, stat_container_path};

use super::transfers::written;
use crate::answer::{begin, empty, error_text};
use crate::call::{Call, encode_header};
use crate::status::{Answer, Failure};

const STAT: &str = "x-docker-container-path-stat";

fn path(call: &Call) -> Result<&str, Failure> {
    call.query.text("path").ok_or_else(|| Failure::bad_request("bad parameter: 'path' is required"))
}

pub(super) async fn stat(call: &Call, name: &str) -> Answer {
    let stat = stat_container_path(call.store(), call.root(), name, path(call)?).await?;
    Ok(with_stat(empty(StatusCode::OK)?, &stat))
}

pub(super) async fn get(call: &Call, name: &str) -> Answer {
    let path = path(call)?.to_owned();
    let stat = stat_container_path(call.store(), call.root(), name, &path).await?;
    let (store, root, name) = (call.store().clone(), call.root().to_owned(), name.to_owned());
    let response = begin("application/x-tar", error_text, move |output| async move {
        written(&output, |out| archive_container_path(&store, &root, &name, &path, out)).await
    })
    .await?;
    Ok(with_stat(response, &stat))
}

pub(super) async fn put(mut call: Call, name: &str) -> Answer {
    let path = path(&call)?.to_owned();
    let options = ExtractOptions {
        replaces_directories: !call.query.is_set("noOverwriteDirNonDir"),
        for_container_user: call.query.is_set("copyUIDGID"),
    };
    let body = call.reader();
    extract_to_container(call.store(), call.root(), name, &path, body, options).await?;
    empty(StatusCode::OK)
}

fn with_stat(mut response: Response, stat: &PathStat) -> Response {
    let changed = jiff::Timestamp::from_nanosecond(i128::from(stat.mtime)).unwrap_or_default();
    let document = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": go_mode(stat.mode),
        "mtime": strata_format::timestamp::to_rfc3339(changed),
        "linkTarget": stat.link_target,
    });
    if let Ok(value) = HeaderValue::from_str(&encode_header(document.to_string().as_bytes())) {
        response.headers_mut().insert(STAT, value);
    }
    response
}

/// Type and permissions as Go's `fs.FileMode` has them.
fn go_mode(mode: u32) -> u32 {
    const TYPES: &[(u32, u32)] = &[
        (0o040_000, 1 << 31),
        (0o120_000, 1 << 27),
        (0o060_000, 1 << 26),
        (0o010_000, 1 << 25),
        (0o140_000, 1 << 24),
        (0o020_000, 1 << 26 | 1 << 21),
    ];
    const FLAGS: &[(u32, u32)] = &[(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let kind = TYPES.iter().find(|(kind, _)| mode & 0o170_000 == *kind).map_or(0, |(_, bits)| *bits);
    let flags = FLAGS.iter().filter(|(flag, _)| mode & flag != 0).fold(0, |all, (_, bits)| all | bits);
    kind | flags | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_go_has_them() {
        for (mode, wanted) in [
            (0o100_644, 420),
            (0o040_755, 2_147_484_141),
            (0o041_777, 2_148_532_735),
            (0o120_777, 134_218_239),
            (0o020_620, 69_206_416),
            (0o104_755, 8_389_101),
        ] {
            assert_eq!(go_mode(mode), wanted, "{mode:o}");
        }
    }
}
