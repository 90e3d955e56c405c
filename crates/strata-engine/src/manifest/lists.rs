//! The manifest lists that are being put together, in their directory.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use strata_model::{Platform, Reference};
use strata_registry_client::RegistryClient;

use super::{InspectedManifest, fetch_image};
use crate::layout_directory::NewFile;
use crate::{EngineError, Result};

/// Operating systems and the architectures that each of them may have in a list, as docker checks them.
const COMBINATIONS: &[(&str, &[&str])] = &[
    ("darwin", &["386", "amd64", "arm", "arm64"]),
    ("dragonfly", &["amd64"]),
    ("freebsd", &["386", "amd64", "arm"]),
    ("linux", &["386", "amd64", "arm", "arm64", "loong64", "mips64", "mips64le", "ppc64le", "riscv64", "s390x"]),
    ("netbsd", &["386", "amd64", "arm"]),
    ("openbsd", &["386", "amd64", "arm"]),
    ("plan9", &["386", "amd64"]),
    ("solaris", &["amd64"]),
    ("windows", &["386", "amd64", "arm", "arm64"]),
];

/// What `manifest annotate` sets; what is empty stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Annotation {
    /// Operating system.
    pub os: Option<String>,
    /// Architecture.
    pub architecture: Option<String>,
    /// Features of the operating system, added to those that are there.
    pub os_features: Vec<String>,
    /// Version of the operating system.
    pub os_version: Option<String>,
    /// Variant of the architecture.
    pub variant: Option<String>,
}

/// Manifest lists in a directory.
#[derive(Clone, Debug)]
pub struct ManifestLists {
    directory: PathBuf,
}

impl ManifestLists {
    /// The lists in this directory (docker's is `~/.docker/manifests`), which need not exist.
    pub fn new(directory: impl Into<PathBuf>) -> ManifestLists {
        ManifestLists { directory: directory.into() }
    }

    /// The manifests of a list, by file name; `None` when there is no such list.
    ///
    /// # Errors
    /// When a file is unreadable.
    pub fn get(&self, list: &Reference) -> Result<Option<Vec<InspectedManifest>>> {
        let directory = self.list_directory(list);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(EngineError::file("reading", &directory, cause)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|cause| EngineError::file("reading", &directory, cause))?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                paths.push(entry.path());
            }
        }
        paths.sort();
        paths.iter().map(|path| read(path)).collect::<Result<_>>().map(Some)
    }

    /// One manifest of a list.
    ///
    /// # Errors
    /// `NotFound` in docker's words.
    pub fn manifest(&self, list: &Reference, manifest: &Reference) -> Result<InspectedManifest> {
        self.find(list, manifest)?.ok_or_else(|| no_such(&manifest.clone().with_default_tag()))
    }

    /// Makes a list of manifests on their registry, or adds to one with `amend`. Returns the list's canonical name.
    ///
    /// # Errors
    /// In docker's words when the list exists, or an image does not.
    pub async fn create(
        &self,
        client: &RegistryClient,
        list: &Reference,
        manifests: &[Reference],
        amend: bool,
    ) -> Result<String> {
        let list = list.clone().with_default_tag();
        if self.get(&list)?.is_some() && !amend {
            return Err(EngineError::invalid("refusing to amend an existing manifest list with no --amend flag"));
        }
        // All are looked up before the first is written.
        let mut found = Vec::with_capacity(manifests.len());
        for reference in manifests {
            let reference = reference.clone().with_default_tag();
            let manifest = match self.find(&list, &reference)? {
                Some(known) => known,
                None => fetch_image(client, &reference).await?,
            };
            found.push((reference, manifest));
        }
        for (reference, manifest) in found {
            self.save(&list, &reference, &manifest)?;
        }
        Ok(list.to_string())
    }

    /// Changes what a list says of a manifest's platform.
    ///
    /// # Errors
    /// In docker's words when the manifest is not in the list, or no such platform exists.
    pub fn annotate(&self, list: &Reference, manifest: &Reference, annotation: &Annotation) -> Result<()> {
        let Some(mut entry) = self.find(list, manifest)? else {
            let (list, manifest) = (list.familiar(), manifest.familiar());
            return Err(EngineError::invalid(format!("manifest for image {manifest} does not exist in {list}")));
        };
        let platform = entry.descriptor.platform.get_or_insert_with(Platform::default);
        let Annotation { os, architecture, os_features, os_version, variant } = annotation.clone();
        platform.os = os.unwrap_or(std::mem::take(&mut platform.os));
        platform.architecture = architecture.unwrap_or(std::mem::take(&mut platform.architecture));
        platform.os_version = os_version.or(platform.os_version.take());
        platform.variant = variant.or(platform.variant.take());
        for feature in os_features {
            if !platform.os_features.contains(&feature) {
                platform.os_features.push(feature);
            }
        }
        if !is_known(platform) {
            return Err(EngineError::invalid(format!(
                "manifest entry for image has unsupported os/arch combination: {}/{}",
                platform.os, platform.architecture
            )));
        }
        self.save(list, manifest, &entry)
    }

    /// Forgets a list; the registry is not changed.
    ///
    /// # Errors
    /// `NotFound` in docker's words.
    pub fn remove(&self, list: &Reference) -> Result<()> {
        let directory = self.list_directory(list);
        match fs::remove_dir_all(&directory) {
            Ok(()) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Err(no_such(&list.clone().with_default_tag())),
            Err(cause) => Err(EngineError::file("removing", &directory, cause)),
        }
    }

    fn find(&self, list: &Reference, manifest: &Reference) -> Result<Option<InspectedManifest>> {
        let path = self.list_directory(list).join(file_name(manifest));
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    fn save(&self, list: &Reference, manifest: &Reference, entry: &InspectedManifest) -> Result<()> {
        let directory = self.list_directory(list);
        let path = directory.join(file_name(manifest));
        let write = || {
            fs::create_dir_all(&directory)?;
            let file = NewFile::create(&directory)?;
            (&*file.file).write_all(&entry.to_bytes())?;
            file.keep(&path)
        };
        write().map_err(|cause| EngineError::file("writing", &path, cause))
    }

    fn list_directory(&self, list: &Reference) -> PathBuf {
        self.directory.join(file_name(list))
    }
}

fn read(path: &Path) -> Result<InspectedManifest> {
    let bytes = fs::read(path).map_err(|cause| EngineError::file("reading", path, cause))?;
    InspectedManifest::from_bytes(&bytes)
        .map_err(|cause| EngineError::invalid(format!("manifest in {}: {cause}", path.display())))
}

/// Docker's way of making a reference a file name. The grammar of references has neither `..` nor a leading dot.
fn file_name(reference: &Reference) -> String {
    reference.clone().with_default_tag().to_string().replace(':', "-").replace('/', "_")
}

fn no_such(reference: &Reference) -> EngineError {
    let message = format!("No such manifest: {reference}");
    strata_transfer::TransferError::new(strata_model::ErrorKind::NotFound, message).into()
}

fn is_known(platform: &Platform) -> bool {
    COMBINATIONS
        .iter()
        .any(|(os, architectures)| *os == platform.os && architectures.contains(&platform.architecture.as_str()))
}
