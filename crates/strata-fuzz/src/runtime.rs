//! What a container's supervisor and the readers of its log get from others.

use strata_runtime::control::frame::{Decoder, Frame, encode};
use strata_runtime::control::{Request, Response};
use strata_runtime::decode_log_line;

/// Bytes of a connection, whole and in pieces: the same frames come out, written again they are the same bytes, and those
/// that are requests or responses mean the same when written again.
pub fn control_frames(bytes: &[u8]) {
    let whole = frames(bytes, bytes.len().max(1));
    assert_eq!(frames(bytes, 7), whole);
    let mut written = Vec::new();
    for frame in &whole {
        encode(&mut written, frame.kind, &frame.bytes);
        if let Ok(request) = serde_json::from_slice::<Request>(&frame.bytes) {
            let again = serde_json::to_vec(&request).expect("a request is JSON");
            assert_eq!(serde_json::from_slice::<Request>(&again).ok(), Some(request));
        }
        if let Ok(response) = serde_json::from_slice::<Response>(&frame.bytes) {
            let again = serde_json::to_vec(&response).expect("a response is JSON");
            assert_eq!(serde_json::from_slice::<Response>(&again).ok(), Some(response));
        }
    }
    assert!(bytes.starts_with(&written));
}

fn frames(bytes: &[u8], step: usize) -> Vec<Frame> {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for piece in bytes.chunks(step) {
        decoder.feed(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return found,
            }
        }
    }
    found
}

/// A line of a log, which anybody may have changed.
pub fn log_line(bytes: &[u8]) {
    if let Some(line) = decode_log_line(bytes) {
        assert!(std::str::from_utf8(&line.bytes).is_ok());
        assert!(line.bytes.len() <= bytes.len());
    }
}
