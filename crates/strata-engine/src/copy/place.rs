//! The places that people name on the command line: `transport:reference`, as skopeo and podman write them
//! (containers-transports(5)).

use std::fmt;
use std::path::PathBuf;

use strata_model::Reference;

use crate::{EngineError, Result};

/// A place that images are copied from or to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `docker://REFERENCE`: a repository on a registry.
    Registry(Reference),
    /// `oci:DIRECTORY[:NAME]`: an OCI layout in a directory; the name is the annotation of its entry in `index.json`.
    Layout {
        /// The directory.
        directory: PathBuf,
        /// The entry.
        name: Option<String>,
    },
    /// `oci-archive:FILE[:NAME]`: an OCI layout in a tar.
    OciArchive {
        /// The file.
        file: PathBuf,
        /// The entry.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:REFERENCE]`: what `docker save` writes.
    DockerArchive {
        /// The file.
        file: PathBuf,
        /// The image in it.
        image: Option<ArchiveEntry>,
    },
    /// `docker-daemon:REFERENCE`: the images of a Docker Engine on this machine. A source can be an image ID too.
    DockerDaemon(String),
    /// `store:REFERENCE`: Strata's own store. A source can be an image ID too.
    Store(String),
}

/// An image of a docker archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveEntry {
    /// By its name.
    Name(Reference),
    /// By its position, counted from 0; only for reading.
    Position(usize),
}

const TRANSPORTS: &str = "docker, oci, oci-archive, docker-archive, docker-daemon, store";

impl Place {
    /// Parses `transport:reference`.
    ///
    /// # Errors
    /// `Invalid`, with skopeo's words for what is no place at all.
    pub fn parse(text: &str) -> Result<Place> {
        let invalid = |cause: String| EngineError::invalid(format!("Invalid image name {text:?}, {cause}"));
        let Some((transport, rest)) = text.split_once(':') else {
            return Err(invalid("expected colon-separated transport:reference".into()));
        };
        match transport {
            "docker" => {
                let name = rest.strip_prefix("//").ok_or_else(|| {
                    EngineError::invalid(format!(
                        "Invalid source name {text}: docker: image reference {rest} does not start with //"
                    ))
                })?;
                let reference = Reference::parse(name).map_err(|cause| invalid(cause.to_string()))?;
                Ok(Place::Registry(reference.with_default_tag()))
            }
            "oci" => split_path(rest).map(|(directory, name)| Place::Layout { directory, name }),
            "oci-archive" => split_path(rest).map(|(file, name)| Place::OciArchive { file, name }),
            "docker-archive" => {
                let (file, name) = split_path(rest)?;
                let image = name.map(|name| ArchiveEntry::parse(&name)).transpose();
                Ok(Place::DockerArchive { file, image: image.map_err(invalid)? })
            }
            "docker-daemon" | "store" if rest.is_empty() => Err(invalid(format!("{transport}: names no image"))),
            "docker-daemon" => Ok(Place::DockerDaemon(rest.to_owned())),
            "store" => Ok(Place::Store(rest.to_owned())),
            unknown => Err(EngineError::Unsupported {
                message: format!("Invalid image name {text:?}, unknown transport {unknown:?}"),
                hint: Some(format!("transports are {TRANSPORTS}; an image on a registry is docker://{text}")),
            }),
        }
    }

    /// Whether bytes pass this place one blob at a time, so that nothing has to be kept on the way.
    pub(crate) fn streams(&self) -> bool {
        matches!(self, Place::Registry(_) | Place::Layout { .. })
    }
}

impl ArchiveEntry {
    fn parse(text: &str) -> Result<ArchiveEntry, String> {
        if let Some(position) = text.strip_prefix('@') {
            let position = position.parse().map_err(|_| format!("{text:?} is no position of an image"))?;
            return Ok(ArchiveEntry::Position(position));
        }
        let reference = Reference::parse(text).map_err(|cause| cause.to_string())?.with_default_tag();
        if reference.digest().is_some() {
            return Err(format!("docker archives have no digests: {text}"));
        }
        Ok(ArchiveEntry::Name(reference))
    }
}

/// Splits `PATH[:NAME]` at its first colon, as skopeo does.
fn split_path(text: &str) -> Result<(PathBuf, Option<String>)> {
    let (path, name) = match text.split_once(':') {
        Some((path, name)) => (path, (!name.is_empty()).then(|| name.to_owned())),
        None => (text, None),
    };
    if path.is_empty() {
        return Err(EngineError::invalid("the path of the image is empty"));
    }
    Ok((path.into(), name))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with = |f: &mut fmt::Formatter<'_>, transport: &str, path: &PathBuf, name: Option<&dyn fmt::Display>| {
            write!(f, "{transport}:{}", path.display())?;
            name.map_or(Ok(()), |name| write!(f, ":{name}"))
        };
        match self {
            Place::Registry(reference) => write!(f, "docker://{}", reference.familiar()),
            Place::Layout { directory, name } => with(f, "oci", directory, name.as_ref().map(|name| name as _)),
            Place::OciArchive { file, name } => with(f, "oci-archive", file, name.as_ref().map(|name| name as _)),
            Place::DockerArchive { file, image } => {
                with(f, "docker-archive", file, image.as_ref().map(|image| image as _))
            }
            Place::DockerDaemon(name) => write!(f, "docker-daemon:{name}"),
            Place::Store(name) => write!(f, "store:{name}"),
        }
    }
}

impl fmt::Display for ArchiveEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArchiveEntry::Name(reference) => f.write_str(&reference.familiar()),
            ArchiveEntry::Position(position) => write!(f, "@{position}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_parsed_and_shown() {
        for (text, shown) in [
            ("docker://nginx", "docker://nginx:latest"),
            ("docker://127.0.0.1:5000/a/b:1", "docker://127.0.0.1:5000/a/b:1"),
            ("oci:/tmp/layout", "oci:/tmp/layout"),
            ("oci:layout:1.0", "oci:layout:1.0"),
            ("oci:layout:docker.io/a/b:1", "oci:layout:docker.io/a/b:1"),
            ("oci-archive:a.tar:x", "oci-archive:a.tar:x"),
            ("docker-archive:a.tar", "docker-archive:a.tar"),
            ("docker-archive:a.tar:app:1", "docker-archive:a.tar:app:1"),
            ("docker-archive:a.tar:@2", "docker-archive:a.tar:@2"),
            ("docker-daemon:app:1", "docker-daemon:app:1"),
            ("store:app", "store:app"),
        ] {
            assert_eq!(Place::parse(text).unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, message) in [
            ("nginx", "Invalid image name \"nginx\", expected colon-separated transport:reference"),
            ("nginx:1", "Invalid image name \"nginx:1\", unknown transport \"nginx\""),
            ("docker:nginx", "Invalid source name docker:nginx: docker: image reference nginx does not start with //"),
            (
                "docker://Nginx",
                "Invalid image name \"docker://Nginx\", invalid reference format: repository name (library/Nginx) must be lowercase",
            ),
            ("oci:", "the path of the image is empty"),
            ("oci::x", "the path of the image is empty"),
            ("docker-archive:a:@x", "Invalid image name \"docker-archive:a:@x\", \"@x\" is no position of an image"),
            ("store:", "Invalid image name \"store:\", store: names no image"),
        ] {
            assert_eq!(Place::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }
}
