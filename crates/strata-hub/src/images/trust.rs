//! What is attached to an image, and other facts by which a person judges it. Nothing is graded.

use std::collections::BTreeSet;

use serde_json::Value;
use strata_model::{Descriptor, Digest, ImageIndex, Manifest, Repository, Target};

use super::ImageParts;
use crate::contents::kind_of;
use crate::dockerfile::parsed;
use crate::records::RepositoryRow;
use crate::{Hub, HubError, Result};

/// Tags under which cosign keeps what belongs to `sha256:…` (cosign's signature specification, "Storage").
const COSIGN: [(&str, &str); 3] = [("sig", "signature"), ("att", "attestation"), ("sbom", "sbom")];
/// What an attestation that BuildKit puts beside an image is about, and says.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// Thumbprints of a Notation signature's certificates (Notary Project signature specification), JSON.
const THUMBPRINTS: &str = "io.cncf.notary.x509chain.thumbprint#S256";
/// When an artifact was made, as its maker says.
const CREATED: &str = "org.opencontainers.image.created";
/// Most things attached to an image that are shown.
const MAX_ATTACHMENTS: usize = 100;

/// Something that belongs to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// `signature`, `attestation`, `provenance`, `sbom`, `artifact`.
    pub kind: String,
    /// Its type, as it says itself.
    pub media_type: String,
    /// Its manifest.
    pub digest: Digest,
    /// What it belongs to: the image, or the index that the tag points to.
    pub subject: Digest,
    /// How it is attached: `referrer`, `tag`, `index`.
    pub place: &'static str,
    /// Who pushed it, where that is known.
    pub pushed_by: String,
    /// When it was pushed, where that is known.
    pub pushed: Option<i64>,
    /// When it was made, as it says itself.
    pub created: Option<String>,
    /// What names the signer, unverified: thumbprints of certificates.
    pub signer: Vec<String>,
}

/// A variable of the environment whose value should perhaps not be there. The value is never given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretLike {
    /// Its name.
    pub name: String,
    /// What makes it look so.
    pub why: &'static str,
}

/// What an image is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    /// Its name, as the image says or as it is pulled here.
    pub name: String,
    /// Its digest, if known.
    pub digest: Option<String>,
    /// Where this is from.
    pub origin: BaseOrigin,
    /// How many layers it has, if known.
    pub layers: usize,
    /// When it was pushed here.
    pub pushed: Option<i64>,
}

/// How the base of an image is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseOrigin {
    /// The image's own annotations or labels say so.
    Annotated,
    /// A repository here has an image of exactly the lowest layers: its full name, and the tag.
    Layers(String, String),
}

/// What cosign keeps under a tag: its kind (`signature`, `attestation`, `sbom`), and what it belongs to.
pub fn cosign_tag(tag: &str) -> Option<(&'static str, Digest)> {
    let (subject, ending) = tag.rsplit_once('.')?;
    let (_, kind) = COSIGN.iter().find(|(known, _)| *known == ending)?;
    Some((kind, subject.replacen('-', ":", 1).parse().ok()?))
}

impl Hub {
    /// Signatures, SBOMs and the like of an image, and of the index that the tag points to, as far as this repository has
    /// them.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn attachments(
        &self,
        repository: &RepositoryRow,
        image: &Digest,
        tagged: &Digest,
    ) -> Result<Vec<Attachment>> {
        let not_found = || HubError::NotFound(format!("repository {}", repository.full_name()));
        let name: Repository = repository.full_name().parse().map_err(|_| not_found())?;
        let subjects: BTreeSet<&Digest> = [image, tagged].into();
        let mut found = Vec::new();
        for subject in subjects {
            for referrer in self.registry().referrers(&name, subject, None, None).await?.manifests {
                found.push(attachment(&referrer, "referrer", subject));
            }
            found.extend(self.cosign_tags(repository, subject).await?);
        }
        if image != tagged {
            found.extend(self.beside_in_index(&name, image, tagged).await?);
        }
        let mut seen = BTreeSet::new();
        found.retain(|attachment| seen.insert(attachment.digest));
        found.truncate(MAX_ATTACHMENTS);
        Ok(found)
    }

    async fn cosign_tags(&self, repository: &RepositoryRow, subject: &Digest) -> Result<Vec<Attachment>> {
        let records = self.read().await?;
        let mut found = Vec::new();
        for (ending, kind) in COSIGN {
            let tag = format!("{}-{}.{ending}", subject.algorithm().name(), subject.hex());
            if let Some(row) = records.tag(repository.id, &tag).await? {
                found.push(Attachment {
                    kind: kind.to_owned(),
                    media_type: row.manifest.media_type,
                    digest: row.manifest.digest,
                    subject: *subject,
                    place: "tag",
                    pushed_by: row.pushed_by,
                    pushed: Some(row.pushed),
                    created: None,
                    signer: Vec::new(),
                });
            }
        }
        Ok(found)
    }

    /// Attestations that BuildKit put into the index beside the image.
    async fn beside_in_index(&self, name: &Repository, image: &Digest, tagged: &Digest) -> Result<Vec<Attachment>> {
        let Some(index) = self.index(name, tagged).await? else { return Ok(Vec::new()) };
        let about = image.to_string();
        let mut found = Vec::new();
        let is_about = |entry: &&Descriptor| {
            entry.is_attestation() && entry.annotations.get(REFERENCE_DIGEST).is_some_and(|found| *found == about)
        };
        for entry in index.manifests.iter().filter(is_about) {
            let Ok(stored) = self.registry().manifest(name, &Target::Digest(entry.digest)).await else { continue };
            let Ok(Manifest::Image(attestation)) = parsed(&stored) else { continue };
            for layer in &attestation.layers {
                let predicate = layer.annotations.get(PREDICATE_TYPE).map_or("", String::as_str);
                found.push(Attachment {
                    kind: kind_of_predicate(predicate).to_owned(),
                    media_type: predicate.to_owned(),
                    digest: layer.digest,
                    ..attachment(entry, "index", image)
                });
            }
        }
        Ok(found)
    }

    async fn index(&self, name: &Repository, digest: &Digest) -> Result<Option<ImageIndex>> {
        match parsed(&self.registry().manifest(name, &Target::Digest(*digest)).await?)? {
            Manifest::Index(index) => Ok(Some(index)),
            Manifest::Image(_) => Ok(None),
        }
    }
}

impl ImageParts {
    /// Whether its processes run as root unless told otherwise.
    pub fn runs_as_root(&self) -> bool {
        let user = self.config.config.user.split(':').next().unwrap_or_default();
        matches!(user, "" | "root") || user.parse::<u64>() == Ok(0)
    }

    /// Variables of its environment that look like secrets.
    pub fn secrets(&self) -> Vec<SecretLike> {
        let variables = self.config.config.env.iter().flatten().filter_map(|variable| variable.split_once('='));
        let secret = |(name, value): (&str, &str)| {
            let why = secret_like(name, value)?;
            Some(SecretLike { name: name.to_owned(), why })
        };
        variables.filter_map(secret).collect()
    }
}

fn attachment(referrer: &Descriptor, place: &'static str, subject: &Digest) -> Attachment {
    let media_type = referrer.artifact_type.clone().unwrap_or_else(|| referrer.media_type.as_str().to_owned());
    let thumbprints = referrer.annotations.get(THUMBPRINTS).and_then(|text| serde_json::from_str(text).ok());
    let signer = match thumbprints {
        Some(Value::Array(list)) => list.iter().filter_map(|item| item.as_str().map(str::to_owned)).take(8).collect(),
        _ => Vec::new(),
    };
    Attachment {
        kind: kind_of(&media_type).to_owned(),
        media_type,
        digest: referrer.digest,
        subject: *subject,
        place,
        pushed_by: String::new(),
        pushed: None,
        created: referrer.annotations.get(CREATED).cloned(),
        signer,
    }
}

fn kind_of_predicate(predicate: &str) -> &'static str {
    match predicate {
        _ if predicate.starts_with("https://slsa.dev/provenance") => "provenance",
        _ if predicate.contains("spdx") || predicate.contains("cyclonedx") => "sbom",
        _ => "attestation",
    }
}

/// What makes a variable look like a secret, if anything does. Empty values, and those that name a file, are none.
pub(super) fn secret_like(name: &str, value: &str) -> Option<&'static str> {
    /// Words of names that stand for secrets, between underscores.
    const WORDS: [&str; 10] =
        ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "CREDENTIAL", "CREDENTIALS", "PWD", "PASS"];
    const PAIRS: [(&str, &str); 5] =
        [("API", "KEY"), ("PRIVATE", "KEY"), ("ACCESS", "KEY"), ("SIGNING", "KEY"), ("ENCRYPTION", "KEY")];
    const BEGINNINGS: [&str; 10] =
        ["AKIA", "ASIA", "ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "strata_pat_"];
    if value.contains("-----BEGIN") && value.contains("PRIVATE KEY") {
        return Some("its value is a private key");
    }
    if BEGINNINGS.iter().any(|beginning| value.len() > 16 && value.starts_with(beginning)) {
        return Some("its value begins like an access token");
    }
    let upper = name.to_ascii_uppercase();
    let words: Vec<&str> = upper.split(|letter: char| !letter.is_ascii_alphanumeric()).collect();
    let is_named = words.iter().any(|word| WORDS.contains(word))
        || words.windows(2).any(|pair| PAIRS.iter().any(|(one, other)| pair == [*one, *other]));
    let is_flag = ["", "0", "1", "true", "false", "yes", "no"].contains(&value.to_ascii_lowercase().as_str());
    let is_place = words.last().is_some_and(|last| ["FILE", "PATH", "DIR", "URL", "TYPE"].contains(last))
        || value.starts_with('/')
        || upper == "PWD"
        || upper == "OLDPWD";
    (is_named && !is_flag && !is_place).then_some("its name says so")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_guessed_from_names_and_values() {
        for (name, value, expected) in [
            ("MYSQL_ROOT_PASSWORD", "hunter2", true),
            ("db.password", "hunter2", true),
            ("AWS_SECRET_ACCESS_KEY", "abc", true),
            ("API_KEY", "abc", true),
            ("X", "ghp_0123456789abcdef0123", true),
            ("X", "-----BEGIN RSA PRIVATE KEY-----\n", true),
            ("MYSQL_ROOT_PASSWORD_FILE", "/run/secrets/p", false),
            ("POSTGRES_PASSWORD", "", false),
            ("ALLOW_EMPTY_PASSWORD", "yes", false),
            ("GPG_KEY", "E3FF2839C048B25C084DEBE9B26995E310250568", false),
            ("PATH", "/usr/bin", false),
            ("PWD", "app", false),
            ("TOKENIZER", "x", false),
            ("COMPASS", "x", false),
        ] {
            assert_eq!(secret_like(name, value).is_some(), expected, "{name}={value}");
        }
    }

    #[test]
    fn whoever_is_not_told_runs_as_root() {
        for (user, expected) in
            [("", true), ("root", true), ("0", true), ("0:1000", true), ("00", true), ("1000", false), ("app:0", false)]
        {
            let text = serde_json::json!({ "config": { "User": user } }).to_string();
            let config = strata_model::ImageConfig::parse(text.as_bytes()).unwrap();
            let manifest = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",
                "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
            let Ok(Manifest::Image(manifest)) = Manifest::parse(manifest.as_bytes(), None) else {
                panic!("a manifest")
            };
            let image = ImageParts { digest: Digest::of(b""), manifest, config };
            assert_eq!(image.runs_as_root(), expected, "{user:?}");
        }
    }
}
