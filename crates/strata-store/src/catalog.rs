//! The contract of the catalog: what exists, where its bytes lie, what refers to what.
//!
//! A catalog hands out transactions; the methods of a transaction are plain data in and out. No rule of the store is in an
//! implementation, no method does IO besides the database, none takes a callback. [`ReadTxn`] sees one consistent snapshot.
//! [`WriteTxn`]s are serializable as observed: what a transaction read is still so when it commits, and it commits whole or
//! not at all. A committed transaction survives a power cut. Dropping a transaction rolls it back.
//!
//! Times are nanoseconds since 1970, sizes bytes.

use async_trait::async_trait;
use bytes::Bytes;
use strata_layer::PackId;
use strata_model::{ChainId, DiffId, Digest, ImageId, MediaType};

use crate::container_rows::{ContainerReadTxn, ContainerWriteTxn};
use crate::{Location, Result};

/// A blob, configuration or manifest.
#[derive(Clone, Debug)]
pub struct ObjectRow {
    /// Its digest.
    pub digest: Digest,
    /// Its type.
    pub media_type: MediaType,
    /// Its size.
    pub size: u64,
    /// Where the bytes lie; `None` for a plain tar, which its layer's pack and index hold.
    pub location: Option<Location>,
    /// The bytes of manifests and configurations.
    pub bytes: Option<Bytes>,
    /// When it came.
    pub created: i64,
    /// Whether fsck or a reader found it damaged: it counts as missing until it is fetched again.
    pub damaged: bool,
}

/// A layer: where its index lies and which pack is its own.
#[derive(Clone, Debug)]
pub struct LayerRow {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// Where its index lies.
    pub index: Location,
    /// Length of the uncompressed tar.
    pub tar_size: u64,
    /// Sum of the lengths of its files.
    pub content_size: u64,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of contents that it refers to in foreign packs: what sharing below the layer saves.
    pub shared_size: u64,
    /// Whether its index was found damaged.
    pub damaged: bool,
}

/// A pack.
#[derive(Clone, Debug)]
pub struct PackRow {
    /// Its identity.
    pub id: PackId,
    /// Where it lies.
    pub location: Location,
    /// Length of the file.
    pub length: u64,
    /// Whether it was found damaged.
    pub damaged: bool,
}

/// An image that is held locally: a root of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageRow {
    /// Digest of its configuration.
    pub id: ImageId,
    /// Digest of its manifest.
    pub manifest: Digest,
    /// `os/architecture[/variant]`.
    pub platform: String,
    /// When it was made, by its configuration; 0 when that does not say.
    pub created: i64,
    /// Sum of the content sizes of its layers.
    pub size: u64,
    /// When it came here.
    pub added: i64,
    /// When it was last used (pulled, saved, mounted, run).
    pub used: i64,
    /// When a name was last put on it; 0 for never.
    pub tagged: i64,
}

/// A local name: a tag of a repository for one platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameRow {
    /// Canonical name, host included.
    pub repository: String,
    /// The tag.
    pub tag: String,
    /// `os/architecture[/variant]` of the image.
    pub platform: String,
    /// The image.
    pub image: ImageId,
    /// When it was set.
    pub updated: i64,
}

/// A repository digest of an image: under which digest a registry knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DigestNameRow {
    /// Canonical name, host included.
    pub repository: String,
    /// Digest of the manifest or index.
    pub digest: Digest,
    /// The image.
    pub image: ImageId,
}

/// A lease: what is being worked on.
#[derive(Clone, Debug)]
pub struct LeaseRow {
    /// Its identity.
    pub id: String,
    /// What for.
    pub purpose: String,
    /// When it ends by itself.
    pub expires: i64,
}

/// Something that a lease protects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LeaseItem {
    /// An object.
    Object(Digest),
    /// A layer.
    Layer(DiffId),
    /// A pack.
    Pack(PackId),
}

/// Which backend holds a location that is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DoomedKind {
    /// Blob storage.
    Blob,
    /// Pack storage.
    Pack,
}

/// Bytes that nothing refers to any more and that are to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoomedRow {
    /// Where.
    pub location: Location,
    /// In which storage.
    pub kind: DoomedKind,
}

/// Something that was done to an image: what `events` prints.
#[derive(Clone, Debug)]
pub struct EventRow {
    /// When.
    pub time: i64,
    /// Docker's word: pull, tag, untag, delete, load, save, push, import, prune.
    pub action: String,
    /// Identity of the thing acted on.
    pub actor: String,
    /// Attributes as JSON object text.
    pub attributes: String,
}

/// A tag of a repository that the registry serves.
#[derive(Clone, Debug)]
pub struct RegistryTagRow {
    /// The tag.
    pub tag: String,
    /// The manifest.
    pub digest: Digest,
    /// When it was pushed.
    pub updated: i64,
}

/// Whether a registry repository links a digest as a manifest or as a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkKind {
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
}

/// How much is in the store, by its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Objects: blobs, manifests, configurations.
    pub objects: u64,
    /// Bytes of all objects.
    pub object_bytes: u64,
    /// Unpacked layers.
    pub layers: u64,
    /// Bytes of all packs.
    pub pack_bytes: u64,
    /// Repositories of the registry.
    pub repositories: u64,
    /// Bytes that repositories show: what several of them link counts for each.
    pub linked_bytes: u64,
    /// Links that are to be looked at.
    pub reviews: u64,
    /// Files that are to be removed.
    pub doomed: u64,
    /// Uploads that are going on.
    pub uploads: u64,
}

/// What was done to a repository of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryAction {
    /// A manifest was pushed, whether it was there before or not.
    Push,
    /// A manifest was deleted by its digest, or the whole repository.
    Delete,
    /// A tag was set.
    Tag,
    /// A tag was removed, by itself or with its manifest.
    Untag,
    /// A manifest without tags was removed after the delay.
    Collect,
}

/// One entry of the registry's history. It is written in the transaction of the change itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryHistoryRow {
    /// Number in the order of commits, from 1; never used twice. Ignored when a row is inserted.
    pub sequence: i64,
    /// The repository.
    pub repository: String,
    /// The tag, or empty for a manifest or a whole repository.
    pub tag: String,
    /// What was pushed, deleted, or what the tag points to; `None` for a tag that was removed and for a whole repository.
    pub digest: Option<Digest>,
    /// What the tag pointed to before.
    pub previous: Option<Digest>,
    /// What was done.
    pub action: RegistryAction,
    /// The account that did it; empty for nobody in particular.
    pub actor: String,
    /// When.
    pub time: i64,
}

/// A link of a registry repository that is to be looked at: if nothing needs it when the time comes, it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryReviewRow {
    /// The repository.
    pub repository: String,
    /// What it links.
    pub digest: Digest,
    /// When a client was last told that it is there, or when it lost a reference.
    pub touched: i64,
    /// When to look at the earliest.
    pub due: i64,
}

/// Opens transactions. Implementations pass `conformance::catalog_suite`.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// A consistent snapshot.
    async fn read(&self) -> Result<Box<dyn ReadTxn>>;

    /// A serializable transaction; `intent` names it in logs and errors. Waits for other writers.
    async fn write(&self, intent: &'static str) -> Result<Box<dyn WriteTxn>>;

    /// The database's own integrity check; the list of its complaints.
    async fn check(&self) -> Result<Vec<String>>;
}

/// Queries.
#[async_trait]
pub trait ReadTxn: ContainerReadTxn {
    // objects
    /// One object.
    async fn object(&self, digest: &Digest) -> Result<Option<ObjectRow>>;
    /// Which of these objects are here and not damaged.
    async fn present(&self, digests: &[Digest]) -> Result<Vec<Digest>>;
    /// Every object, without bytes.
    async fn objects(&self) -> Result<Vec<ObjectRow>>;
    /// Every object of this type, without bytes.
    async fn objects_of_type(&self, media_type: &MediaType) -> Result<Vec<ObjectRow>>;
    /// What a manifest refers to and the store holds.
    async fn children(&self, parent: &Digest) -> Result<Vec<Digest>>;
    /// The manifests that refer to an object as their configuration, layer or entry (not as their subject).
    async fn parents(&self, child: &Digest) -> Result<Vec<Digest>>;
    /// Whether an edge, an image, a container, a repository digest, a registry link or a lease live at `now` holds it.
    async fn object_is_held(&self, digest: &Digest, now: i64) -> Result<bool>;
    /// What a manifest names as its subject, here or not.
    async fn subject(&self, manifest: &Digest) -> Result<Option<Digest>>;
    /// Manifests that name this one as their subject.
    async fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>>;

    // layers
    /// One layer.
    async fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRow>>;
    /// The layer that a blob is, once it was unpacked.
    async fn layer_of_blob(&self, blob: &Digest) -> Result<Option<DiffId>>;
    /// The blobs that hold a layer.
    async fn blobs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<Digest>>;
    /// Every layer.
    async fn layers(&self) -> Result<Vec<LayerRow>>;
    /// Whether a blob or a lease live at `now` holds a layer.
    async fn layer_is_held(&self, diff_id: &DiffId, now: i64) -> Result<bool>;

    // packs
    /// One pack.
    async fn pack(&self, id: &PackId) -> Result<Option<PackRow>>;
    /// Every pack.
    async fn packs(&self) -> Result<Vec<PackRow>>;
    /// The packs published last that are not damaged, at most `limit`.
    async fn newest_packs(&self, limit: usize) -> Result<Vec<PackRow>>;
    /// The packs that a layer uses, and how many bytes of each.
    async fn packs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<(PackId, u64)>>;
    /// The layers that use a pack.
    async fn layers_of_pack(&self, id: &PackId) -> Result<Vec<DiffId>>;
    /// Whether a layer or a lease live at `now` holds a pack.
    async fn pack_is_held(&self, id: &PackId, now: i64) -> Result<bool>;

    // images and names
    /// One image.
    async fn image(&self, id: &ImageId) -> Result<Option<ImageRow>>;
    /// Every image.
    async fn images(&self) -> Result<Vec<ImageRow>>;
    /// The images whose identity starts with these hexadecimal digits.
    async fn images_by_prefix(&self, hex: &str) -> Result<Vec<ImageRow>>;
    /// Every name.
    async fn names(&self) -> Result<Vec<NameRow>>;
    /// The names of one repository.
    async fn names_of_repository(&self, repository: &str) -> Result<Vec<NameRow>>;
    /// The names of one image.
    async fn names_of_image(&self, image: &ImageId) -> Result<Vec<NameRow>>;
    /// Every repository digest.
    async fn digest_names(&self) -> Result<Vec<DigestNameRow>>;
    /// The repository digests of one repository.
    async fn digest_names_of_repository(&self, repository: &str) -> Result<Vec<DigestNameRow>>;
    /// The repository digests of one image.
    async fn digest_names_of_image(&self, image: &ImageId) -> Result<Vec<DigestNameRow>>;

    // views
    /// Where the view of a stack of layers lies.
    async fn view(&self, chain: &ChainId) -> Result<Option<Location>>;
    /// Every view: its chain and where it lies.
    async fn views(&self) -> Result<Vec<(ChainId, Location)>>;

    // leases, doomed, events
    /// One lease, live or not.
    async fn lease(&self, id: &str) -> Result<Option<LeaseRow>>;
    /// Leases that ended before `now`.
    async fn expired_leases(&self, now: i64) -> Result<Vec<LeaseRow>>;
    /// Leases live at `now`.
    async fn live_leases(&self, now: i64) -> Result<Vec<LeaseRow>>;
    /// What a lease protects.
    async fn lease_items(&self, lease: &str) -> Result<Vec<LeaseItem>>;
    /// What is to be removed.
    async fn doomed(&self) -> Result<Vec<DoomedRow>>;
    /// Events after `since`, oldest first, at most `limit`.
    async fn events(&self, since: i64, limit: usize) -> Result<Vec<EventRow>>;

    /// How much is in the store. Reads every row of objects, packs and links once: not for each request.
    async fn totals(&self, now: i64) -> Result<Totals>;

    // registry
    /// Every repository of the registry, sorted, after `last`, at most `limit`.
    async fn registry_repositories(&self, last: Option<&str>, limit: usize) -> Result<Vec<String>>;
    /// Whether a repository exists.
    async fn registry_has_repository(&self, repository: &str) -> Result<bool>;
    /// Whether a repository may show this digest, and as what.
    async fn registry_link(&self, repository: &str, digest: &Digest) -> Result<Option<LinkKind>>;
    /// Every digest that a repository links as this kind.
    async fn registry_links(&self, repository: &str, kind: LinkKind) -> Result<Vec<Digest>>;
    /// What a tag points to.
    async fn registry_tag(&self, repository: &str, tag: &str) -> Result<Option<Digest>>;
    /// Tags, sorted bytewise, after `last`, at most `limit`.
    async fn registry_tags(&self, repository: &str, last: Option<&str>, limit: usize) -> Result<Vec<RegistryTagRow>>;
    /// The tags of a repository that point to a manifest, sorted.
    async fn registry_tags_of(&self, repository: &str, digest: &Digest) -> Result<Vec<String>>;
    /// The tags of a repository that need an object: they point to it, or to a manifest that refers to it as its
    /// configuration, layer or entry, directly or through an index. Sorted.
    async fn registry_tags_needing(&self, repository: &str, digest: &Digest) -> Result<Vec<String>>;
    /// A manifest of this repository that refers to an object as its configuration, layer or entry.
    async fn registry_parent(&self, repository: &str, child: &Digest) -> Result<Option<Digest>>;
    /// Repositories that link a digest, sorted, at most `limit`.
    async fn registry_repositories_with(&self, digest: &Digest, limit: usize) -> Result<Vec<String>>;
    /// Those of them that are below `namespace/`.
    async fn registry_repositories_below(&self, namespace: &str, digest: &Digest, limit: usize) -> Result<Vec<String>>;
    /// Bytes of all objects that repositories below `namespace/` link, each counted once. Reads every such link.
    async fn registry_stored_bytes(&self, namespace: &str) -> Result<u64>;
    /// Bytes of all objects that a repository links.
    async fn registry_linked_bytes(&self, repository: &str) -> Result<u64>;
    /// The repositories that hold most, with the bytes of what each links; at most `limit`. Reads every link.
    async fn registry_largest(&self, limit: usize) -> Result<Vec<(String, u64)>>;
    /// What was done after the entry `after`, oldest first, at most `limit`: an outbox for whoever remembers where it was.
    async fn registry_history(&self, after: i64, limit: usize) -> Result<Vec<RegistryHistoryRow>>;
    /// What was done to a tag, newest first, at most `limit`.
    async fn registry_tag_history(&self, repository: &str, tag: &str, limit: usize) -> Result<Vec<RegistryHistoryRow>>;
    /// Whether and when a link is to be looked at.
    async fn registry_review(&self, repository: &str, digest: &Digest) -> Result<Option<RegistryReviewRow>>;
    /// Links to be looked at that are due at `due` and were last touched at `touched` or before, the earliest first, at most
    /// `limit`.
    async fn registry_reviews(&self, due: i64, touched: i64, limit: usize) -> Result<Vec<RegistryReviewRow>>;
    /// When the manifests of a mirror were last used.
    async fn registry_uses(&self, repository: &str) -> Result<Vec<(Digest, i64)>>;
}

/// Changes. Every insert of something that is there already does nothing and says so.
#[async_trait]
pub trait WriteTxn: ReadTxn + ContainerWriteTxn {
    /// Makes everything durable and visible.
    async fn commit(self: Box<Self>) -> Result<()>;

    // objects
    /// Adds an object; `false` when it was there.
    async fn insert_object(&mut self, row: &ObjectRow) -> Result<bool>;
    /// Points an object to other bytes and clears its damage (repair, healing).
    async fn heal_object(&mut self, digest: &Digest, location: Option<&Location>, bytes: Option<&Bytes>) -> Result<()>;
    /// Marks an object as damaged.
    async fn mark_object_damaged(&mut self, digest: &Digest) -> Result<()>;
    /// Removes an object and the edges from it. Fails when an edge to it, an image, a container or a link remains.
    async fn delete_object(&mut self, digest: &Digest) -> Result<()>;
    /// Adds an edge from a manifest to something that is here.
    async fn insert_edge(&mut self, parent: &Digest, child: &Digest, role: &str) -> Result<()>;
    /// Notes that a manifest names something that is not here.
    async fn insert_sparse(&mut self, parent: &Digest, child: &Digest, role: &str) -> Result<()>;
    /// Turns what was noted as absent into edges, now that `child` is here.
    async fn promote_sparse(&mut self, child: &Digest) -> Result<()>;

    // layers and packs
    /// Adds a layer; `false` when it was there.
    async fn insert_layer(&mut self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<bool>;
    /// Points a layer to another index and other packs and clears its damage.
    async fn heal_layer(&mut self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<()>;
    /// Marks a layer as damaged.
    async fn mark_layer_damaged(&mut self, diff_id: &DiffId) -> Result<()>;
    /// Notes that a blob holds a layer.
    async fn link_layer_blob(&mut self, blob: &Digest, diff_id: &DiffId) -> Result<()>;
    /// Removes a layer.
    async fn delete_layer(&mut self, diff_id: &DiffId) -> Result<()>;
    /// Adds a pack.
    async fn insert_pack(&mut self, row: &PackRow) -> Result<()>;
    /// Points a pack to another version of its file and clears its damage.
    async fn replace_pack(&mut self, row: &PackRow) -> Result<()>;
    /// Marks a pack as damaged.
    async fn mark_pack_damaged(&mut self, id: &PackId) -> Result<()>;
    /// Removes a pack. Fails when a layer uses it.
    async fn delete_pack(&mut self, id: &PackId) -> Result<()>;

    // images and names
    /// Adds or replaces an image.
    async fn put_image(&mut self, row: &ImageRow) -> Result<()>;
    /// Notes the use of an image.
    async fn touch_image(&mut self, id: &ImageId, used: i64) -> Result<()>;
    /// Removes an image with its names and repository digests.
    async fn delete_image(&mut self, id: &ImageId) -> Result<()>;
    /// Sets a name; the old one of that platform is gone. Notes the change in the history of names, which keeps the newest
    /// 100,000.
    async fn put_name(&mut self, row: &NameRow) -> Result<()>;
    /// Removes a name; `false` when it was not there.
    async fn delete_name(&mut self, repository: &str, tag: &str, platform: &str) -> Result<bool>;
    /// Adds a repository digest.
    async fn put_digest_name(&mut self, row: &DigestNameRow) -> Result<()>;
    /// Removes a repository digest.
    async fn delete_digest_name(&mut self, row: &DigestNameRow) -> Result<()>;

    // views
    /// Sets where a view lies; returns the location that it replaces.
    async fn put_view(&mut self, chain: &ChainId, location: &Location) -> Result<Option<Location>>;
    /// Removes a view; returns where it lay.
    async fn delete_view(&mut self, chain: &ChainId) -> Result<Option<Location>>;

    // leases, doomed, events
    /// Adds or renews a lease.
    async fn put_lease(&mut self, row: &LeaseRow) -> Result<()>;
    /// Adds what a lease protects.
    async fn add_lease_items(&mut self, lease: &str, items: &[LeaseItem]) -> Result<()>;
    /// Ends a lease.
    async fn delete_lease(&mut self, lease: &str) -> Result<()>;
    /// Notes bytes that are to be removed.
    async fn insert_doomed(&mut self, row: &DoomedRow) -> Result<()>;
    /// Forgets them, once removed.
    async fn delete_doomed(&mut self, rows: &[DoomedRow]) -> Result<()>;
    /// Appends an event; the oldest beyond a few thousand are dropped.
    async fn insert_event(&mut self, row: &EventRow) -> Result<()>;

    // registry
    /// Makes a repository show a digest; makes the repository if needed.
    async fn put_registry_link(&mut self, repository: &str, digest: &Digest, kind: LinkKind) -> Result<()>;
    /// Takes a digest out of a repository, with its tags; `false` when it was not there.
    async fn delete_registry_link(&mut self, repository: &str, digest: &Digest) -> Result<bool>;
    /// Sets a tag.
    async fn put_registry_tag(&mut self, repository: &str, tag: &str, digest: &Digest, updated: i64) -> Result<()>;
    /// Removes a tag; `false` when it was not there.
    async fn delete_registry_tag(&mut self, repository: &str, tag: &str) -> Result<bool>;
    /// Removes a repository with its links and tags; `false` when it was not there.
    async fn delete_registry_repository(&mut self, repository: &str) -> Result<bool>;
    /// Appends to the history.
    async fn insert_registry_history(&mut self, row: &RegistryHistoryRow) -> Result<()>;
    /// Forgets the entries from `first` to `last`; the newest `kept` of each tag that is there stay, and the newest of all,
    /// so that no number is used twice. Returns how many entries went.
    async fn prune_registry_history(&mut self, first: i64, last: i64, kept: usize) -> Result<u64>;
    /// Notes that a link is to be looked at, not earlier than noted before.
    async fn put_registry_review(&mut self, row: &RegistryReviewRow) -> Result<()>;
    /// Forgets that a link is to be looked at.
    async fn delete_registry_review(&mut self, repository: &str, digest: &Digest) -> Result<()>;
    /// Notes when a manifest of a mirror, which is linked, was last used.
    async fn put_registry_use(&mut self, repository: &str, digest: &Digest, used: i64) -> Result<()>;
}
