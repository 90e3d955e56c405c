//! Bodies of requests: read a chunk at a time, with an end to waiting.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body_util::BodyExt as _;

use crate::error::{Failure, Result};

/// How long a client may pause within a body.
const PATIENCE: Duration = Duration::from_secs(120);
/// What is read and thrown away after a failure, in bytes and time, so that the client reads our answer rather than finding
/// its connection reset while it still sends.
const DRAINED: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of a request.
pub(crate) struct Incoming(Body);

impl Incoming {
    pub(crate) fn new(body: Body) -> Incoming {
        Incoming(body)
    }

    /// The next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.0.frame()).await.map_err(|_| {
                let message = format!("no byte of the body came for {} seconds", PATIENCE.as_secs());
                Failure::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", message)
            })?;
            match frame {
                None => return Ok(None),
                Some(Err(cause)) => {
                    let message = format!("reading the body: {cause}");
                    return Err(Failure::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", message));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                    // Trailers mean nothing here.
                    _ => {}
                },
            }
        }
    }

    /// The whole body; `None` when it is longer than `limit`.
    pub(crate) async fn whole(&mut self, limit: usize) -> Result<Option<Bytes>> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.next().await? {
            if whole.len() + bytes.len() > limit {
                return Ok(None);
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(Some(whole.freeze()))
    }

    /// Reads some of what is left and throws it away.
    pub(crate) async fn drain(&mut self) {
        let draining = async {
            let mut drained = 0;
            while let Ok(Some(bytes)) = self.next().await {
                drained += bytes.len();
                if drained > DRAINED {
                    return;
                }
            }
        };
        // Whether the client sent it all does not matter any more.
        let _ = tokio::time::timeout(DRAIN_TIME, draining).await;
    }
}
