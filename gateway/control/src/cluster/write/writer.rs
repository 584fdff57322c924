//! Requests that write, while this replica may.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::lease::HeldLease;
use crate::cluster::connection::{Connection, Fault};

/// Between two writes.
pub(super) const GAP: Duration = Duration::from_millis(20);
/// After a write that failed,
const RETRY: Duration = Duration::from_secs(5);
/// and after one that is not allowed.
const DENIED: Duration = Duration::from_secs(30);
/// For the answer to a write.
const ANSWER: Duration = Duration::from_secs(10);

/// In so many namespaces in a row something is not allowed before nobody is asked any more: then the permission is missing
/// everywhere.
const IN_A_ROW: usize = 3;

/// Until when nothing is written, because writes were refused or failed.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    everywhere: Option<Instant>,
    /// By namespace.
    of: HashMap<Box<str>, Instant>,
    /// Namespaces in which it was not allowed since something was accepted; no more of them than matter.
    in_a_row: HashSet<Box<str>>,
}

impl Refusals {
    /// Whether nothing may be written anywhere.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.everywhere.is_some_and(|until| until > now)
    }

    /// The earliest time for something that is due `when`.
    pub(super) fn not_before(&self, when: Instant) -> Instant {
        self.everywhere.map_or(when, |until| when.max(until))
    }

    /// Until when a namespace takes nothing.
    pub(super) fn of(&self, namespace: &str, now: Instant) -> Option<Instant> {
        self.of.get(namespace).copied().filter(|until| *until > now)
    }

    pub(super) fn accepted(&mut self) {
        *self = Self {
            of: std::mem::take(&mut self.of),
            ..Self::default()
        };
    }

    pub(super) fn refused(&mut self, namespace: &str, fault: &Fault, until: Instant) {
        let now = Instant::now();
        self.of.retain(|_, until| *until > now);
        self.of.insert(namespace.into(), until);
        if matches!(fault, Fault::Refused(_)) {
            return;
        }
        if self.in_a_row.len() < IN_A_ROW {
            self.in_a_row.insert(namespace.into());
        }
        if fault.is_loss() || self.in_a_row.len() >= IN_A_ROW {
            self.everywhere = Some(until);
        }
    }
}

/// Sends requests that write, and knows whether this replica may.
pub(super) struct Writer {
    connection: Connection,
    holding: watch::Receiver<Option<HeldLease>>,
    /// Resources that it may not write, as the API server said.
    denied: HashSet<&'static str>,
}

impl Writer {
    pub(super) fn new(connection: Connection, holding: watch::Receiver<Option<HeldLease>>) -> Self {
        Self {
            connection,
            holding,
            denied: HashSet::new(),
        }
    }

    /// The name to write under; `None` while this replica must not write.
    pub(super) fn name(&self) -> Option<Rc<str>> {
        let held = self.holding.borrow();
        let held = held.as_ref().filter(|held| held.until > Instant::now())?;
        self.quiet_until()
            .is_none()
            .then(|| Rc::clone(&held.installation.manager))
    }

    /// Installation and replica, as Events name them.
    pub(super) fn instance(&self) -> String {
        let held = self.holding.borrow();
        let installation = held.as_ref().map(|held| &*held.installation.manager);
        format!(
            "{}/{}",
            installation.unwrap_or_default(),
            self.connection.identity
        )
    }

    pub(super) fn client(&self) -> kube::Client {
        self.connection.client.clone()
    }

    /// Until when the API server asked for no more requests (`Retry-After`).
    pub(super) fn quiet_until(&self) -> Option<Instant> {
        self.connection.contact.quiet_until()
    }

    /// Waits for the answer to a request, for a bounded time.
    pub(super) async fn answer<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        match timeout(ANSWER, request).await {
            Ok(result) => result.map_err(Fault::from),
            Err(_elapsed) => Err(Fault::Stalled(ANSWER)),
        }
    }

    /// Logs once which permission is missing. Returns when to try again.
    pub(super) fn failed(
        &mut self,
        resource: &'static str,
        group: &str,
        verb: &str,
        fault: &Fault,
    ) -> Instant {
        if !matches!(fault, Fault::Forbidden(_)) {
            tracing::debug!(resource, %fault, "cannot be written; trying again");
            let pause = if matches!(fault, Fault::Refused(_)) {
                DENIED
            } else {
                RETRY
            };
            return Instant::now() + pause;
        }
        if self.denied.insert(resource) {
            tracing::warn!(
                %fault,
                "no permission to write {resource}; add this rule: {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], \
                 verbs: [\"{verb}\"]}}"
            );
        }
        Instant::now() + DENIED
    }
}
