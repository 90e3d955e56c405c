//! Writing: uploads, mounts, manifests (OCI distribution-spec, "Push").

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Method, StatusCode};
use reqwest::Response;
use strata_model::{Descriptor, Digest, ErrorKind, Manifest, MediaType, Raw, Repository, Target};
use strata_transfer::{
    BlobOutcome, BlobSpec, ImageSink, ImageSource, Origin, Phase, Progress, ProgressEvent, Result, TransferError,
    Verified,
};
use tokio::sync::mpsc;
use url::Url;

use crate::client::Call;
use crate::endpoint::Endpoint;
use crate::failure::{Failure, Outcome};
use crate::repository::RepositoryClient;
use crate::scope::Scopes;
use crate::transport::{Message, location_url};

/// Repositories that are tried as the origin of a mount before a blob is uploaded.
const MAX_MOUNT_TRIES: usize = 3;
/// Pieces of a blob that wait between its source and the network.
const PIPE_DEPTH: usize = 4;

#[async_trait]
impl ImageSink for RepositoryClient {
    async fn missing(&self, wanted: &[BlobSpec]) -> Result<Vec<BlobSpec>> {
        let endpoint = self.own_endpoint().await.map_err(|failure| self.writing_error(*failure))?;
        let answers: Vec<Option<BlobSpec>> = stream::iter(wanted.iter().cloned())
            .map(|blob| {
                let endpoint = &endpoint;
                async move {
                    let here = blob.descriptor.media_type.is_foreign_layer()
                        || self.has_blob(endpoint, &blob.descriptor.digest).await?;
                    Ok::<_, TransferError>((!here).then_some(blob))
                }
            })
            .buffered(self.client.config().concurrency.max(1))
            .try_collect()
            .await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn put_blob(
        &self,
        source: &dyn ImageSource,
        blob: &BlobSpec,
        progress: &dyn Progress,
    ) -> Result<BlobOutcome> {
        let descriptor = &blob.descriptor;
        let endpoint = self.own_endpoint().await.map_err(|failure| self.writing_error(*failure))?;
        let origins = match self.mount_origins(source.origin()) {
            MountOrigins::SameRepository => {
                progress.event(event(descriptor, Phase::Existed, 0));
                return Ok(BlobOutcome::Existed);
            }
            MountOrigins::Others(origins) => origins,
        };
        let mut session = None;
        for origin in origins.iter().take(MAX_MOUNT_TRIES) {
            if let Some(unused) = session.take() {
                self.cancel(&endpoint, unused).await;
            }
            match self.mount(&endpoint, &descriptor.digest, origin).await {
                Ok(Mount::Mounted) => {
                    progress.mounted_from(descriptor.digest, origin);
                    progress.event(event(descriptor, Phase::Mounted, 0));
                    return Ok(BlobOutcome::Mounted);
                }
                Ok(Mount::Session(location)) => session = Some(location),
                // Not allowed to read there, or mounting is not understood: the blob is uploaded.
                Err(failure) => tracing::debug!(error = %failure.error, from = %origin, "mount refused"),
            }
        }
        match self.upload(&endpoint, session, source, descriptor, progress).await {
            Ok(()) => {
                progress.event(event(descriptor, Phase::Complete, descriptor.size));
                Ok(BlobOutcome::Copied)
            }
            Err(failure) => {
                Err(self.writing_error(*failure).while_doing(format_args!("pushing blob {}", descriptor.digest)))
            }
        }
    }

    async fn put_manifest(&self, manifest: &Raw<Manifest>, descriptor: &Descriptor) -> Result<()> {
        let media_type = manifest.value().media_type();
        let target = Target::Digest(descriptor.digest);
        self.put_manifest_bytes(&target, manifest.bytes().clone(), &media_type).await?;
        self.remember(descriptor.digest, manifest.bytes().clone(), media_type);
        Ok(())
    }

    /// Registries refuse an index whose manifests they do not have.
    fn keeps_sparse_indexes(&self) -> bool {
        false
    }

    async fn finish(&self, _resolved: &Descriptor, image: &Descriptor) -> Result<()> {
        match &self.target {
            None => Ok(()),
            Some(Target::Digest(digest)) if *digest == image.digest => Ok(()),
            Some(Target::Digest(digest)) => Err(TransferError::new(
                ErrorKind::Invalid,
                format!(
                    "pushing {}: the image has digest {}",
                    self.familiar(Some(&Target::Digest(*digest))),
                    image.digest
                ),
            )),
            Some(tag) => {
                let (bytes, media_type) = match self.remembered(&image.digest) {
                    Some(known) => known,
                    None => {
                        let (bytes, media_type, _) = self.get_manifest_bytes(&Target::Digest(image.digest)).await?;
                        (bytes, media_type)
                    }
                };
                self.put_manifest_bytes(tag, bytes, &media_type).await.map(drop)
            }
        }
    }
}

/// From where a blob could be linked instead of being uploaded.
enum MountOrigins {
    /// It comes from this very repository.
    SameRepository,
    Others(Vec<Repository>),
}

/// What asking for a mount came to.
enum Mount {
    Mounted,
    /// The registry opened an upload instead.
    Session(Url),
}

impl RepositoryClient {
    /// Writes a manifest under a tag or its digest and returns the digest the registry gave it.
    ///
    /// # Errors
    /// `Denied` or `Unauthenticated` when not allowed, `Invalid` when the registry refuses the manifest.
    pub async fn put_manifest_bytes(&self, target: &Target, bytes: Bytes, media_type: &MediaType) -> Result<Digest> {
        let expected = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(_) => Digest::of(&bytes),
        };
        let put = async {
            let endpoint = self.own_endpoint().await?;
            let url = endpoint.url(&self.repository, &format!("manifests/{target}"));
            let content_type = HeaderValue::from_str(media_type.as_str()).map_err(|_| {
                Failure::new(TransferError::new(ErrorKind::Invalid, format!("media type {media_type:?} is malformed")))
            })?;
            let mut message = Message::new(Method::PUT, url).with(CONTENT_TYPE, content_type);
            message.body = bytes;
            self.client.call(&self.writing_call(&endpoint, message)).await
        };
        let response = put.await.map_err(|failure| {
            self.writing_error(*failure).while_doing(format_args!("pushing manifest {}", self.familiar(Some(target))))
        })?;
        let told = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
        match told {
            Some(told) if told != expected && matches!(target, Target::Digest(_)) => Err(TransferError::new(
                ErrorKind::Corrupt,
                format!("pushing manifest {}: the registry keeps it as {told}", self.familiar(Some(target))),
            )),
            told => Ok(told.unwrap_or(expected)),
        }
    }

    /// Deletes a manifest; for a tag most registries take only the tag away.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` when the registry does not delete.
    pub async fn delete_manifest(&self, target: &Target) -> Result<()> {
        let delete = async {
            let endpoint = self.own_endpoint().await?;
            let url = endpoint.url(&self.repository, &format!("manifests/{target}"));
            let mut call = self.writing_call(&endpoint, Message::new(Method::DELETE, url));
            call.scopes = Scopes::repository(&call.repository, &["pull", "delete"]);
            self.client.call(&call).await
        };
        match delete.await {
            Ok(_) => Ok(()),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => {
                Err(self.reading_error(failure, Some(target)))
            }
            Err(failure) => {
                Err(self.writing_error(*failure).while_doing(format_args!("deleting {}", self.familiar(Some(target)))))
            }
        }
    }

    fn writing_call<'a>(&self, endpoint: &'a Endpoint, message: Message) -> Call<'a> {
        let repository = endpoint.repository(&self.repository);
        Call { endpoint, scopes: Scopes::repository(&repository, &["pull", "push"]), repository, message, tries: None }
    }

    async fn has_blob(&self, endpoint: &Endpoint, digest: &Digest) -> Result<bool> {
        let url = endpoint.url(&self.repository, &format!("blobs/{digest}"));
        match self.client.call(&self.writing_call(endpoint, Message::new(Method::HEAD, url))).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.status == Some(StatusCode::NOT_FOUND) => Ok(false),
            Err(failure) => Err(self.writing_error(*failure)),
        }
    }

    fn mount_origins(&self, source: Origin) -> MountOrigins {
        let mut origins = Vec::new();
        if let Origin::Registry { host, repository } = source
            && host == self.host
        {
            if repository == self.repository {
                return MountOrigins::SameRepository;
            }
            origins.push(repository);
        }
        for candidate in &self.mount_candidates {
            if *candidate != self.repository && !origins.contains(candidate) {
                origins.push(candidate.clone());
            }
        }
        MountOrigins::Others(origins)
    }

    async fn mount(&self, endpoint: &Endpoint, digest: &Digest, origin: &Repository) -> Outcome<Mount> {
        let mut url = endpoint.url(&self.repository, "blobs/uploads/");
        url.query_pairs_mut().append_pair("mount", &digest.to_string()).append_pair("from", origin.as_str());
        let mut call = self.writing_call(endpoint, empty_body(Message::new(Method::POST, url)));
        call.scopes = call.scopes.union(&Scopes::repository(&endpoint.repository(origin), &["pull"]));
        call.tries = Some(1);
        let response = self.client.call(&call).await?;
        if response.status() == StatusCode::CREATED {
            return Ok(Mount::Mounted);
        }
        Ok(Mount::Session(next_location(&call.message.url, &response)?))
    }

    /// Uploads from the beginning: what a registry keeps of a broken upload differs too much to rely on. One try; whoever
    /// copies tries again, in the same way, when the error says that this may help.
    async fn upload(
        &self,
        endpoint: &Endpoint,
        session: Option<Url>,
        source: &dyn ImageSource,
        descriptor: &Descriptor,
        progress: &dyn Progress,
    ) -> Outcome<()> {
        let location = match session {
            Some(location) => location,
            None => self.open_upload(endpoint).await?,
        };
        match self.send_blob(endpoint, &location, source, descriptor, progress).await {
            Ok(next) => self.close_upload(endpoint, next, descriptor).await,
            Err(failure) => {
                self.cancel(endpoint, location).await;
                Err(failure)
            }
        }
    }

    async fn open_upload(&self, endpoint: &Endpoint) -> Outcome<Url> {
        let url = endpoint.url(&self.repository, "blobs/uploads/");
        let call = self.writing_call(endpoint, empty_body(Message::new(Method::POST, url)));
        let response = self.client.call(&call).await?;
        next_location(&call.message.url, &response)
    }

    /// Streams the blob in one `PATCH`, hashing it on its way, and returns where the upload goes on.
    async fn send_blob(
        &self,
        endpoint: &Endpoint,
        location: &Url,
        source: &dyn ImageSource,
        descriptor: &Descriptor,
        progress: &dyn Progress,
    ) -> Outcome<Url> {
        let call = self.writing_call(endpoint, Message::new(Method::PATCH, location.clone()));
        let session = self.client.session(&endpoint.host, &call.repository).await?;
        let transport = &self.client.transport;
        let nothing_more = Scopes::none();
        let authorization = session.authorization(transport, &endpoint.origin, &call.scopes, &nothing_more).await?;
        let mut message = call.message.with(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if let Some(value) = authorization.clone().filter(|_| location.origin() == endpoint.origin.origin()) {
            message.headers.insert(AUTHORIZATION, value);
        }

        let (pipe, body) = mpsc::channel::<std::io::Result<Bytes>>(PIPE_DEPTH);
        let body = stream::unfold(body, async |mut body| body.recv().await.map(|piece| (piece, body)));
        let sending = transport.send_stream(&message, reqwest::Body::wrap_stream(body));
        let reading = self.pump(source, descriptor, progress, pipe);
        let response = both(sending, reading, self.client.config().timeouts.commit, &message).await?;

        if response.status().is_success() {
            return next_location(location, &response);
        }
        let unauthorized = response.status() == StatusCode::UNAUTHORIZED
            && session.learn(response.headers(), authorization.as_ref(), &call.scopes).await.is_some();
        let mut failure = transport.failure(&message.method, &message.url, response).await;
        // The token ran out, or the session was lost: a new upload is another matter.
        let lost = matches!(failure.status, Some(StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE));
        failure.error.retryable |= unauthorized || lost;
        Err(failure)
    }

    /// Moves the blob from its source into the pipe. Ends early without error when the registry takes no more.
    async fn pump(
        &self,
        source: &dyn ImageSource,
        descriptor: &Descriptor,
        progress: &dyn Progress,
        pipe: mpsc::Sender<std::io::Result<Bytes>>,
    ) -> Pumped {
        let moved = self.pump_all(source, descriptor, progress, &pipe).await;
        if matches!(moved, Pumped::Failed(_)) {
            // The body should not end as if it were complete. When the pipe is full nobody reads it, and it does not
            // matter: without the closing request the registry keeps nothing.
            let _ = pipe.try_send(Err(std::io::Error::other("the blob's source failed")));
        }
        moved
    }

    async fn pump_all(
        &self,
        source: &dyn ImageSource,
        descriptor: &Descriptor,
        progress: &dyn Progress,
        pipe: &mpsc::Sender<std::io::Result<Bytes>>,
    ) -> Pumped {
        let mut blob = match source.blob(descriptor, 0).await {
            Ok(blob) => blob.stream,
            Err(error) => return Pumped::Failed(error),
        };
        let patience = self.client.config().timeouts.idle;
        let mut verified = Verified::new(descriptor);
        progress.event(event(descriptor, Phase::Uploading, 0));
        while let Some(piece) = blob.next().await {
            let piece = match piece.and_then(|piece| verified.update(&piece).map(|()| piece)) {
                Ok(piece) => piece,
                Err(error) => return Pumped::Failed(error),
            };
            match tokio::time::timeout(patience, pipe.send(Ok(piece))).await {
                Ok(Ok(())) => progress.event(event(descriptor, Phase::Uploading, verified.count())),
                Ok(Err(_)) => return Pumped::Refused,
                Err(_) => {
                    return Pumped::Failed(TransferError::retryable(
                        ErrorKind::Unavailable,
                        format!("the registry took no data for {} s", patience.as_secs_f32()),
                    ));
                }
            }
        }
        match verified.finish() {
            Ok(_) => Pumped::All,
            Err(error) => Pumped::Failed(error),
        }
    }

    async fn close_upload(&self, endpoint: &Endpoint, mut location: Url, descriptor: &Descriptor) -> Outcome<()> {
        location.query_pairs_mut().append_pair("digest", &descriptor.digest.to_string());
        let mut message = empty_body(Message::new(Method::PUT, location));
        message.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let mut call = self.writing_call(endpoint, message);
        call.tries = Some(1);
        let closed = tokio::time::timeout(self.client.config().timeouts.commit, self.close_call(&call)).await;
        let failure = match closed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(failure)) => failure,
            Err(_) => crate::connection::silence(&Method::PUT, &call.message.url, self.client.config().timeouts.commit),
        };
        // The answer may have been lost, not the blob.
        if failure.error.retryable && self.has_blob(endpoint, &descriptor.digest).await.unwrap_or(false) {
            return Ok(());
        }
        Err(failure)
    }

    /// As a usual call, but patient: the registry may hash the whole blob before it answers.
    async fn close_call(&self, call: &Call<'_>) -> Outcome<()> {
        let session = self.client.session(&call.endpoint.host, &call.repository).await?;
        let transport = Arc::clone(&self.client.transport);
        let more = Scopes::none();
        let authorization = session.authorization(&transport, &call.endpoint.origin, &call.scopes, &more).await?;
        let mut message = call.message.clone();
        if let Some(value) = authorization.filter(|_| message.url.origin() == call.endpoint.origin.origin()) {
            message.headers.insert(AUTHORIZATION, value);
        }
        let response = transport.send_stream(&message, reqwest::Body::from(Bytes::new())).await?;
        if response.status().is_success() {
            return Ok(());
        }
        let mut failure = transport.failure(&message.method, &message.url, response).await;
        failure.error.retryable |= failure.status == Some(StatusCode::NOT_FOUND);
        Err(failure)
    }

    /// Gives an upload up; whether that works is of no importance, registries drop old uploads.
    async fn cancel(&self, endpoint: &Endpoint, location: Url) {
        let mut call = self.writing_call(endpoint, Message::new(Method::DELETE, location));
        call.tries = Some(1);
        if let Err(failure) = self.client.call(&call).await {
            tracing::debug!(error = %failure.error, "giving up an upload");
        }
    }
}

/// How the source's side of an upload ended.
enum Pumped {
    /// All bytes went into the pipe and have the right digest.
    All,
    /// The registry's side is gone; its answer says why.
    Refused,
    Failed(TransferError),
}

/// Runs both sides of an upload. The registry's answer counts, unless the source failed. After the last byte the
/// registry has `patience` to answer.
async fn both(
    sending: impl Future<Output = Outcome<Response>>,
    reading: impl Future<Output = Pumped>,
    patience: std::time::Duration,
    message: &Message,
) -> Outcome<Response> {
    let mut sending = std::pin::pin!(sending);
    let mut reading = std::pin::pin!(reading);
    let pumped = tokio::select! {
        biased;
        pumped = &mut reading => pumped,
        // An answer before the last byte is a refusal.
        answer = &mut sending => return answer_before_end(answer, reading).await,
    };
    match pumped {
        Pumped::Failed(error) => Err(Failure::new(error)),
        Pumped::All | Pumped::Refused => match tokio::time::timeout(patience, sending).await {
            Ok(answer) => answer,
            Err(_) => Err(crate::connection::silence(&message.method, &message.url, patience)),
        },
    }
}

/// The request ended while the source still had bytes: with an answer, or because the connection broke.
async fn answer_before_end(
    answer: Outcome<Response>,
    reading: std::pin::Pin<&mut impl Future<Output = Pumped>>,
) -> Outcome<Response> {
    match answer {
        Ok(response) if response.status().is_success() => match reading.await {
            Pumped::All => Ok(response),
            Pumped::Failed(error) => Err(Failure::new(error)),
            Pumped::Refused => Err(Failure::new(TransferError::retryable(
                ErrorKind::Unavailable,
                "the registry ended the upload before its last byte",
            ))),
        },
        other => other,
    }
}

fn event(descriptor: &Descriptor, phase: Phase, current: u64) -> ProgressEvent {
    ProgressEvent { digest: descriptor.digest, phase, current, total: descriptor.size }
}

fn empty_body(message: Message) -> Message {
    message.with(CONTENT_LENGTH, HeaderValue::from_static("0"))
}

/// Where an upload goes on; the address of the last answer is the only one that counts.
fn next_location(base: &Url, response: &Response) -> Outcome<Url> {
    match response.headers().get(LOCATION) {
        Some(location) => location_url(base, location),
        None if response.status() == StatusCode::NO_CONTENT => Ok(base.clone()),
        None => Err(Failure::new(TransferError::new(
            ErrorKind::Unavailable,
            format!("{}: the answer has no Location", crate::failure::request_line(&Method::POST, base)),
        ))),
    }
}
