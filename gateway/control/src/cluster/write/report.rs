//! Back to the user: the status of Ingresses, and Events about what is wrong with them.
//!
//! Both are functions of what is known now. What is already so is not written, so that writing ends when nothing
//! changes, and a replica that takes over the Lease writes nothing that its predecessor has written.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::events::EventWriter;
use super::installation::Installation;
use super::lease::{self, HeldLease};
use super::statuses::StatusWriter;
use crate::cluster::connection::fault::Fault;
use crate::cluster::read::store::Store;
use crate::cluster::{ClusterHandle, Connection};

/// Before what has changed is looked through, so that a storm is looked through once. Doors come first.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two writes.
pub(crate) const GAP: Duration = Duration::from_millis(20);
/// After a write that the API server did not take,
const AGAIN: Duration = Duration::from_secs(5);
/// and after one that is not allowed.
const DENIED: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(10);

/// Writes while the Lease is held, for ever.
pub(crate) async fn run(
    connection: Connection,
    installation: Installation,
    store: Rc<RefCell<Store>>,
    mut changes: watch::Receiver<()>,
    handle: &ClusterHandle,
) {
    let (held, mut holding) = watch::channel(None);
    let mut doors = handle.doors.subscribe();
    let mut problems = handle.problems.subscribe();
    let mut writer = Writer {
        connection: connection.clone(),
        holding: held.subscribe(),
        denied: HashSet::new(),
    };
    let mut statuses = StatusWriter::new(Rc::clone(&store));
    let mut events = EventWriter::new(store);
    let write = async {
        let mut next: Option<Instant> = None;
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = doors.changed() => if changed.is_err() { return },
                changed = problems.changed() => if changed.is_err() { return },
                changed = holding.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            tokio::time::sleep(PAUSE).await;
            changes.mark_unchanged();
            let doors = doors.borrow_and_update().clone();
            let problems = problems.borrow_and_update().clone();
            let again = [
                statuses.write(&doors, &mut writer).await,
                events.write(&doors, &problems, &mut writer).await,
                writer.hushed(),
            ];
            next = again.into_iter().flatten().min();
        }
    };
    tokio::join!(
        lease::hold(connection, installation, &held, &handle.retirement),
        write
    );
}

/// Who writes, and whether that is allowed now.
pub(crate) struct Writer {
    connection: Connection,
    holding: watch::Receiver<Option<HeldLease>>,
    /// What has been found not to be allowed.
    denied: HashSet<&'static str>,
}

impl Writer {
    /// The name under which is written; `None` while this replica must not write.
    pub(crate) fn name(&self) -> Option<Rc<str>> {
        let held = self.holding.borrow();
        let held = held.as_ref().filter(|held| held.until > Instant::now())?;
        self.hushed()
            .is_none()
            .then(|| Rc::clone(&held.installation.manager))
    }

    /// Installation and replica, as Events name them.
    pub(crate) fn instance(&self) -> String {
        let held = self.holding.borrow();
        let installation = held.as_ref().map(|held| &*held.installation.manager);
        format!(
            "{}/{}",
            installation.unwrap_or_default(),
            self.connection.identity
        )
    }

    pub(crate) fn client(&self) -> kube::Client {
        self.connection.client.clone()
    }

    /// Until when the API server wants to be left alone.
    fn hushed(&self) -> Option<Instant> {
        self.connection.contact.hushed()
    }

    /// Waits for the answer to a request, not for ever.
    pub(crate) async fn asked<T>(&self, request: impl Future<Output = kube::Result<T>>) -> Result<T, Fault> {
        match timeout(ANSWER, request).await {
            Ok(result) => result.map_err(Fault::from),
            Err(_elapsed) => Err(Fault::Stalled(ANSWER)),
        }
    }

    /// Says once what right is missing; says when to try again.
    pub(crate) fn failed(
        &mut self,
        resource: &'static str,
        group: &str,
        verb: &str,
        fault: &Fault,
    ) -> Instant {
        if !matches!(fault, Fault::Forbidden(_)) {
            tracing::debug!(resource, %fault, "cannot be written; trying again");
            return Instant::now() + AGAIN;
        }
        if self.denied.insert(resource) {
            tracing::warn!(
                %fault,
                "no right to write {resource}; add this rule: {{apiGroups: [\"{group}\"], resources: [\"{resource}\"], \
                 verbs: [\"{verb}\"]}}"
            );
        }
        Instant::now() + DENIED
    }
}
