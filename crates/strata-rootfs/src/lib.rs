//! Mount plans, EROFS mounts and the directory fallback.
