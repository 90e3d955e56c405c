//! Connections: accepted from every listener until the shutdown, then given a little time to end.
//!
//! HTTP/1.1 only, as docker's clients speak it. A connection that sends no whole head in time is closed; one whose request
//! runs may be silent for as long as it wants, as `logs -f` and `events` are. What was upgraded (attach, exec) is cut off
//! with the server; the containers go on.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::service::{EngineService, Peer};
use crate::sys;
use crate::tls::MutualTls;

/// Connections at once.
const CONNECTIONS: u32 = 4096;
/// Time for a handshake, and for the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// Largest head of a request in bytes.
const HEAD_SIZE: usize = 128 << 10;
/// How long running requests may go on after the shutdown began.
const GRACE: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted, as when there are no more file descriptors.
const BREATH: Duration = Duration::from_millis(100);
/// Mode of the socket: its owner and its group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Where connections come from.
#[derive(Debug)]
pub struct Listener(Kind);

enum Kind {
    Unix {
        listener: UnixListener,
        /// To be removed at the end; those of systemd stay.
        own: Option<PathBuf>,
    },
    Tcp {
        listener: TcpListener,
        tls: TlsAcceptor,
    },
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Kind::Unix { listener, .. } => listener.fmt(formatter),
            Kind::Tcp { listener, .. } => listener.fmt(formatter),
        }
    }
}

impl Listener {
    /// Listens on a socket in the file system, for its owner and `group` (a name or a number). A socket that nobody listens
    /// on any more is replaced.
    ///
    /// # Errors
    /// `AddrInUse` when somebody listens there; when the group is not known, or the file cannot be made.
    pub fn unix(path: &Path, group: Option<&str>) -> io::Result<Listener> {
        let group = group.map(group_id).transpose()?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                if std::os::unix::net::UnixStream::connect(path).is_ok() {
                    return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
                }
                fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
        // Made under another name, so that nobody connects before it has its owner and its mode.
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let listener = UnixListener::bind(&new)?;
        let settle = || {
            if let Some(group) = group {
                chown(&new, None, Some(group))?;
            }
            fs::set_permissions(&new, fs::Permissions::from_mode(SOCKET_MODE))?;
            fs::rename(&new, path)
        };
        settle().inspect_err(|_| drop(fs::remove_file(&new)))?;
        Ok(Listener(Kind::Unix { listener, own: Some(path.to_owned()) }))
    }

    /// Listens on an address for clients that show a certificate.
    ///
    /// # Errors
    /// When the address is taken, or the files are not what TLS needs.
    pub async fn tcp(address: &str, tls: &MutualTls) -> io::Result<Listener> {
        let tls = tls.acceptor().map_err(io::Error::other)?;
        Ok(Listener(Kind::Tcp { listener: TcpListener::bind(address).await?, tls }))
    }

    /// Where it listens, as `DOCKER_HOST` names it.
    pub fn address(&self) -> String {
        match &self.0 {
            Kind::Unix { own: Some(path), .. } => format!("unix://{}", path.display()),
            Kind::Unix { listener, own: None } => {
                let path = listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
                path.map_or("fd://".to_owned(), |path| format!("unix://{}", path.display()))
            }
            Kind::Tcp { listener, .. } => {
                listener.local_addr().map_or("tcp://".to_owned(), |address| format!("tcp://{address}"))
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix { own: Some(path), .. } = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

/// The number of a group.
fn group_id(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let groups = fs::read_to_string("/etc/group")?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1))??.parse().ok()
    });
    number.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("group {group} not found")))
}

/// The Unix sockets that systemd passes (sd_listen_fds(3)): `LISTEN_PID` is this process, `LISTEN_FDS` how many there are,
/// from descriptor 3 on. To be called once.
///
/// # Errors
/// When a descriptor is no Unix socket that listens.
pub fn listeners_from_systemd() -> io::Result<Vec<Listener>> {
    const FIRST: RawFd = 3;
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let count = RawFd::try_from(number("LISTEN_FDS").unwrap_or(0)).unwrap_or(0);
    (FIRST..FIRST + count).map(passed_listener).collect()
}

fn passed_listener(number: RawFd) -> io::Result<Listener> {
    let passed = sys::take(number)?;
    rustix::io::fcntl_setfd(&passed, rustix::io::FdFlags::CLOEXEC)?;
    let listener = std::os::unix::net::UnixListener::from(passed);
    listener.local_addr()?;
    listener.set_nonblocking(true)?;
    Ok(Listener(Kind::Unix { listener: UnixListener::from_std(listener)?, own: None }))
}

/// Serves on all listeners until `shutdown` is ready: then no new connection is accepted, and running requests get ten
/// seconds.
pub async fn serve(
    listeners: Vec<Listener>,
    service: EngineService,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
    let server = Arc::new(Server { service: Arc::new(service), stopping, slots: slots.clone() });
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(server.clone().accept(listener));
    }
    shutdown.await;
    accepting.shutdown().await;
    stop.send_replace(true);
    // Every connection gives its slot back when it ends.
    if tokio::time::timeout(GRACE, slots.acquire_many(CONNECTIONS)).await.is_err() {
        tracing::warn!("requests were cut off {} seconds after the shutdown began", GRACE.as_secs());
    }
}

struct Server {
    service: Arc<EngineService>,
    stopping: watch::Receiver<bool>,
    slots: Arc<Semaphore>,
}

impl Server {
    async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            // Never closed, so that there is always one in the end.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else { return };
            let accepted = match &listener.0 {
                Kind::Unix { listener, .. } => listener.accept().await.map(|(stream, _)| self.serve_unix(stream, slot)),
                Kind::Tcp { listener, tls } => {
                    listener.accept().await.map(|(stream, _)| self.serve_tcp(stream, tls.clone(), slot))
                }
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }

    fn serve_unix(&self, stream: UnixStream, slot: OwnedSemaphorePermit) {
        let peer = match stream.peer_cred() {
            Ok(who) => format!("uid={} pid={}", who.uid(), who.pid().unwrap_or(0)),
            Err(_) => "unknown".to_owned(),
        };
        let (service, stopping) = (self.service.clone(), self.stopping.clone());
        tokio::spawn(async move {
            serve_connection(stream, service, Peer(peer.into()), stopping).await;
            drop(slot);
        });
    }

    fn serve_tcp(&self, stream: TcpStream, tls: TlsAcceptor, slot: OwnedSemaphorePermit) {
        let _ = stream.set_nodelay(true);
        let peer = stream.peer_addr().map_or("unknown".to_owned(), |address| address.to_string());
        let (service, stopping) = (self.service.clone(), self.stopping.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await {
                serve_connection(stream, service, Peer(peer.into()), stopping).await;
            }
            drop(slot);
        });
    }
}

async fn serve_connection<S>(stream: S, service: Arc<EngineService>, peer: Peer, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(HEAD_SIZE).title_case_headers(true);
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, peer) = (service.clone(), peer.clone());
        async move { Ok::<_, Infallible>(service.answer(request.map(Body::new), &peer).await) }
    });
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), answer).with_upgrades());
    let stopped = async move { drop(stopping.wait_for(|stops| *stops).await) };
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = stopped => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke");
    }
}
