//! What happens to every request besides its answer: it gets an identity, is counted, and is logged in one line.
//!
//! The identity is `x-request-id`, the client's own if it is harmless. The log has neither query nor headers: tokens are there.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::HeaderName;
use http_body::{Frame, SizeHint};
use strata_registry::Connection;

use crate::telemetry::{Route, Telemetry};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest identity that is taken from a client.
const LONGEST_ID: usize = 64;

/// The router whose requests are counted and logged.
pub fn observed(router: Router, telemetry: Arc<Telemetry>) -> Router {
    router.layer(from_fn_with_state(telemetry, observe))
}

async fn observe(State(telemetry): State<Arc<Telemetry>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<Connection>().map(|connection| connection.peer.ip());
    let id = request_id(request.headers().get(&REQUEST_ID));
    let in_flight = InFlight::begin(&telemetry);
    let request = request.map(|body| counted(body, &telemetry, Telemetry::received));
    let mut response = next.run(request).await;
    drop(in_flight);
    let (status, elapsed) = (response.status(), began.elapsed());
    telemetry.request(Route::of(&path), &method, status, elapsed);
    tracing::info!(
        target: "strata::requests",
        id = id.to_str().unwrap_or_default(),
        peer = peer.map(tracing::field::display),
        %method,
        path,
        status = status.as_u16(),
        milliseconds = elapsed.as_millis() as u64,
        "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    response.map(|body| counted(body, &telemetry, Telemetry::sent))
}

/// A request that is being answered; also when its client goes away meanwhile.
struct InFlight(Arc<Telemetry>);

impl InFlight {
    fn begin(telemetry: &Arc<Telemetry>) -> InFlight {
        telemetry.in_flight(1);
        InFlight(telemetry.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight(-1);
    }
}

/// The client's identity of its request when it cannot harm a log, else one of ours.
fn request_id(sent: Option<&HeaderValue>) -> HeaderValue {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let is_harmless = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(harmless)
    };
    if let Some(sent) = sent.filter(is_harmless) {
        return sent.clone();
    }
    let ours = format!("{:x}-{:x}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    HeaderValue::try_from(ours).unwrap_or_else(|_| HeaderValue::from_static("0"))
}

/// A body whose bytes are counted as they pass.
struct Counted {
    body: Body,
    telemetry: Arc<Telemetry>,
    count: fn(&Telemetry, u64),
}

fn counted(body: Body, telemetry: &Arc<Telemetry>, count: fn(&Telemetry, u64)) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    Body::new(Counted { body, telemetry: telemetry.clone(), count })
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            (self.count)(&self.telemetry, data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_clients_are_kept_when_they_are_harmless() {
        let kept = |text: &str| request_id(HeaderValue::from_str(text).ok().as_ref()) == text;
        assert!(kept("4f1c-2b3a_9.x"));
        let long = "a".repeat(LONGEST_ID + 1);
        for bad in ["", "a b", "a\"b", "{x}", long.as_str()] {
            assert!(!kept(bad), "{bad}");
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
