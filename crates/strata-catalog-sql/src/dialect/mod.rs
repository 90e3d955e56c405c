//! What differs between databases. All SQL outside of here is the portable subset: text digests, integer times, inserts
//! with `ON CONFLICT`, numbered parameters (`?1`, to be read as `$1` elsewhere), no row identifiers.

pub(crate) mod sqlite;
