//! Websockets (RFC 6455) around a program's streams, as a browser's terminal speaks them: the answer to a handshake, and the
//! messages of an upgraded connection. What clients send are bytes of the program's input, however they are cut.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::status::{Answer, Failure};

/// Longest message of a client, in bytes.
const LONGEST: usize = 1 << 20;

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
    let mut response = axum::response::Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).unwrap_or(HeaderValue::from_static(""));
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    Ok(response)
}

/// Moves pieces between the upgraded connection and the work, until the work has no more, which the client is told, or the
/// client closes: then it takes no more output either.
pub(crate) async fn carry(upgrade: OnUpgrade, mut pieces: mpsc::Receiver<Bytes>, input: mpsc::Sender<Bytes>) {
    let Ok(upgraded) = upgrade.await else { return };
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    let (mut sink, mut messages) = socket.split();
    let reading = async move {
        while let Some(Ok(message)) = messages.next().await {
            // Pings are answered by the library; what nobody wants is read all the same, so that a close is seen.
            if matches!(message, Message::Binary(_) | Message::Text(_)) {
                let _ = input.send(message.into_data()).await;
            }
        }
    };
    let writing = async move {
        while let Some(piece) = pieces.recv().await {
            if sink.send(Message::Binary(piece)).await.is_err() {
                return;
            }
        }
        let _ = sink.close().await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
