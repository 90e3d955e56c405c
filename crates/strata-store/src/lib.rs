//! The store: the rules above blobs, packs and the catalog.
//!
//! Everything durable goes through one protocol. *Stage*: bytes are written where nobody sees them. *Seal*: they are
//! verified, synced and lie at a location of their own. *Publish*: one catalog transaction makes them exist. *Sweep*:
//! locations without a row are removed by age. Several processes use one store at once, without a daemon: the catalog is
//! the truth, staged downloads are locked by their owner, and what is being worked on is leased.
//!
//! The rules are here once. [`Blobs`], [`Packs`] and [`Catalog`] hold and fetch.

mod blobs;
mod catalog;
mod compact;
#[cfg(feature = "conformance")]
pub mod conformance;
mod container_rows;
mod error;
pub mod fault;
mod fsck;
mod gc;
mod ingest;
mod known;
mod lease;
mod object_reader;
mod opened_view;
mod packs;
mod place;
mod publish;
mod rebuild;
pub mod registry;
mod snapshot;
mod store;
mod unpack;
mod unpack_object;
mod view;

pub use blobs::{BlobBytes, BlobKind, Blobs, Durability, Ingest, Location, Scanned, StageName, Usage};
pub use catalog::{
    Catalog, DigestNameRow, DoomedKind, DoomedRow, EventRow, ImageRow, LayerRow, LeaseItem, LeaseRow, LinkKind,
    NameRow, ObjectRow, PackRow, ReadTxn, RegistryAction, RegistryHistoryRow, RegistryReviewRow, RegistryTagRow,
    Totals, WriteTxn,
};
pub use compact::PlannedCompaction;
pub use container_rows::{
    ContainerPhase, ContainerReadTxn, ContainerRow, ContainerWriteTxn, EndpointRow, NetworkRow, VolumeRow,
};
pub use error::{Result, StoreError};
pub use fsck::{Depth, FsckReport, Problem, Repair};
pub use gc::Collection;
pub use ingest::{IngestedLayer, LayerIngest, layer_media_type};
pub use lease::{Lease, layers_left_behind};
pub use object_reader::{ChunkWriter, LayerReader, ObjectReader, PackContents};
pub use opened_view::{ContentReader, OpenedView};
pub use packs::{NewPack, PackFile, Packs};
pub use place::{Acceptance, StoreSink, StoreSource};
pub use publish::{NewImage, PublishedImage, set_name};
pub use rebuild::Rebuilt;
pub use store::{Clock, Store, StoreOptions, SystemClock};
pub use view::NewView;
