//! Black-box tests of the program, a module for each door and each subject.
//!
//! They run beside each other, as many as the machine has cores, in one process: whatever a test changes or measures
//! belongs to the gateway that it started, never to this process. `cargo test -p gateway-tests --test gateway h2::` runs
//! the tests of one module.

mod access_log;
mod admin_pages;
mod audit;
mod bodies;
mod causes;
mod challenges;
mod changes;
mod classes;
mod config;
mod cpus;
mod deployment;
mod descriptors;
mod doctor;
mod doors;
mod drain;
mod ejection;
mod explain;
mod external_http;
mod external_https;
mod external_names;
mod filters;
mod framing;
mod grpc;
mod h2;
mod h2_attacks;
mod h2_bounds;
mod h2_doors;
mod h2_ends;
mod h2_places;
mod hostile_upstream;
mod identity;
mod internal_http;
mod internal_https;
mod isolation;
mod leaving;
mod logs;
mod matching;
mod memory;
mod metrics;
mod migrate;
mod observe;
mod own_addresses;
mod presets;
mod prove;
mod proxy_protocol;
mod proxy_status;
mod reload;
mod requests;
mod responses;
mod route_metrics;
mod shell;
mod stalled;
mod ten_requests;
mod tenancy;
mod timeouts;
mod tls;
mod tls_backends;
mod tls_config;
mod tracing;
mod upstreams;
mod websocket;
mod withdrawn;
