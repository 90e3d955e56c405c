-- What was found in images (packages, setuid files, …), and the jobs of finding it: `due` is null when it is over,
-- `findings` before that. Derived from the store: may be emptied at any time.
CREATE TABLE image_findings (
    image TEXT NOT NULL PRIMARY KEY,
    repository TEXT NOT NULL,
    created BIGINT NOT NULL,
    due BIGINT,
    attempts BIGINT NOT NULL,
    error TEXT NOT NULL,
    findings TEXT
);
CREATE INDEX image_findings_due ON image_findings (due) WHERE due IS NOT NULL;
