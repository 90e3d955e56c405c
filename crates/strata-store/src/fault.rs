//! Named points at which a test kills the process: `STRATA_FAULT=point` or `STRATA_FAULT=point:3` for its third passage.
//!
//! Debug builds only; a release build has no such points.

/// Dies here without any cleanup when the environment asks for it.
#[inline]
pub fn point(name: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::OnceLock;
        use std::sync::atomic::{AtomicU32, Ordering};
        static WANTED: OnceLock<Option<(String, u32)>> = OnceLock::new();
        static PASSED: AtomicU32 = AtomicU32::new(0);
        let wanted = WANTED.get_or_init(|| {
            let text = std::env::var("STRATA_FAULT").ok()?;
            match text.rsplit_once(':') {
                Some((name, count)) => Some((name.to_owned(), count.parse().ok()?)),
                None => Some((text, 1)),
            }
        });
        if let Some((wanted, count)) = wanted
            && wanted == name
            && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == *count
        {
            std::process::abort();
        }
    }
    let _ = name;
}

/// Every point, in the order in which a pull and a removal pass them.
pub const POINTS: &[&str] = &[
    "lease-started",
    "download-started",
    "download-half",
    "download-complete",
    "blob-sealed",
    "pack-sealed",
    "index-sealed",
    "layer-published",
    "staging-removed",
    "manifests-published",
    "image-removed",
    "doomed-half",
    "doomed-removed",
];

/// Every point that only containers, volumes and networks pass.
pub const CONTAINER_POINTS: &[&str] = &[
    "container-directory-made",
    "container-created",
    "volume-filling",
    "volumes-filled",
    "container-planned",
    "container-started",
    "container-asked",
    "container-removing",
    "container-directory-removed",
    "container-removed",
    "volume-created",
    "volume-forgotten",
    "network-created",
    "network-bridge-removed",
    "network-connected",
    "network-disconnected",
];

/// Every point that only a registry passes, in the order in which a push, its removal and the collection pass them.
pub const REGISTRY_POINTS: &[&str] = &[
    "upload-begun",
    "upload-appended",
    "upload-sealed",
    "upload-published",
    "blob-mounted",
    "manifest-unpublished",
    "manifest-published",
    "tag-set",
    "tag-deleted",
    "manifest-deleted",
    "links-reviewed",
    "doomed-half",
    "doomed-removed",
];

/// Every point that only the record of an image that is shown in a directory passes: made, shown, taken away.
pub const MOUNT_POINTS: &[&str] = &["mount-recorded", "mount-shown", "mount-taken-away"];

/// Every point that only a webhook's delivery passes: queued, received, noted as such.
pub const WEBHOOK_POINTS: &[&str] = &["deliveries-queued", "delivery-posted", "delivery-noted"];
