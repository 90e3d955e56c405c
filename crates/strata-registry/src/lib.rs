//! The registry's HTTP surface: OCI distribution over the store.
