//! Paths of the protocol. Names of repositories hold slashes and may hold the protocol's own words (`foo/blobs`,
//! `tags/list`), so a path is read from its end (OCI distribution-spec, "Endpoints").

use percent_encoding::percent_decode_str;

/// What a path means. Names and digests are as written, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// Something of a repository.
    Repository { name: String, endpoint: Endpoint },
}

/// An endpoint of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `tags/list`
    Tags,
    /// `manifests/<tag or digest>`
    Manifest(String),
    /// `blobs/uploads/`
    Uploads,
    /// `blobs/uploads/<identity>`
    Upload(String),
    /// `blobs/<digest>`
    Blob(String),
    /// `referrers/<digest>`
    Referrers(String),
}

impl Path {
    /// Reads a path of a request; `None` when it is none of the protocol.
    pub(crate) fn parse(path: &str) -> Option<Path> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        let rest = match path.strip_prefix("/v2")? {
            "" | "/" => return Some(Path::Base),
            rest => rest.strip_prefix('/')?,
        };
        if rest == "_catalog" || rest == "_catalog/" {
            return Some(Path::Catalog);
        }
        let segments: Vec<&str> = rest.split('/').collect();
        let (name, endpoint) = match segments[..] {
            [ref name @ .., "tags", "list"] => (name, Endpoint::Tags),
            [ref name @ .., "manifests", target] => (name, Endpoint::Manifest(target.to_owned())),
            [ref name @ .., "referrers", digest] => (name, Endpoint::Referrers(digest.to_owned())),
            [ref name @ .., "blobs", "uploads"] | [ref name @ .., "blobs", "uploads", ""] => (name, Endpoint::Uploads),
            [ref name @ .., "blobs", "uploads", id] => (name, Endpoint::Upload(id.to_owned())),
            [ref name @ .., "blobs", digest] => (name, Endpoint::Blob(digest.to_owned())),
            _ => return None,
        };
        (!name.is_empty()).then(|| Path::Repository { name: name.join("/"), endpoint })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn repository(name: &str, endpoint: Endpoint) -> Option<Path> {
        Some(Path::Repository { name: name.to_owned(), endpoint })
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let digest = || "sha256:abc".to_owned();
        let cases = [
            ("/v2", Some(Path::Base)),
            ("/v2/", Some(Path::Base)),
            ("/v2/_catalog", Some(Path::Catalog)),
            ("/v2/tags/list", None),
            ("/v2/tags/list/tags/list", repository("tags/list", Endpoint::Tags)),
            ("/v2/foo/blobs/blobs/uploads/", repository("foo/blobs", Endpoint::Uploads)),
            ("/v2/foo/blobs/uploads", repository("foo", Endpoint::Uploads)),
            ("/v2/foo/blobs/uploads/blobs/sha256:abc", repository("foo/blobs/uploads", Endpoint::Blob(digest()))),
            ("/v2/foo/manifests/sha256%3Aabc", repository("foo", Endpoint::Manifest(digest()))),
            ("/v2/foo/referrers/sha256:abc", repository("foo", Endpoint::Referrers(digest()))),
            ("/v2/foo", None),
            ("/v2foo/tags/list", None),
            ("/v1/search", None),
            ("/v2/foo/%ff/tags/list", None),
        ];
        for (path, expected) in cases {
            assert_eq!(Path::parse(path), expected, "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_protocols_words_may_be_names(
            name in proptest::collection::vec(
                proptest::sample::select(vec!["blobs", "uploads", "manifests", "tags", "list", "referrers", "app", "v2"]),
                1..6,
            ),
            last in proptest::sample::select(vec!["latest", "sha256:abc", "4f1c2b3a-0000", "x"]),
        ) {
            let name = name.join("/");
            let endpoints = [
                ("tags/list".to_owned(), Endpoint::Tags),
                (format!("manifests/{last}"), Endpoint::Manifest(last.to_owned())),
                (format!("referrers/{last}"), Endpoint::Referrers(last.to_owned())),
                ("blobs/uploads/".to_owned(), Endpoint::Uploads),
                (format!("blobs/uploads/{last}"), Endpoint::Upload(last.to_owned())),
                (format!("blobs/{last}"), Endpoint::Blob(last.to_owned())),
            ];
            for (path, endpoint) in endpoints {
                prop_assert_eq!(Path::parse(&format!("/v2/{name}/{path}")), repository(&name, endpoint));
            }
        }

        #[test]
        fn no_path_breaks_it(path in "[/a-z%0-9:_.]{0,40}") {
            let _ = Path::parse(&format!("/v2/{path}"));
        }
    }
}
