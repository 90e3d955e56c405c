//! The store: ingest, publish, leases, garbage collection and fsck over blobs, packs and a catalog.
