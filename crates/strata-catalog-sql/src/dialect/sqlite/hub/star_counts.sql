-- How many stars a repository had at the end of each day on which that changed. `day` is days since 1970, UTC.
CREATE TABLE star_counts (
    repository BIGINT NOT NULL REFERENCES repositories ON DELETE CASCADE,
    day BIGINT NOT NULL,
    stars BIGINT NOT NULL,
    PRIMARY KEY (repository, day)
) WITHOUT ROWID;
INSERT INTO star_counts (repository, day, stars)
SELECT repository, time / 86400000000000,
       SUM(COUNT(*)) OVER (PARTITION BY repository ORDER BY time / 86400000000000)
FROM stars GROUP BY repository, time / 86400000000000;
