//! Whether the API server can be read, and what is reported if not.

use resource::{Problem, Severity};

use super::permissions::missing_permissions;
use super::store::Store;
use crate::cluster::connection::Fault;

/// What keeps objects from being known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The API server is out of reach.
    Lost {
        /// Because it does not accept our credentials.
        is_unauthorized: bool,
    },
    /// Permissions are missing without which nothing can be served.
    Denied(Vec<Problem>),
}

/// The obstacle that there is now.
pub(super) fn obstacle(store: &Store, server: &str) -> Option<Obstacle> {
    if let Some(fault) = store.loss() {
        let is_unauthorized = *fault == Fault::Unauthorized;
        return Some(Obstacle::Lost { is_unauthorized });
    }
    let denied = store
        .targets()
        .filter(|(target, state)| target.is_essential() && !state.is_listed);
    let problems = missing_permissions(server, denied);
    (!problems.is_empty()).then_some(Obstacle::Denied(problems))
}

impl Obstacle {
    /// As a problem. `is_loaded`: objects have been sent before.
    pub(super) fn problem(&self, store: &Store, server: &str, is_loaded: bool) -> Problem {
        let message = match self {
            Self::Lost { .. } => {
                let fault = store.loss().map(ToString::to_string).unwrap_or_default();
                let consequence = if is_loaded {
                    "its last known state stays in force"
                } else {
                    "no door serves anything until everything has been listed"
                };
                format!("{fault}; {consequence}; trying again")
            }
            Self::Denied(problems) => {
                let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                messages.join("; ")
            }
        };
        Problem::of_cluster(Severity::Error, server, message)
    }
}
