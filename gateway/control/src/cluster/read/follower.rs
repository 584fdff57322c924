//! From single changes to views: when everything is known, and when it is sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use resource::{ClusterView, Kind, Object, ObjectRef, Problem, ProblemLists, Severity};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::availability::{Obstacle, loss, obstacle};
use super::held::{HeldObjects, NAMED_WAIT};
use super::named::NamedObjects;
use super::pending::Pending;
use super::permissions::missing_permissions;
use super::reflectors::Reflectors;
use super::store::{Changed, Store};
use super::target::permanent_targets;
use super::update::{Closed, Update};
use crate::cluster::connection::Connection;
use crate::cluster::connection::Fault;
use crate::cluster::door_view::{DoorView, Publish};
use crate::cluster::options::ClusterOptions;
use crate::source::{SourceContent, SourceEvent};

/// Finding out what is needed takes at most this part of the time, however often that may change.
const FOLLOWING: u32 = 10;
/// Changes that wait to be looked at.
const QUEUE: usize = 1_024;

/// Follows the API server and sends what it holds.
pub(crate) struct Follower {
    /// The API server, for messages.
    server: Rc<str>,
    options: Rc<ClusterOptions>,
    store: Rc<RefCell<Store>>,
    doors: watch::Receiver<Arc<dyn DoorView>>,
    named: NamedObjects,
    /// When it is found out again what is needed.
    follows_at: Instant,
    held: HeldObjects,
    reflectors: Reflectors,
    updates: mpsc::Receiver<Update>,
    /// Wakes the reporter.
    changes: watch::Sender<()>,
    reported: Reported,
}

/// What the listener knows.
#[derive(Default)]
struct Reported {
    is_loaded: bool,
    obstacle: Option<Obstacle>,
}

impl Follower {
    /// Also gives the receiver that is woken by whatever statuses and Events may depend on.
    pub(crate) fn new(
        connection: Connection,
        options: ClusterOptions,
        store: Rc<RefCell<Store>>,
        doors: watch::Receiver<Arc<dyn DoorView>>,
    ) -> (Self, watch::Receiver<()>) {
        let (sender, updates) = mpsc::channel(QUEUE);
        let (changes, changed) = watch::channel(());
        let options = Rc::new(options);
        let follower = Self {
            server: Rc::clone(&connection.server),
            named: NamedObjects::new(Rc::clone(&options), Rc::clone(&store)),
            reflectors: Reflectors::new(connection, Rc::clone(&store), sender),
            follows_at: Instant::now(),
            held: HeldObjects::default(),
            options,
            store,
            doors,
            updates,
            changes,
            reported: Reported::default(),
        };
        (follower, changed)
    }

    /// Follows and sends until nobody listens any more.
    pub(crate) async fn run(mut self, events: &mpsc::Sender<SourceEvent>) {
        for target in permanent_targets(&self.options) {
            self.reflectors.open(target);
        }
        // What doors name is needed whether an Ingress names anything or not.
        self.follow_named();
        let mut pending = Pending::default();
        loop {
            let due = pending.due();
            tokio::select! {
                Some(update) = self.updates.recv() => {
                    let changed = self.take(update);
                    pending.add(changed);
                }
                changed = self.doors.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.follows_at = Instant::now();
                    // Other doors may have other problems with the same objects.
                    pending.add(Changed { view: true, needs: true, status: true, ..Changed::default() });
                }
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if self.settle(&mut pending, events).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, mut update: Update) -> Changed {
        self.named.drop_unneeded(&mut update);
        let doors = self.doors.borrow();
        self.store.borrow_mut().take(update, &**doors)
    }

    fn follow_named(&mut self) {
        let began = Instant::now();
        let doors = Arc::clone(&self.doors.borrow_and_update());
        self.named.follow(&*doors, &mut self.reflectors);
        self.follows_at = Instant::now() + began.elapsed() * FOLLOWING;
    }

    /// The same if anything else may be needed, unless that was found out a moment ago. Nothing is served before all is
    /// known that is needed.
    fn follow_if_due(&mut self, pending: &mut Pending) {
        let is_due = !self.reported.is_loaded || self.follows_at <= Instant::now();
        if pending.changed.needs && is_due {
            pending.changed.needs = false;
            self.follow_named();
        }
    }

    /// Sends what there is to send.
    async fn settle(
        &mut self,
        pending: &mut Pending,
        events: &mpsc::Sender<SourceEvent>,
    ) -> Result<(), Closed> {
        self.follow_if_due(pending);
        if pending.changed.targets {
            self.report_obstacle(events).await?;
        }
        let mut held_until = None;
        if self.reported.is_loaded
            && let Some(until) = self.named.doors_wait()
            && pending.hold(until, NAMED_WAIT)
        {
            return Ok(());
        }
        let is_complete = self.is_complete();
        if is_complete && (pending.changed.view || pending.changed.targets || !self.reported.is_loaded) {
            // Whatever arrives until the listener has time for it belongs to the same event.
            let permit = events.reserve().await.map_err(|_closed| Closed)?;
            while let Ok(update) = self.updates.try_recv() {
                let changed = self.take(update);
                pending.changed.merge(changed);
            }
            self.follow_if_due(pending);
            // What was named only now may have to be read before anything is served.
            if self.is_complete() {
                let mut content = self.content();
                let young = self.named.young();
                let is_behind = pending.changed.needs;
                let waits = |object: &ObjectRef| {
                    young.contains(object) || (is_behind && self.named.is_yet_to_follow(object))
                };
                let waits = (is_behind || !young.is_empty()).then_some(&waits as &dyn Fn(&ObjectRef) -> bool);
                let doors = Arc::clone(&self.doors.borrow());
                held_until = self.held.hold_back(&mut content.view, waits, &*doors);
                permit.send(SourceEvent::Loaded(content));
                self.reported.is_loaded = true;
            }
        }
        if is_complete && (pending.changed.view || pending.changed.status) {
            self.changes.send_replace(());
        }
        let needs = pending.changed.needs;
        *pending = Pending::default();
        if let Some(until) = held_until {
            pending.changed.view = true;
            pending.again_at(until);
        }
        if needs {
            pending.changed.needs = true;
            pending.again_at(self.follows_at);
        }
        if let Some(at) = self.named.retry() {
            pending.changed.needs = true;
            pending.again_at(at);
        }
        Ok(())
    }

    /// Whether everything is known that has to be known before anything is served.
    fn is_complete(&self) -> bool {
        let store = self.store.borrow();
        self.reported.is_loaded
            || store
                .targets()
                .all(|(target, state)| state.is_listed || (!target.is_essential() && state.is_known()))
    }

    fn content(&self) -> SourceContent {
        let writes = self.store.borrow_mut().take_writes();
        let store = self.store.borrow();
        let doors = Arc::clone(&self.doors.borrow());
        let denied = store.targets().filter(|(target, state)| {
            // The last question goes over all Ingresses, at every change.
            matches!(state.fault, Some(Fault::Forbidden(_)))
                && (!target.may_be_absent() || is_named(target.kind, &store.view, &*doors))
        });
        let mut own = missing_permissions(&self.server, denied);
        // Some kinds may have changed while others are out of reach.
        own.extend(loss(&store, &self.server, true));
        own.extend(missing_services(&*doors, &store.view, &self.server));
        let too_many = self.named.count_beyond_bound();
        if too_many > 0 {
            own.push(Problem::of_cluster(
                Severity::Error,
                &self.server,
                format!(
                    "{too_many} Secrets and ConfigMaps are not read, because at most {} are watched one by one; raise \
                     `most_followed` in [source], or set `secrets = \"cluster\"`",
                    self.options.most_followed
                ),
            ));
        }
        let mut problems = store.problems().clone();
        let own: ProblemLists = own.into_iter().collect();
        for list in own.lists() {
            problems.put(&list.object, list.problems.iter().cloned());
        }
        let mut view = store.view.clone();
        let unread = self.named.unread().into_iter();
        view.replace_unread(Arc::new(unread.chain(store.unread_kinds()).collect()));
        SourceContent {
            view,
            problems,
            writes,
        }
    }

    async fn report_obstacle(&mut self, events: &mpsc::Sender<SourceEvent>) -> Result<(), Closed> {
        let (obstacle, problem) = {
            let store = self.store.borrow();
            let obstacle = obstacle(&store, &self.server, self.reported.is_loaded);
            if obstacle == self.reported.obstacle {
                return Ok(());
            }
            let in_words = |obstacle: &Obstacle| obstacle.problem(&store, &self.server);
            let problem = obstacle.as_ref().and_then(in_words);
            (obstacle, problem)
        };
        if obstacle.is_none() {
            tracing::info!(server = %self.server, "the API server can be read");
        }
        self.reported.obstacle = obstacle;
        if let Some(problem) = problem {
            let permit = events.reserve().await.map_err(|_closed| Closed)?;
            permit.send(SourceEvent::Unavailable(problem));
        }
        Ok(())
    }
}

/// Whether any Ingress names an object of a kind.
fn is_named(kind: Kind, view: &ClusterView, doors: &dyn DoorView) -> bool {
    let mut ingresses = view.ingresses().cloned().map(Object::Ingress);
    ingresses.any(|ingress| doors.objects_of(&ingress).iter().any(|named| named.kind == kind))
}

/// A problem for each Service that a door is to publish and that does not exist.
fn missing_services(doors: &dyn DoorView, view: &ClusterView, server: &str) -> Vec<Problem> {
    let published = doors.published();
    let missing = published.into_iter().filter_map(|(door, publish)| match publish {
        Publish::Service(key) if view.service(key).is_none() => Some((door, key)),
        Publish::Service(_) | Publish::Nothing | Publish::Addresses(_) => None,
    });
    missing
        .map(|(door, key)| {
            Problem::of_cluster(
                Severity::Warning,
                server,
                format!(
                    "door `{door}` publishes the Service {key}, which does not exist or is not in a watched namespace; \
                     nothing is written to the status of its Ingresses; create the Service, or name another in \
                     `publish`"
                ),
            )
        })
        .collect()
}
