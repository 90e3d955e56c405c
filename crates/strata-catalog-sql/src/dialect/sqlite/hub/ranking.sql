-- What searching and ranking look at, without the repositories' wide rows.
CREATE INDEX repositories_ranking ON repositories
    (id, stars, pulls, last_updated, is_official, namespace, name);
