-- Tables of search over the repositories: two FTS5 indexes without contents of their own, and what is needed to change them.

-- A row's number is the entry's position and, below it, the repository's number: rows come in the order of positions.
CREATE VIRTUAL TABLE search USING fts5 (
    names, texts, facets,
    content = '', contentless_delete = 1, detail = column, prefix = '1 2 3', tokenize = "ascii tokenchars '-_./:+'"
);

-- `names` is words with blanks between them.
CREATE TABLE search_entries (
    repository BIGINT NOT NULL PRIMARY KEY REFERENCES repositories ON DELETE RESTRICT,
    position BIGINT NOT NULL,
    names TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE search_words (
    id INTEGER NOT NULL PRIMARY KEY,
    word TEXT NOT NULL UNIQUE,
    uses BIGINT NOT NULL
);

-- A row's number is the word's.
CREATE VIRTUAL TABLE search_word_parts USING fts5 (
    word, content = '', contentless_delete = 1, tokenize = "trigram"
);

CREATE TABLE search_variants (
    variant TEXT NOT NULL,
    word BIGINT NOT NULL REFERENCES search_words ON DELETE CASCADE,
    PRIMARY KEY (variant, word)
) WITHOUT ROWID;
CREATE INDEX search_variants_word ON search_variants (word);
