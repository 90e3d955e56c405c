//! Image archives as various tools write them.

use serde_json::json;
use strata_model::{Descriptor, Digest};

use crate::image::{Image, Index};
use crate::tar::{TarBuilder, TarEntry, TarFormat};

/// The members of an archive as paths and contents, to be reordered, dropped or spoilt before they become a tar.
#[derive(Clone, Debug, Default)]
pub struct ArchiveMembers(pub Vec<TarEntry>);

impl ArchiveMembers {
    /// The tar.
    pub fn tar(&self, format: TarFormat) -> Vec<u8> {
        TarBuilder::new(format).entries(&self.0).finish()
    }

    /// The same in the opposite order.
    pub fn reversed(mut self) -> ArchiveMembers {
        self.0.reverse();
        self
    }

    /// The same with another prefix, such as `./`, at every path.
    pub fn prefixed(mut self, prefix: &str) -> ArchiveMembers {
        for entry in &mut self.0 {
            entry.path.splice(0..0, prefix.bytes());
        }
        self
    }

    /// The same without the members whose path ends in `suffix`.
    pub fn without(mut self, suffix: &str) -> ArchiveMembers {
        self.0.retain(|entry| !entry.path.ends_with(suffix.as_bytes()));
        self
    }

    /// The same with one more member; a path that is there already is replaced.
    pub fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> ArchiveMembers {
        self.0.retain(|entry| entry.path != path.as_bytes());
        self.0.push(TarEntry::file(path, content));
        self
    }
}

/// As docker 1.10 to 24 wrote: `<hex>.json`, `<n>/layer.tar` uncompressed with the v1 files beside, `manifest.json`.
pub fn docker(images: &[(&Image, &[&str])]) -> ArchiveMembers {
    let mut members = ArchiveMembers::default();
    let mut items = Vec::new();
    for (image, tags) in images {
        let config = format!("{}.json", image.id().0.hex());
        members = members.with(&config, &image.config);
        let mut layers = Vec::new();
        for layer in &image.layers {
            let directory = Digest::of(layer.diff_id().to_string().as_bytes()).hex();
            members = members
                .with(&format!("{directory}/VERSION"), "1.0")
                .with(&format!("{directory}/json"), "{}")
                .with(&format!("{directory}/layer.tar"), &layer.tar);
            layers.push(format!("{directory}/layer.tar"));
        }
        items.push(json!({ "Config": config, "RepoTags": tags, "Layers": layers }));
    }
    members.with("manifest.json", json!(items).to_string())
}

/// As crane writes: `sha256:<hex>` configurations and `<hex>.tar.gz` layers.
pub fn crane(images: &[(&Image, &[&str])]) -> ArchiveMembers {
    let mut members = ArchiveMembers::default();
    let mut items = Vec::new();
    for (image, tags) in images {
        let config = image.id().to_string();
        members = members.with(&config, &image.config);
        let layers: Vec<String> = image.layers.iter().map(|layer| format!("{}.tar.gz", layer.digest().hex())).collect();
        for (path, layer) in layers.iter().zip(&image.layers) {
            members = members.with(path, &layer.blob);
        }
        items.push(json!({ "Config": config, "RepoTags": tags, "Layers": layers }));
    }
    members.with("manifest.json", json!(items).to_string())
}

/// As docker before 1.10 wrote: v1 images that name their parents, and `repositories`.
pub fn docker_v1(image: &Image, repository: &str, tag: &str) -> ArchiveMembers {
    let mut members = ArchiveMembers::default();
    let mut parent = None;
    for layer in &image.layers {
        let id = Digest::of(format!("{parent:?}{}", layer.diff_id()).as_bytes()).hex();
        let mut document = json!({
            "id": id, "created": "2014-01-01T00:00:00Z", "docker_version": "1.4.1", "architecture": "amd64",
            "os": "linux", "Size": layer.tar.len(), "container_config": { "Cmd": ["/bin/sh", "-c", "step"] },
            "config": { "Cmd": ["/bin/sh"] },
        });
        if let Some(parent) = &parent {
            document["parent"] = json!(parent);
        }
        members = members
            .with(&format!("{id}/VERSION"), "1.0")
            .with(&format!("{id}/json"), document.to_string())
            .with(&format!("{id}/layer.tar"), &layer.tar);
        parent = Some(id);
    }
    members.with("repositories", json!({ repository: { tag: parent } }).to_string())
}

/// An OCI layout of one image, with annotations at its entry in `index.json`.
pub fn oci(image: &Image, annotations: &[(&str, &str)]) -> ArchiveMembers {
    blobs(ArchiveMembers::default(), image).finished(annotated(image.descriptor(), annotations))
}

/// An OCI layout of one index and all its images.
pub fn oci_index(index: &Index, annotations: &[(&str, &str)]) -> ArchiveMembers {
    let members = index.images.iter().fold(ArchiveMembers::default(), blobs);
    members.with(&blob_path(&index.digest()), &index.manifest).finished(annotated(index.descriptor(), annotations))
}

impl ArchiveMembers {
    fn finished(self, entry: Descriptor) -> ArchiveMembers {
        let index = json!({ "schemaVersion": 2, "manifests": [entry] });
        self.with("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#).with("index.json", index.to_string())
    }
}

fn annotated(mut descriptor: Descriptor, annotations: &[(&str, &str)]) -> Descriptor {
    descriptor.annotations.extend(annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    descriptor
}

fn blobs(members: ArchiveMembers, image: &Image) -> ArchiveMembers {
    let blobs = image.blobs().into_iter().chain([(image.digest(), image.manifest.clone())]);
    blobs.fold(members, |members, (digest, bytes)| members.with(&blob_path(&digest), bytes))
}

/// The path of a blob in an OCI layout.
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
