//! Lists: tags, repositories, referrers. Pages are linked by the `Link` header (RFC 8288).

use http::header::LINK;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use strata_model::{Descriptor, Digest, ErrorKind, Host, ImageIndex, Repository, Tag, Target};
use strata_transfer::{Result, TransferError};
use url::Url;

use crate::client::{Call, RegistryClient};
use crate::endpoint::Endpoint;
use crate::failure::{Failure, Outcome, request_line};
use crate::pull::no_endpoint;
use crate::repository::RepositoryClient;
use crate::scope::Scopes;
use crate::transport::{Message, location_url};

/// Entries asked for at once.
const PAGE_SIZE: u32 = 1000;
/// Largest page that is read, in bytes.
const MAX_PAGE: usize = 16 << 20;
/// A registry that links pages for ever is stopped here.
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct TagsPage {
    // An empty list is null in some registries.
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    repositories: Option<Vec<String>>,
}

impl RepositoryClient {
    /// All tags, in the registry's order. What is no legal tag is left out.
    ///
    /// # Errors
    /// `NotFound` when the repository does not exist or may not be seen.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        let endpoints = self.client.reading_endpoints(&self.host).await;
        let mut last = None;
        for endpoint in &endpoints.map_err(|failure| self.reading_error(failure, None))? {
            match self.tags_at(endpoint).await {
                Ok(tags) => return Ok(tags),
                Err(failure) => last = Some(self.after(endpoint, failure, last)),
            }
        }
        Err(self.reading_error(last.unwrap_or_else(no_endpoint), None))
    }

    async fn tags_at(&self, endpoint: &Endpoint) -> Outcome<Vec<Tag>> {
        let mut url = endpoint.url(&self.repository, "tags/list");
        url.query_pairs_mut().append_pair("n", &PAGE_SIZE.to_string());
        let repository = endpoint.repository(&self.repository);
        let scopes = Scopes::repository(&repository, &["pull"]);
        let pages = pages::<TagsPage>(&self.client, endpoint, &repository, &scopes, url).await?;
        Ok(pages
            .into_iter()
            .flat_map(|page| page.tags.unwrap_or_default())
            .filter_map(|tag| tag.parse().ok())
            .collect())
    }

    /// Manifests whose subject is `subject`: signatures, attestations. `artifact_type` leaves out the others.
    ///
    /// Registries without that list keep it as an index under a tag made from the digest (OCI distribution-spec,
    /// "Referrers Tag Schema").
    ///
    /// # Errors
    /// When the registry cannot be asked; none at all is an empty list.
    pub async fn referrers(&self, subject: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let pages = async {
            let endpoint = self.own_endpoint().await?;
            let mut url = endpoint.url(&self.repository, &format!("referrers/{subject}"));
            if let Some(artifact_type) = artifact_type {
                url.query_pairs_mut().append_pair("artifactType", artifact_type);
            }
            let repository = self.repository.as_str();
            let scopes = Scopes::repository(repository, &["pull"]);
            pages::<ImageIndex>(&self.client, &endpoint, repository, &scopes, url).await
        };
        let found: Vec<Descriptor> = match pages.await {
            Ok(pages) => pages.into_iter().flat_map(|page| page.manifests).collect(),
            Err(failure) if lists_no_referrers(&failure) => self.referrers_by_tag(subject).await?,
            Err(failure) => return Err(self.reading_error(failure, None)),
        };
        let wanted =
            |found: &Descriptor| artifact_type.is_none_or(|wanted| found.artifact_type.as_deref() == Some(wanted));
        Ok(found.into_iter().filter(wanted).collect())
    }

    async fn referrers_by_tag(&self, subject: &Digest) -> Result<Vec<Descriptor>> {
        let hex = subject.hex();
        let tag: Tag = format!("{}-{}", subject.algorithm().name(), &hex[..hex.len().min(64)])
            .parse()
            .map_err(|error| TransferError::new(ErrorKind::Internal, format!("tag of referrers: {error}")))?;
        match self.get_manifest_bytes(&Target::Tag(tag)).await {
            Ok((bytes, _, _)) => {
                serde_json::from_slice::<ImageIndex>(&bytes).map(|index| index.manifests).map_err(|error| {
                    TransferError::new(ErrorKind::Corrupt, format!("referrers of {subject}: malformed index: {error}"))
                })
            }
            Err(error) if error.kind == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

fn lists_no_referrers(failure: &Failure) -> bool {
    matches!(failure.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::BAD_REQUEST))
}

impl RegistryClient {
    /// All repositories of a registry that we may see. Docker Hub and others do not tell.
    ///
    /// # Errors
    /// `Denied`, `Unauthenticated` or `Unsupported` when the registry does not tell.
    pub async fn catalog(&self, host: &Host) -> Result<Vec<Repository>> {
        let endpoint = self.endpoint(host).await?;
        let mut url = endpoint.plain_url("v2/_catalog");
        url.query_pairs_mut().append_pair("n", &PAGE_SIZE.to_string());
        let pages = pages::<CatalogPage>(self, &endpoint, "", &Scopes::catalog(), url).await?;
        let names = pages.into_iter().flat_map(|page| page.repositories.unwrap_or_default());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }
}

async fn pages<T: DeserializeOwned>(
    client: &RegistryClient,
    endpoint: &Endpoint,
    repository: &str,
    scopes: &Scopes,
    first: Url,
) -> Outcome<Vec<T>> {
    let mut pages = Vec::new();
    let mut next = Some(first);
    while let Some(url) = next.take() {
        if pages.len() >= MAX_PAGES {
            return Err(odd(&url, "the list does not end"));
        }
        let message = Message::new(Method::GET, url);
        let call = Call { endpoint, repository: repository.to_owned(), scopes: scopes.clone(), message, tries: None };
        let answer = client.fetch(&call, MAX_PAGE).await?;
        let page = serde_json::from_slice(&answer.body).map_err(|error| odd(&call.message.url, &error.to_string()))?;
        pages.push(page);
        next = match next_link(&answer.headers) {
            Some(link) => {
                let link = HeaderValue::from_str(&link).map_err(|_| odd(&call.message.url, "malformed Link header"))?;
                Some(location_url(&call.message.url, &link)?).filter(|link| *link != call.message.url)
            }
            None => None,
        };
    }
    Ok(pages)
}

fn odd(url: &Url, cause: &str) -> Box<Failure> {
    Failure::new(TransferError::new(ErrorKind::Unavailable, format!("{}: {cause}", request_line(&Method::GET, url))))
}

/// The target of `<…>; rel="next"`.
pub(crate) fn next_link(headers: &HeaderMap) -> Option<String> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).find_map(|text| {
        let mut rest = text;
        loop {
            let (target, after) = rest[rest.find('<')? + 1..].split_once('>')?;
            let end = after.find(",").filter(|_| after.contains('<')).unwrap_or(after.len());
            let is_next = after[..end].split(';').any(|parameter| {
                let parameter = parameter.trim().to_ascii_lowercase();
                parameter.strip_prefix("rel=").is_some_and(|relation| relation.trim_matches('"') == "next")
            });
            if is_next {
                return Some(target.to_owned());
            }
            rest = &after[end..];
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn links() {
        for (text, expected) in [
            (r#"</v2/a/tags/list?last=x&n=1>; rel="next""#, Some("/v2/a/tags/list?last=x&n=1")),
            (r#"</p>; rel="prev", </n>; rel=next"#, Some("/n")),
            (r#"</n>;rel="Next"; title="x""#, Some("/n")),
            ("</p>; rel=\"prev\"", None),
            ("nonsense", None),
            ("<", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(text).unwrap());
            assert_eq!(next_link(&headers).as_deref(), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_link_is_read_without_panic(text in "[ -~]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(&text).unwrap());
            next_link(&headers);
        }
    }
}
