-- Sessions that began with a password: a row each for as long as they last, so that one can be ended alone. `id` is a hash of
-- the number in the session's token.
CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account, created);
CREATE INDEX sessions_expires ON sessions (expires);
