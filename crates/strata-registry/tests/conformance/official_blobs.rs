//! What the official suite asks of blobs (opencontainers/distribution-spec, `conformance/run.go` at 4fc4ecb,
//! `TestBlobAPIs`): each way to push one, for each algorithm, though the session was not told which; whole and with a digest
//! that is another's.

use reqwest::StatusCode;
use strata_model::{Algorithm, Digest};

use crate::end_04_uploads::{begin, chunk, closing};
use crate::support::{Answer, Server, digest_by};

const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];
/// Of a chunk.
const LENGTH: usize = 1024;

/// How a blob is pushed.
#[derive(Clone, Copy, Debug)]
enum Way {
    PostOnly,
    PostPut,
    Stream,
    Chunks { length: usize, disorder: bool, last_by_put: bool },
}

const WAYS: [Way; 8] = [
    Way::PostOnly,
    Way::PostPut,
    Way::Stream,
    Way::Chunks { length: usize::MAX, disorder: false, last_by_put: false },
    Way::Chunks { length: LENGTH, disorder: false, last_by_put: false },
    Way::Chunks { length: LENGTH, disorder: false, last_by_put: true },
    Way::Chunks { length: LENGTH, disorder: true, last_by_put: false },
    Way::Chunks { length: LENGTH, disorder: true, last_by_put: true },
];

/// Bytes that are told from others by `seed`.
fn bytes(seed: usize, length: usize) -> Vec<u8> {
    (0..length).map(|position| (position * 31 + position / 256 + seed * 7) as u8).collect()
}

/// Pushes a blob; returns the last answer.
async fn push(server: &Server, way: Way, digest: &Digest, bytes: &[u8]) -> Answer {
    match way {
        Way::PostOnly => chunk(server, "POST", &format!("/v2/app/blobs/uploads/?digest={digest}"), None, bytes).await,
        Way::PostPut => chunk(server, "PUT", &closing(&begin(server).await, digest), None, bytes).await,
        Way::Stream => {
            let parts: Vec<_> = bytes.chunks(LENGTH).map(|part| Ok::<_, std::io::Error>(part.to_vec())).collect();
            let body = reqwest::Body::wrap_stream(futures_util::stream::iter(parts));
            let patched = server.request("PATCH", &begin(server).await).body(body).send().await.unwrap();
            let patched = Answer::of(patched).await.is(StatusCode::ACCEPTED);
            chunk(server, "PUT", &closing(patched.header("location"), digest), None, b"").await
        }
        Way::Chunks { length, disorder, last_by_put } => {
            push_chunks(server, digest, bytes, (length.min(bytes.len()), disorder, last_by_put)).await
        }
    }
}

async fn push_chunks(
    server: &Server,
    digest: &Digest,
    bytes: &[u8],
    (length, disorder, last_by_put): (usize, bool, bool),
) -> Answer {
    let mut location = begin(server).await;
    let send = async |location: &str, first: usize| {
        let end = bytes.len().min(first + length);
        let closes = last_by_put && end == bytes.len();
        let (method, to) = if closes { ("PUT", closing(location, digest)) } else { ("PATCH", location.to_owned()) };
        let range = format!("{first}-{}", end - 1);
        (chunk(server, method, &to, Some(&range), &bytes[first..end]).await, to)
    };
    for first in (0..bytes.len()).step_by(length.max(1)) {
        let end = first + length;
        // A single chunk cannot come out of order.
        if disorder && bytes.len() > length {
            let (refused, asked) = send(&location, if end < bytes.len() { end } else { 0 }).await;
            refused.is(StatusCode::RANGE_NOT_SATISFIABLE);
            let status = server.get(&asked).await.is(StatusCode::NO_CONTENT);
            assert_eq!(status.header("range"), format!("0-{}", first.saturating_sub(1)));
            location = status.header("location").to_owned();
        }
        let (answer, _) = send(&location, first).await;
        if last_by_put && end >= bytes.len() {
            return answer;
        }
        location = answer.is(StatusCode::ACCEPTED).header("location").to_owned();
    }
    chunk(server, "PUT", &closing(&location, digest), None, b"").await
}

/// A pushed blob can be read, and is gone once it is deleted.
async fn lives_and_goes(server: &Server, digest: &Digest, bytes: &[u8], location: &str) {
    let path = format!("/v2/app/blobs/{digest}");
    assert_eq!(server.get(location).await.is(StatusCode::OK).body, bytes);
    for method in ["HEAD", "GET"] {
        let answer = server.send(method, &path).await.is(StatusCode::OK);
        assert_eq!(answer.header("content-length"), bytes.len().to_string(), "{method}");
        assert_eq!(answer.header("docker-content-digest"), digest.to_string(), "{method}");
        assert_eq!(answer.body, if method == "GET" { bytes } else { b"" });
    }
    server.send("DELETE", &path).await.is(StatusCode::ACCEPTED);
    server.send("HEAD", &path).await.is(StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_way_to_push_a_blob() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        for (seed, way) in WAYS.into_iter().enumerate() {
            for bytes in [bytes(seed, 3 * LENGTH - 5), Vec::new(), b"{}".to_vec()] {
                let digest = digest_by(algorithm, &bytes);
                let absent = server.get(&format!("/v2/app/blobs/{digest}")).await;
                absent.fails(StatusCode::NOT_FOUND, "BLOB_UNKNOWN");
                let pushed = push(&server, way, &digest, &bytes).await;
                assert_eq!(pushed.status, StatusCode::CREATED, "{way:?} {}", bytes.len());
                assert_eq!(pushed.header("docker-content-digest"), digest.to_string());
                lives_and_goes(&server, &digest, &bytes, pushed.header("location")).await;
            }
        }
    }
}

#[tokio::test]
async fn no_way_to_push_a_blob_under_the_digest_of_another() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        for (seed, way) in WAYS.into_iter().enumerate() {
            let mut bytes = bytes(seed, 3 * LENGTH - 5);
            let digest = digest_by(algorithm, &bytes);
            bytes.extend(b"oh no");
            push(&server, way, &digest, &bytes).await.fails(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
            server.send("HEAD", &format!("/v2/app/blobs/{digest}")).await.is(StatusCode::NOT_FOUND);
        }
    }
}

#[tokio::test]
async fn mounts_by_each_algorithm() {
    let server = Server::start().await;
    for algorithm in ALGORITHMS {
        for (seed, from) in ["&from=other", ""].into_iter().enumerate() {
            let bytes = bytes(seed, 512);
            let digest = digest_by(algorithm, &bytes);
            let mount = format!("/v2/app/blobs/uploads/?mount={digest}{from}");
            let absent = server.send("POST", &mount).await.is(StatusCode::ACCEPTED);
            let put = chunk(&server, "PUT", &closing(absent.header("location"), &digest), None, &bytes).await;
            lives_and_goes(&server, &digest, &bytes, put.is(StatusCode::CREATED).header("location")).await;

            let elsewhere = format!("/v2/other/blobs/uploads/?digest={digest}");
            chunk(&server, "POST", &elsewhere, None, &bytes).await.is(StatusCode::CREATED);
            let mounted = server.send("POST", &mount).await.is(StatusCode::CREATED);
            assert_eq!(mounted.header("docker-content-digest"), digest.to_string());
            lives_and_goes(&server, &digest, &bytes, mounted.header("location")).await;
            server.get(&format!("/v2/other/blobs/{digest}")).await.is(StatusCode::OK);
        }
    }
}
