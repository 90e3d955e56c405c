//! Answers: JSON as Go writes it, and streams that begin with their first byte, so that what fails before it still has a
//! status of its own.

use std::convert::Infallible;
use std::future::Future;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use strata_format::go_json::{self, Escape};
use tokio::sync::mpsc;

use crate::status::{Answer, Failure};

pub(crate) const JSON: &str = "application/json";
/// Messages that wait for a slow reader.
const WAITING: usize = 1024;
/// Messages that are worth nothing once the next one is there are left out while fewer places than this are free.
const RESERVED: usize = 512;

/// JSON with status 200.
pub(crate) fn ok(value: &Value) -> Answer {
    json_with(StatusCode::OK, value)
}

/// JSON with another status.
pub(crate) fn json_with(status: StatusCode, value: &Value) -> Answer {
    Ok(with(status, JSON, Body::from(line(value, "\n"))))
}

/// Nothing but a status.
pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    Ok(response)
}

/// A body of a type.
pub(crate) fn with(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A value as Go writes it, and an end of line.
fn line(value: &Value, end: &str) -> String {
    let mut text = go_json::to_string(value, Escape::Minimal);
    text.push_str(end);
    text
}

/// Where a running request writes its stream. Writing fails once the client has gone.
#[derive(Clone)]
pub(crate) struct Output(mpsc::Sender<Result<Bytes, Failure>>);

/// The client has gone.
pub(crate) struct Gone;

impl Output {
    /// Writes bytes; waits while the client is slow.
    pub(crate) async fn bytes(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(bytes.into())).await.map_err(|_| Gone)
    }

    /// Writes a JSON document and an end of line.
    pub(crate) async fn line(&self, value: &Value) -> Result<(), Gone> {
        self.bytes(line(value, "\n")).await
    }

    /// Writes a message of docker's progress stream.
    pub(crate) async fn message(&self, value: &Value) -> Result<(), Gone> {
        self.bytes(line(value, "\r\n")).await
    }

    /// The same without waiting, from any thread; `passing` messages are left out when the client is slow.
    pub(crate) fn try_message(&self, value: &Value, passing: bool) {
        if !passing || self.0.capacity() > RESERVED {
            let _ = self.0.try_send(Ok(line(value, "\r\n").into()));
        }
    }
}

/// Runs `work` until it ends or its client has gone. What it writes, and last its failure, comes out of the channel.
fn run<F>(work: impl FnOnce(Output) -> F) -> mpsc::Receiver<Result<Bytes, Failure>>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let work = work(Output(sender.clone()));
    tokio::spawn(async move {
        tokio::select! {
            outcome = work => if let Err(failure) = outcome {
                let _ = sender.send(Err(failure)).await;
            },
            () = sender.closed() => {}
        }
    });
    receiver
}

/// An answer whose head is sent at once; `work` writes its body. It is cut off when the client goes away.
pub(crate) fn stream<F>(content_type: &'static str, work: impl FnOnce(Output) -> F) -> Response
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    with(StatusCode::OK, content_type, Body::from_stream(chunks(run(work), nothing)))
}

/// An answer that begins with the first byte that `work` writes. What fails earlier is an answer of its own; what fails
/// later is told by `epilogue`.
pub(crate) async fn begin<F>(
    content_type: &'static str,
    epilogue: fn(&Failure) -> Bytes,
    work: impl FnOnce(Output) -> F,
) -> Answer
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut receiver = run(work);
    match receiver.recv().await {
        Some(Ok(first)) => {
            let first = stream::once(std::future::ready(Ok::<_, Infallible>(first)));
            let body = Body::from_stream(first.chain(chunks(receiver, epilogue)));
            Ok(with(StatusCode::OK, content_type, body))
        }
        Some(Err(failure)) => Err(failure),
        None => Ok(with(StatusCode::OK, content_type, Body::empty())),
    }
}

/// The last message of a progress stream that failed.
pub(crate) fn error_message(failure: &Failure) -> Bytes {
    line(&json!({ "errorDetail": { "message": failure.message }, "error": failure.message }), "\r\n").into()
}

/// What can be told at the end of a stream of bytes: docker's JSON, which cuts the stream off for whoever reads it.
pub(crate) fn error_text(failure: &Failure) -> Bytes {
    line(&json!({ "message": failure.message }), "\n").into()
}

fn nothing(_: &Failure) -> Bytes {
    Bytes::new()
}

fn chunks(
    receiver: mpsc::Receiver<Result<Bytes, Failure>>,
    epilogue: fn(&Failure) -> Bytes,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold(receiver, move |mut receiver| async move {
        let chunk = match receiver.recv().await? {
            Ok(bytes) => bytes,
            Err(failure) => epilogue(&failure),
        };
        Some((Ok(chunk), receiver))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> String {
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_failure_before_the_first_byte_has_a_status_and_a_later_one_is_the_last_message() {
        let failure = Failure::bad_request("no");
        let early = begin(JSON, error_message, |_| std::future::ready(Err(failure.clone()))).await;
        assert_eq!(early.unwrap_err(), failure);
        let late = begin(JSON, error_message, async |output: Output| {
            let _ = output.message(&json!({ "status": "a & b" })).await;
            Err(Failure::bad_request("no"))
        });
        let late = late.await.unwrap();
        assert_eq!(late.status(), StatusCode::OK);
        assert_eq!(
            body(late).await,
            "{\"status\":\"a & b\"}\r\n{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n"
        );
    }

    #[tokio::test]
    async fn work_ends_when_its_client_has_gone() {
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        let response = stream(JSON, |_| async move {
            let _held = ended;
            std::future::pending::<Result<(), Failure>>().await
        });
        drop(response);
        let end = tokio::time::timeout(std::time::Duration::from_secs(10), end).await;
        assert!(end.expect("the work was dropped").is_err());
    }
}
