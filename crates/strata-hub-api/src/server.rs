//! Connections: plain or TLS, HTTP/1.1 or 2, accepted until the shutdown, then given a little time to end.
//!
//! Every request gets an identity (`x-request-id`, the client's own if it is harmless), is counted, and is logged in one line
//! without its query or headers. Handlers find the peer's address as [`ConnectInfo`] and whether the connection is encrypted
//! as [`Scheme`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::header::HeaderName;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::telemetry::{Route, Telemetry};

/// How long running requests may go on after the shutdown began. Uploads go on later where they stopped.
const GRACE: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's head, and a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(60);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Pause after the system refused a connection: no file descriptors, no memory.
const PAUSE: Duration = Duration::from_millis(100);
/// Connections at once. More wait in the system's queue.
const CONNECTIONS: usize = 4096;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest identity that is taken from a client.
const LONGEST_ID: usize = 64;

/// What all connections share.
#[derive(Clone)]
pub struct Server {
    /// What answers.
    pub router: Router,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
    /// How connections are encrypted, if they are.
    pub tls: Option<TlsAcceptor>,
}

impl Server {
    /// Serves on `listener` until `shutdown` is ready: then no new connection is accepted, and running requests get ten
    /// seconds.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            tokio::select! {
                (place, accepted) = accepted => match accepted {
                    Ok((stream, peer)) => {
                        let (server, watcher) = (self.clone(), graceful.watcher());
                        tokio::spawn(async move {
                            server.telemetry.connection(1);
                            server.connection(stream, peer, watcher).await;
                            server.telemetry.connection(-1);
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(PAUSE).await;
                    }
                },
                () = &mut shutdown => break,
            }
        }
        drop(listener);
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were cut off {} seconds after the shutdown began", GRACE.as_secs());
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, watcher: hyper_util::server::graceful::Watcher) {
        // Answers are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return self.requests(stream, peer, Scheme::HTTP, watcher).await };
        match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, peer, Scheme::HTTPS, watcher).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn requests(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        scheme: Scheme,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let router = TowerToHyperService::new(self.router.clone());
        let telemetry = self.telemetry.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), telemetry.clone(), request, peer, scheme.clone())
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIME).max_concurrent_streams(128);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%peer, %error, "a connection broke");
        }
    }
}

async fn answer(
    router: TowerToHyperService<Router>,
    telemetry: Arc<Telemetry>,
    request: Request<Incoming>,
    peer: SocketAddr,
    scheme: Scheme,
) -> Result<Response<Counted<Body>>, std::convert::Infallible> {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let id = request_id(request.headers().get(&REQUEST_ID));
    let _in_flight = InFlight::begin(&telemetry);
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(ConnectInfo(peer));
    parts.extensions.insert(scheme);
    let body = Counted { body, telemetry: telemetry.clone(), count: Telemetry::received };
    let answered = router.call(Request::from_parts(parts, Body::new(body))).await;
    let mut response = answered.unwrap_or_else(|never| match never {});
    let (status, elapsed) = (response.status(), began.elapsed());
    telemetry.request(Route::of(&path), &method, status, elapsed);
    tracing::info!(
        target: "strata::requests",
        id = id.to_str().unwrap_or_default(), %peer, %method, path, status = status.as_u16(),
        milliseconds = elapsed.as_millis() as u64, "answered"
    );
    response.headers_mut().insert(REQUEST_ID, id);
    Ok(response.map(|body| Counted { body, telemetry: telemetry.clone(), count: Telemetry::sent }))
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
pub(crate) struct Counted<B> {
    body: B,
    telemetry: Arc<Telemetry>,
    count: fn(&Telemetry, u64),
}

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
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

/// Listens on `address`.
///
/// # Errors
/// What the system says, with the address.
pub async fn listen(address: &str) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .map_err(|cause| io::Error::new(cause.kind(), format!("listening on {address}: {cause}")))
}
