//! The gateway beside the programs that read and write the same objects: external-dns, cert-manager, the AWS Load
//! Balancer Controller. They are the real programs against a real API server; what `docs/neighbours.md` says of them is
//! what is asserted here.
//!
//! `cargo xtask neighbours` builds them and runs this in a network namespace of its own, so that ports 80 and 443 are
//! free and an address that is not loopback is there. There are no nodes: where a pod is needed, the test plays kubelet,
//! and says so.

#[path = "../kubernetes/apiserver.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests against the API server, which use all of it"
)]
mod apiserver;
#[path = "../kubernetes/backend.rs"]
mod backend;
mod cert_manager;
mod external_dns;
mod load_balancers;
mod objects;
mod program;

/// An API server, which must be there: `cargo xtask neighbours` has found it.
fn api_server() -> apiserver::ApiServer {
    apiserver::ApiServer::start().expect("run by `cargo xtask neighbours`")
}
