//! Websockets (RFC 6455), as far as a browser's terminal needs them: the answer to a handshake, and frames of an upgraded
//! connection. What clients send are bytes of the program's input, however they are cut into messages.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::sync::mpsc;

use crate::status::{Answer, Failure};

/// RFC 6455, section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest message of a client, in bytes.
const LONGEST: u64 = 1 << 20;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The answer to a handshake.
///
/// # Errors
/// 400 for what is none.
pub(crate) fn handshake(headers: &HeaderMap) -> Answer {
    let has = |name, wanted: &str| {
        let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| {
        has(header::UPGRADE, "websocket")
            && has(header::CONNECTION, "upgrade")
            && has(header::SEC_WEBSOCKET_VERSION, "13")
    });
    let key = key.ok_or_else(|| Failure::bad_request("not a websocket handshake"))?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), MAGIC.as_bytes()].concat());
    let mut response = axum::response::Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(&STANDARD.encode(hash)).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}

/// Puts frames around what goes to a client, and says at its end that this is the end. Answers come between.
pub(crate) fn framed(mut pieces: mpsc::Receiver<Bytes>, mut answers: mpsc::Receiver<Bytes>) -> mpsc::Receiver<Bytes> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                biased;
                Some(answer) = answers.recv() => answer,
                piece = pieces.recv() => match piece {
                    Some(piece) => frame(BINARY, &piece),
                    None => break,
                },
            };
            if sender.send(frame).await.is_err() {
                return;
            }
        }
        // 1000: all is done.
        let _ = sender.send(frame(CLOSE, &1000_u16.to_be_bytes())).await;
    });
    receiver
}

/// Takes the frames off what a client sends; `answers` get what its pings ask for. It ends with the client's last word, or
/// with the first one that is no frame.
pub(crate) async fn unframed(mut raw: mpsc::Receiver<Bytes>, input: mpsc::Sender<Bytes>, answers: mpsc::Sender<Bytes>) {
    let mut buffer = BytesMut::new();
    while let Some(piece) = raw.recv().await {
        buffer.extend_from_slice(&piece);
        loop {
            let sent = match next_frame(&mut buffer) {
                Ok(None) => break,
                Ok(Some((CONTINUATION | TEXT | BINARY, payload))) => input.send(payload).await.is_ok(),
                Ok(Some((PING, payload))) => answers.send(frame(PONG, &payload)).await.is_ok(),
                Ok(Some((PONG, _))) => true,
                Ok(Some(_)) | Err(NoFrame) => false,
            };
            if !sent {
                return;
            }
        }
    }
}

/// A frame of a server: whole, not masked.
fn frame(kind: u8, payload: &[u8]) -> Bytes {
    let mut frame = vec![0x80 | kind];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame.into()
}

/// What is no frame of a client.
#[derive(Debug, PartialEq, Eq)]
struct NoFrame;

/// The kind and the payload of a client's next frame; `None` as long as it is not whole.
fn next_frame(buffer: &mut BytesMut) -> Result<Option<(u8, Bytes)>, NoFrame> {
    let [first, second, ..] = **buffer else { return Ok(None) };
    // Clients mask, and no extension was agreed on.
    if second & 0x80 == 0 || first & 0x70 != 0 {
        return Err(NoFrame);
    }
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let start = 2 + extended + 4;
    let Some(head) = buffer.get(2..start) else { return Ok(None) };
    let length = match extended {
        0 => u64::from(second & 0x7f),
        _ => head[..extended].iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if length > LONGEST {
        return Err(NoFrame);
    }
    let mask: [u8; 4] = head[extended..].try_into().map_err(|_| NoFrame)?;
    let length = usize::try_from(length).map_err(|_| NoFrame)?;
    if buffer.len() < start + length {
        return Ok(None);
    }
    buffer.advance(start);
    let mut payload = buffer.split_to(length);
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok(Some((first & 0x0f, payload.freeze())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut sent = frame(kind, payload).to_vec();
        sent[1] |= 0x80;
        let start = sent.len() - payload.len();
        for (place, byte) in sent[start..].iter_mut().enumerate() {
            *byte ^= [1, 2, 3, 4][place % 4];
        }
        sent.splice(start..start, [1, 2, 3, 4]);
        sent
    }

    #[test]
    fn the_handshake_of_the_standard() {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        assert!(handshake(&headers).is_err());
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        let answer = handshake(&headers).unwrap();
        assert_eq!(answer.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        for length in [0, 5, 125, 126, 70_000] {
            let payload = vec![b'x'; length];
            let sent = masked(BINARY, &payload);
            let mut buffer = BytesMut::new();
            for byte in &sent[..sent.len() - 1] {
                buffer.extend_from_slice(&[*byte]);
                if length < 1000 {
                    assert_eq!(next_frame(&mut buffer), Ok(None));
                }
            }
            buffer.extend_from_slice(&sent[sent.len() - 1..]);
            buffer.extend_from_slice(&masked(PING, b"?"));
            assert_eq!(next_frame(&mut buffer), Ok(Some((BINARY, payload.into()))));
            assert_eq!(next_frame(&mut buffer), Ok(Some((PING, Bytes::from_static(b"?")))));
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn what_is_no_frame() {
        let of = |bytes: &[u8]| next_frame(&mut BytesMut::from(bytes));
        assert_eq!(of(&frame(BINARY, b"not masked")), Err(NoFrame));
        assert_eq!(of(&[0xf2, 0x80]), Err(NoFrame));
        assert_eq!(of(&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]), Err(NoFrame), "too long");
    }
}
