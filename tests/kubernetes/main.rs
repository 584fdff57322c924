//! Black-box tests against a real API server: etcd and kube-apiserver, started for each test.
//!
//! `cargo xtask apiserver` builds them once (three minutes); `KUBEBUILDER_ASSETS` names a folder that has them already.
//! Without them these tests are left out, with a line that says so; with `CI=true` that is a failure.

mod apiserver;
mod backend;
mod balancing;
mod changes;
mod classes;
mod conformance;
mod doctor;
mod handover;
mod installations;
mod link;
mod middlewares;
mod migrate;
mod moving;
mod objects;
mod order;
mod policies;
mod published;
mod rendered;
mod replicas;
mod rights;
mod scale;
mod scope;
mod secrets;
mod serving;
mod shaky;
mod status;
mod tokens;
mod unserved;

/// An API server, or the end of a test that is left out.
#[macro_export]
macro_rules! api_server {
    () => {
        match $crate::apiserver::ApiServer::start() {
            Some(server) => server,
            None => return,
        }
    };
}
