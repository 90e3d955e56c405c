//! Reading: tags, manifests, blobs (OCI distribution-spec, "Pull").

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Response;
use strata_model::{Descriptor, Digest, ErrorKind, MAX_MANIFEST_SIZE, Manifest, MediaType, Raw, Target};
use strata_transfer::{BlobStream, ImageSource, Origin, Result, TransferError};

use crate::client::{Answer, Call};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, Outcome};
use crate::repository::{RepositoryClient, accept_manifests};
use crate::scope::Scopes;
use crate::transport::Message;

const CONTENT_DIGEST: &str = "docker-content-digest";

#[async_trait]
impl ImageSource for RepositoryClient {
    fn origin(&self) -> Origin {
        Origin::Registry { host: self.host.clone(), repository: self.repository.clone() }
    }

    async fn resolve(&self, target: &Target) -> Result<Descriptor> {
        let endpoints = self.reading_endpoints(target).await?;
        let mut last = None;
        for endpoint in &endpoints {
            match self.resolve_at(endpoint, target).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        Err(self.reading_error(last.unwrap_or_else(no_endpoint), Some(target)))
    }

    async fn manifest(&self, descriptor: &Descriptor) -> Result<Raw<Manifest>> {
        let target = Target::Digest(descriptor.digest);
        if let Some((bytes, media_type)) = self.remembered(&descriptor.digest) {
            return parse(bytes, &media_type, descriptor, self);
        }
        let endpoints = self.reading_endpoints(&target).await?;
        let mut last = None;
        for endpoint in &endpoints {
            let fetched = self.get_manifest_at(endpoint, &target, None).await;
            let checked = fetched.and_then(|(bytes, media_type)| {
                let media_type = if media_type.is_manifest() || media_type.is_schema1() {
                    media_type
                } else {
                    descriptor.media_type.clone()
                };
                parse(bytes, &media_type, descriptor, self).map_err(Failure::new)
            });
            match checked {
                Ok(manifest) => return Ok(manifest),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        Err(self.reading_error(last.unwrap_or_else(no_endpoint), Some(&target)))
    }

    async fn blob(&self, descriptor: &Descriptor, from: u64) -> Result<BlobStream> {
        if from > 0 && from == descriptor.size {
            return Ok(BlobStream { from, stream: stream::empty().boxed() });
        }
        Ok(self.open(descriptor, from).await?.0)
    }
}

impl RepositoryClient {
    /// As [`ImageSource::blob`], and the length of the whole blob in bytes, if the registry tells it. Of the descriptor, the digest and the addresses matter.
    ///
    /// # Errors
    /// As [`ImageSource::blob`].
    pub async fn open(&self, descriptor: &Descriptor, from: u64) -> Result<(BlobStream, Option<u64>)> {
        let endpoints = self.client.reading_endpoints(&self.host).await?;
        let mut last = None;
        for endpoint in &endpoints {
            match self.open_blob(endpoint, descriptor, from).await {
                Ok(response) => return self.blob_stream(descriptor, from, response),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        let failure = last.unwrap_or_else(no_endpoint);
        if failure.status == Some(StatusCode::NOT_FOUND)
            && let Some(response) = self.open_elsewhere(descriptor, from).await?
        {
            return self.blob_stream(descriptor, from, response);
        }
        Err(self.blob_error(failure, descriptor))
    }

    /// The size of a blob in bytes, asked for by `HEAD`; `None` when the registry has it and does not tell.
    ///
    /// # Errors
    /// As [`ImageSource::blob`].
    pub async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let endpoints = self.client.reading_endpoints(&self.host).await?;
        let mut last = None;
        for endpoint in &endpoints {
            let url = endpoint.url(&self.repository, &format!("blobs/{digest}"));
            let call = self.reading_call(endpoint, Message::new(Method::HEAD, url), Self::tries(endpoint));
            match self.client.call(&call).await {
                Ok(response) => return Ok(content_length(response.headers())),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, *digest, 0);
        Err(self.blob_error(last.unwrap_or_else(no_endpoint), &descriptor))
    }

    /// What a tag or digest points at, as an answer to `HEAD` tells it, which registries do not count as a pull; `None`
    /// when it tells too little.
    ///
    /// # Errors
    /// As [`ImageSource::resolve`], though without the registry's own words.
    pub async fn describe(&self, target: &Target) -> Result<Option<Descriptor>> {
        let endpoints = self.reading_endpoints(target).await?;
        let mut last = None;
        for endpoint in &endpoints {
            let answer = self.client.call(&self.head_call(endpoint, target)).await;
            match answer.and_then(|response| described(response.headers(), target)) {
                Ok(descriptor) => return Ok(descriptor),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        Err(self.reading_error(last.unwrap_or_else(no_endpoint), Some(target)))
    }

    /// The bytes of the manifest that `target` names, their type, and their digest, which has been checked if the
    /// target is a digest or the registry told one.
    ///
    /// # Errors
    /// As [`ImageSource::resolve`]; `Corrupt` when the bytes have another digest.
    pub async fn get_manifest_bytes(&self, target: &Target) -> Result<(Bytes, MediaType, Digest)> {
        let endpoints = self.reading_endpoints(target).await?;
        let mut last = None;
        for endpoint in &endpoints {
            match self.get_manifest_at(endpoint, target, None).await {
                Ok((bytes, media_type)) => {
                    let digest = match target {
                        Target::Digest(digest) => *digest,
                        Target::Tag(_) => Digest::of(&bytes),
                    };
                    return Ok((bytes, media_type, digest));
                }
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        Err(self.reading_error(last.unwrap_or_else(no_endpoint), Some(target)))
    }

    /// What a tag or digest points at, or `None` when there is nothing.
    ///
    /// # Errors
    /// As [`ImageSource::resolve`], but for `NotFound`.
    pub async fn head(&self, target: &Target) -> Result<Option<Descriptor>> {
        match self.resolve(target).await {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn reading_endpoints(&self, target: &Target) -> Result<Vec<Endpoint>> {
        let endpoints = self.client.reading_endpoints(&self.host).await;
        endpoints.map_err(|failure| self.reading_error(failure, Some(target)))
    }

    /// What is told of an endpoint's failure and those before it. A mirror that fails is passed over; what the registry itself
    /// says is what counts, but where it cannot be reached it says nothing, and a mirror that has not got it is believed.
    pub(crate) fn after(
        &self,
        endpoint: &Endpoint,
        failure: Box<Failure>,
        before: Option<Box<Failure>>,
    ) -> Box<Failure> {
        if endpoint.is_mirror() {
            tracing::info!(mirror = %endpoint.host, error = %failure.error, "mirror passed over");
        }
        match before {
            Some(before) if failure.unreachable && before.status == Some(StatusCode::NOT_FOUND) => before,
            _ => failure,
        }
    }

    /// A mirror is tried once: there is another place to ask.
    fn tries(endpoint: &Endpoint) -> Option<u32> {
        endpoint.is_mirror().then_some(1)
    }

    pub(crate) fn reading_call<'a>(&self, endpoint: &'a Endpoint, message: Message, tries: Option<u32>) -> Call<'a> {
        let repository = endpoint.repository(&self.repository);
        Call { endpoint, scopes: Scopes::repository(&repository, &["pull"]), repository, message, tries }
    }

    fn head_call<'a>(&self, endpoint: &'a Endpoint, target: &Target) -> Call<'a> {
        let url = endpoint.url(&self.repository, &format!("manifests/{target}"));
        self.reading_call(endpoint, accept_manifests(Message::new(Method::HEAD, url)), Self::tries(endpoint))
    }

    /// `HEAD`, which registries do not count as a pull; `GET` where that tells too little, or why it failed.
    async fn resolve_at(&self, endpoint: &Endpoint, target: &Target) -> Outcome<Descriptor> {
        let tries = match self.client.call(&self.head_call(endpoint, target)).await {
            Ok(response) => match described(response.headers(), target)? {
                Some(descriptor) => return Ok(descriptor),
                None => Self::tries(endpoint),
            },
            Err(failure) if failure.status.is_none() || failure.credentials_refused => return Err(failure),
            // The tries are used up; one more brings the body that says why.
            Err(failure) if matches!(failure.error.kind, ErrorKind::RateLimited | ErrorKind::Unavailable) => Some(1),
            Err(_) => Self::tries(endpoint),
        };
        let (bytes, media_type) = self.get_manifest_at(endpoint, target, tries).await?;
        let digest = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(_) => Digest::of(&bytes),
        };
        let descriptor = Descriptor::new(media_type.clone(), digest, bytes.len() as u64);
        self.remember(digest, bytes, media_type);
        Ok(descriptor)
    }

    /// The manifest's bytes, of the digest asked for or told.
    async fn get_manifest_at(
        &self,
        endpoint: &Endpoint,
        target: &Target,
        tries: Option<u32>,
    ) -> Outcome<(Bytes, MediaType)> {
        let url = endpoint.url(&self.repository, &format!("manifests/{target}"));
        let message = accept_manifests(Message::new(Method::GET, url));
        let call = self.reading_call(endpoint, message, tries.or(Self::tries(endpoint)));
        let Answer { headers, body } = self.client.fetch(&call, MAX_MANIFEST_SIZE).await?;
        let expected = match target {
            Target::Digest(digest) => Some(*digest),
            Target::Tag(_) => told_digest(&headers),
        };
        if let Some(expected) = expected {
            check_digest(&body, expected).map_err(|error| {
                Failure::new(error.while_doing(format_args!("manifest {}", self.familiar(Some(target)))))
            })?;
        }
        Ok((body, media_type(&headers)))
    }

    async fn open_blob(&self, endpoint: &Endpoint, descriptor: &Descriptor, from: u64) -> Outcome<Response> {
        let url = endpoint.url(&self.repository, &format!("blobs/{}", descriptor.digest));
        let message = from_position(Message::new(Method::GET, url), from);
        self.client.call(&self.reading_call(endpoint, message, Self::tries(endpoint))).await
    }

    /// Foreign layers are not on the registry but at the addresses that their descriptor names; those get no credentials.
    async fn open_elsewhere(&self, descriptor: &Descriptor, from: u64) -> Result<Option<Response>> {
        let mut last = None;
        for url in descriptor.urls.iter().filter_map(|url| url.parse::<url::Url>().ok()) {
            if !matches!(url.scheme(), "http" | "https") {
                continue;
            }
            let message = from_position(Message::new(Method::GET, url), from);
            match self.client.transport.follow(&message).await {
                Ok(response) if response.status().is_success() => return Ok(Some(response)),
                Ok(response) => {
                    last = Some(self.client.transport.failure(&message.method, &message.url, response).await.error);
                }
                Err(failure) => last = Some(failure.error),
            }
        }
        match last {
            Some(error) => Err(error.while_doing(format_args!("blob {}", descriptor.digest))),
            None => Ok(None),
        }
    }

    fn blob_stream(
        &self,
        descriptor: &Descriptor,
        asked: u64,
        response: Response,
    ) -> Result<(BlobStream, Option<u64>)> {
        let digest = descriptor.digest;
        let from = if response.status() == StatusCode::PARTIAL_CONTENT { asked } else { 0 };
        if from > 0 && range_start(response.headers()).is_some_and(|start| start != from) {
            return Err(TransferError::new(
                ErrorKind::Corrupt,
                format!("blob {digest}: the registry sent another range than the one from byte {from}"),
            ));
        }
        let size = match response.status() {
            StatusCode::PARTIAL_CONTENT => range_total(response.headers()),
            _ => content_length(response.headers()),
        };
        let transport = std::sync::Arc::clone(&self.client.transport);
        let stream = stream::try_unfold(response, move |mut response| {
            let transport = std::sync::Arc::clone(&transport);
            async move {
                let chunk = transport.chunk(&mut response).await;
                let chunk = chunk.map_err(|error| error.while_doing(format_args!("blob {digest}")))?;
                Ok(chunk.map(|chunk| (chunk, response)))
            }
        });
        Ok((BlobStream { from, stream: stream.boxed() }, size))
    }

    fn blob_error(&self, failure: Box<Failure>, descriptor: &Descriptor) -> TransferError {
        let digest = descriptor.digest;
        if failure.status == Some(StatusCode::NOT_FOUND) {
            let cause = failure.said().unwrap_or_else(|| "blob unknown: blob unknown to registry".into());
            return TransferError::new(
                ErrorKind::NotFound,
                format!("blob {digest} not found in {}: {cause}", self.familiar(None)),
            );
        }
        self.reading_error(failure, None).while_doing(format_args!("blob {digest}"))
    }
}

pub(crate) fn no_endpoint() -> Box<Failure> {
    Failure::new(TransferError::new(ErrorKind::Internal, "no registry to ask"))
}

fn from_position(message: Message, from: u64) -> Message {
    if from == 0 {
        return message;
    }
    let range = HeaderValue::from_str(&format!("bytes={from}-")).expect("digits are a legal header");
    message.with(RANGE, range)
}

/// The first position of `bytes a-b/total`.
pub(crate) fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes")?;
    range.trim_start().split('-').next()?.parse().ok()
}

/// The total of `bytes a-b/total`.
fn range_total(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_RANGE)?.to_str().ok()?.rsplit_once('/')?.1.trim().parse().ok()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn media_type(headers: &HeaderMap) -> MediaType {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    text.map_or(MediaType::OCTET_STREAM, MediaType::parse)
}

fn told_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The descriptor that the headers of an answer to `HEAD` tell; `None` when they do not tell enough.
fn described(headers: &HeaderMap, target: &Target) -> Outcome<Option<Descriptor>> {
    let (Some(digest), media_type) = (told_digest(headers), media_type(headers)) else { return Ok(None) };
    if let Target::Digest(asked) = target
        && *asked != digest
    {
        let message = format!("manifest {asked}: the registry answered with {digest}");
        return Err(Failure::new(TransferError::new(ErrorKind::Corrupt, message)));
    }
    if !media_type.is_manifest() && !media_type.is_schema1() {
        return Ok(None);
    }
    Ok(Some(Descriptor::new(media_type, digest, content_length(headers).unwrap_or(0))))
}

fn check_digest(bytes: &[u8], expected: Digest) -> Result<()> {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    let found = hasher.finish();
    if found == expected {
        return Ok(());
    }
    Err(TransferError::new(ErrorKind::Corrupt, format!("expected digest {expected}, its bytes have {found}"))
        .with_hint("the registry holds damaged or exchanged content; pull it from another source"))
}

fn parse(
    bytes: Bytes,
    media_type: &MediaType,
    descriptor: &Descriptor,
    from: &RepositoryClient,
) -> Result<Raw<Manifest>> {
    let doing = || format!("manifest {}", from.familiar(Some(&Target::Digest(descriptor.digest))));
    check_digest(&bytes, descriptor.digest).map_err(|error| error.while_doing(doing()))?;
    if descriptor.size != 0 && descriptor.size != bytes.len() as u64 {
        let message = format!("{}: got {} bytes, expected {}", doing(), bytes.len(), descriptor.size);
        return Err(TransferError::new(ErrorKind::Corrupt, message));
    }
    Raw::parse(bytes, |bytes| Manifest::parse(bytes, Some(media_type))).map_err(|error| {
        let kind = match error {
            strata_model::ManifestError::Schema1 => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        };
        TransferError::new(kind, format!("{}: {error}", doing()))
    })
}
