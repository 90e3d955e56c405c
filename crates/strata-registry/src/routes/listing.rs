//! Lists: tags, repositories, and what is about a manifest.

use axum::response::Response;
use http::header::{HeaderName, LINK};
use http::request::Parts;
use http::{HeaderValue, Method};
use serde_json::json;
use strata_model::{Digest, ImageIndex, MediaType};
use strata_store::registry::{Caller, Listed, Need, Page};

use super::{Call, Shared, document, parse_digest, set, warning};
use crate::admission::admit;
use crate::error::{Failure, Result};
use crate::query::{Parameters, next_page};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// Repositories whose visibility is asked for at once.
const BATCH: usize = 1000;
const JSON: &str = "application/json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// `GET …/tags/list`: end-8.
pub(super) async fn tags(call: &Call<'_>) -> Result {
    let size = call.query.page_size()?;
    let (last, repository) = (call.query.first("last"), &call.repository);
    let Listed { list: page, stale } = match call.upstream() {
        Some(upstream) => upstream.tags(repository, last, size).await?,
        None => Listed { list: call.registry.tags(repository, last, size).await?, stale: None },
    };
    let mut response = document(JSON, &json!({ "name": call.written.as_str(), "tags": page.entries }))?;
    set(response.headers_mut(), stale.map(|text| warning(&text)).into_iter().collect());
    link(&mut response, &format!("/v2/{}/tags/list", call.written), size, &page);
    Ok(response)
}

/// `GET /v2/_catalog`.
pub(super) async fn catalog(shared: &Shared, parts: &Parts, query: &Parameters) -> Result {
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Failure::method("GET, HEAD"));
    }
    let size = query.page_size()?;
    let caller = admit(&shared.service, parts, &[Need::Catalog]).await?;
    let page = visible(shared, &caller, query.first("last"), size).await?;
    let mut response = document(JSON, &json!({ "repositories": page.entries }))?;
    link(&mut response, "/v2/_catalog", size, &page);
    Ok(response)
}

/// A page of the repositories that the caller may know of; what is between them leaves no gap.
async fn visible(shared: &Shared, caller: &Caller, last: Option<&str>, size: usize) -> Result<Page> {
    let (mut last, mut entries) = (last.map(str::to_owned), Vec::new());
    while size > 0 && entries.len() <= size {
        let page = shared.registry.repositories(last.as_deref(), BATCH).await?;
        last = page.entries.last().cloned();
        entries.extend(shared.service.access.visible(caller, page.entries).await?);
        if !page.more {
            break;
        }
    }
    let more = entries.len() > size && size > 0;
    entries.truncate(size);
    Ok(Page { entries, more })
}

fn link(response: &mut Response, path: &str, size: usize, page: &Page) {
    if let Some(last) = page.entries.last().filter(|_| page.more)
        && let Some(link) = next_page(path, &[("n", &size.to_string()), ("last", last)])
    {
        response.headers_mut().insert(LINK, link);
    }
}

/// `GET …/referrers/<digest>`: end-12.
pub(super) async fn referrers(call: &Call<'_>, subject: Digest) -> Result {
    let artifact_type = call.query.first("artifactType").filter(|wanted| !wanted.is_empty());
    let last = call.query.first("last").map(parse_digest).transpose()?;
    let (repository, last) = (&call.repository, last.as_ref());
    let Listed { list: page, stale } = match call.upstream() {
        Some(upstream) => upstream.referrers(repository, &subject, artifact_type, last).await?,
        None => {
            let list = call.registry.referrers(repository, &subject, artifact_type, last).await?;
            Listed { list, stale: None }
        }
    };
    let index = ImageIndex {
        schema_version: 2,
        media_type: Some(MediaType::OCI_INDEX),
        artifact_type: None,
        manifests: page.manifests,
        subject: None,
        annotations: Default::default(),
    };
    let mut response = document(INDEX, &index)?;
    set(response.headers_mut(), stale.map(|text| warning(&text)).into_iter().collect());
    let headers = response.headers_mut();
    if artifact_type.is_some() {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(next) = page.next {
        let next = next.to_string();
        let mut parameters = vec![("last", next.as_str())];
        parameters.extend(artifact_type.map(|wanted| ("artifactType", wanted)));
        if let Some(link) = next_page(&format!("/v2/{}/referrers/{subject}", call.written), &parameters) {
            headers.insert(LINK, link);
        }
    }
    Ok(response)
}
