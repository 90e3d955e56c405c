//! Go templates, tables, sizes and durations as the docker command prints them.
