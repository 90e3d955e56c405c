-- Tables of accounts, organizations, teams, roles, tokens, signing keys, failed sign-ins, and the audit log.
-- Rows of `accounts` are never deleted: a name stays with whom it was given to.

CREATE TABLE accounts (
    name TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    full_name TEXT NOT NULL,
    email TEXT UNIQUE,
    created BIGINT NOT NULL,
    disabled BIGINT NOT NULL,
    administrator BIGINT NOT NULL,
    verified_publisher BIGINT NOT NULL,
    private_by_default BIGINT NOT NULL,
    quota BIGINT,
    password TEXT,
    password_is_one_time BIGINT NOT NULL,
    generation BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE members (
    organization TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    role TEXT NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (organization, account)
) WITHOUT ROWID;
CREATE INDEX members_account ON members (account);

CREATE TABLE teams (
    organization TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (organization, name)
) WITHOUT ROWID;

CREATE TABLE team_members (
    organization TEXT NOT NULL,
    team TEXT NOT NULL,
    account TEXT NOT NULL,
    PRIMARY KEY (organization, team, account),
    FOREIGN KEY (organization, team) REFERENCES teams ON DELETE CASCADE,
    FOREIGN KEY (organization, account) REFERENCES members ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX team_members_account ON team_members (account, organization);
CREATE INDEX team_members_member ON team_members (organization, account);

CREATE TABLE team_grants (
    repository TEXT NOT NULL,
    organization TEXT NOT NULL,
    team TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (repository, organization, team),
    FOREIGN KEY (organization, team) REFERENCES teams ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX team_grants_team ON team_grants (organization, team);

CREATE TABLE user_grants (
    repository TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (repository, account)
) WITHOUT ROWID;
CREATE INDEX user_grants_account ON user_grants (account);

-- `scope` is that of a person's token; a robot's has none, but rows in `access_token_repositories`.
CREATE TABLE access_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    label TEXT NOT NULL,
    description TEXT NOT NULL,
    secret TEXT NOT NULL UNIQUE,
    scope TEXT,
    created_by TEXT NOT NULL,
    created BIGINT NOT NULL,
    creator_address TEXT NOT NULL,
    creator_agent TEXT NOT NULL,
    expires BIGINT,
    last_used BIGINT,
    active BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX access_tokens_owner ON access_tokens (owner, created);

CREATE TABLE access_token_repositories (
    token TEXT NOT NULL REFERENCES access_tokens ON DELETE CASCADE,
    repository TEXT NOT NULL,
    role TEXT NOT NULL,
    PRIMARY KEY (token, repository)
) WITHOUT ROWID;

CREATE TABLE refresh_tokens (
    secret TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    access_token TEXT REFERENCES access_tokens ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    client TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX refresh_tokens_account ON refresh_tokens (account);
CREATE INDEX refresh_tokens_access_token ON refresh_tokens (access_token);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires);

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    pkcs8 BLOB NOT NULL,
    created BIGINT NOT NULL
);

CREATE TABLE sign_in_failures (
    subject TEXT NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    last BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sign_in_failures_last ON sign_in_failures (last);

-- Names only: what is logged outlives what it is about.
CREATE TABLE audit_log (
    sequence INTEGER PRIMARY KEY,
    time BIGINT NOT NULL,
    account TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    address TEXT NOT NULL
);
CREATE INDEX audit_log_account ON audit_log (account, sequence);
CREATE INDEX audit_log_time ON audit_log (time);
