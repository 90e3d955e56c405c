//! The catalog's rows of containers, volumes and networks.
//!
//! A container holds the manifest of its image, and with it configuration, layers and packs: collection takes none of them
//! while the container's row is there, whatever happens to the image. What a container's process does is not here: its
//! directory says that.

use async_trait::async_trait;
use strata_model::{Digest, ImageId};

use crate::Result;

/// How far a container has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ContainerPhase {
    /// It exists: its directory is complete.
    Ready,
    /// It is being removed, and nothing else can be done with it.
    Removing,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerRow {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, which no other container has.
    pub name: String,
    /// The image that it was made from, which may be gone.
    pub image: ImageId,
    /// The manifest of that image, which is held.
    pub manifest: Digest,
    /// When it was made.
    pub created: i64,
    /// How far it has come.
    pub phase: ContainerPhase,
    /// Its settings, JSON.
    pub document: String,
    /// The volumes that it mounts, by name, sorted: they are held.
    pub volumes: Vec<String>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: i64,
    /// Whether its name was made up for one container.
    pub is_anonymous: bool,
    /// Labels and options, JSON.
    pub document: String,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRow {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, which no other network has.
    pub name: String,
    /// When it was made.
    pub created: i64,
    /// Its settings, JSON.
    pub document: String,
}

/// A container's place in a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRow {
    /// The network's ID.
    pub network: String,
    /// The container's ID.
    pub container: String,
    /// Its address there, which no other container of that network has; `None` while it has none.
    pub address: Option<String>,
    /// Its settings, JSON.
    pub document: String,
}

/// Queries on containers, volumes and networks.
#[async_trait]
pub trait ContainerReadTxn: Send + Sync {
    /// One container.
    async fn container(&self, id: &str) -> Result<Option<ContainerRow>>;
    /// The container of this name.
    async fn container_named(&self, name: &str) -> Result<Option<ContainerRow>>;
    /// The containers whose ID starts with these hexadecimal digits, at most `limit`.
    async fn containers_by_prefix(&self, hex: &str, limit: usize) -> Result<Vec<ContainerRow>>;
    /// Every container, the newest first.
    async fn containers(&self) -> Result<Vec<ContainerRow>>;
    /// The containers that were made from an image, the newest first.
    async fn containers_of_image(&self, image: &ImageId) -> Result<Vec<ContainerRow>>;
    /// The containers that mount a volume, the newest first.
    async fn containers_of_volume(&self, volume: &str) -> Result<Vec<ContainerRow>>;

    /// One volume.
    async fn volume(&self, name: &str) -> Result<Option<VolumeRow>>;
    /// Every volume, sorted by name.
    async fn volumes(&self) -> Result<Vec<VolumeRow>>;

    /// Every network, sorted by name.
    async fn networks(&self) -> Result<Vec<NetworkRow>>;
    /// The containers in a network, sorted by ID.
    async fn endpoints_of_network(&self, network: &str) -> Result<Vec<EndpointRow>>;
    /// The networks that a container is in, sorted by ID.
    async fn endpoints_of_container(&self, container: &str) -> Result<Vec<EndpointRow>>;
}

/// Changes of containers, volumes and networks.
#[async_trait]
pub trait ContainerWriteTxn: ContainerReadTxn {
    /// Adds a container. Fails when its name is taken, or its manifest or one of its volumes is not here.
    async fn insert_container(&mut self, row: &ContainerRow) -> Result<()>;
    /// Changes name, phase and document of a container.
    async fn update_container(&mut self, row: &ContainerRow) -> Result<()>;
    /// Removes a container, and it from its networks; `false` when it was not there.
    async fn delete_container(&mut self, id: &str) -> Result<bool>;

    /// Adds a volume; `false` when it was there.
    async fn insert_volume(&mut self, row: &VolumeRow) -> Result<bool>;
    /// Removes a volume; `false` when it was not there. Fails when a container mounts it.
    async fn delete_volume(&mut self, name: &str) -> Result<bool>;

    /// Adds a network. Fails when its name is taken.
    async fn insert_network(&mut self, row: &NetworkRow) -> Result<()>;
    /// Changes the document of a network.
    async fn update_network(&mut self, row: &NetworkRow) -> Result<()>;
    /// Removes a network; `false` when it was not there. Fails when a container is in it.
    async fn delete_network(&mut self, id: &str) -> Result<bool>;
    /// Adds or changes the place of a container in a network. Fails when another has its address.
    async fn put_endpoint(&mut self, row: &EndpointRow) -> Result<()>;
    /// Takes a container out of a network; `false` when it was not there.
    async fn delete_endpoint(&mut self, network: &str, container: &str) -> Result<bool>;
}
