//! Images and indexes with exact bytes.

use serde_json::{Value, json};
use strata_model::{Descriptor, Digest, ImageId, MediaType, Platform};

use crate::layer::Layer;

/// Makes an image from layers. Without further words: OCI, `linux/amd64`, made on 2020-01-01.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    docker: bool,
    config: Value,
    layers: Vec<Layer>,
    annotations: Value,
}

impl Default for ImageBuilder {
    fn default() -> ImageBuilder {
        ImageBuilder::new()
    }
}

impl ImageBuilder {
    /// An image without layers.
    pub fn new() -> ImageBuilder {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": { "Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"] },
        });
        ImageBuilder { docker: false, config, layers: Vec::new(), annotations: Value::Null }
    }

    /// With Docker's media types.
    pub fn docker(mut self) -> ImageBuilder {
        self.docker = true;
        self
    }

    /// With one more layer on top.
    pub fn layer(mut self, layer: Layer) -> ImageBuilder {
        self.layers.push(layer);
        self
    }

    /// For another platform, such as `linux/arm64`.
    pub fn platform(mut self, platform: &str) -> ImageBuilder {
        let platform: Platform = platform.parse().expect("a platform");
        self.config["architecture"] = platform.architecture.into();
        self.config["os"] = platform.os.into();
        if let Some(variant) = platform.variant {
            self.config["variant"] = variant.into();
        }
        self
    }

    /// With a key of the configuration's `config` set, such as `Labels`.
    pub fn setting(mut self, key: &str, value: Value) -> ImageBuilder {
        self.config["config"][key] = value;
        self
    }

    /// With any change of the configuration document; `rootfs` and `history` are added later where they are absent.
    pub fn config(mut self, change: impl FnOnce(&mut Value)) -> ImageBuilder {
        change(&mut self.config);
        self
    }

    /// With an annotation on the manifest.
    pub fn annotation(mut self, key: &str, value: &str) -> ImageBuilder {
        self.annotations[key] = value.into();
        self
    }

    /// The image.
    pub fn build(mut self) -> Image {
        let diff_ids: Vec<String> = self.layers.iter().map(|layer| layer.diff_id().to_string()).collect();
        let history: Vec<Value> = (0..diff_ids.len())
            .map(|layer| json!({ "created": "2020-01-01T00:00:00Z", "created_by": format!("layer {layer}") }))
            .collect();
        let document = self.config.as_object_mut().expect("a configuration that is an object");
        document.entry("rootfs").or_insert_with(|| json!({ "type": "layers", "diff_ids": diff_ids }));
        document.entry("history").or_insert(history.into());
        let config = self.config.to_string().into_bytes();
        let (media_type, config_type) = match self.docker {
            true => (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG),
            false => (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG),
        };
        let descriptors: Vec<Descriptor> = self.layers.iter().map(|layer| layer.descriptor(self.docker)).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": Descriptor::new(config_type, Digest::of(&config), config.len() as u64),
            "layers": descriptors,
        });
        if !self.annotations.is_null() {
            manifest["annotations"] = self.annotations;
        }
        Image { manifest: manifest.to_string().into_bytes(), media_type, config, layers: self.layers }
    }
}

/// An image: manifest, configuration and layers as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The manifest.
    pub manifest: Vec<u8>,
    /// Its media type.
    pub media_type: MediaType,
    /// The configuration.
    pub config: Vec<u8>,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// An image with one small file, told from others by `content`.
    pub fn small(content: &str) -> Image {
        ImageBuilder::new().layer(Layer::of_file("file", content)).build()
    }

    /// Digest of the manifest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Digest of the configuration.
    pub fn id(&self) -> ImageId {
        ImageId(Digest::of(&self.config))
    }

    /// What an index says of the image.
    pub fn descriptor(&self) -> Descriptor {
        let descriptor = Descriptor::new(self.media_type.clone(), self.digest(), self.manifest.len() as u64);
        Descriptor { platform: Some(self.platform()), ..descriptor }
    }

    /// The platform in the configuration.
    pub fn platform(&self) -> Platform {
        strata_model::ImageConfig::parse(&self.config).expect("a configuration").platform()
    }

    /// Configuration and layers by digest.
    pub fn blobs(&self) -> Vec<(Digest, Vec<u8>)> {
        let config = (Digest::of(&self.config), self.config.clone());
        self.layers.iter().map(|layer| (layer.digest(), layer.blob.clone())).chain([config]).collect()
    }
}

/// An index of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The index.
    pub manifest: Vec<u8>,
    /// Its media type.
    pub media_type: MediaType,
    /// The images, in order.
    pub images: Vec<Image>,
}

impl Index {
    /// An OCI index of images, with their platforms.
    pub fn new(images: Vec<Image>) -> Index {
        Index::of_type(MediaType::OCI_INDEX, images)
    }

    /// An index or manifest list.
    pub fn of_type(media_type: MediaType, images: Vec<Image>) -> Index {
        let entries: Vec<Descriptor> = images.iter().map(Image::descriptor).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
        Index { manifest: manifest.to_string().into_bytes(), media_type, images }
    }

    /// Digest of the index.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What refers to the index.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.clone(), self.digest(), self.manifest.len() as u64)
    }
}
