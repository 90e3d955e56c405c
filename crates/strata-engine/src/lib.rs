//! Use cases: pull, push, save, load, tag, list, inspect, remove, prune and the rest, as functions.
