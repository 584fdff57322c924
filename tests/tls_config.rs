//! Wrong TLS and PROXY settings and wrong Secrets: each has its message, its place and its exit status.
