-- Tables of repositories and what is known of their tags: descriptions, stars, counts.
-- Lists of words that hold no blank are text with blanks between them; of others, JSON.

CREATE TABLE repositories (
    id BIGINT NOT NULL PRIMARY KEY,
    full_name TEXT NOT NULL UNIQUE,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    is_private BIGINT NOT NULL,
    description TEXT NOT NULL,
    categories TEXT NOT NULL,
    source TEXT,
    is_official BIGINT NOT NULL,
    is_verified BIGINT NOT NULL,
    status TEXT NOT NULL,
    immutable_tags TEXT NOT NULL,
    retention TEXT NOT NULL,
    registered BIGINT NOT NULL,
    last_updated BIGINT NOT NULL,
    last_pushed BIGINT,
    last_pusher TEXT,
    kinds TEXT NOT NULL,
    media_types TEXT NOT NULL,
    platforms TEXT NOT NULL,
    stars BIGINT NOT NULL DEFAULT 0,
    pulls BIGINT NOT NULL DEFAULT 0,
    -- Pulls, each weighed by two to the power of the half-lives since 2026: old ones fade without being touched.
    trend DOUBLE PRECISION NOT NULL DEFAULT 0
);
CREATE INDEX repositories_namespace ON repositories (namespace, full_name);
CREATE INDEX repositories_updated ON repositories (last_updated DESC, full_name);
CREATE INDEX repositories_pulls ON repositories (pulls DESC, full_name);
CREATE INDEX repositories_official ON repositories (pulls DESC, full_name) WHERE is_official = 1;
CREATE INDEX repositories_stars ON repositories (stars DESC, full_name);
CREATE INDEX repositories_trend ON repositories (trend DESC, full_name);

CREATE TABLE repository_descriptions (
    repository BIGINT NOT NULL PRIMARY KEY REFERENCES repositories ON DELETE CASCADE,
    description TEXT NOT NULL
);

CREATE TABLE categories (
    slug TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    position BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO categories (slug, name, position) VALUES
    ('api-management', 'API management', 1),
    ('content-management-system', 'Content management system', 2),
    ('data-science', 'Data science', 3),
    ('databases-and-storage', 'Databases & storage', 4),
    ('developer-tools', 'Developer tools', 5),
    ('integration-and-delivery', 'Integration & delivery', 6),
    ('internet-of-things', 'Internet of things', 7),
    ('languages-and-frameworks', 'Languages & frameworks', 8),
    ('machine-learning-and-ai', 'Machine learning & AI', 9),
    ('message-queues', 'Message queues', 10),
    ('monitoring-and-observability', 'Monitoring & observability', 11),
    ('networking', 'Networking', 12),
    ('operating-systems', 'Operating systems', 13),
    ('security', 'Security', 14),
    ('web-analytics', 'Web analytics', 15),
    ('web-servers', 'Web servers', 16);

CREATE TABLE stars (
    repository BIGINT NOT NULL REFERENCES repositories ON DELETE CASCADE,
    account TEXT NOT NULL,
    time BIGINT NOT NULL,
    PRIMARY KEY (repository, account)
) WITHOUT ROWID;
CREATE INDEX stars_account ON stars (account, repository);

-- What tags point to. `images` is JSON.
CREATE TABLE tagged_manifests (
    repository BIGINT NOT NULL REFERENCES repositories ON DELETE CASCADE,
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    size BIGINT NOT NULL,
    images TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;

-- `sort_key` sorts bytewise as the tags do naturally.
CREATE TABLE tags (
    repository BIGINT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    sort_key TEXT NOT NULL,
    pushed BIGINT NOT NULL,
    pushed_by TEXT NOT NULL,
    last_pulled BIGINT,
    pulls BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES tagged_manifests (repository, digest) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX tags_digest ON tags (repository, digest);
CREATE INDEX tags_sort_key ON tags (repository, sort_key);
CREATE INDEX tags_pushed ON tags (repository, pushed DESC, sort_key);

-- By digest, of platforms too.
CREATE TABLE digest_pulls (
    repository BIGINT NOT NULL REFERENCES repositories ON DELETE CASCADE,
    digest TEXT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (repository, digest)
) WITHOUT ROWID;

-- `day` is days since 1970, UTC.
CREATE TABLE pulls (
    repository BIGINT NOT NULL REFERENCES repositories ON DELETE CASCADE,
    day BIGINT NOT NULL,
    pulls BIGINT NOT NULL,
    PRIMARY KEY (repository, day)
) WITHOUT ROWID;
