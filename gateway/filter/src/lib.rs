//! What happens to requests and responses on their way: values, their parsers, and the algorithms.
//!
//! Nothing here knows Kubernetes, doors or sockets, and nothing reads a clock: time is an argument. `resource` parses
//! annotations and Middlewares into these values, `door` compiles them into the filters of a route, `proxy` runs them.

pub mod access;
pub mod basic_auth;
pub mod bounds;
pub mod call;
pub mod caller;
pub mod canary;
pub mod cidr;
pub mod cookie;
pub mod cors;
pub mod credentials;
pub mod duration;
pub mod error_page;
pub mod fields;
pub mod forward_auth;
pub mod hash;
pub mod headers;
pub mod htpasswd;
pub mod path_edit;
pub mod pattern;
pub mod rate;
pub mod rate_table;
pub mod realm;
pub mod redirect;
pub mod replacement;
pub mod security;
pub mod source;
pub mod statuses;
pub mod sticky;
pub mod store;
pub mod template;
pub mod upstream_host;
pub mod url;
pub mod verdicts;
pub mod verified;
