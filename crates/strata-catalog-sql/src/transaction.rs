//! Transactions: the store's contract, handed on to the queries of each family of tables.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use strata_layer::PackId;
use strata_model::{ChainId, DiffId, Digest, ImageId, MediaType};
use strata_store::{
    DigestNameRow, DoomedRow, EventRow, ImageRow, LayerRow, LeaseItem, LeaseRow, LinkKind, Location, NameRow,
    ObjectRow, PackRow, ReadTxn, RegistryHistoryRow, RegistryReviewRow, RegistryTagRow, Result, Totals, WriteTxn,
};
use tokio::sync::OwnedMappedMutexGuard;

use crate::catalog::Database;
use crate::dialect::sqlite::Session;

/// Write transactions that took longer are reported: others were kept waiting.
const SLOW: Duration = Duration::from_millis(250);

/// A connection with an open transaction.
pub(crate) enum Held {
    /// One of several.
    Reader(Session),
    /// The only one of this process.
    Writer(OwnedMappedMutexGuard<Option<Session>, Session>),
}

impl std::ops::Deref for Held {
    type Target = Session;

    fn deref(&self) -> &Session {
        match self {
            Held::Reader(session) => session,
            Held::Writer(session) => session,
        }
    }
}

/// An open transaction. Dropping it rolls it back.
pub(crate) struct Transaction {
    /// `None` only while it is dropped.
    held: Option<Mutex<Held>>,
    database: Arc<Database>,
    intent: &'static str,
    began: Instant,
}

impl Transaction {
    pub(crate) fn new(held: Held, database: Arc<Database>, intent: &'static str) -> Transaction {
        Transaction { held: Some(Mutex::new(held)), database, intent, began: Instant::now() }
    }

    pub(crate) fn session(&self) -> MutexGuard<'_, Held> {
        match &self.held {
            Some(held) => held.lock().unwrap_or_else(PoisonError::into_inner),
            None => unreachable!("a dropped transaction has no callers"),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        held.roll_back();
        match held {
            Held::Reader(session) => self.database.put_back(session),
            Held::Writer(_) if self.began.elapsed() > SLOW => {
                tracing::debug!(intent = self.intent, elapsed = ?self.began.elapsed(), "slow write transaction");
            }
            Held::Writer(_) => {}
        }
    }
}

#[async_trait]
impl ReadTxn for Transaction {
    async fn object(&self, digest: &Digest) -> Result<Option<ObjectRow>> {
        self.session().object(digest)
    }

    async fn present(&self, digests: &[Digest]) -> Result<Vec<Digest>> {
        self.session().present(digests)
    }

    async fn objects(&self) -> Result<Vec<ObjectRow>> {
        self.session().objects()
    }

    async fn objects_of_type(&self, media_type: &MediaType) -> Result<Vec<ObjectRow>> {
        self.session().objects_of_type(media_type)
    }

    async fn children(&self, parent: &Digest) -> Result<Vec<Digest>> {
        self.session().children(parent)
    }

    async fn parents(&self, child: &Digest) -> Result<Vec<Digest>> {
        self.session().parents(child)
    }

    async fn object_is_held(&self, digest: &Digest, now: i64) -> Result<bool> {
        self.session().object_is_held(digest, now)
    }

    async fn subject(&self, manifest: &Digest) -> Result<Option<Digest>> {
        self.session().subject(manifest)
    }

    async fn referrers(&self, subject: &Digest) -> Result<Vec<Digest>> {
        self.session().referrers(subject)
    }

    async fn layer(&self, diff_id: &DiffId) -> Result<Option<LayerRow>> {
        self.session().layer(diff_id)
    }

    async fn layer_of_blob(&self, blob: &Digest) -> Result<Option<DiffId>> {
        self.session().layer_of_blob(blob)
    }

    async fn blobs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<Digest>> {
        self.session().blobs_of_layer(diff_id)
    }

    async fn layers(&self) -> Result<Vec<LayerRow>> {
        self.session().layers()
    }

    async fn layer_is_held(&self, diff_id: &DiffId, now: i64) -> Result<bool> {
        self.session().layer_is_held(diff_id, now)
    }

    async fn pack(&self, id: &PackId) -> Result<Option<PackRow>> {
        self.session().pack(id)
    }

    async fn packs(&self) -> Result<Vec<PackRow>> {
        self.session().packs()
    }

    async fn newest_packs(&self, limit: usize) -> Result<Vec<PackRow>> {
        self.session().newest_packs(limit)
    }

    async fn packs_of_layer(&self, diff_id: &DiffId) -> Result<Vec<(PackId, u64)>> {
        self.session().packs_of_layer(diff_id)
    }

    async fn layers_of_pack(&self, id: &PackId) -> Result<Vec<DiffId>> {
        self.session().layers_of_pack(id)
    }

    async fn pack_is_held(&self, id: &PackId, now: i64) -> Result<bool> {
        self.session().pack_is_held(id, now)
    }

    async fn image(&self, id: &ImageId) -> Result<Option<ImageRow>> {
        self.session().image(id)
    }

    async fn images(&self) -> Result<Vec<ImageRow>> {
        self.session().images()
    }

    async fn images_by_prefix(&self, hex: &str) -> Result<Vec<ImageRow>> {
        self.session().images_by_prefix(hex)
    }

    async fn names(&self) -> Result<Vec<NameRow>> {
        self.session().names()
    }

    async fn names_of_repository(&self, repository: &str) -> Result<Vec<NameRow>> {
        self.session().names_of_repository(repository)
    }

    async fn names_of_image(&self, image: &ImageId) -> Result<Vec<NameRow>> {
        self.session().names_of_image(image)
    }

    async fn digest_names(&self) -> Result<Vec<DigestNameRow>> {
        self.session().digest_names()
    }

    async fn digest_names_of_repository(&self, repository: &str) -> Result<Vec<DigestNameRow>> {
        self.session().digest_names_of_repository(repository)
    }

    async fn digest_names_of_image(&self, image: &ImageId) -> Result<Vec<DigestNameRow>> {
        self.session().digest_names_of_image(image)
    }

    async fn view(&self, chain: &ChainId) -> Result<Option<Location>> {
        self.session().view(chain)
    }

    async fn views(&self) -> Result<Vec<(ChainId, Location)>> {
        self.session().views()
    }

    async fn lease(&self, id: &str) -> Result<Option<LeaseRow>> {
        self.session().lease(id)
    }

    async fn expired_leases(&self, now: i64) -> Result<Vec<LeaseRow>> {
        self.session().expired_leases(now)
    }

    async fn live_leases(&self, now: i64) -> Result<Vec<LeaseRow>> {
        self.session().live_leases(now)
    }

    async fn lease_items(&self, lease: &str) -> Result<Vec<LeaseItem>> {
        self.session().lease_items(lease)
    }

    async fn doomed(&self) -> Result<Vec<DoomedRow>> {
        self.session().doomed()
    }

    async fn events(&self, since: i64, limit: usize) -> Result<Vec<EventRow>> {
        self.session().events(since, limit)
    }

    async fn totals(&self, now: i64) -> Result<Totals> {
        self.session().totals(now)
    }

    async fn registry_repositories(&self, last: Option<&str>, limit: usize) -> Result<Vec<String>> {
        self.session().registry_repositories(last, limit)
    }

    async fn registry_has_repository(&self, repository: &str) -> Result<bool> {
        self.session().registry_has_repository(repository)
    }

    async fn registry_link(&self, repository: &str, digest: &Digest) -> Result<Option<LinkKind>> {
        self.session().registry_link(repository, digest)
    }

    async fn registry_links(&self, repository: &str, kind: LinkKind) -> Result<Vec<Digest>> {
        self.session().registry_links(repository, kind)
    }

    async fn registry_tag(&self, repository: &str, tag: &str) -> Result<Option<Digest>> {
        self.session().registry_tag(repository, tag)
    }

    async fn registry_tags(&self, repository: &str, last: Option<&str>, limit: usize) -> Result<Vec<RegistryTagRow>> {
        self.session().registry_tags(repository, last, limit)
    }

    async fn registry_tags_of(&self, repository: &str, digest: &Digest) -> Result<Vec<String>> {
        self.session().registry_tags_of(repository, digest)
    }

    async fn registry_tags_needing(&self, repository: &str, digest: &Digest) -> Result<Vec<String>> {
        self.session().registry_tags_needing(repository, digest)
    }

    async fn registry_parent(&self, repository: &str, child: &Digest) -> Result<Option<Digest>> {
        self.session().registry_parent(repository, child)
    }

    async fn registry_repositories_with(&self, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        self.session().registry_repositories_with(digest, limit)
    }

    async fn registry_repositories_below(&self, namespace: &str, digest: &Digest, limit: usize) -> Result<Vec<String>> {
        self.session().registry_repositories_below(namespace, digest, limit)
    }

    async fn registry_linked_bytes(&self, repository: &str) -> Result<u64> {
        self.session().registry_linked_bytes(repository)
    }

    async fn registry_stored_bytes(&self, namespace: &str) -> Result<u64> {
        self.session().registry_stored_bytes(namespace)
    }

    async fn registry_largest(&self, limit: usize) -> Result<Vec<(String, u64)>> {
        self.session().registry_largest(limit)
    }

    async fn registry_history(&self, after: i64, limit: usize) -> Result<Vec<RegistryHistoryRow>> {
        self.session().registry_history(after, limit)
    }

    async fn registry_tag_history(&self, repository: &str, tag: &str, limit: usize) -> Result<Vec<RegistryHistoryRow>> {
        self.session().registry_tag_history(repository, tag, limit)
    }

    async fn registry_review(&self, repository: &str, digest: &Digest) -> Result<Option<RegistryReviewRow>> {
        self.session().registry_review(repository, digest)
    }

    async fn registry_reviews(&self, due: i64, touched: i64, limit: usize) -> Result<Vec<RegistryReviewRow>> {
        self.session().registry_reviews(due, touched, limit)
    }

    async fn registry_uses(&self, repository: &str) -> Result<Vec<(Digest, i64)>> {
        self.session().registry_uses(repository)
    }
}

#[async_trait]
impl WriteTxn for Transaction {
    async fn commit(self: Box<Self>) -> Result<()> {
        let session = self.session();
        self.database.commit(&session)
    }

    async fn insert_object(&mut self, row: &ObjectRow) -> Result<bool> {
        self.session().insert_object(row)
    }

    async fn heal_object(&mut self, digest: &Digest, location: Option<&Location>, bytes: Option<&Bytes>) -> Result<()> {
        self.session().heal_object(digest, location, bytes)
    }

    async fn mark_object_damaged(&mut self, digest: &Digest) -> Result<()> {
        self.session().mark_object_damaged(digest)
    }

    async fn delete_object(&mut self, digest: &Digest) -> Result<()> {
        self.session().delete_object(digest)
    }

    async fn insert_edge(&mut self, parent: &Digest, child: &Digest, role: &str) -> Result<()> {
        self.session().insert_edge(parent, child, role)
    }

    async fn insert_sparse(&mut self, parent: &Digest, child: &Digest, role: &str) -> Result<()> {
        self.session().insert_sparse(parent, child, role)
    }

    async fn promote_sparse(&mut self, child: &Digest) -> Result<()> {
        self.session().promote_sparse(child)
    }

    async fn insert_layer(&mut self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<bool> {
        self.session().insert_layer(row, packs)
    }

    async fn heal_layer(&mut self, row: &LayerRow, packs: &[(PackId, u64)]) -> Result<()> {
        self.session().heal_layer(row, packs)
    }

    async fn mark_layer_damaged(&mut self, diff_id: &DiffId) -> Result<()> {
        self.session().mark_layer_damaged(diff_id)
    }

    async fn link_layer_blob(&mut self, blob: &Digest, diff_id: &DiffId) -> Result<()> {
        self.session().link_layer_blob(blob, diff_id)
    }

    async fn delete_layer(&mut self, diff_id: &DiffId) -> Result<()> {
        self.session().delete_layer(diff_id)
    }

    async fn insert_pack(&mut self, row: &PackRow) -> Result<()> {
        self.session().insert_pack(row)
    }

    async fn replace_pack(&mut self, row: &PackRow) -> Result<()> {
        self.session().replace_pack(row)
    }

    async fn mark_pack_damaged(&mut self, id: &PackId) -> Result<()> {
        self.session().mark_pack_damaged(id)
    }

    async fn delete_pack(&mut self, id: &PackId) -> Result<()> {
        self.session().delete_pack(id)
    }

    async fn put_image(&mut self, row: &ImageRow) -> Result<()> {
        self.session().put_image(row)
    }

    async fn touch_image(&mut self, id: &ImageId, used: i64) -> Result<()> {
        self.session().touch_image(id, used)
    }

    async fn delete_image(&mut self, id: &ImageId) -> Result<()> {
        self.session().delete_image(id)
    }

    async fn put_name(&mut self, row: &NameRow) -> Result<()> {
        self.session().put_name(row)
    }

    async fn delete_name(&mut self, repository: &str, tag: &str, platform: &str) -> Result<bool> {
        self.session().delete_name(repository, tag, platform)
    }

    async fn put_digest_name(&mut self, row: &DigestNameRow) -> Result<()> {
        self.session().put_digest_name(row)
    }

    async fn delete_digest_name(&mut self, row: &DigestNameRow) -> Result<()> {
        self.session().delete_digest_name(row)
    }

    async fn put_view(&mut self, chain: &ChainId, location: &Location) -> Result<Option<Location>> {
        self.session().put_view(chain, location)
    }

    async fn delete_view(&mut self, chain: &ChainId) -> Result<Option<Location>> {
        self.session().delete_view(chain)
    }

    async fn put_lease(&mut self, row: &LeaseRow) -> Result<()> {
        self.session().put_lease(row)
    }

    async fn add_lease_items(&mut self, lease: &str, items: &[LeaseItem]) -> Result<()> {
        self.session().add_lease_items(lease, items)
    }

    async fn delete_lease(&mut self, lease: &str) -> Result<()> {
        self.session().delete_lease(lease)
    }

    async fn insert_doomed(&mut self, row: &DoomedRow) -> Result<()> {
        self.session().insert_doomed(row)
    }

    async fn delete_doomed(&mut self, rows: &[DoomedRow]) -> Result<()> {
        self.session().delete_doomed(rows)
    }

    async fn insert_event(&mut self, row: &EventRow) -> Result<()> {
        self.session().insert_event(row)
    }

    async fn put_registry_link(&mut self, repository: &str, digest: &Digest, kind: LinkKind) -> Result<()> {
        self.session().put_registry_link(repository, digest, kind)
    }

    async fn delete_registry_link(&mut self, repository: &str, digest: &Digest) -> Result<bool> {
        self.session().delete_registry_link(repository, digest)
    }

    async fn put_registry_tag(&mut self, repository: &str, tag: &str, digest: &Digest, updated: i64) -> Result<()> {
        self.session().put_registry_tag(repository, tag, digest, updated)
    }

    async fn delete_registry_tag(&mut self, repository: &str, tag: &str) -> Result<bool> {
        self.session().delete_registry_tag(repository, tag)
    }

    async fn delete_registry_repository(&mut self, repository: &str) -> Result<bool> {
        self.session().delete_registry_repository(repository)
    }

    async fn insert_registry_history(&mut self, row: &RegistryHistoryRow) -> Result<()> {
        self.session().insert_registry_history(row)
    }

    async fn prune_registry_history(&mut self, first: i64, last: i64, kept: usize) -> Result<u64> {
        self.session().prune_registry_history(first, last, kept)
    }

    async fn put_registry_review(&mut self, row: &RegistryReviewRow) -> Result<()> {
        self.session().put_registry_review(row)
    }

    async fn delete_registry_review(&mut self, repository: &str, digest: &Digest) -> Result<()> {
        self.session().delete_registry_review(repository, digest)
    }

    async fn put_registry_use(&mut self, repository: &str, digest: &Digest, used: i64) -> Result<()> {
        self.session().put_registry_use(repository, digest, used)
    }
}
