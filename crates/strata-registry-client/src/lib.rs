//! The client side of the OCI distribution protocol: transport, authentication, retries, pull and push.
