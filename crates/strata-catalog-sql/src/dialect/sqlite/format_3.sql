-- Format 3 of the catalog: containers, the volumes that they mount and the networks that they are in.

-- A container holds its image's manifest, not the image: `rmi -f` may take that. `phase` is 'ready' or 'removing'.
CREATE TABLE containers (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    image TEXT NOT NULL,
    manifest TEXT NOT NULL REFERENCES objects ON DELETE RESTRICT,
    created BIGINT NOT NULL,
    phase TEXT NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX containers_image ON containers (image);
CREATE INDEX containers_manifest ON containers (manifest);

CREATE TABLE volumes (
    name TEXT NOT NULL PRIMARY KEY,
    created BIGINT NOT NULL,
    is_anonymous BIGINT NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE container_volumes (
    container TEXT NOT NULL REFERENCES containers ON DELETE CASCADE,
    volume TEXT NOT NULL REFERENCES volumes ON DELETE RESTRICT,
    PRIMARY KEY (container, volume)
) WITHOUT ROWID;
CREATE INDEX container_volumes_volume ON container_volumes (volume);

CREATE TABLE networks (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE endpoints (
    network TEXT NOT NULL REFERENCES networks ON DELETE RESTRICT,
    container TEXT NOT NULL REFERENCES containers ON DELETE CASCADE,
    address TEXT,
    document TEXT NOT NULL,
    PRIMARY KEY (network, container),
    UNIQUE (network, address)
) WITHOUT ROWID;
CREATE INDEX endpoints_container ON endpoints (container);
