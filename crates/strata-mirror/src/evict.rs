//! What was not used for long goes, and what was used longest ago when there is too much. Only what mirrors keep: whatever
//! was pushed here, or belongs to an image of this store, stays even if a mirror has it too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use strata_model::{Digest, Repository};
use strata_store::registry::{MirroredImage, Result};

use crate::Mirror;
use crate::remote::{ROOT, Remote};

/// A use is noted when the last noted one is so old, or a tenth of what is kept.
const NOTED_EVERY: Duration = Duration::from_secs(3600);
/// Manifests of which is remembered when their use was noted.
const NOTED: usize = 65_536;
/// Repositories read at once.
const BATCH: usize = 1000;

/// When the use of a manifest was last noted in the catalog, nanoseconds since 1970.
#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<(Repository, Digest), i64>>);

impl Uses {
    /// Whether a use at `now` is to be noted; then it counts as noted.
    fn is_due(&self, mirror: &Repository, digest: &Digest, now: i64, every: Duration) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (mirror.clone(), *digest);
        if noted.get(&key).is_some_and(|last| now < last.saturating_add(nanoseconds(every))) {
            return false;
        }
        if noted.len() >= NOTED {
            noted.clear();
        }
        noted.insert(key, now);
        true
    }
}

impl Mirror {
    /// A manifest was fetched; that is noted already.
    pub(crate) fn fetched(&self, mirror: &Repository, digest: &Digest) {
        self.inner.uses.is_due(mirror, digest, self.inner.registry.store().now(), Duration::ZERO);
    }

    /// A manifest was served. Written at most once an hour.
    pub(crate) async fn used(&self, remote: &Remote, mirror: &Repository, digest: &Digest) {
        let registry = &self.inner.registry;
        if self.inner.uses.is_due(mirror, digest, registry.store().now(), NOTED_EVERY.min(remote.keep_for / 10))
            && let Err(error) = registry.note_use(mirror, digest).await
        {
            tracing::warn!(%error, %mirror, "the use of a mirrored manifest could not be noted");
        }
    }

    /// Removes images that were not used for as long as their upstream keeps them, then those used longest ago until the
    /// rest is within the limit. To be called now and then. Returns the bytes that the disk got back.
    ///
    /// # Errors
    /// When catalog or backends fail; the next call goes on.
    pub async fn evict(&self) -> Result<u64> {
        let now = self.inner.registry.store().now();
        let mut freed = 0;
        let mut rest: Vec<(Repository, MirroredImage)> = Vec::new();
        for mirror in self.mirrors().await? {
            let keep_for = self.remote_of(&mirror).map_or(Duration::ZERO, |remote| remote.keep_for);
            for image in self.inner.registry.mirrored_images(&mirror).await? {
                if image.used < now.saturating_sub(nanoseconds(keep_for)) {
                    freed += self.evict_image(&mirror, &image).await?;
                } else if self.inner.max_size.is_some() {
                    rest.push((mirror.clone(), image));
                }
            }
        }
        if let Some(limit) = self.inner.max_size {
            freed += self.evict_down_to(limit, rest).await?;
        }
        Ok(freed)
    }

    async fn evict_down_to(&self, limit: u64, mut images: Vec<(Repository, MirroredImage)>) -> Result<u64> {
        images.sort_by_key(|(_, image)| std::cmp::Reverse(image.used));
        let mut needed: HashMap<Digest, u32> = HashMap::new();
        let mut size = 0;
        for (digest, length) in images.iter().flat_map(|(_, image)| &image.parts) {
            let images = needed.entry(*digest).or_default();
            if *images == 0 {
                size += length;
            }
            *images += 1;
        }
        let mut freed = 0;
        while size > limit
            && let Some((mirror, image)) = images.pop()
        {
            freed += self.evict_image(&mirror, &image).await?;
            for (digest, length) in &image.parts {
                let images = needed.entry(*digest).or_insert(1);
                *images -= 1;
                if *images == 0 {
                    size -= length;
                }
            }
        }
        Ok(freed)
    }

    async fn evict_image(&self, mirror: &Repository, image: &MirroredImage) -> Result<u64> {
        let freed = self.inner.registry.evict(mirror, &image.digest, image.used).await?;
        tracing::info!(%mirror, digest = %image.digest, freed, "an image that was not used was evicted");
        Ok(freed)
    }

    /// Every repository of a mirror, also of upstreams that are not configured any more.
    async fn mirrors(&self) -> Result<Vec<Repository>> {
        let mut found = Vec::new();
        let mut last = ROOT.to_owned();
        loop {
            let page = self.inner.registry.repositories(Some(&last), BATCH).await?;
            let of_mirrors = page.entries.iter().take_while(|name| name.starts_with(ROOT));
            found.extend(of_mirrors.filter_map(|name| name.parse().ok()));
            match page.entries.last() {
                Some(name) if page.more && name.starts_with(ROOT) => last.clone_from(name),
                _ => return Ok(found),
            }
        }
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
