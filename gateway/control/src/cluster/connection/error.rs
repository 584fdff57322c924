//! Why an API server cannot be a source.

use std::path::PathBuf;

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// There are none in any of the usual places.
    #[error(
        "no credentials for an API server: give --kubeconfig FILE or set KUBECONFIG, run in a pod with a service \
         account, or write ~/.kube/config"
    )]
    NoCredentials,
    /// A file that was named does not give any.
    #[error("the kubeconfig `{}` cannot be used: {reason}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The pod's service account gives none.
    #[error(
        "this is a pod, and its service account cannot be used: {0}; set `automountServiceAccountToken: true`, or \
         give --kubeconfig FILE"
    )]
    ServiceAccount(String),
    /// The file with the token gives none.
    #[error("the token in `{}` cannot be used: {reason}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There are credentials, and no client can be made from them.
    #[error("cannot create a client for the API server: {0}")]
    Client(#[source] Box<kube::Error>),
    /// It did not answer a command that needs an answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// The message of the last cause, which is the one that can be acted on.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
