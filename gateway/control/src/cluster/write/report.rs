//! Reports to the user: the status of Ingresses, and Events about their problems.
//!
//! Both are functions of what is known now. What is correct already is not written again. So writing stops when nothing
//! changes, and a replica that takes over the Lease repeats nothing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use resource::{Kind, ObjectRef, ProblemLists};
use route::ObjectKey;
use tokio::sync::watch;
use tokio::time::Instant;

use super::events::EventWriter;
use super::installation::Installation;
use super::lease;
use super::status::StatusWriter;
use super::writer::Writer;
use crate::cluster::connection::Connection;
use crate::cluster::door_view::{DoorView, Publish};
use crate::cluster::handle::ClusterHandle;
use crate::cluster::read::Store;

/// Changes are collected for this long, so that a storm of them is looked through once. Doors come first.
const PAUSE: Duration = Duration::from_millis(100);

/// Statuses, and Events, that are written before what has changed meanwhile is looked at.
const MOST_AT_ONCE: usize = 25;

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
    let mut writer = Writer::new(connection.clone(), held.subscribe());
    let mut desk = Desk::new(store);
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
            desk.look(writer.name(), &doors, problems);
            next = desk.work(&*doors, &mut writer).await;
        }
    };
    tokio::join!(
        lease::hold(connection, installation, &held, &handle.retirement),
        write
    );
}

/// What is to be written. It is brought up to date by what has changed.
pub(super) struct Desk {
    store: Rc<RefCell<Store>>,
    statuses: StatusWriter,
    events: EventWriter,
    seen: Option<Seen>,
}

/// For what every Ingress has been looked at.
struct Seen {
    me: Rc<str>,
    doors: Arc<dyn DoorView>,
    problems: ProblemLists,
}

impl Desk {
    pub(super) fn new(store: Rc<RefCell<Store>>) -> Self {
        Self {
            statuses: StatusWriter::new(Rc::clone(&store)),
            events: EventWriter::new(Rc::clone(&store)),
            store,
            seen: None,
        }
    }

    /// Of how many Ingresses it is remembered what was reported.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.events.remembered()
    }

    /// Looks at the Ingresses that may have something to be written; at all of them after the doors have changed, or when
    /// this replica begins to write under the name `me`.
    pub(super) fn look(&mut self, me: Option<Rc<str>>, doors: &Arc<dyn DoorView>, problems: ProblemLists) {
        let touched = self.store.borrow_mut().take_touched();
        let Some(me) = me else {
            self.statuses.clear();
            self.events.clear();
            self.seen = None;
            return;
        };
        let seen = self.seen.take();
        let seen = seen.filter(|seen| seen.me == me && Arc::ptr_eq(&seen.doors, doors));
        let seen = seen.filter(|_| !touched.everything);
        let mut of_events: BTreeSet<ObjectKey> = match &seen {
            Some(seen) => ingresses(problems.differing(&seen.problems).iter()).collect(),
            None => ingresses(problems.lists().map(|list| &list.object)).collect(),
        };
        let published = doors.published();
        let mut services = published.iter().filter_map(|(_, publish)| match publish {
            Publish::Service(service) => Some(service),
            Publish::Nothing | Publish::Addresses(_) => None,
        });
        if seen.is_none() || services.any(|service| touched.services.contains(service)) {
            let store = self.store.borrow();
            self.statuses
                .look(store.view.ingresses().map(|ingress| ingress.key.clone()));
        } else {
            self.statuses.look(touched.ingresses.iter().cloned());
        }
        of_events.extend(touched.ingresses);
        self.events.look(of_events, &**doors, &problems, &me);
        self.seen = Some(Seen {
            me,
            doors: Arc::clone(doors),
            problems,
        });
    }

    /// Writes for a while, statuses and Events in turn. Returns when to look again.
    pub(super) async fn work(&mut self, doors: &dyn DoorView, writer: &mut Writer) -> Option<Instant> {
        let Some(seen) = &self.seen else {
            return writer.quiet_until();
        };
        let problems = seen.problems.clone();
        for _ in 0..MOST_AT_ONCE {
            let status = self.statuses.step(doors, writer).await;
            let event = self.events.step(doors, &problems, writer).await;
            if !status && !event {
                break;
            }
        }
        let when = [self.statuses.when(), self.events.when()]
            .into_iter()
            .flatten()
            .min();
        // While the API server wants no requests there is nothing to look at.
        match (when, writer.quiet_until()) {
            (Some(when), Some(until)) => Some(when.max(until)),
            (when, until) => when.or(until),
        }
    }
}

/// Those of the objects that are Ingresses.
fn ingresses<'o>(objects: impl Iterator<Item = &'o ObjectRef>) -> impl Iterator<Item = ObjectKey> {
    let ingresses = objects.filter(|object| object.kind == Kind::Ingress);
    ingresses.filter_map(|object| Some(ObjectKey::new(object.namespace.as_deref()?, &*object.name)))
}
