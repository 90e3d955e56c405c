-- Tables of running the hub: webhooks and their deliveries, jobs, how far the registry's history was read.

-- How far each reader of the registry's history has come: the number of the last entry it has taken in.
CREATE TABLE history_readers (
    reader TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
) WITHOUT ROWID;

-- `events` is a comma-separated list of words. The secret is kept as it is: it signs.
CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT NOT NULL,
    events TEXT NOT NULL,
    active BIGINT NOT NULL,
    creator TEXT NOT NULL,
    created BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX webhooks_repository ON webhooks (repository, created);

-- One for each event and webhook. `due` is null once it is over; `finished` is null before that.
CREATE TABLE webhook_deliveries (
    id BIGINT NOT NULL PRIMARY KEY,
    webhook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event TEXT NOT NULL,
    body TEXT NOT NULL,
    created BIGINT NOT NULL,
    due BIGINT,
    attempts BIGINT NOT NULL,
    attempted BIGINT,
    status BIGINT,
    error TEXT NOT NULL,
    finished BIGINT
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, id);

-- Blobs of pushed images that are to be indexed, and those that could not be (`due` is null).
CREATE TABLE index_jobs (
    blob TEXT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    created BIGINT NOT NULL,
    due BIGINT,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX index_jobs_due ON index_jobs (due) WHERE due IS NOT NULL;
