-- Bytes that garbage collection gave back on each day on which it did. `day` is days since 1970, UTC.
CREATE TABLE collections (
    day BIGINT NOT NULL PRIMARY KEY,
    freed BIGINT NOT NULL
) WITHOUT ROWID;
