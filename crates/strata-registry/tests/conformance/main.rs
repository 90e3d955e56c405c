//! The OCI distribution specification 1.1 (and what its main branch added), one test for each MUST and SHOULD that a
//! registry can be asked about, named by endpoint. Over real connections and with a plain HTTP client, so that no mistake of
//! our own client hides one of the registry. What the official suite checks beyond that stands in `official_blobs` and
//! `official_content`.

mod end_01_base;
mod end_02_blobs;
mod end_03_manifests;
mod end_04_uploads;
mod end_07_push;
mod end_08_tags;
mod end_09_delete;
mod end_12_referrers;
mod official_blobs;
mod official_content;
#[path = "../registry/support.rs"]
mod support;
