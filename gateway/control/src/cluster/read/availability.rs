//! Whether the API server can be read, and what is reported if not.

use std::mem::{Discriminant, discriminant};

use resource::{Problem, Severity};

use super::permissions::missing_permissions;
use super::store::Store;
use crate::cluster::connection::Fault;

/// What keeps objects from being known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The API server is out of reach, or what it says of a kind makes no sense.
    Lost {
        /// Why. Its words may differ from attempt to attempt.
        fault: Discriminant<Fault>,
        /// Objects have been sent before.
        is_loaded: bool,
    },
    /// Permissions are missing without which nothing can be served.
    Denied(Vec<Problem>),
}

/// The obstacle that there is now.
pub(super) fn obstacle(store: &Store, server: &str, is_loaded: bool) -> Option<Obstacle> {
    if let Some(fault) = store.loss() {
        let fault = discriminant(fault);
        return Some(Obstacle::Lost { fault, is_loaded });
    }
    let denied = store
        .targets()
        .filter(|(target, state)| target.is_essential() && !state.is_listed);
    let problems = missing_permissions(server, denied);
    (!problems.is_empty()).then_some(Obstacle::Denied(problems))
}

impl Obstacle {
    /// As a problem.
    pub(super) fn problem(&self, store: &Store, server: &str) -> Option<Problem> {
        match self {
            Self::Lost { is_loaded, .. } => loss(store, server, *is_loaded),
            Self::Denied(problems) => {
                let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                let message = messages.join("; ");
                Some(Problem::of_cluster(Severity::Error, server, message))
            }
        }
    }
}

/// Why the API server, or a part of it, is lost. `is_loaded`: objects have been sent before.
pub(super) fn loss(store: &Store, server: &str, is_loaded: bool) -> Option<Problem> {
    let fault = store.loss()?;
    let consequence = if is_loaded {
        "its last known state stays in force"
    } else {
        "no door serves anything until everything has been listed"
    };
    let message = format!("{fault}; {consequence}; trying again");
    Some(Problem::of_cluster(Severity::Error, server, message))
}
