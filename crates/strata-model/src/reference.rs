//! Image references: the grammar and docker's normalization (docker reference grammar; spec section "References").
//!
//! `nginx` means `docker.io/library/nginx:latest`. A [`Reference`] is always in canonical form; how people write it is
//! [`Reference::familiar`]. The wording of the errors is what docker prints.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError};

const DEFAULT_HOST: &str = "docker.io";
const OFFICIAL_PREFIX: &str = "library/";
const DEFAULT_TAG: &str = "latest";
const MAX_PATH_LENGTH: usize = 255;

/// Why a text is not a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It does not match the grammar.
    #[error("invalid reference format")]
    Format,
    /// The repository's path has upper-case letters.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// The same in the strict grammar, which does not know what part is the path.
    #[error("repository name must be lowercase")]
    StrictUppercase,
    /// 64 hexadecimal digits, which would be mistaken for an image ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// The path is longer than 255 characters.
    #[error("repository name must not be more than {MAX_PATH_LENGTH} characters")]
    TooLong,
    /// The digest is malformed.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// Nothing but an empty text, in the strict grammar.
    #[error("repository name must have at least one component")]
    Empty,
}

/// A registry's host, with its port if one was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(String);

impl Host {
    /// The host as written, `docker.io` for Docker Hub.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is Docker Hub, whose API lives at another name.
    pub fn is_docker_hub(&self) -> bool {
        self.0 == DEFAULT_HOST
    }
}

impl FromStr for Host {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Host, ReferenceError> {
        let host = if text == "index.docker.io" || text == "registry-1.docker.io" { DEFAULT_HOST } else { text };
        if grammar::is_domain(host) { Ok(Host(host.to_owned())) } else { Err(ReferenceError::Format) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The path of a repository on its registry, such as `library/nginx`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository(String);

impl Repository {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Repository, ReferenceError> {
        if text.len() > MAX_PATH_LENGTH {
            return Err(ReferenceError::TooLong);
        }
        if grammar::is_path(text) { Ok(Repository(text.to_owned())) } else { Err(ReferenceError::Format) }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag, at most 128 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(String);

impl Tag {
    /// The tag that is meant when none is written.
    pub fn latest() -> Tag {
        Tag(DEFAULT_TAG.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Tag, ReferenceError> {
        if grammar::is_tag(text) { Ok(Tag(text.to_owned())) } else { Err(ReferenceError::Format) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a reference points at within its repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A tag.
    Tag(Tag),
    /// A manifest by its digest.
    Digest(Digest),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Tag(tag) => tag.fmt(f),
            Target::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A reference in canonical form: host, repository, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: Host,
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses what a user wrote; Docker Hub's defaults fill in host and `library/`. No tag is added.
    ///
    /// # Errors
    /// With docker's wording for every malformed text.
    pub fn parse(text: &str) -> Result<Reference, ReferenceError> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::Identifier(text.into()));
        }
        let (host, rest) = split_host(text);
        let name_part = rest.split(':').next().unwrap_or_default();
        if name_part.bytes().any(|byte| byte.is_ascii_uppercase()) || name_part != name_part.to_lowercase() {
            return Err(ReferenceError::Uppercase(name_part.into()));
        }
        Reference::parse_canonical(&format!("{host}/{rest}"))
    }

    /// Parses a text that names its host, without any default.
    fn parse_canonical(text: &str) -> Result<Reference, ReferenceError> {
        let (name, tag, digest) = grammar::split(text)?;
        let (host, path) = name.split_once('/').ok_or(ReferenceError::Format)?;
        if path.len() > MAX_PATH_LENGTH {
            return Err(ReferenceError::TooLong);
        }
        Ok(Reference {
            host: Host(host.to_owned()),
            repository: Repository(path.to_owned()),
            tag: tag.map(|tag| Tag(tag.to_owned())),
            digest: digest.map(str::parse).transpose()?,
        })
    }

    /// A reference from its parts.
    pub fn new(host: Host, repository: Repository, target: Option<Target>) -> Reference {
        let (tag, digest) = match target {
            None => (None, None),
            Some(Target::Tag(tag)) => (Some(tag), None),
            Some(Target::Digest(digest)) => (None, Some(digest)),
        };
        Reference { host, repository, tag, digest }
    }

    /// The registry's host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The repository's path on its registry.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if one was written.
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was written.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What to ask a registry for: the digest if there is one, else the tag, else `latest`.
    pub fn target(&self) -> Target {
        match (self.digest, &self.tag) {
            (Some(digest), _) => Target::Digest(digest),
            (None, Some(tag)) => Target::Tag(tag.clone()),
            (None, None) => Target::Tag(Tag::latest()),
        }
    }

    /// The same reference with `latest` added when it has neither tag nor digest.
    pub fn with_default_tag(mut self) -> Reference {
        if self.is_name_only() {
            self.tag = Some(Tag::latest());
        }
        self
    }

    /// Whether neither tag nor digest was written.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The same repository with this tag and no digest.
    pub fn with_tag(&self, tag: Tag) -> Reference {
        Reference { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The same repository with this digest and no tag.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Host and path, canonical: `docker.io/library/nginx`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// Host and path as people write them: `nginx`, `me/app`, `ghcr.io/a/b`.
    pub fn familiar_name(&self) -> String {
        if !self.host.is_docker_hub() {
            return self.name();
        }
        let path = self.repository.as_str();
        match path.strip_prefix(OFFICIAL_PREFIX) {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => path.to_owned(),
        }
    }

    /// The reference as people write it: `nginx:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffix(self.familiar_name())
    }

    fn with_suffix(&self, mut text: String) -> String {
        use fmt::Write as _;
        if let Some(tag) = &self.tag {
            let _ = write!(text, ":{tag}");
        }
        if let Some(digest) = &self.digest {
            let _ = write!(text, "@{digest}");
        }
        text
    }

    /// Parses by the strict grammar alone: no defaults, the host is only a part of the name.
    ///
    /// Returns name, tag and digest.
    ///
    /// # Errors
    /// As [`Reference::parse`], but uppercase paths are only malformed.
    pub fn parse_strict(text: &str) -> Result<(String, Option<Tag>, Option<Digest>), ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (name, tag, digest) = grammar::split(text).map_err(|error| match error {
            ReferenceError::Format if grammar::split(&text.to_lowercase()).is_ok() => ReferenceError::StrictUppercase,
            other => other,
        })?;
        let path = grammar::path_of(name);
        if path.len() > MAX_PATH_LENGTH {
            return Err(ReferenceError::TooLong);
        }
        Ok((name.to_owned(), tag.map(|tag| Tag(tag.to_owned())), digest.map(str::parse).transpose()?))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        Reference::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffix(self.name()))
    }
}

/// Docker's rule for what is a host: the part before the first slash, if it cannot be a path component of Docker Hub.
fn split_host(text: &str) -> (String, String) {
    let (host, rest) = match text.split_once('/') {
        Some((first, rest)) if first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first => {
            (first, rest.to_owned())
        }
        _ => (DEFAULT_HOST, text.to_owned()),
    };
    let host = if host == "index.docker.io" { DEFAULT_HOST } else { host };
    let rest = if host == DEFAULT_HOST && !rest.contains('/') { format!("{OFFICIAL_PREFIX}{rest}") } else { rest };
    (host.to_owned(), rest)
}

/// The grammar, by hand: `[domain "/"] path [":" tag] ["@" digest]`.
mod grammar {
    use super::ReferenceError;

    type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

    /// Splits a reference into name, tag and digest, each matching its grammar.
    pub(super) fn split(text: &str) -> Result<Parts<'_>, ReferenceError> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest_shaped(digest)) {
            return Err(ReferenceError::Format);
        }
        // A colon after the last slash starts a tag; `host:1` alone is name and tag too.
        let colon = rest.rfind(':').filter(|colon| !rest[*colon..].contains('/'));
        let (name, tag) = match colon {
            Some(colon) => (&rest[..colon], Some(&rest[colon + 1..])),
            None => (rest, None),
        };
        if !is_name(name) || tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ReferenceError::Format);
        }
        Ok((name, tag, digest))
    }

    /// The path part of a name: what follows the domain, if there is one.
    pub(super) fn path_of(name: &str) -> &str {
        match name.split_once('/') {
            Some((domain, path)) if is_domain(domain) && is_path(path) => path,
            _ => name,
        }
    }

    fn is_name(text: &str) -> bool {
        if let Some((domain, path)) = text.split_once('/')
            && is_domain(domain)
            && is_path(path)
        {
            return true;
        }
        is_path(text)
    }

    pub(super) fn is_path(text: &str) -> bool {
        !text.is_empty() && text.split('/').all(is_path_component)
    }

    /// `[a-z0-9]+ ( ("." | "_" | "__" | "-"+) [a-z0-9]+ )*`
    fn is_path_component(text: &str) -> bool {
        let bytes = text.as_bytes();
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        if !word(*first) || !word(*last) {
            return false;
        }
        bytes.split(|byte| word(*byte)).all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
    }

    pub(super) fn is_domain(text: &str) -> bool {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let Some((address, after)) = rest.split_once(']') else { return false };
                let address_ok =
                    !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
                if !address_ok {
                    return false;
                }
                match after.strip_prefix(':') {
                    Some(port) => (None, Some(port)),
                    None if after.is_empty() => (None, None),
                    None => return false,
                }
            }
            None => match text.split_once(':') {
                Some((host, port)) => (Some(host), Some(port)),
                None => (Some(text), None),
            },
        };
        let port_ok = port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        port_ok && host.is_none_or(|host| host.split('.').all(is_domain_component))
    }

    fn is_domain_component(text: &str) -> bool {
        let bytes = text.as_bytes();
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
        first.is_ascii_alphanumeric()
            && last.is_ascii_alphanumeric()
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    }

    pub(super) fn is_tag(text: &str) -> bool {
        let bytes = text.as_bytes();
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        bytes.first().is_some_and(|first| word(*first))
            && bytes.len() <= 128
            && bytes.iter().all(|byte| word(*byte) || b".-".contains(byte))
    }

    /// The loose shape of a digest; what algorithm and length are allowed is checked after.
    fn is_digest_shaped(text: &str) -> bool {
        let Some((algorithm, hex)) = text.split_once(':') else { return false };
        let component = |part: &str| {
            part.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        algorithm.split(['-', '_', '+', '.']).all(component)
            && hex.len() >= 32
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}
