-- Second factors of sign-in: the key of one-time codes, and recovery codes as hashes. A key cannot be a hash: codes are
-- computed from it. `confirmed` is null until its owner showed a code; `last_step` is that of the last code that was taken.
CREATE TABLE second_factors (
    account TEXT NOT NULL PRIMARY KEY REFERENCES accounts ON DELETE CASCADE,
    code_key BLOB NOT NULL,
    created BIGINT NOT NULL,
    confirmed BIGINT,
    last_step BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    account TEXT NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    hash TEXT NOT NULL,
    PRIMARY KEY (account, hash)
) WITHOUT ROWID;
