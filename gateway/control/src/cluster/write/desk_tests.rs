//! What is written, and how often, against an API server that accepts everything, on a clock that the test turns.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use resource::{ClusterView, Ingress, Kind, Object, ObjectRef, Problem, ProblemLists, Severity, manifest};
use route::{ListenerName, ObjectKey};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::installation::Installation;
use super::lease::HeldLease;
use super::report::Desk;
use super::writer::Writer;
use crate::cluster::connection::{Connection, Contact};
use crate::cluster::door_view::{DoorView, Publish};
use crate::cluster::read::{Observed, Scope, Store, TargetEvent, Update, WatchTarget};
use crate::cluster::scripted::{self, Requests, answer, failure};
use crate::cluster::status::Address;

/// A door that selects `expose: one` and publishes something.
#[derive(Debug)]
struct OneDoor(ListenerName, Publish);

impl DoorView for OneDoor {
    fn needs_of_doors(&self, _: &ClusterView) -> Vec<ObjectRef> {
        Vec::new()
    }

    fn needs_of_ingresses(&self, _: &ClusterView) -> Vec<ObjectRef> {
        Vec::new()
    }

    fn objects_of(&self, _: &Object) -> Vec<ObjectRef> {
        Vec::new()
    }

    fn concerns_needs(&self, _: Option<&Object>, _: Option<&Object>) -> bool {
        false
    }

    fn published(&self) -> Vec<(&ListenerName, &Publish)> {
        vec![(&self.0, &self.1)]
    }

    fn published_for(&self, ingress: &Ingress, view: &ClusterView) -> Vec<&Publish> {
        self.choose(ingress, view)
            .then_some(&self.1)
            .into_iter()
            .collect()
    }

    fn choose(&self, ingress: &Ingress, _: &ClusterView) -> bool {
        ingress.labels.get("expose") == Some("one")
    }

    fn serve_class_of(&self, _: &Ingress, _: &ClusterView) -> bool {
        true
    }
}

/// One replica with what it knows.
struct Replica {
    store: Rc<RefCell<Store>>,
    problems: ProblemLists,
    doors: Arc<dyn DoorView>,
    desk: Desk,
    writer: Writer,
    held: watch::Sender<Option<HeldLease>>,
    installation: Rc<Installation>,
    requests: Requests,
}

fn target() -> WatchTarget {
    WatchTarget {
        kind: Kind::Ingress,
        scope: Scope::Cluster,
    }
}

impl Replica {
    fn new(publish: Publish, answers: impl FnMut(&str) -> Option<Response<String>> + Send + 'static) -> Self {
        let contact = Contact::new();
        let (client, requests) = scripted::answering(answers, &contact);
        let connection = Connection {
            client,
            contact,
            server: "https://api".into(),
            namespace: "default".into(),
            identity: "one".into(),
        };
        let installation = Rc::new(Installation::new(Some("edge"), &connection));
        let held = watch::Sender::new(None);
        let store = Rc::new(RefCell::new(Store::default()));
        store.borrow_mut().open(target());
        let replica = Self {
            desk: Desk::new(Rc::clone(&store)),
            store,
            problems: ProblemLists::default(),
            doors: Arc::new(OneDoor("one".parse().unwrap(), publish)),
            writer: Writer::new(connection, held.subscribe()),
            held,
            installation,
            requests,
        };
        replica.hold(true);
        replica
    }

    fn hold(&self, is_held: bool) {
        let lease = HeldLease {
            until: Instant::now() + Duration::from_secs(1_000_000),
            installation: Rc::clone(&self.installation),
        };
        self.held.send_replace(is_held.then_some(lease));
    }

    /// Puts an Ingress with a label, whose problems are what the label says of it.
    fn put(&mut self, key: &ObjectKey, label: &str, generation: u32) {
        let yaml = format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {}, namespace: {}, uid: u-{}, generation: {generation}, labels: {{expose: {label}}}}}\nspec: {{rules: [{{host: g{generation}.test}}]}}\n",
            key.name(),
            key.namespace(),
            key.name(),
        );
        let mut objects = manifest::parse("test.yaml", yaml.as_bytes()).objects;
        let reference = ObjectRef::namespaced(Kind::Ingress, key);
        let (field, count) = match label {
            "one" => ("spec.rules[0]", 3),
            _ => ("metadata.labels[expose]", 1),
        };
        let found = (0..count).map(|number| {
            Problem::of(
                reference.clone(),
                None,
                Severity::Warning,
                field,
                format!("{number}: {label}"),
            )
        });
        self.problems.put(&reference, found.collect::<Vec<_>>());
        let observed = Observed {
            reference,
            object: objects.pop().map(|placed| placed.object),
            problems: Vec::new(),
            status: Default::default(),
            version: generation.to_string().into(),
            write: Default::default(),
        };
        let update = Update {
            target: target(),
            event: TargetEvent::Applied(Box::new(observed)),
        };
        self.store.borrow_mut().take(update, &*self.doors);
    }

    /// Takes an Ingress away.
    fn remove(&mut self, key: &ObjectKey) {
        let reference = ObjectRef::namespaced(Kind::Ingress, key);
        self.problems.put(&reference, Vec::<Problem>::new());
        let update = Update {
            target: target(),
            event: TargetEvent::Removed(reference),
        };
        self.store.borrow_mut().take(update, &*self.doors);
    }

    /// Looks and writes for as long.
    async fn work(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.desk
                .look(self.writer.name(), &self.doors, self.problems.clone());
            let next = self.desk.work(&*self.doors, &mut self.writer).await;
            match next {
                Some(next) if next < end => tokio::time::sleep_until(next).await,
                _ => break,
            }
        }
        tokio::time::sleep_until(end).await;
    }

    /// The namespaces of what was written, in order.
    fn written(&self, method: &str) -> Vec<String> {
        let requests = self.requests.all();
        let lines = requests.iter().filter(|(_, line)| line.starts_with(method));
        let namespace = |line: &str| {
            line.split("/namespaces/")
                .nth(1)?
                .split('/')
                .next()
                .map(str::to_owned)
        };
        lines.filter_map(|(_, line)| namespace(line)).collect()
    }
}

fn accepted(line: &str) -> Option<Response<String>> {
    let kind = if line.starts_with("POST") {
        "Event"
    } else {
        "Ingress"
    };
    let version = if line.starts_with("POST") {
        "events.k8s.io/v1"
    } else {
        "networking.k8s.io/v1"
    };
    let object =
        json!({ "apiVersion": version, "kind": kind, "metadata": { "name": "x", "namespace": "y" } });
    Some(answer(200, &object))
}

fn key(namespace: &str, number: usize) -> ObjectKey {
    ObjectKey::new(namespace, format!("app-{number}").as_str())
}

/// Edits do not repeat it, another value is another problem, and so is one of ours in another generation.
#[tokio::test(start_paused = true)]
async fn served_nowhere_is_written_once_for_each_value() {
    let mut replica = Replica::new(Publish::Nothing, accepted);
    replica.put(&key("shop", 1), "onee", 1);
    replica.put(&key("shop", 2), "one", 1);
    replica.work(Duration::from_secs(5)).await;
    assert_eq!(replica.written("POST").len(), 1 + 3);
    for generation in 2..6 {
        replica.put(&key("shop", 1), "onee", generation);
        replica.work(Duration::from_secs(5)).await;
    }
    assert_eq!(replica.written("POST").len(), 1 + 3);
    replica.put(&key("shop", 1), "oneee", 6);
    replica.put(&key("shop", 2), "one", 2);
    replica.work(Duration::from_secs(5)).await;
    assert_eq!(replica.written("POST").len(), 2 + 6);

    // Whoever loses the Lease and gets it back repeats nothing, and neither does anybody who has nothing to report.
    replica.hold(false);
    replica.work(Duration::from_secs(5)).await;
    replica.hold(true);
    replica.work(Duration::from_secs(5)).await;
    assert_eq!(replica.written("POST").len(), 2 + 6);
}

/// What was reported of Ingresses is remembered for as long as they are there, whoever writes meanwhile.
#[tokio::test(start_paused = true)]
async fn nothing_is_remembered_of_ingresses_that_are_gone() {
    let mut replica = Replica::new(Publish::Nothing, accepted);
    for number in 0..20 {
        replica.put(&key("shop", number), "one", 1);
    }
    replica.work(Duration::from_secs(10)).await;
    assert_eq!(replica.desk.remembered(), 20);
    replica.remove(&key("shop", 0));
    replica.work(Duration::from_secs(10)).await;
    assert_eq!(replica.desk.remembered(), 19);
    replica.hold(false);
    replica.work(Duration::from_secs(5)).await;
    assert_eq!(replica.desk.remembered(), 19);
    for number in 1..19 {
        replica.remove(&key("shop", number));
    }
    replica.work(Duration::from_secs(5)).await;
    assert_eq!(replica.desk.remembered(), 1);
}

/// Thousands that are served nowhere cost few requests at a start, and their edits none. News of others comes first.
#[tokio::test(start_paused = true)]
async fn a_crowd_that_is_served_nowhere_costs_few_requests() {
    let mut replica = Replica::new(Publish::Nothing, accepted);
    for number in 0..5_000 {
        replica.put(&key("crowd", number), "elsewhere", 1);
    }
    let minute = Duration::from_secs(60);
    replica.work(minute).await;
    let first = replica.written("POST").len();
    assert!((100..=106).contains(&first), "{first}");
    for edit in 0..600 {
        replica.put(&key("crowd", edit * 7), "elsewhere", 2);
        replica.work(minute / 600).await;
    }
    let edited = replica.written("POST").len() - first;
    assert!(edited <= 6, "{edited}");

    replica.put(&key("shop", 1), "onee", 1);
    replica.put(&key("crowd", 4_999), "another", 2);
    replica.work(Duration::from_secs(4)).await;
    let last = replica.written("POST");
    assert_eq!(last.iter().filter(|namespace| *namespace == "shop").count(), 1);
    assert!(last.len() - first - edited <= 3, "{}", last.len());
}

/// A tenant with thousands of things to be written delays the one of another by a turn, of either kind.
#[tokio::test(start_paused = true)]
async fn a_namespace_with_much_to_be_written_does_not_delay_others() {
    let publish = Publish::Addresses(vec![Address::Ip("10.0.0.1".into())]);
    let mut replica = Replica::new(publish, accepted);
    for number in 0..1_000 {
        replica.put(&key("greedy", number), "one", 1);
    }
    replica.work(Duration::from_secs(4)).await;
    let before = (replica.written("PATCH").len(), replica.written("POST").len());
    assert!(before.0 > 20 && before.1 > 20, "{before:?}");
    replica.put(&key("modest", 1), "one", 1);
    // Its Events are due after two seconds.
    replica.work(Duration::from_secs(3)).await;
    let place = |method: &str| {
        replica
            .written(method)
            .iter()
            .position(|namespace| namespace == "modest")
    };
    let patched = place("PATCH").expect("its status is written");
    assert!(patched < before.0 + 30, "{patched} after {}", before.0);
    assert!(place("POST").is_some(), "its Event is written");
}

/// What the API server answers in a namespace that takes no Events: one without a permission, one with a quota that is used
/// up, and some that are being deleted.
fn refused(line: &str) -> Option<Response<String>> {
    let status = |message: &str, details: serde_json::Value| {
        let status = json!({
            "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
            "message": format!("events.events.k8s.io is forbidden: {message}"), "details": details,
        });
        Some(answer(403, &status))
    };
    let is_in = |namespace: &str| line.contains(&format!("/namespaces/{namespace}"));
    if is_in("denied") {
        let message = "User \"gateway\" cannot create resource \"events\" in API group \"events.k8s.io\"";
        status(message, json!({}))
    } else if is_in("full") {
        let message = "exceeded quota: q, requested: count/events.events.k8s.io=1, used: 9, limited: 9";
        status(message, json!({}))
    } else if is_in("ending") {
        let causes = json!([{ "reason": "NamespaceTerminating", "field": "metadata.namespace" }]);
        let message = "unable to create new content in namespace ending because it is being terminated";
        status(message, json!({ "causes": causes }))
    } else {
        accepted(line)
    }
}

/// Where the API server accepts nothing of some namespaces, another's Events are written at once, for as long as that lasts.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_takes_no_events_does_not_keep_others_from_theirs() {
    let mut replica = Replica::new(Publish::Nothing, refused);
    let refusing = ["denied", "full", "ending-1", "ending-2", "ending-3"];
    for number in 0..250 {
        replica.put(&key(refusing[number % 5], number), "one", 1);
    }
    for number in 1..=3 {
        // Nothing is accepted meanwhile.
        replica.work(Duration::from_secs(65)).await;
        replica.put(&key("shop", number), "one", 1);
        replica.work(Duration::from_secs(4)).await;
        let written = replica.written("POST");
        let (of_shop, others): (Vec<_>, Vec<_>) = written.iter().partition(|namespace| *namespace == "shop");
        assert_eq!(of_shop.len(), 3 * number);
        // Once in thirty seconds each.
        let most = refusing.len() * (69 * number).div_ceil(30);
        assert!(others.len() <= most, "{} of {most}", others.len());
    }
}

/// A permission that is missing everywhere costs few requests, in however many namespaces.
#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_is_not_asked_for_in_each_namespace() {
    let mut replica = Replica::new(Publish::Nothing, |_| Some(failure(403)));
    for number in 0..1_000 {
        replica.put(&key(&format!("team-{number}"), 1), "one", 1);
    }
    replica.work(Duration::from_secs(180)).await;
    let written = replica.written("POST");
    assert!((3..=9).contains(&written.len()), "{}", written.len());
}
