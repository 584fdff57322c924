//! From single changes to views: which targets are followed, when everything is known, and when it is told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap as RawConfigMap, Secret as RawSecret, Service as RawService};
use k8s_openapi::api::discovery::v1::EndpointSlice as RawEndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress as RawIngress, IngressClass as RawIngressClass};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Api;
use resource::{Kind, ObjectRef, Problem, Severity, Unread};
use route::ObjectKey;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::observed::{Observed, WatchedKind};
use super::raw::RawObject;
use super::reflector::{Reflector, Scope, TargetEvent, Update, WatchTarget};
use super::rights::missing_rights;
use super::store::{Changed, Store};
use crate::cluster::connection::fault::Fault;
use crate::cluster::door_view::{DoorOutlook, SecretScope, missing_services, needs};
use crate::cluster::{ClusterOptions, Connection};
use crate::{SourceContent, SourceEvent};

/// A change is told when nothing has happened for this long,
const QUIET: Duration = Duration::from_millis(2);
/// but not later than this after its beginning.
const PATIENCE: Duration = Duration::from_millis(20);
/// A Secret that has just been named is waited for before the Ingress that names it is told of, but not longer.
const COMPANY: Duration = Duration::from_secs(1);
/// Changes that wait to be looked at.
const QUEUE: usize = 1_024;
/// Secrets that are found one by one, before all are listed again.
const MOST_LATE: usize = 100;
/// Types of Secrets that are never anything to a gateway, and often large.
const NO_SECRETS_OF: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// Follows the API server and tells of it.
pub(crate) struct Follower {
    connection: Connection,
    options: ClusterOptions,
    store: Rc<RefCell<Store>>,
    doors: watch::Receiver<Arc<[DoorOutlook]>>,
    needs: BTreeSet<ObjectRef>,
    /// Secrets that were named after all of them had been looked at.
    late: BTreeSet<ObjectRef>,
    /// Objects that are named and not followed, and why.
    left_out: BTreeMap<ObjectRef, Unread>,
    reflectors: HashMap<WatchTarget, Task>,
    sender: mpsc::Sender<Update>,
    updates: mpsc::Receiver<Update>,
    /// Wakes the reporter.
    changes: watch::Sender<()>,
    told: Reported,
}

/// What the listener knows.
#[derive(Default)]
struct Reported {
    is_loaded: bool,
    obstacle: Option<Obstacle>,
    /// In the words in which it was told, for as long as it lasts.
    loss: Option<Problem>,
}

/// What keeps objects from being known.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Obstacle {
    /// The API server cannot be talked to; `true`: because it does not know us.
    Lost(bool),
    /// Rights are missing without which nothing can be served.
    Denied(Vec<Problem>),
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Changes that have not been told.
#[derive(Default)]
struct Pending {
    changed: Changed,
    span: Option<(Instant, Instant)>,
    /// Since when company is waited for.
    held: Option<Instant>,
}

impl Follower {
    pub(crate) fn new(
        connection: Connection,
        options: ClusterOptions,
        store: Rc<RefCell<Store>>,
        doors: watch::Receiver<Arc<[DoorOutlook]>>,
    ) -> (Self, watch::Receiver<()>) {
        let (sender, updates) = mpsc::channel(QUEUE);
        let (changes, changed) = watch::channel(());
        let follower = Self {
            connection,
            options,
            store,
            doors,
            needs: BTreeSet::new(),
            late: BTreeSet::new(),
            left_out: BTreeMap::new(),
            reflectors: HashMap::new(),
            sender,
            updates,
            changes,
            told: Reported::default(),
        };
        (follower, changed)
    }

    /// Follows and tells until nobody listens any more.
    pub(crate) async fn run(mut self, events: &mpsc::Sender<SourceEvent>) {
        for target in self.permanent_targets() {
            self.open(target);
        }
        // What doors name is needed whether an Ingress names anything or not.
        self.adjust();
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

    /// What is followed whatever the objects say.
    fn permanent_targets(&self) -> Vec<WatchTarget> {
        let scopes: Vec<Scope> = if self.options.namespaces.is_empty() {
            vec![Scope::Cluster]
        } else {
            let namespaces = self.options.namespaces.iter().cloned();
            namespaces.map(Scope::Namespace).collect()
        };
        let mut targets = Vec::new();
        for kind in [Kind::Ingress, Kind::Service, Kind::EndpointSlice] {
            targets.extend(scopes.iter().cloned().map(|scope| WatchTarget { kind, scope }));
        }
        // Classes are cluster-scoped: without rights there, names alone decide.
        if self.options.namespaces.is_empty() {
            targets.push(WatchTarget {
                kind: Kind::IngressClass,
                scope: Scope::Cluster,
            });
        }
        if self.options.secrets == SecretScope::Cluster {
            let kind = Kind::Secret;
            targets.extend(scopes.iter().cloned().map(|scope| WatchTarget { kind, scope }));
        }
        targets.extend(self.targets_of_replicas());
        targets
    }

    /// Where other gateways are to be found beyond the namespaces that are watched.
    fn targets_of_replicas(&self) -> BTreeSet<WatchTarget> {
        let watched = &self.options.namespaces;
        let services = self.options.replicas.iter();
        let beyond = services
            .map(ObjectKey::namespace)
            .filter(|namespace| !watched.is_empty() && !watched.iter().any(|one| **one == **namespace));
        let target = |namespace: &str| WatchTarget {
            kind: Kind::EndpointSlice,
            scope: Scope::Replicas(namespace.into()),
        };
        beyond.map(target).collect()
    }

    fn open(&mut self, target: WatchTarget) {
        let fields = match (&target.scope, target.kind) {
            (Scope::Object(key), _) => Some(format!("metadata.name={}", key.name())),
            (Scope::Cluster | Scope::Namespace(_), Kind::Secret) => Some(NO_SECRETS_OF.to_owned()),
            (Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_), _) => None,
        };
        let task = match target.kind {
            Kind::Ingress => self.follow(self.namespaced::<RawIngress>(&target.scope), &target, fields),
            Kind::Service => self.follow(self.namespaced::<RawService>(&target.scope), &target, fields),
            Kind::EndpointSlice => self.follow(
                self.namespaced::<RawEndpointSlice>(&target.scope),
                &target,
                fields,
            ),
            Kind::Secret => self.follow(self.namespaced::<RawSecret>(&target.scope), &target, fields),
            Kind::ConfigMap => self.follow(self.namespaced::<RawConfigMap>(&target.scope), &target, fields),
            Kind::IngressClass => self.follow(self.global::<RawIngressClass>(), &target, fields),
            Kind::Namespace | Kind::Middleware | Kind::File | Kind::Cluster => return,
        };
        self.store.borrow_mut().open(target.clone());
        self.reflectors.insert(target, task);
    }

    fn namespaced<K: WatchedKind<Scope = NamespaceResourceScope>>(&self, scope: &Scope) -> Api<RawObject<K>> {
        let client = self.connection.client.clone();
        match scope {
            Scope::Cluster => Api::all(client),
            Scope::Namespace(namespace) | Scope::Replicas(namespace) => Api::namespaced(client, namespace),
            Scope::Object(key) => Api::namespaced(client, key.namespace()),
        }
    }

    fn global<K: WatchedKind<Scope = ClusterResourceScope>>(&self) -> Api<RawObject<K>> {
        Api::all(self.connection.client.clone())
    }

    fn follow<K: WatchedKind>(
        &self,
        api: Api<RawObject<K>>,
        target: &WatchTarget,
        fields: Option<String>,
    ) -> Task {
        let reflector = Reflector::new(
            api,
            target.clone(),
            fields,
            self.sender.clone(),
            self.connection.contact.clone(),
        );
        Task(tokio::task::spawn_local(reflector.run()))
    }

    fn take(&mut self, mut update: Update) -> Changed {
        if update.target.kind == Kind::Secret {
            self.drop_unneeded(&mut update);
        }
        self.store.borrow_mut().take(update)
    }

    /// Secrets that nobody needs are not kept.
    fn drop_unneeded(&self, update: &mut Update) {
        let needed = |seen: &Observed| self.needs.contains(&seen.reference);
        match &mut update.event {
            TargetEvent::Listed(objects) => objects.retain(needed),
            TargetEvent::Applied(seen) if !needed(seen) => {
                update.event = TargetEvent::Removed(seen.reference.clone());
            }
            TargetEvent::Applied(_)
            | TargetEvent::Removed(_)
            | TargetEvent::Following
            | TargetEvent::Failed(_) => {}
        }
    }

    /// Tells what there is to tell.
    async fn settle(
        &mut self,
        pending: &mut Pending,
        events: &mpsc::Sender<SourceEvent>,
    ) -> Result<(), mpsc::error::SendError<()>> {
        if std::mem::take(&mut pending.changed.needs) {
            self.adjust();
        }
        if pending.changed.targets {
            self.tell_obstacle(events).await?;
        }
        if let Some(until) = self.waits_for_company() {
            // Who keeps naming more Secrets does not put off for ever what is new for everybody.
            let first = *pending.held.get_or_insert_with(Instant::now);
            let until = until.min(first + COMPANY);
            if until > Instant::now() {
                pending.postpone(until);
                return Ok(());
            }
        }
        let is_complete = self.is_complete();
        if is_complete && (pending.changed.view || pending.changed.targets || !self.told.is_loaded) {
            // Whatever arrives until the listener has time for it belongs to the same event.
            let permit = events.reserve().await?;
            while let Ok(update) = self.updates.try_recv() {
                let changed = self.take(update);
                pending.changed.merge(changed);
            }
            if std::mem::take(&mut pending.changed.needs) {
                self.adjust();
            }
            // What was named only now may have to be read before anything is served.
            if self.is_complete() {
                permit.send(SourceEvent::Loaded(self.load()));
                self.told.is_loaded = true;
            }
        }
        if is_complete && (pending.changed.view || pending.changed.status) {
            self.changes.send_replace(());
        }
        *pending = Pending::default();
        Ok(())
    }

    /// Follows what is named by doors and Ingresses, and nothing else.
    fn adjust(&mut self) {
        let doors = Arc::clone(&self.doors.borrow_and_update());
        let needs = needs(&doors, &self.store.borrow().view, self.options.secrets);
        let known: BTreeSet<ObjectRef> = needs
            .by_doors
            .iter()
            .chain(&needs.by_ingresses)
            .cloned()
            .collect();
        self.catch_up(&known);
        let is_single = |need: &&ObjectRef| !self.is_among_all(need) || self.late.contains(need);
        // Who is followed is not given up for somebody new, and no door goes without for the sake of Ingresses.
        let singles = needs.by_ingresses.iter().filter(is_single);
        let (held, new): (Vec<&ObjectRef>, Vec<&ObjectRef>) =
            singles.partition(|need| self.reflectors.contains_key(&single_target(need)));
        let in_order: Vec<&ObjectRef> = held.into_iter().chain(new).collect();
        let (followed, beyond) = in_order
            .split_at_checked(self.options.most_followed)
            .unwrap_or((&in_order, &[]));
        let of_doors = needs.by_doors.iter().filter(is_single);
        let wanted: BTreeSet<WatchTarget> = followed
            .iter()
            .copied()
            .chain(of_doors)
            .map(single_target)
            .collect();
        let beyond = beyond.iter().map(|need| ((*need).clone(), Unread::TooMany));
        let unwanted = needs.unwanted.iter().map(|need| (need.clone(), Unread::Unwanted));
        self.left_out = beyond.chain(unwanted).collect();
        self.needs = known;
        let unwanted: Vec<WatchTarget> = self
            .reflectors
            .keys()
            .filter(|target| matches!(target.scope, Scope::Object(_)) && !wanted.contains(target))
            .cloned()
            .collect();
        for target in unwanted {
            self.reflectors.remove(&target);
            self.store.borrow_mut().close(&target);
        }
        for target in wanted {
            if !self.reflectors.contains_key(&target) {
                self.open(target);
            }
        }
    }

    /// Whether a list of all Secrets has it.
    fn is_among_all(&self, need: &ObjectRef) -> bool {
        let namespaces = &self.options.namespaces;
        let is_watched = namespaces.is_empty()
            || need
                .namespace
                .as_ref()
                .is_some_and(|namespace| namespaces.contains(namespace));
        need.kind == Kind::Secret && self.options.secrets == SecretScope::Cluster && is_watched
    }

    /// Finds Secrets that are named only now, although all have been looked at: they were dropped then. Few are followed
    /// by their names; for many everything is listed again. A list that is under way is looked at with what is needed
    /// when it arrives.
    fn catch_up(&mut self, needs: &BTreeSet<ObjectRef>) {
        self.late.retain(|need| needs.contains(need));
        let listed: Vec<WatchTarget> = {
            let store = self.store.borrow();
            let all = store.targets().filter(|(target, state)| {
                target.kind == Kind::Secret && !matches!(target.scope, Scope::Object(_)) && state.is_listed
            });
            all.map(|(target, _)| target.clone()).collect()
        };
        if listed.is_empty() {
            return;
        }
        let fresh = needs.difference(&self.needs);
        self.late
            .extend(fresh.filter(|need| need.kind == Kind::Secret).cloned());
        if self.late.len() > MOST_LATE {
            self.late.clear();
            for target in listed {
                self.store.borrow_mut().expect_again(&target);
                self.open(target);
            }
        }
    }

    /// Until when an object is waited for that has just been named.
    fn waits_for_company(&self) -> Option<Instant> {
        if !self.told.is_loaded {
            return None;
        }
        let store = self.store.borrow();
        let young = store.targets().filter(|(target, state)| {
            let is_named = matches!(target.scope, Scope::Object(_)) || target.kind == Kind::Secret;
            is_named && !state.is_known() && state.fault.is_none()
        });
        let until = young.map(|(_, state)| state.since + COMPANY).max();
        until.filter(|until| *until > Instant::now())
    }

    /// Whether everything is known that has to be known before anything is served.
    fn is_complete(&self) -> bool {
        let store = self.store.borrow();
        self.told.is_loaded
            || store
                .targets()
                .all(|(target, state)| state.is_listed || (!target.is_essential() && state.is_known()))
    }

    fn load(&self) -> SourceContent {
        let store = self.store.borrow();
        let mut problems: Vec<Problem> = store.problems().cloned().collect();
        problems.extend(missing_rights(&self.connection.server, store.targets()));
        // Of some kinds there may be news while others are out of reach.
        problems.extend(self.told.loss.clone());
        let doors = self.doors.borrow();
        problems.extend(missing_services(&doors, &store.view, &self.connection.server));
        let too_many = self
            .left_out
            .values()
            .filter(|why| **why == Unread::TooMany)
            .count();
        if too_many > 0 {
            problems.push(Problem::of_cluster(
                Severity::Error,
                &self.connection.server,
                format!(
                    "{too_many} Secrets and ConfigMaps are not read, because only {} are followed one by one; raise \
                     `most_followed` in [source], or set `secrets = \"cluster\"`",
                    self.options.most_followed
                ),
            ));
        }
        let mut view = store.view.clone();
        view.replace_unread(Arc::new(self.unread(&store)));
        SourceContent { view, problems }
    }

    /// Objects that are named and not read, and why.
    fn unread(&self, store: &Store) -> BTreeMap<ObjectRef, Unread> {
        let mut unread = self.left_out.clone();
        let denied = store.targets().filter(|(target, state)| {
            let is_named = matches!(target.kind, Kind::Secret | Kind::ConfigMap);
            is_named && !state.is_listed && matches!(state.fault, Some(Fault::Forbidden(_)))
        });
        for (target, _) in denied {
            match &target.scope {
                Scope::Object(key) => {
                    unread.insert(ObjectRef::namespaced(target.kind, key), Unread::Denied);
                }
                Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_) => {
                    let covered = self.needs.iter().filter(|need| target.covers(need));
                    unread.extend(covered.map(|need| (need.clone(), Unread::Denied)));
                }
            }
        }
        unread
    }

    async fn tell_obstacle(
        &mut self,
        events: &mpsc::Sender<SourceEvent>,
    ) -> Result<(), mpsc::error::SendError<()>> {
        let obstacle = self.obstacle();
        if obstacle == self.told.obstacle {
            return Ok(());
        }
        let problem = match &obstacle {
            None => None,
            Some(Obstacle::Lost(_)) => Some(self.loss()),
            Some(Obstacle::Denied(problems)) => {
                let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
                Some(Problem::of_cluster(
                    Severity::Error,
                    &self.connection.server,
                    messages.join("; "),
                ))
            }
        };
        if obstacle.is_none() {
            tracing::info!(server = %self.connection.server, "the API server can be read");
        }
        self.told.loss = problem
            .clone()
            .filter(|_| matches!(obstacle, Some(Obstacle::Lost(_))));
        self.told.obstacle = obstacle;
        if let Some(problem) = problem {
            events.reserve().await?.send(SourceEvent::Unavailable(problem));
        }
        Ok(())
    }

    fn obstacle(&self) -> Option<Obstacle> {
        let store = self.store.borrow();
        if let Some(fault) = store.loss() {
            return Some(Obstacle::Lost(*fault == Fault::Unauthorized));
        }
        let denied = store
            .targets()
            .filter(|(target, state)| target.is_essential() && !state.is_listed);
        let problems = missing_rights(&self.connection.server, denied);
        (!problems.is_empty()).then_some(Obstacle::Denied(problems))
    }

    fn loss(&self) -> Problem {
        let store = self.store.borrow();
        let fault = store.loss().map(ToString::to_string).unwrap_or_default();
        let consequence = if self.told.is_loaded {
            "what it said last stays in force"
        } else {
            "no door serves anything before it has listed everything"
        };
        Problem::of_cluster(
            Severity::Error,
            &self.connection.server,
            format!("{fault}; {consequence}; trying again"),
        )
    }
}

fn single_target(need: &ObjectRef) -> WatchTarget {
    let namespace = need.namespace.as_deref().unwrap_or_default();
    WatchTarget {
        kind: need.kind,
        scope: Scope::Object(ObjectKey::new(namespace, &*need.name)),
    }
}

impl Pending {
    fn add(&mut self, changed: Changed) {
        if changed == Changed::default() {
            return;
        }
        self.changed.merge(changed);
        let now = Instant::now();
        self.span = Some((self.span.map_or(now, |(first, _)| first), now));
    }

    fn due(&self) -> Option<Instant> {
        let (first, last) = self.span?;
        Some((last + QUIET).min(first + PATIENCE))
    }

    /// Nothing is due before `until`, unless something new happens.
    fn postpone(&mut self, until: Instant) {
        self.span = Some((until, until));
    }
}
