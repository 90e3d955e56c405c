-- Format 2 of the catalog: what was done to the repositories of the registry, which of their links are to be reviewed, and
-- when what mirrors keep was used.

-- Append-only; `tag` is '' where a manifest or a whole repository is meant, `digest` is null where nothing is there any more.
CREATE TABLE registry_history (
    sequence BIGINT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT,
    previous TEXT,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    time BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX registry_history_tag ON registry_history (repository, tag, sequence);
CREATE INDEX registry_history_time ON registry_history (time);

-- Links that may have lost what needs them. `touched` is when that happened or when a client was last told of the link,
-- `due` when to look.
CREATE TABLE registry_reviews (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    touched BIGINT NOT NULL,
    due BIGINT NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, digest) REFERENCES registry_links (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX registry_reviews_due ON registry_reviews (due);

-- What is linked already and no manifest of its repository refers to: uploads that never became an image.
INSERT INTO registry_reviews (repository, digest, touched, due)
SELECT l.repository, l.digest, 0, 0 FROM registry_links l
WHERE l.kind = 'blob' AND NOT EXISTS (
    SELECT 1 FROM edges e JOIN registry_links p ON p.repository = l.repository AND p.digest = e.parent
    WHERE e.child = l.digest AND e.role <> 'subject' AND p.kind = 'manifest'
);

-- When the manifests of repositories that mirror others were last used: what was not used for long goes.
CREATE TABLE registry_uses (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, digest) REFERENCES registry_links (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
