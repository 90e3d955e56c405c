//! Images, registries and faults for tests.
