-- Format 1 of the catalog. Digests are text, times nanoseconds since 1970, sizes bytes, booleans 0 or 1.
-- Foreign keys carry the rule that nothing which is referred to goes away: RESTRICT on what is referred to, CASCADE on
-- what merely belongs to its row.

CREATE TABLE objects (
    digest TEXT NOT NULL PRIMARY KEY,
    media_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    location TEXT,
    created BIGINT NOT NULL,
    damaged BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Bytes of manifests and configurations, apart so that listing and checking objects does not read them.
CREATE TABLE object_bytes (
    digest TEXT NOT NULL PRIMARY KEY REFERENCES objects ON DELETE CASCADE,
    bytes BLOB NOT NULL
);

CREATE TABLE edges (
    parent TEXT NOT NULL REFERENCES objects ON DELETE CASCADE,
    child TEXT NOT NULL REFERENCES objects ON DELETE RESTRICT,
    role TEXT NOT NULL,
    PRIMARY KEY (parent, child, role)
) WITHOUT ROWID;
CREATE INDEX edges_child ON edges (child, role);

-- What a manifest names and the store does not hold: other platforms of an index, an absent subject.
CREATE TABLE sparse (
    parent TEXT NOT NULL REFERENCES objects ON DELETE CASCADE,
    child TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (parent, child, role)
) WITHOUT ROWID;
CREATE INDEX sparse_child ON sparse (child, role);

CREATE TABLE layers (
    diff_id TEXT NOT NULL PRIMARY KEY,
    index_location TEXT NOT NULL,
    tar_size BIGINT NOT NULL,
    content_size BIGINT NOT NULL,
    entries BIGINT NOT NULL,
    shared_size BIGINT NOT NULL,
    damaged BIGINT NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- Which blob is which layer, once unpacked.
CREATE TABLE layer_blobs (
    blob TEXT NOT NULL PRIMARY KEY REFERENCES objects ON DELETE CASCADE,
    layer TEXT NOT NULL REFERENCES layers ON DELETE RESTRICT
) WITHOUT ROWID;
CREATE INDEX layer_blobs_layer ON layer_blobs (layer);

-- `published` numbers packs in the order of their publication.
CREATE TABLE packs (
    id TEXT NOT NULL PRIMARY KEY,
    location TEXT NOT NULL,
    length BIGINT NOT NULL,
    damaged BIGINT NOT NULL DEFAULT 0,
    published BIGINT NOT NULL UNIQUE
) WITHOUT ROWID;

CREATE TABLE pack_uses (
    layer TEXT NOT NULL REFERENCES layers ON DELETE CASCADE,
    pack TEXT NOT NULL REFERENCES packs ON DELETE RESTRICT,
    bytes BIGINT NOT NULL,
    PRIMARY KEY (layer, pack)
) WITHOUT ROWID;
CREATE INDEX pack_uses_pack ON pack_uses (pack);

CREATE TABLE images (
    id TEXT NOT NULL PRIMARY KEY,
    manifest TEXT NOT NULL REFERENCES objects ON DELETE RESTRICT,
    platform TEXT NOT NULL,
    created BIGINT NOT NULL,
    size BIGINT NOT NULL,
    added BIGINT NOT NULL,
    used BIGINT NOT NULL,
    tagged BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX images_manifest ON images (manifest);

CREATE TABLE names (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    platform TEXT NOT NULL,
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    updated BIGINT NOT NULL,
    PRIMARY KEY (repository, tag, platform)
) WITHOUT ROWID;
CREATE INDEX names_image ON names (image);

-- What names were set to, the oldest changes beyond 100,000 dropped; `image` is null where the name was removed.
CREATE TABLE name_history (
    sequence BIGINT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    platform TEXT NOT NULL,
    image TEXT,
    time BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE digest_names (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL REFERENCES objects ON DELETE RESTRICT,
    image TEXT NOT NULL REFERENCES images ON DELETE CASCADE,
    PRIMARY KEY (repository, digest, image)
) WITHOUT ROWID;
CREATE INDEX digest_names_digest ON digest_names (digest);
CREATE INDEX digest_names_image ON digest_names (image);

-- A cache: where the view of a stack of layers lies.
CREATE TABLE views (
    chain TEXT NOT NULL PRIMARY KEY,
    location TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE leases (
    id TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    expires BIGINT NOT NULL
) WITHOUT ROWID;

-- An item may be leased before it exists, hence no foreign key on it.
CREATE TABLE lease_items (
    lease TEXT NOT NULL REFERENCES leases ON DELETE CASCADE,
    kind TEXT NOT NULL,
    item TEXT NOT NULL,
    PRIMARY KEY (lease, kind, item)
) WITHOUT ROWID;
CREATE INDEX lease_items_item ON lease_items (kind, item);

-- Bytes to be removed after the commit that took their row away.
CREATE TABLE doomed (
    location TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (location, kind)
) WITHOUT ROWID;

CREATE TABLE events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    attributes TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX events_time ON events (time);

CREATE TABLE registry_repositories (
    name TEXT NOT NULL PRIMARY KEY
) WITHOUT ROWID;

-- Who may read what: a repository shows only what it links.
CREATE TABLE registry_links (
    repository TEXT NOT NULL REFERENCES registry_repositories ON DELETE CASCADE,
    digest TEXT NOT NULL REFERENCES objects ON DELETE RESTRICT,
    kind TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;
CREATE INDEX registry_links_digest ON registry_links (digest);

CREATE TABLE registry_tags (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES registry_links (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX registry_tags_digest ON registry_tags (repository, digest);
