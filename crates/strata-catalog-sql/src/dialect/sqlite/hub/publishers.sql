-- What an account says of itself, and the public keys with which its images are signed.
ALTER TABLE accounts ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN link TEXT NOT NULL DEFAULT '';
ALTER TABLE accounts ADD COLUMN location TEXT NOT NULL DEFAULT '';

-- `owner` is an account, for all its repositories, or the full name of one repository; only the latter have a slash.
CREATE TABLE publisher_keys (
    owner TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    pem TEXT NOT NULL,
    added_by TEXT NOT NULL,
    added BIGINT NOT NULL,
    PRIMARY KEY (owner, id)
) WITHOUT ROWID;
