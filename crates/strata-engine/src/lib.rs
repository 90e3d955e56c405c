//! Use cases: one function each, taking what it uses.
//!
//! This crate returns facts. Printing, sorting into tables, truncation and exit codes belong to the surfaces; docker's
//! wording of errors is here, because every docker-compatible surface needs the same.

// `EngineError` names two digests at most; failures are rare and not passed around in loops.
#![allow(clippy::result_large_err)]

mod blocking;
mod change;
mod compress;
mod container;
mod container_status;
mod container_terminal;
mod copy;
mod df;
mod error;
mod event;
mod event_feed;
mod export;
mod files;
mod history;
mod import;
mod inspect;
mod label_filter;
mod layout_directory;
mod list;
mod load;
mod lookup;
mod machine;
mod manifest;
mod mount;
mod mount_record;
mod network;
mod progress_words;
mod prune;
mod pull;
mod push;
mod remove;
mod save;
mod search;
mod tag;
mod tags;
mod view;
mod volume;

pub use container::{
    CommitRequest, ContainerAction, ContainerDocument, ContainerFilter, ContainerLog, ContainerSize, ContainerSummary,
    CopiedFiles, CopyError, CreateRequest, Created, DetachKeys, ExtractOptions, InspectedExec, PathChange,
    PathChangeKind, PathStat, ProcessTable, PrunedContainers, RemoveContainer, StartedContainer, UsageSample,
    UsageSummary, archive_container_path, attach_container, commit_container, container_changes, container_directory,
    container_logs, container_size, container_top, control_container, copy_from_container, copy_tar_from_container,
    copy_tar_to_container, copy_to_container, create_container, create_exec, document, enter_user_namespace,
    export_container, extract_to_container, find_container, inspect_container, inspect_exec, link_names,
    list_containers, note_exec_end, prune_containers, remove_container, remove_link, rename_container,
    revive_containers, running_containers, sample_usage, short_id, start_container, start_exec, stat_container_path,
    state_json, sweep_containers, update_container, wait_container,
};
pub use container_status::{ContainerCounts, container_status};
pub use container_terminal::resize_container;
pub use copy::{ArchiveEntry, CopyOptions, CopyReport, ManifestFormat, Place, copy_images};
pub use df::{ContainerUsage, ImageUsage, StoreUsage, VolumeUsage, container_usage, usage, volume_usage};
pub use error::{EngineError, Result};
pub use event::{EventFilter, event_attributes, event_json, event_kind, parse_event_time};
pub use event_feed::EventFeed;
pub use export::{Exported, export_rootfs};
pub use files::{FileEntry, cat_file, diff_images, list_files};
pub use history::{HistoryEntry, history};
pub use import::{ImportRequest, import, open_address};
pub use inspect::{InspectedImage, image_text, inspect};
pub use layout_directory::LayoutDirectory;
pub use list::{ImageFilter, ImageSummary, ListRequest, digest_reference, list, name_reference};
pub use load::{LoadRequest, Loaded, load};
pub use lookup::{FoundBy, FoundImage, ImageDocuments, find_image, find_image_in, load_documents};
pub use machine::{Machine, processor_time};
pub use manifest::{
    Annotation, InspectedManifest, ManifestInspection, ManifestLists, PushedList, manifest_inspect, push_list,
};
pub use mount::{Mounted, mount, unmount};
pub use mount_record::{MountedImage, mounted_images};
pub use network::{
    ConnectRequest, CreateNetwork, NetworkDocument, NetworkFilter, NetworkInfo, NetworkSetup, bound_ports,
    connect_network, container_networks, create_network, disconnect_network, find_network, inspect_network,
    list_networks, prepare_network, prune_networks, published_ports, remove_network,
};
pub use progress_words::{LayerNames, Shown, Words, diff_id_names, topmost_first};
pub use prune::{PruneRequest, prune};
pub use pull::{PullOutcome, PullPlan, PullRequest, Pulled, all_tags, plan_pull, pull};
pub use push::{PushRequest, PushTarget, Pushed, prepare_push, push_target};
pub use remove::{RemoveOptions, RemoveStep, Removed, expand_wildcards, plan_remove, remove_one};
pub use save::{SaveFormat, SaveRequest, Saved, save};
pub use search::{SearchRequest, search, search_host};
pub use strata_layer::{Change, ChangeKind, Kind as FileKind};
pub use strata_network::BoundPort;
pub use strata_runtime::{
    AttachEvent, AttachRequest, AttachStream, ExecRecord, ExecSpec, LogQuery, LogReader, RuntimeError,
    Stream as OutputStream, TerminalSize, state as container_state,
};
pub use tag::{parse_target, tag};
pub use tags::{TagInfo, tags};
pub use view::{ViewPolicy, image_view, prepare_view};
pub use volume::{
    PrunedVolumes, VolumeDocument, VolumeFilter, VolumeInfo, create_volume, find_volume, list_volumes, prune_volumes,
    remove_volume,
};
