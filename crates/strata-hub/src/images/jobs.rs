//! Findings of images, made by the queue of the layer indexes, once for each image.
//!
//! A job is a record without findings. It waits until the image's layers have their indexes; what cannot be indexed is the
//! reason that the job is given up. Findings may be deleted at any time: whoever looks for them next queues them again.

use strata_model::{DiffId, Digest, EdgeRole, ErrorKind, ImageManifest, Manifest};
use strata_store::{RegistryAction, RegistryHistoryRow};

use super::findings::{VERSION, look_through};
use super::{Findings, ImageParts, blocking};
use crate::jobs::LayerToIndex;
use crate::records::{ImageFindingsRow, RepositoryRow};
use crate::{Hub, HubWrite, Result};

/// Tries until a job is given up.
const TRIES: u64 = 3;
/// Pause before a job is tried again after a failure, times the number of tries, in nanoseconds.
const DELAY: i64 = 60_000_000_000;
/// Pause while layers are still being indexed.
const WAIT: i64 = 1_000_000_000;
/// Images that are looked at by one transaction.
const PAGE: usize = 500;

/// Whether the layers of an image can be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IndexState {
    /// Yes: what they unpack to, lowest first.
    Ready(Vec<DiffId>),
    /// Not yet: their indexes are being made.
    Waiting,
    /// Never, and why.
    Failed(String),
}

/// Whether there are findings of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FindingsState {
    /// Yes.
    Ready(Box<Findings>),
    /// They are being made.
    Waiting,
    /// They cannot be made, and why.
    Failed(String),
}

/// An image that was pushed and is to be looked through.
pub(crate) struct ImageToFind {
    image: Digest,
    repository: String,
}

impl Hub {
    /// Whether the layers of an image can be looked into. Indexes that nobody has asked for yet are queued.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn index_state(&self, repository: &RepositoryRow, image: &ImageParts) -> Result<IndexState> {
        self.indexes_of(&image.manifest, &repository.full_name()).await
    }

    async fn indexes_of(&self, image: &ImageManifest, repository: &str) -> Result<IndexState> {
        let (state, missing) = self.look_for_indexes(image, repository).await?;
        if !missing.is_empty() {
            let mut txn = self.write("queueing layers that somebody wants to look into").await?;
            let now = self.now();
            self.queue_index_jobs(&mut *txn, missing, now).await?;
            txn.commit().await?;
        }
        Ok(state)
    }

    /// What was found in an image. What nobody has asked for yet is queued.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn findings(&self, repository: &RepositoryRow, image: &ImageParts) -> Result<FindingsState> {
        let row = self.read().await?.image_findings(&image.digest).await?;
        if let Some(row) = row {
            if let Some(text) = row.findings
                && let Ok(findings) = serde_json::from_str::<Findings>(&text)
                && findings.version == VERSION
            {
                return Ok(FindingsState::Ready(Box::new(findings)));
            }
            match (row.due, row.error) {
                (Some(_), _) => return Ok(FindingsState::Waiting),
                (None, error) if !error.is_empty() => return Ok(FindingsState::Failed(error)),
                (None, _) => {} // of another version
            }
        }
        if let IndexState::Failed(reason) = self.index_state(repository, image).await? {
            return Ok(FindingsState::Failed(reason));
        }
        let mut txn = self.write("queueing an image that somebody looks into").await?;
        let wanted = ImageToFind { image: image.digest, repository: repository.full_name() };
        queue(&mut *txn, vec![wanted], self.now()).await?;
        txn.commit().await?;
        Ok(FindingsState::Waiting)
    }

    /// Which layers have indexes, and those to be queued.
    async fn look_for_indexes(
        &self,
        image: &ImageManifest,
        repository: &str,
    ) -> Result<(IndexState, Vec<LayerToIndex>)> {
        let settings = &self.settings().indexing;
        let (records, store) = (self.read().await?, self.registry().store().read().await?);
        let mut layers = Vec::new();
        let mut missing = Vec::new();
        let mut is_waiting = false;
        for layer in &image.layers {
            let (blob, size) = (layer.digest, layer.size);
            if let Some(diff_id) = store.layer_of_blob(&blob).await? {
                layers.push(diff_id);
                continue;
            }
            let refused = match records.index_job(&blob).await? {
                Some(job) if job.due.is_some() => None,
                Some(job) => Some(format!("layer {blob} could not be indexed: {}", job.error)),
                None if !settings.enabled => Some("this hub makes no indexes of layers".to_owned()),
                None if size > settings.max_layer_size => {
                    Some(format!("layer {blob} is larger than what this hub indexes"))
                }
                None if store.present(std::slice::from_ref(&blob)).await?.is_empty() => {
                    Some(format!("layer {blob} is not kept here"))
                }
                None => {
                    missing.push(LayerToIndex { blob, repository: repository.to_owned() });
                    None
                }
            };
            match refused {
                Some(reason) => return Ok((IndexState::Failed(reason), missing)),
                None => is_waiting = true,
            }
        }
        Ok((if is_waiting { IndexState::Waiting } else { IndexState::Ready(layers) }, missing))
    }

    /// The images that these entries say were pushed.
    pub(crate) async fn images_to_find(&self, history: &[RegistryHistoryRow]) -> Result<Vec<ImageToFind>> {
        if !self.settings().indexing.enabled {
            return Ok(Vec::new());
        }
        let txn = self.registry().store().read().await?;
        let mut images = Vec::new();
        for entry in history.iter().filter(|entry| entry.action == RegistryAction::Push) {
            let Some(image) = entry.digest else { continue };
            let Some(bytes) = txn.object(&image).await?.and_then(|row| row.bytes) else { continue };
            let Ok(manifest @ Manifest::Image(_)) = Manifest::parse(&bytes, None) else { continue };
            let is_image = |edge: strata_model::Edge<'_>| {
                edge.role == EdgeRole::Config && edge.descriptor.media_type.is_image_config()
            };
            if manifest.edges().any(is_image) {
                images.push(ImageToFind { image, repository: entry.repository.clone() });
            }
        }
        Ok(images)
    }

    /// Looks through the image that has waited longest; `false` when none is due.
    ///
    /// # Errors
    /// When the records fail. What is wrong with the image is noted in its job.
    pub async fn look_through_next_image(&self) -> Result<bool> {
        let due = self.read().await?.due_image_findings(self.now(), 1).await?;
        let Some(mut job) = due.into_iter().next() else { return Ok(false) };
        match self.look_through_image(&job).await {
            Ok(Found::Findings(text)) => {
                (job.due, job.error, job.findings) = (None, String::new(), Some(text));
            }
            Ok(Found::NotYet) => job.due = Some(self.now() + WAIT),
            Ok(Found::Never(reason)) => (job.due, job.error) = (None, reason),
            Err(error) => {
                job.attempts += 1;
                let is_hopeless = matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Corrupt | ErrorKind::NotFound);
                let gives_up = is_hopeless || job.attempts >= TRIES;
                job.due = (!gives_up).then(|| self.now() + DELAY * job.attempts as i64);
                job.error = error.to_string();
                tracing::warn!(image = %job.image, repository = job.repository, %error, gives_up, "an image was not looked through");
            }
        }
        let mut txn = self.write("noting what was found in an image").await?;
        txn.put_image_findings(&job).await?;
        txn.commit().await?;
        Ok(true)
    }

    async fn look_through_image(&self, job: &ImageFindingsRow) -> Result<Found> {
        let store = self.registry().store();
        let bytes = store.object(&job.image).await?.bytes.unwrap_or_default();
        let Ok(Manifest::Image(image)) = Manifest::parse(&bytes, None) else {
            return Ok(Found::Never("it is no image".to_owned()));
        };
        let layers = match self.indexes_of(&image, &job.repository).await? {
            IndexState::Ready(layers) => layers,
            IndexState::Waiting => return Ok(Found::NotYet),
            IndexState::Failed(reason) => return Ok(Found::Never(reason)),
        };
        let _turn = self.turn(&layers).await?;
        let opened = store.open_view(&job.image.to_string(), &layers).await?;
        let indexes = store.layer_indexes(&layers).await?;
        let findings = blocking(move || look_through(&indexes, &opened)).await?;
        let text = serde_json::to_string(&findings).map_err(|error| crate::HubError::Internal(error.to_string()))?;
        Ok(Found::Findings(text))
    }

    /// Forgets findings of images that are not in the store any more. To be called now and then.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn forget_findings(&self) -> Result<()> {
        let mut last = String::new();
        loop {
            let images = self.read().await?.images_with_findings(&last, PAGE).await?;
            let Some(newest) = images.last() else { return Ok(()) };
            last = newest.to_string();
            let present = self.registry().store().read().await?.present(&images).await?;
            let gone: Vec<&Digest> = images.iter().filter(|image| !present.contains(image)).collect();
            if gone.is_empty() {
                continue;
            }
            let mut txn = self.write("forgetting what was found in images that are gone").await?;
            for image in gone {
                txn.delete_image_findings(image).await?;
            }
            txn.commit().await?;
        }
    }
}

enum Found {
    Findings(String),
    NotYet,
    Never(String),
}

/// Queues what has no findings and is not waiting yet. What failed before is tried again when it is pushed again.
pub(crate) async fn queue(txn: &mut dyn HubWrite, images: Vec<ImageToFind>, now: i64) -> Result<()> {
    for ImageToFind { image, repository } in images {
        let known = txn.image_findings(&image).await?;
        let is_current = |row: &ImageFindingsRow| {
            let findings = row.findings.as_deref().and_then(|text| serde_json::from_str::<Findings>(text).ok());
            row.due.is_some() || findings.is_some_and(|findings| findings.version == VERSION)
        };
        if known.as_ref().is_some_and(is_current) {
            continue;
        }
        let (error, findings) = (String::new(), None);
        let job = ImageFindingsRow { image, repository, created: now, due: Some(now), attempts: 0, error, findings };
        txn.put_image_findings(&job).await?;
    }
    Ok(())
}
