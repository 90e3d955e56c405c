//! The rules of the hub: accounts and what they may do, what is known of repositories, search, what happens after a push.
//! No HTTP and no SQL here.
//!
//! The hub stands beside the store's registry: the registry's rules (blobs, manifests, tags) know nothing of accounts, and
//! ask the hub through [`strata_store::registry::Access`]. The hub's records are a database of their own ([`HubCatalog`]);
//! what happened to repositories it learns from the registry's history, in order, from where it last stopped, so that a
//! crash between the two databases loses nothing and no push waits for the hub.

// `StoreError` names two digests at most; failures are rare and not passed around in loops.
#![allow(clippy::result_large_err)]

mod access;
mod accounts;
mod audit;
mod collection;
mod contents;
mod custody;
mod dockerfile;
mod error;
mod follow;
mod hub;
mod identity;
mod images;
mod jobs;
mod jwt;
mod organizations;
mod packages;
mod passwords;
mod patterns;
mod present_roles;
mod publisher_keys;
mod pull_limits;
mod pulls;
pub mod records;
mod registry_reader;
mod registry_tokens;
mod repositories;
mod roles;
mod search;
mod second_factor;
mod secrets;
mod sessions;
mod sign_in;
mod tags;
mod throttle;
mod tokens;
mod webhooks;
mod words;

pub use access::{Challenge, audience};
pub use accounts::{AccountSettings, AccountUpdate, NewUser, OneTimePassword, Registration};
pub use audit::AuditAction;
pub use dockerfile::{Dockerfile, DockerfileOrigin, LayerStep};
pub use error::{HubError, Result};
pub use hub::{Hub, HubSettings};
pub use identity::{Credential, Identity};
pub use images::{
    Attachment, BaseImage, BaseOrigin, CertificateFacts, ConfigChange, Directory, DirectoryEntry, FileContent,
    FileKind, FileOrder, FileState, FileTotals, Findings, FindingsState, FoundCopy, FoundFile, FoundPath, FoundPaths,
    ImageComparison, ImageParts, ImageStack, IndexState, LayerFindings, Look, PackageChange, PathSearch, SecretLike,
    Signature, SignatureState, StackLayer, StackStep, cosign_tag, facts_of, printable,
};
pub use jobs::IndexingSettings;
pub use organizations::Member;
pub use packages::{Package, PackageKind, apk, dpkg, node, python};
pub use publisher_keys::MAX_PUBLISHER_KEYS;
pub use pull_limits::PullLimitSettings;
pub use records::{HubCatalog, HubRead, HubWrite};
pub use registry_tokens::{RegistryToken, TokenRequest};
pub use repositories::{MAX_DESCRIPTION, MAX_FULL_DESCRIPTION, NewRepository, RepositoryUpdate};
pub use roles::Reach;
pub use search::{SearchRequest, SearchResults, SearchSort};
pub use second_factor::{NewSecondFactor, SecondFactorState, SignedIn};
pub use sessions::Session;
pub use tokens::{
    AccessTokenUpdate, CreatedAccessToken, NewAccessToken, highest_scope, role_of_scopes, scopes_of_role,
};
pub use webhooks::{Courier, CreatedWebhook, NewWebhook, WebhookEvent, WebhookSettings, signature};
