//! The command line: command tree, rendering, progress, exit codes.
