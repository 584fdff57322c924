//! Why an API server cannot be a source.

use std::path::PathBuf;

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// None of the places has any.
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
    /// They are there, and no client can be made of them.
    #[error("no client for the API server can be made: {0}")]
    Client(#[source] Box<kube::Error>),
    /// It did not answer a command that needs an answer.
    #[error("{0}")]
    NoAnswer(String),
}

/// The words of the last cause, which is the one that can be acted on.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
