//! Connections: accepted until the shutdown, then given a little time to end.
//!
//! Nobody holds the server up by being slow: a connection that sends no whole header, or neither sends nor takes a byte,
//! is closed; beyond the limit connections wait in the kernel's queue. A pause within a body has its own limit, see `body`.

mod watched;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use strata_store::registry::Registry;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower_service::Service as _;

use crate::service::{Connection, Scheme};
use watched::Watched;

/// How often links of repositories that are due, and ended leases, are looked for.
const REVIEW: Duration = Duration::from_secs(30);
/// How often ended uploads and other leftovers are looked for, in reviews.
const LEFTOVERS: u32 = 120;
/// How often old history is forgotten.
const FORGETTING: Duration = Duration::from_secs(24 * 3600);
/// Pause after a connection could not be accepted, as when there are no more file descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// What clients may take of a server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Connections at once.
    pub connections: usize,
    /// Time for a handshake, and for the header of a request; also how long a connection may be idle between requests.
    pub header_time: Duration,
    /// Largest header of a request in bytes, and what is read at once of its body.
    pub header_size: usize,
    /// How long a connection may go without a byte in either direction while a request runs.
    pub idle_time: Duration,
    /// How long running requests may go on after the shutdown began. Uploads go on later where they stopped.
    pub grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            connections: 4096,
            header_time: Duration::from_secs(30),
            header_size: 128 << 10,
            idle_time: Duration::from_secs(600),
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves `router` on `listener` in plain HTTP until `shutdown` is ready: then no new connection is accepted, and running
/// requests get ten seconds.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let plain = |stream: TcpStream| std::future::ready(Ok(stream));
    serve_streams(listener, router, Scheme::Http, plain, ServerLimits::default(), shutdown).await
}

/// As [`serve`], over what `handshake` makes of a connection (TLS: an acceptor's stream). Handshakes run beside each other
/// and within the time of a header. Each request has a [`Connection`] among its extensions.
///
/// # Errors
/// When the listener fails.
pub async fn serve_streams<H, F, S>(
    listener: TcpListener,
    router: Router,
    scheme: Scheme,
    handshake: H,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    H: Fn(TcpStream) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepting = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepting => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let handshake = handshake(stream);
        let (router, watcher) = (router.clone(), graceful.watcher());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(limits.header_time, handshake).await {
                serve_connection(stream, router, Connection { peer, scheme }, limits, watcher).await;
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were cut off {} seconds after the shutdown began", limits.grace.as_secs());
    }
    Ok(())
}

async fn serve_connection<S>(stream: S, router: Router, connection: Connection, limits: ServerLimits, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(limits.header_size.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.header_time)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX));
    let stream = Watched::new(stream, limits.header_time, limits.idle_time);
    let outlet = stream.outlet();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(connection);
        if let Some(outlet) = &outlet
            && request.version() < Version::HTTP_2
        {
            request.extensions_mut().insert(outlet.clone());
        }
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
    });
    let serving = watcher.watch(builder.serve_connection(TokioIo::new(stream), service).into_owned());
    if let Err(error) = serving.await {
        tracing::debug!(peer = %connection.peer, error, "a connection broke");
    }
}

/// Unlinks and removes what is not needed any more, for as long as it is polled. To run beside [`serve`].
pub async fn collect_periodically(registry: Registry) {
    let mut interval = tokio::time::interval(REVIEW);
    for round in 0u32.. {
        interval.tick().await;
        let mut freed = registry.collect(None).await;
        if round % LEFTOVERS == 0
            && let Ok(before) = freed
        {
            freed = registry.store().collect_leftovers().await.map(|more| before + more).map_err(Into::into);
        }
        match freed {
            Ok(0) => {}
            Ok(freed) => tracing::info!(freed, "collected what is not needed any more"),
            Err(error) => tracing::warn!(%error, "what is not needed any more could not be collected"),
        }
    }
}

/// Forgets old history, for as long as it is polled. For a registry whose history nobody follows.
pub async fn forget_periodically(registry: Registry) {
    let mut interval = tokio::time::interval(FORGETTING);
    loop {
        interval.tick().await;
        if let Err(error) = registry.forget_history(None).await {
            tracing::warn!(%error, "old history could not be forgotten");
        }
    }
}
