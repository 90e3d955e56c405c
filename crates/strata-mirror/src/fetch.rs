//! One blob on its way from a remote, and those who wait for it.
//!
//! A fetch is a task of its own: it writes what arrives to the staged bytes of the blob, tells how much there is, resumes a
//! broken stream where it stopped, and publishes when the digest is right. Followers read the staged bytes at their own
//! speed, from any offset, and get the last byte only when the blob was published: a wrong one ends in a broken connection.
//!
//! When the last follower left, a fetch that is nearly done goes on; another one stops, and what arrived stays staged for
//! the next, as it does when the process dies.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use strata_model::{Descriptor, Digest, ErrorKind, MediaType, Repository};
use strata_registry_client::RepositoryClient;
use strata_store::BlobBytes;
use strata_store::registry::{Registry, RegistryError, Upload};
use strata_transfer::TransferError;
use tokio::sync::watch;

use crate::error::is_refusal;

/// With at most so many bytes left, a fetch goes on when nobody follows it any more.
const NEARLY_DONE: u64 = 16 << 20;
/// Streams that may break in a row without a byte.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Followers are told of what arrived after so many bytes or so much time.
const STEP: u64 = 256 << 10;
const STEP_TIME: Duration = Duration::from_millis(50);
/// What a follower reads at once.
const CHUNK: usize = 256 << 10;

/// Why a fetch ended without the blob.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The remote has no such blob, or not for us.
    pub(crate) is_refusal: bool,
}

impl From<TransferError> for Failure {
    fn from(error: TransferError) -> Failure {
        Failure { is_refusal: is_refusal(&error), kind: error.kind, message: error.message }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Failure {
        Failure { is_refusal: false, kind: error.kind(), message: error.to_string() }
    }
}

/// How far a fetch is.
#[derive(Clone)]
enum State {
    /// The remote did not answer yet.
    Asking,
    /// Some of `size` bytes are here.
    Arriving {
        size: u64,
        stored: Arc<dyn BlobBytes>,
    },
    /// All are here and right.
    Done {
        size: u64,
        stored: Arc<dyn BlobBytes>,
    },
    /// There was nothing to fetch: the repository has the blob.
    Kept,
    Failed(Failure),
}

/// The fetches of a mirror. Its lock orders joining and ending: who joined before the end is served by it.
#[derive(Default)]
pub(crate) struct Fetches(Mutex<HashMap<Digest, Running>>);

struct Running {
    /// One more than the followers have.
    state: watch::Receiver<State>,
    /// Who gets the blob: the first is whose remote is asked, the others are known to have it too.
    mirrors: Vec<Repository>,
}

/// What to fetch.
#[derive(Clone)]
pub(crate) struct Fetch {
    pub(crate) registry: Registry,
    pub(crate) client: RepositoryClient,
    pub(crate) digest: Digest,
}

impl Fetches {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a fetch that goes on for `mirror`, if there is one.
    pub(crate) fn join(&self, mirror: &Repository, digest: &Digest) -> Option<Following> {
        let fetches = self.lock();
        let running = fetches.get(digest)?;
        (running.is_alive() && running.mirrors.contains(mirror)).then(|| Following(running.state.clone()))
    }

    /// Follows a fetch that goes on, or starts one. `None` when one goes on for other repositories only: it is joined if
    /// `mirror` is known to have the blob.
    pub(crate) fn join_or_start(
        self: &Arc<Self>,
        mirror: &Repository,
        fetch: &Fetch,
        is_known: bool,
    ) -> Option<Following> {
        let mut fetches = self.lock();
        if let Some(running) = fetches.get_mut(&fetch.digest).filter(|running| running.is_alive()) {
            if !running.mirrors.contains(mirror) {
                if !is_known {
                    return None;
                }
                running.mirrors.push(mirror.clone());
            }
            return Some(Following(running.state.clone()));
        }
        let (sender, state) = watch::channel(State::Asking);
        let following = Following(state.clone());
        fetches.insert(fetch.digest, Running { state, mirrors: vec![mirror.clone()] });
        let task = Task { fetches: Arc::clone(self), mirror: mirror.clone(), fetch: fetch.clone(), state: sender };
        tokio::spawn(task.run());
        Some(following)
    }
}

impl Running {
    fn is_alive(&self) -> bool {
        self.state.has_changed().is_ok()
    }
}

/// A fetch at work.
struct Task {
    fetches: Arc<Fetches>,
    mirror: Repository,
    fetch: Fetch,
    state: watch::Sender<State>,
}

impl Task {
    async fn run(self) {
        let result = self.fetch_and_publish().await;
        let digest = self.fetch.digest;
        // Who comes from now on finds the blob in the store, or starts anew.
        let others = self.leave(&mut self.fetches.lock());
        let state = match result {
            Ok(state) => {
                for other in others.iter().filter(|other| **other != self.mirror) {
                    if let Err(error) = self.fetch.registry.keep_blob(other, &digest).await {
                        tracing::warn!(%error, mirror = %other, %digest, "a fetched blob could not be linked");
                    }
                }
                state
            }
            Err(failure) => {
                tracing::info!(error = failure.message, mirror = %self.mirror, %digest, "a blob was not fetched");
                State::Failed(failure)
            }
        };
        self.state.send_replace(state);
    }

    async fn fetch_and_publish(&self) -> Result<State, Failure> {
        let Fetch { registry, client, digest } = &self.fetch;
        // Another fetch may have ended between the asker's look at the store and this one's start.
        if registry.blob_size(&self.mirror, digest).await.is_ok() {
            return Ok(State::Kept);
        }
        let mut upload = registry.receive_blob(&self.mirror, digest).await?;
        let mut size = None;
        if upload.length() > 0 {
            size = client.blob_size(digest).await?;
            if size.is_none_or(|size| upload.length() > size) {
                upload.restart(digest.algorithm()).await?;
            }
        }
        let size = match self.receive_all(&mut upload, size).await {
            Ok(size) => size,
            Err(failure) => {
                if failure.kind == ErrorKind::Corrupt {
                    upload.cancel().await?;
                }
                return Err(failure);
            }
        };
        let stored = upload.stored()?;
        upload.finish(*digest).await?;
        Ok(State::Done { size, stored })
    }

    /// Receives what is missing, in as many streams as it takes; returns the size.
    async fn receive_all(&self, upload: &mut Upload, mut size: Option<u64>) -> Result<u64, Failure> {
        let (mut tries, mut pause) = (0, FIRST_PAUSE);
        loop {
            if let Some(size) = size.filter(|size| upload.length() == *size) {
                return Ok(size);
            }
            let before = upload.length();
            match self.receive(upload, &mut size).await {
                Ok(()) => {}
                Err(Broken::Remote(error)) if error.retryable => {
                    tracing::debug!(%error, length = upload.length(), "a stream broke");
                }
                Err(Broken::Remote(error)) => return Err(error.into()),
                Err(Broken::Here(failure)) => return Err(failure),
            }
            if upload.length() > before {
                (tries, pause) = (0, FIRST_PAUSE);
            } else {
                tries += 1;
                if tries == TRIES {
                    let message = format!("blob {}: the stream broke {TRIES} times in a row", self.fetch.digest);
                    return Err(Failure { kind: ErrorKind::Unavailable, message, is_refusal: false });
                }
            }
            if size.is_none_or(|size| upload.length() < size) {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }

    /// Receives one stream, to its end or to where it breaks.
    async fn receive(&self, upload: &mut Upload, size: &mut Option<u64>) -> Result<(), Broken> {
        let digest = self.fetch.digest;
        let have = upload.length();
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, digest, size.unwrap_or(0));
        let (mut blob, told) = self.fetch.client.open(&descriptor, have).await?;
        let size = match (*size, told) {
            (Some(known), Some(told)) if known != told => {
                let message = format!("blob {digest}: it has {told} bytes now, and had {known}");
                return Err(TransferError::new(ErrorKind::Corrupt, message).into());
            }
            (None, None) => {
                let message = format!("blob {digest}: its size is not told");
                return Err(TransferError::new(ErrorKind::Unsupported, message).into());
            }
            (known, told) => *size.insert(known.or(told).unwrap_or(0)),
        };
        self.tell(upload, size)?;
        let mut told = (upload.length(), Instant::now());
        // A remote that cannot start in the middle sends again what is here.
        let mut skipped = have.saturating_sub(blob.from);
        let broken = loop {
            let mut chunk = match blob.stream.try_next().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break None,
                Err(error) => break Some(error),
            };
            let surplus = skipped.min(chunk.len() as u64);
            skipped -= surplus;
            let chunk = chunk.split_off(surplus as usize);
            if upload.length() + chunk.len() as u64 > size {
                let message = format!("blob {digest}: more than the {size} bytes that were told");
                return Err(TransferError::new(ErrorKind::Corrupt, message).into());
            }
            upload.write(&chunk).await?;
            if upload.length() - told.0 >= STEP || told.1.elapsed() >= STEP_TIME {
                self.tell(upload, size)?;
                told = (upload.length(), Instant::now());
            }
        };
        self.tell(upload, size)?;
        broken.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Tells followers what is here. An error when there are none, and much is missing.
    fn tell(&self, upload: &Upload, size: u64) -> Result<(), Broken> {
        let left = size.saturating_sub(upload.length());
        if left > NEARLY_DONE && self.is_abandoned() {
            let message = format!("blob {}: nobody wants it any more", self.fetch.digest);
            return Err(Broken::Here(Failure { kind: ErrorKind::Cancelled, message, is_refusal: false }));
        }
        self.state.send_replace(State::Arriving { size, stored: upload.stored()? });
        Ok(())
    }

    /// Whether nobody follows; then nobody can join any more.
    fn is_abandoned(&self) -> bool {
        let mut fetches = self.fetches.lock();
        let is_abandoned = self.state.receiver_count() <= 1;
        if is_abandoned {
            self.leave(&mut fetches);
        }
        is_abandoned
    }

    /// Takes this fetch, and not a later one of the same blob, off the list; returns for whom it was.
    fn leave(&self, fetches: &mut HashMap<Digest, Running>) -> Vec<Repository> {
        let digest = &self.fetch.digest;
        match fetches.get(digest) {
            Some(running) if running.state.same_channel(&self.state.subscribe()) => {
                fetches.remove(digest).map(|running| running.mirrors).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }
}

/// Why one stream did not bring the rest.
enum Broken {
    Remote(TransferError),
    Here(Failure),
}

impl From<TransferError> for Broken {
    fn from(error: TransferError) -> Broken {
        Broken::Remote(error)
    }
}

impl From<RegistryError> for Broken {
    fn from(error: RegistryError) -> Broken {
        Broken::Here(error.into())
    }
}

/// One who waits for a blob. Dropping it is leaving.
pub(crate) struct Following(watch::Receiver<State>);

impl Following {
    /// The blob's size, once the remote told it; `None` when there is nothing to follow, because the blob is here.
    pub(crate) async fn size(&mut self) -> Result<Option<u64>, Failure> {
        let state = self.0.wait_for(|state| !matches!(state, State::Asking)).await.map(|state| state.clone());
        match state {
            Ok(State::Arriving { size, .. } | State::Done { size, .. }) => Ok(Some(size)),
            Ok(State::Failed(failure)) => Err(failure),
            Ok(State::Kept | State::Asking) => Ok(None),
            Err(_) => Err(Failure {
                kind: ErrorKind::Internal,
                message: "the fetch ended without a word".into(),
                is_refusal: false,
            }),
        }
    }

    /// The bytes from `offset` on, as they arrive.
    pub(crate) fn stream(self, offset: u64) -> BoxStream<'static, io::Result<Bytes>> {
        stream::try_unfold((self, offset), |(mut following, offset)| async move {
            let chunk = following.next(offset).await?;
            Ok(chunk.map(|chunk| {
                let end = offset + chunk.len() as u64;
                (chunk, (following, end))
            }))
        })
        .boxed()
    }

    async fn next(&mut self, offset: u64) -> io::Result<Option<Bytes>> {
        loop {
            let state = self.0.borrow_and_update().clone();
            let (stored, size, readable) = match state {
                State::Done { size, stored } => (stored, size, size),
                State::Arriving { size, stored } => {
                    let readable = stored.size().min(size.saturating_sub(1));
                    (stored, size, readable)
                }
                State::Failed(failure) => return Err(io::Error::other(failure.message)),
                State::Asking | State::Kept => return Err(io::ErrorKind::UnexpectedEof.into()),
            };
            if offset < readable {
                return read(stored, offset, readable).await.map(Some);
            }
            if offset >= size {
                return Ok(None);
            }
            if self.0.changed().await.is_err() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Some bytes from `offset` on, before `end`.
async fn read(stored: Arc<dyn BlobBytes>, offset: u64, end: u64) -> io::Result<Bytes> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut buffer = vec![0; CHUNK.min(usize::try_from(end - offset).unwrap_or(CHUNK))];
        match stored.read_at(offset, &mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer.truncate(count);
                Ok(Bytes::from(buffer))
            }
        }
    });
    reading.await.map_err(io::Error::other)?
}
