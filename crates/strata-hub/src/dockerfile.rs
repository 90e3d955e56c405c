//! The Dockerfile of an image: the one that its publisher attached, or the one that the build recorded, or else one that is
//! made up from the image's history.
//!
//! Looked for in this order, first at the platform's image and then at its index:
//! 1. a referrer of type `application/vnd.strata.dockerfile.v1` or `text/x-dockerfile`, whose first layer is the text
//!    (`oras attach --artifact-type application/vnd.strata.dockerfile.v1 host/name:tag Dockerfile`);
//! 2. the annotation `vnd.strata.dockerfile` of the manifest, which is the text;
//! 3. provenance that BuildKit recorded with `mode=max`, which holds the text (SLSA provenance 0.2 and 1);
//! 4. the history in the image's configuration. What is made of it is no file that ever was, and says so.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use strata_model::{Descriptor, Digest, History, ImageConfig, ImageIndex, ImageManifest, Manifest, Repository, Target};
use strata_store::registry::StoredManifest;

use crate::records::RepositoryRow;
use crate::{Hub, HubError, Result};

/// Types of artifacts that are Dockerfiles.
const ARTIFACT_TYPES: [&str; 2] = ["application/vnd.strata.dockerfile.v1", "text/x-dockerfile"];
/// The annotation with the text.
const ANNOTATION: &str = "vnd.strata.dockerfile";
/// What an attestation is about.
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
const PROVENANCE: &str = "https://slsa.dev/provenance/";
/// Where the two versions of provenance keep what BuildKit adds.
const BUILDKIT: [&str; 2] = [
    "/predicate/metadata/https:~1~1mobyproject.org~1buildkit@v1#metadata/source/infos",
    "/predicate/runDetails/metadata/buildkit_metadata/source/infos",
];
/// Longest text that is shown, in bytes.
const MAX_TEXT: u64 = 1 << 20;
/// Longest provenance that is read, in bytes.
const MAX_PROVENANCE: u64 = 8 << 20;

/// A Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// Its text, as it came: never to be interpreted.
    pub text: String,
    /// Where it is from.
    pub origin: DockerfileOrigin,
    /// The image that it is of.
    pub image: Digest,
    /// When the image was built, as it says itself (RFC 3339).
    pub created: Option<String>,
}

/// Where a Dockerfile is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DockerfileOrigin {
    /// The publisher attached it as an artifact, whose manifest this is.
    Attached(Digest),
    /// The publisher wrote it into the manifest.
    Annotated,
    /// The build recorded it.
    Recorded,
    /// It was made up from the image's history.
    Reconstructed,
}

impl DockerfileOrigin {
    /// `attached`, `annotated`, `recorded`, `reconstructed`.
    pub fn as_str(self) -> &'static str {
        match self {
            DockerfileOrigin::Attached(_) => "attached",
            DockerfileOrigin::Annotated => "annotated",
            DockerfileOrigin::Recorded => "recorded",
            DockerfileOrigin::Reconstructed => "reconstructed",
        }
    }
}

/// An image, and the index that it was found in.
struct Found {
    digest: Digest,
    image: ImageManifest,
    index: Option<(Digest, ImageIndex)>,
}

impl Hub {
    /// The Dockerfile of a tag or digest, for `os/architecture[/variant]`, or for the first platform.
    ///
    /// # Errors
    /// `NotFound` without such an image; `Invalid` when it has neither a Dockerfile nor a history.
    pub async fn dockerfile(
        &self,
        repository: &RepositoryRow,
        target: &str,
        platform: Option<&str>,
    ) -> Result<Dockerfile> {
        let not_found = || HubError::NotFound(format!("image {target} of repository {}", repository.full_name()));
        let name: Repository = repository.full_name().parse().map_err(|_| not_found())?;
        let found = self.image(&name, target, platform).await?.ok_or_else(not_found)?;
        let config = self.config(&found.image).await?;
        let (text, origin) = match self.published(&name, &found).await? {
            Some(published) => published,
            None => (reconstruct(&config).ok_or_else(not_found)?, DockerfileOrigin::Reconstructed),
        };
        Ok(Dockerfile { text, origin, image: found.digest, created: config.created })
    }

    async fn image(&self, name: &Repository, target: &str, platform: Option<&str>) -> Result<Option<Found>> {
        let target = match target.parse::<Digest>() {
            Ok(digest) => Target::Digest(digest),
            Err(_) => match target.parse() {
                Ok(tag) => Target::Tag(tag),
                Err(_) => return Ok(None),
            },
        };
        let stored = self.registry().manifest(name, &target).await?;
        let index = match parsed(&stored)? {
            Manifest::Image(image) => return Ok(Some(Found { digest: stored.digest, image, index: None })),
            Manifest::Index(index) => index,
        };
        let Some(entry) = entry(&index, platform) else { return Ok(None) };
        let digest = entry.digest;
        let image = self.registry().manifest(name, &Target::Digest(digest)).await?;
        match parsed(&image)? {
            Manifest::Image(image) => Ok(Some(Found { digest, image, index: Some((stored.digest, index)) })),
            Manifest::Index(_) => Ok(None),
        }
    }

    pub(crate) async fn config(&self, image: &ImageManifest) -> Result<ImageConfig> {
        if !image.config.media_type.is_image_config() {
            return Ok(ImageConfig::default());
        }
        let bytes = self.registry().store().small_object(&image.config.digest, MAX_PROVENANCE).await?;
        Ok(ImageConfig::parse(&bytes).unwrap_or_default())
    }

    async fn published(&self, name: &Repository, found: &Found) -> Result<Option<(String, DockerfileOrigin)>> {
        let subjects = [Some(found.digest), found.index.as_ref().map(|(digest, _)| *digest)];
        for subject in subjects.into_iter().flatten() {
            if let Some(attached) = self.attached(name, &subject).await? {
                return Ok(Some(attached));
            }
        }
        let annotations = [Some(&found.image.annotations), found.index.as_ref().map(|(_, index)| &index.annotations)];
        if let Some(text) = annotations.into_iter().flatten().find_map(|annotations| annotations.get(ANNOTATION)) {
            return Ok(Some((text.clone(), DockerfileOrigin::Annotated)));
        }
        let recorded = self.recorded(name, found).await?;
        Ok(recorded.map(|text| (text, DockerfileOrigin::Recorded)))
    }

    async fn attached(&self, name: &Repository, subject: &Digest) -> Result<Option<(String, DockerfileOrigin)>> {
        for artifact_type in ARTIFACT_TYPES {
            let page = self.registry().referrers(name, subject, Some(artifact_type), None).await?;
            for artifact in page.manifests {
                let target = Target::Digest(artifact.digest);
                if let Ok(stored) = self.registry().manifest(name, &target).await
                    && let Manifest::Image(manifest) = parsed(&stored)?
                    && let Some(layer) = manifest.layers.first()
                    && let Some(bytes) = self.blob(name, layer, MAX_TEXT).await?
                    && let Ok(text) = String::from_utf8(bytes)
                {
                    return Ok(Some((text, DockerfileOrigin::Attached(artifact.digest))));
                }
            }
        }
        Ok(None)
    }

    /// What BuildKit's provenance says, in an attestation of the index.
    async fn recorded(&self, name: &Repository, found: &Found) -> Result<Option<String>> {
        let Some((_, index)) = &found.index else { return Ok(None) };
        let digest = found.digest.to_string();
        let is_about =
            |entry: &&Descriptor| entry.is_attestation() && entry.annotations.get(REFERENCE_DIGEST) == Some(&digest);
        for entry in index.manifests.iter().filter(is_about) {
            let target = Target::Digest(entry.digest);
            let Ok(stored) = self.registry().manifest(name, &target).await else { continue };
            let Manifest::Image(attestation) = parsed(&stored)? else { continue };
            let is_provenance = |layer: &&Descriptor| {
                layer.annotations.get(PREDICATE_TYPE).is_some_and(|found| found.starts_with(PROVENANCE))
            };
            for layer in attestation.layers.iter().filter(is_provenance) {
                if let Some(bytes) = self.blob(name, layer, MAX_PROVENANCE).await?
                    && let Some(text) = text_of_provenance(&bytes)
                {
                    return Ok(Some(text));
                }
            }
        }
        Ok(None)
    }

    /// A blob that this repository shows; `None` when it is not there or too large.
    async fn blob(&self, name: &Repository, blob: &Descriptor, limit: u64) -> Result<Option<Vec<u8>>> {
        if blob.size > limit || self.registry().blob_size(name, &blob.digest).await.is_err() {
            return Ok(None);
        }
        Ok(self.registry().store().small_object(&blob.digest, limit).await.ok().map(|bytes| bytes.to_vec()))
    }
}

/// One step of an image's history, with the layer that it made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerStep {
    /// The layer, as it is pulled; `None` where a step made none.
    pub digest: Option<Digest>,
    /// Its compressed bytes.
    pub size: u64,
    /// The instruction, as far as the history tells.
    pub instruction: String,
}

impl Hub {
    /// The steps and layers of an image of a repository, lowest first. Empty for what is no image.
    ///
    /// # Errors
    /// `NotFound` without such a manifest.
    pub async fn layer_steps(&self, repository: &RepositoryRow, image: &Digest) -> Result<Vec<LayerStep>> {
        let not_found = || HubError::NotFound(format!("image {image} of repository {}", repository.full_name()));
        let name: Repository = repository.full_name().parse().map_err(|_| not_found())?;
        let stored = self.registry().manifest(&name, &Target::Digest(*image)).await?;
        match parsed(&stored)? {
            Manifest::Image(image) => Ok(steps(&self.config(&image).await?, &image.layers)),
            Manifest::Index(_) => Ok(Vec::new()),
        }
    }
}

/// Layers without history come last: a history may tell of some only, or lie.
pub(crate) fn steps(config: &ImageConfig, layers: &[Descriptor]) -> Vec<LayerStep> {
    let mut layers = layers.iter();
    let mut steps = Vec::new();
    for step in &config.history {
        let layer = if step.empty_layer { None } else { layers.next() };
        steps.push(LayerStep {
            digest: layer.map(|layer| layer.digest),
            size: layer.map_or(0, |layer| layer.size),
            instruction: instruction(step).unwrap_or_default(),
        });
    }
    let rest =
        layers.map(|layer| LayerStep { digest: Some(layer.digest), size: layer.size, instruction: String::new() });
    steps.extend(rest);
    steps
}

pub(crate) fn parsed(stored: &StoredManifest) -> Result<Manifest> {
    Manifest::parse(&stored.bytes, Some(&stored.media_type)).map_err(|error| HubError::Internal(error.to_string()))
}

/// The entry of a platform; without one the first that is an image.
fn entry<'a>(index: &'a ImageIndex, platform: Option<&str>) -> Option<&'a Descriptor> {
    let mut images = index.manifests.iter().filter(|entry| !entry.is_attestation());
    match platform {
        Some(wanted) => {
            images.find(|entry| entry.platform.as_ref().is_some_and(|platform| platform.to_string() == wanted))
        }
        None => images.next(),
    }
}

fn text_of_provenance(bytes: &[u8]) -> Option<String> {
    let document: Value = serde_json::from_slice(bytes).ok()?;
    let infos = BUILDKIT.iter().find_map(|pointer| document.pointer(pointer))?;
    let data = infos.get(0)?.get("data")?.as_str()?;
    String::from_utf8(BASE64_STANDARD.decode(data).ok()?).ok()
}

/// Instructions that may have made the image; `None` when it tells nothing.
fn reconstruct(config: &ImageConfig) -> Option<String> {
    let instructions: Vec<String> = config.history.iter().filter_map(instruction).collect();
    (!instructions.is_empty()).then(|| instructions.join("\n") + "\n")
}

/// The instruction of one step, as the classic builder and BuildKit write it into the history.
fn instruction(step: &History) -> Option<String> {
    const SHELL: &str = "/bin/sh -c ";
    const NOTHING: &str = "#(nop)";
    let text = step.created_by.trim();
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim_end();
    if text.is_empty() {
        return None;
    }
    if let Some(command) = text.strip_prefix(SHELL) {
        return Some(match command.trim_start().strip_prefix(NOTHING) {
            Some(instruction) => copied(instruction.trim()),
            None => format!("RUN {}", command.trim_start()),
        });
    }
    let (is_run, command) = match text.strip_prefix("RUN ") {
        Some(command) => (true, command),
        None => (false, text),
    };
    // `|2 A=1 B=2 /bin/sh -c …`: a command with build arguments.
    let with_arguments = command.starts_with('|').then(|| command.split_once(SHELL)).flatten();
    if let Some((_, command)) = with_arguments {
        return Some(format!("RUN {command}"));
    }
    if is_run {
        return Some(format!("RUN {}", command.strip_prefix(SHELL).unwrap_or(command)));
    }
    let word = text.split(' ').next().unwrap_or_default();
    match !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase()) {
        true => Some(copied(text)),
        false => Some(commented(text)),
    }
}

/// `ADD file:… in /`, as the classic builder writes it, is `ADD file:… /`.
fn copied(instruction: &str) -> String {
    match instruction.starts_with("ADD ") || instruction.starts_with("COPY ") {
        true => instruction.replacen(" in ", " ", 1).trim_end().to_owned(),
        false => instruction.to_owned(),
    }
}

/// What no builder of Dockerfiles wrote.
fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_instructions() {
        for (created_by, expected) in [
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc /"),
            ("/bin/sh -c apt-get update &&     true", "RUN apt-get update &&     true"),
            ("RUN /bin/sh -c make install # buildkit", "RUN make install"),
            ("RUN |1 V=2 /bin/sh -c make # buildkit", "RUN make"),
            ("|1 V=2 /bin/sh -c make", "RUN make"),
            ("COPY /app /app # buildkit", "COPY /app /app"),
            ("ENV A=b", "ENV A=b"),
            ("bazel build ...\nRUN x", "# bazel build ...\n# RUN x"),
        ] {
            let step = History { created_by: created_by.into(), ..History::default() };
            assert_eq!(instruction(&step).unwrap(), expected, "{created_by}");
        }
        assert_eq!(instruction(&History::default()), None);
    }

    #[test]
    fn provenance_holds_the_text() {
        let data = BASE64_STANDARD.encode("FROM scratch\n");
        let infos = serde_json::json!({ "source": { "infos": [{ "filename": "Dockerfile", "data": data }] } });
        let old = serde_json::json!({ "predicate": { "metadata": {
            "https://mobyproject.org/buildkit@v1#metadata": infos } } });
        let new = serde_json::json!({ "predicate": { "runDetails": { "metadata": { "buildkit_metadata": infos } } } });
        for document in [old, new] {
            assert_eq!(text_of_provenance(document.to_string().as_bytes()).unwrap(), "FROM scratch\n");
        }
        assert_eq!(text_of_provenance(b"{}"), None);
    }
}
