//! Docker archives and OCI layouts in tar form, read and written in one pass.
