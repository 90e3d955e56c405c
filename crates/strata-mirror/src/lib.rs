//! Pull-through of other registries: a repository that mirrors one of another registry has what was pulled through it.
