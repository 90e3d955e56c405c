//! A blob much larger than the memory that a hub may take goes in and out, and the hub stays small.

mod support {
    #![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]
    pub mod hub;
}

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;

use strata_model::{Algorithm, Digest, Hasher};
use support::hub::{Request, RunningHub, administrator};

/// What the hub may have had resident at any time, in KiB.
const LIMIT: u64 = 100 << 10;
const CHUNK: usize = 1 << 20;

/// Bytes of the blob: 5 GiB in the full suite.
fn length() -> u64 {
    match std::env::var_os("STRATA_TEST_FULL") {
        Some(_) => 5 << 30,
        None => 384 << 20,
    }
}

/// Bytes that do not repeat and cost nothing to make.
fn chunk(number: u64) -> Vec<u8> {
    (0..CHUNK as u64 / 8)
        .flat_map(|word| (number << 32 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn send(hub: &RunningHub, token: &str, method: &str, path: &str, length: u64) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(&hub.address)?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n"
    )?;
    Ok(stream)
}

/// The answer's status, and its body to be read.
fn answer(stream: TcpStream) -> (String, impl Read) {
    let mut reader = BufReader::with_capacity(CHUNK, stream);
    let (mut status, mut line) = (String::new(), String::new());
    reader.read_line(&mut status).unwrap();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    (status, reader)
}

fn peak_kib(hub: &RunningHub) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", hub.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_blob_larger_than_the_memory_goes_in_and_out() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("store");
    let token = administrator(&root);
    let hub = RunningHub::start(&root, &[("STRATA_HUB_LOG__LEVEL", "error")]);
    let length = length();

    let begun = Request::new("POST", "/v2/admin/large/blobs/uploads/").token(&token).send(&hub.address).unwrap();
    let location = begun.headers["location"].clone();
    let mut stream = send(&hub, &token, "PATCH", &location, length).unwrap();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for number in 0..length / CHUNK as u64 {
        let bytes = chunk(number);
        hasher.update(&bytes);
        stream.write_all(&bytes).unwrap();
    }
    assert!(answer(stream).0.starts_with("HTTP/1.1 202"));
    let digest: Digest = hasher.finish();
    let put = Request::new("PUT", &format!("{location}?digest={digest}")).token(&token);
    assert_eq!(put.send(&hub.address).unwrap().status, 201);
    let pushed = peak_kib(&hub);

    let path = format!("/v2/admin/large/blobs/{digest}");
    let (status, mut body) = answer(send(&hub, &token, "GET", &path, 0).unwrap());
    assert!(status.starts_with("HTTP/1.1 200"), "{status}");
    let (mut hasher, mut bytes, mut count) = (Hasher::new(Algorithm::Sha256), vec![0; CHUNK], 0);
    loop {
        match body.read(&mut bytes).unwrap() {
            0 => break,
            read => {
                hasher.update(&bytes[..read]);
                count += read as u64;
            }
        }
    }
    assert_eq!((count, hasher.finish()), (length, digest));
    let pulled = peak_kib(&hub);
    assert!(pulled <= LIMIT, "{} MiB after the push, {} MiB after the pull", pushed >> 10, pulled >> 10);
}
