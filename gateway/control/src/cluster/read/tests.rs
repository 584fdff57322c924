//! Reflectors against an API server that says what the test wants, on a clock that the test turns.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Response;
use k8s_openapi::api::core::v1::{Secret as RawSecret, Service as RawService};
use kube::Api;
use proptest::prelude::*;
use resource::{ClusterView, Ingress, Kind, Object, ObjectRef};
use route::{ListenerName, ObjectKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::availability::obstacle;
use super::follower::Follower;
use super::named::{NamedObjects, ObjectNeeds, in_order};
use super::observed::Observed;
use super::received::ReceivedObject;
use super::reflector::Reflector;
use super::reflectors::Reflectors;
use super::store::Store;
use super::target::{Scope, WatchTarget};
use super::update::{TargetEvent, Update};
use crate::cluster::connection::{Connection, Contact, Fault};
use crate::cluster::door_view::{DoorView, Publish};
use crate::cluster::options::{ClusterOptions, SecretScope};
use crate::cluster::scripted::{self, WithCertificates, answer, event, failure, list, watch};
use crate::source::SourceEvent;

fn service(name: &str, port: u16, version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "resourceVersion": version.to_string() },
        "spec": { "ports": [{ "port": port }] }
    })
}

fn target() -> WatchTarget {
    WatchTarget {
        kind: Kind::Service,
        scope: Scope::Cluster,
    }
}

/// Follows the script, and returns what came of it: requests, and updates.
async fn follow(script: Vec<Response<String>>, time: Duration) -> (Vec<(Instant, String)>, Vec<TargetEvent>) {
    let contact = Contact::new();
    let (client, requests) = scripted::client(script, &contact);
    let api: Api<ReceivedObject<RawService>> = Api::all(client);
    let (sender, mut updates) = mpsc::channel(100);
    let reflector = Reflector::new(api, target(), None, sender, contact);
    let mut events = Vec::new();
    let collect = async {
        while let Some(Update { event, .. }) = updates.recv().await {
            events.push(event);
        }
    };
    tokio::select! {
        () = reflector.run() => {}
        () = collect => {}
        () = tokio::time::sleep(time) => {}
    }
    (requests.all(), events)
}

fn names(events: &[TargetEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            TargetEvent::Listed(objects) => format!("{} listed", objects.len()),
            TargetEvent::Following => "following".to_owned(),
            TargetEvent::Applied(observed) => format!("{} applied", observed.reference.name),
            TargetEvent::Removed(reference) => format!("{} removed", reference.name),
            TargetEvent::Failed(fault) => format!("trouble: {fault}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_and_then_every_change() {
    let (requests, events) = follow(
        vec![
            list(7, &[service("a", 80, 5), service("b", 80, 6)]),
            watch(&[
                event("MODIFIED", &service("a", 81, 8)),
                event("DELETED", &service("b", 80, 9)),
                json!({ "type": "BOOKMARK", "object": { "kind": "Service", "apiVersion": "v1", "metadata": { "resourceVersion": "30" } } }),
            ]),
        ],
        Duration::from_secs(10),
    )
    .await;
    assert_eq!(
        names(&events),
        ["2 listed", "following", "a applied", "b removed"]
    );
    let queries: Vec<&str> = requests.iter().map(|(_, query)| query.as_str()).collect();
    assert!(queries[0].contains("limit=100"), "{queries:?}");
    assert!(
        queries[1].contains("resourceVersion=7") && queries[1].contains("timeoutSeconds=50"),
        "{queries:?}"
    );
    // Taken up where the bookmark was.
    assert!(queries[2].contains("resourceVersion=30"), "{queries:?}");
}

/// Nor does one that is nested deeper than a parser goes, in a list and in a watch, and it is named.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_nested_too_deep_hides_no_other() {
    let mut deep = service("deep", 80, 3);
    deep["spec"]["plugin"] = "DEEP".into();
    let nested = |answer: Response<String>| {
        answer.map(|body| body.replace("\"DEEP\"", &("[".repeat(5000) + &"]".repeat(5000))))
    };
    let listed = nested(list(7, &[service("sound", 80, 2), deep.clone()]));
    deep["metadata"]["resourceVersion"] = "8".into();
    // As an API server writes it, the type first.
    let lines = [("MODIFIED", deep), ("MODIFIED", service("sound", 81, 9))]
        .map(|(kind, object)| format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n"));
    let watched = nested(Response::new(lines.concat()));
    let (_, events) = follow(vec![listed, watched], Duration::from_millis(500)).await;
    let [
        TargetEvent::Listed(objects),
        TargetEvent::Following,
        TargetEvent::Applied(again),
        TargetEvent::Applied(sound),
    ] = &*events
    else {
        panic!("{events:?}");
    };
    let names: Vec<&str> = objects.iter().map(|observed| &*observed.reference.name).collect();
    assert_eq!(names, ["sound", "deep"]);
    for deep in [&objects[1], &**again] {
        assert_eq!(&*deep.reference.name, "deep");
        let words: Vec<String> = deep.problems.iter().map(ToString::to_string).collect();
        assert!(
            words.iter().any(|word| word.contains("nested deeper")),
            "{words:?}"
        );
    }
    assert_eq!((&*sound.reference.name, &*sound.version), ("sound", "9"));
}

/// An object that the API server accepts and no client can read harms no other.
#[tokio::test(start_paused = true)]
async fn an_unreadable_object_hides_no_other() {
    let mut dated = service("dated", 80, 3);
    dated["metadata"]["managedFields"] = json!([{ "manager": "x", "time": "10000-01-01T11:59:59Z" }]);
    let mut odd = service("odd", 80, 4);
    odd["spec"]["ports"] = json!([{ "port": 80 }, { "name": "x", "port": "eighty" }]);
    let listed = list(7, &[service("sound", 80, 2), dated, odd.clone()]);
    let watched = watch(&[
        event("MODIFIED", &odd),
        event("MODIFIED", &service("sound", 81, 9)),
    ]);
    let (_, events) = follow(vec![listed, watched], Duration::from_millis(500)).await;
    let [
        TargetEvent::Listed(objects),
        TargetEvent::Following,
        TargetEvent::Applied(again),
        TargetEvent::Applied(sound),
    ] = &*events
    else {
        panic!("{events:?}");
    };
    let told: Vec<(&str, bool, usize)> = objects
        .iter()
        .map(|observed| {
            (
                &*observed.reference.name,
                observed.object.is_some(),
                observed.problems.len(),
            )
        })
        .collect();
    assert_eq!(told[..2], [("sound", true, 0), ("dated", true, 0)]);
    assert_eq!((told[2].0, told[2].1), ("odd", true));
    let Some(Object::Service(service)) = &again.object else {
        panic!("{again:?}")
    };
    assert_eq!(service.ports.len(), 1, "what can be read of it counts");
    let words: Vec<String> = again.problems.iter().map(ToString::to_string).collect();
    assert!(
        words
            .iter()
            .any(|word| word.contains("not as the API describes it")),
        "{words:?}"
    );
    assert!(
        words.iter().any(|word| word.contains("spec.ports[1].port")),
        "{words:?}"
    );
    assert_eq!(&*sound.reference.name, "sound");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_listed_again_within_five_seconds() {
    let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "status": "Failure", "code": 410, "message": "too old", "reason": "Expired" } });
    for refusal in [watch(&[gone]), failure(410)] {
        let script = vec![
            list(7, &[service("a", 80, 5)]),
            refusal,
            list(90, &[service("b", 80, 80)]),
        ];
        let started = Instant::now();
        let (requests, events) = follow(script, Duration::from_secs(20)).await;
        assert_eq!(names(&events).last().map(String::as_str), Some("1 listed"));
        let again = requests
            .iter()
            .filter(|(_, query)| !query.contains("watch="))
            .nth(1)
            .unwrap()
            .0;
        assert!(again - started < Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_failures_are_requests_ever_less_often() {
    let mut busy = failure(429);
    busy.headers_mut().insert("retry-after", "25".parse().unwrap());
    let mut script = vec![busy];
    script.extend((0..50).map(|_| failure(500)));
    let (requests, _) = follow(script, Duration::from_secs(600)).await;
    let gaps: Vec<Duration> = requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps[0] >= Duration::from_secs(25), "{gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| *gap >= Duration::from_secs(1) && *gap <= Duration::from_secs(30)),
        "{gaps:?}"
    );
    assert!(gaps.len() < 60, "{}", gaps.len());
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_do_not_flood_the_server() {
    let mut script = vec![list(7, &[])];
    script.extend((0..200).map(|_| watch(&[])));
    let (requests, _) = follow(script, Duration::from_secs(60)).await;
    assert!(requests.len() <= 62, "{}", requests.len());
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_within_a_minute() {
    // The second request is never answered.
    let (_, events) = follow(vec![list(7, &[])], Duration::from_secs(60)).await;
    assert_eq!(
        names(&events),
        [
            "0 listed",
            "trouble: the API server has sent nothing for 55 seconds"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pages_are_read_one_after_the_other() {
    let mut first = json!({ "kind": "ServiceList", "apiVersion": "v1", "metadata": { "resourceVersion": "7", "continue": "token" }, "items": [service("a", 80, 5)] });
    first["metadata"]["remainingItemCount"] = 1.into();
    let script = vec![answer(200, &first), list(7, &[service("b", 80, 6)])];
    let (_, events) = follow(script, Duration::from_secs(1)).await;
    assert_eq!(names(&events), ["2 listed"], "never a part of it");
}

/// What is reported follows what is lost: of one kind first, of the API server then, before and after the first load.
#[test]
fn a_loss_of_the_whole_is_told_though_one_kind_was_lost_before() {
    let fail = |store: &mut Store, kind, fault| {
        let target = WatchTarget {
            kind,
            scope: Scope::Cluster,
        };
        store.open(target.clone());
        let event = TargetEvent::Failed(fault);
        store.take(Update { target, event }, &Needing::default());
    };
    let mut store = Store::default();
    fail(&mut store, Kind::Middleware, Fault::Nonsense("odd".into()));
    let before = obstacle(&store, "api.test", false);
    let kind_alone = obstacle(&store, "api.test", true);
    assert_ne!(before, kind_alone, "its consequence is another");
    fail(&mut store, Kind::Ingress, Fault::Unreachable("refused".into()));
    let whole = obstacle(&store, "api.test", true).expect("an obstacle");
    assert_ne!(Some(&whole), kind_alone.as_ref());
    let words = whole.problem(&store, "api.test").expect("a problem").message;
    assert!(
        words.contains("cannot be reached: refused") && words.contains("stays in force"),
        "{words}"
    );
    fail(&mut store, Kind::Ingress, Fault::Unreachable("no route".into()));
    assert_eq!(
        obstacle(&store, "api.test", true),
        Some(whole),
        "other words are no other loss"
    );
}

/// Objects that are long together are asked for in smaller pages, from where the last one ended.
#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_long_is_read_in_parts() {
    const MEBIBYTE: usize = 1 << 20;
    let contact = Contact::new();
    let objects = |names: std::ops::Range<usize>| -> Vec<Value> {
        let long = |name: usize| {
            let mut object = service(&format!("s{name}"), 80, 5);
            object["metadata"]["annotations"] = json!({ "long": "x".repeat(MEBIBYTE) });
            object
        };
        names.map(long).collect()
    };
    let (client, requests) = scripted::answering(
        move |request| {
            let query = request.split_once('?')?.1.to_owned();
            let parameter = |name: &str| {
                let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
                pairs.find(|(found, _)| *found == name)?.1.parse::<usize>().ok()
            };
            let (first, limit) = (parameter("continue").unwrap_or(0), parameter("limit")?);
            let end = (first + limit).min(12);
            let mut metadata = json!({ "resourceVersion": "7" });
            if end < 12 {
                metadata["continue"] = end.to_string().into();
            }
            let list = json!({ "kind": "ServiceList", "apiVersion": "v1", "metadata": metadata, "items": objects(first..end) });
            Some(answer(200, &list))
        },
        &contact,
    );
    let api: Api<ReceivedObject<RawService>> = Api::all(client);
    let (sender, mut updates) = mpsc::channel(100);
    let reflector = Reflector::new(api, target(), None, sender, contact);
    let listed = async {
        while let Some(Update { event, .. }) = updates.recv().await {
            if let TargetEvent::Listed(objects) = event {
                return objects;
            }
        }
        Vec::new()
    };
    let objects = tokio::select! {
        () = reflector.run() => Vec::new(),
        objects = listed => objects,
    };
    let names: Vec<&str> = objects.iter().map(|object| &*object.reference.name).collect();
    assert_eq!(names, (0..12).map(|name| format!("s{name}")).collect::<Vec<_>>());
    let asked: Vec<String> = requests.all().into_iter().map(|(_, request)| request).collect();
    let part = |query: &str| asked.iter().any(|asked| asked.ends_with(query));
    assert!(
        part("limit=100") && part("limit=25") && part("limit=6"),
        "{asked:?}"
    );
    assert!(part("limit=12&continue=6"), "{asked:?}");
}

/// What happens to a few Services, in whatever order and however often.
#[derive(Debug, Clone)]
enum Happening {
    Listed(Vec<(usize, u16)>),
    Applied(usize, u16),
    Removed(usize),
    Trouble,
}

fn happening() -> impl Strategy<Value = Happening> {
    let one = || (0..6_usize, 1..4_u16);
    prop_oneof![
        1 => prop::collection::vec(one(), 0..6).prop_map(Happening::Listed),
        6 => one().prop_map(|(name, port)| Happening::Applied(name, port)),
        3 => (0..6_usize).prop_map(Happening::Removed),
        1 => Just(Happening::Trouble),
    ]
}

fn observed(name: usize, port: u16) -> Observed {
    let sent = service(&format!("s{name}"), port, 1).to_string();
    let received: ReceivedObject<RawService> = serde_json::from_str(&sent).unwrap();
    received.into_observed()
}

proptest! {
    /// The view is what a plain map says, and says that it has changed exactly when it has.
    #[test]
    fn the_view_holds_the_latest_objects(happenings in prop::collection::vec(happening(), 0..40)) {
        let mut store = Store::default();
        store.open(target());
        let mut model: BTreeMap<usize, u16> = BTreeMap::new();
        for happening in happenings {
            let before = model.clone();
            let event = match happening {
                Happening::Listed(objects) => {
                    model = objects.iter().copied().collect();
                    let objects = model.iter().map(|(name, port)| observed(*name, *port)).collect();
                    TargetEvent::Listed(objects)
                }
                Happening::Applied(name, port) => {
                    model.insert(name, port);
                    TargetEvent::Applied(Box::new(observed(name, port)))
                }
                Happening::Removed(name) => {
                    model.remove(&name);
                    let key = ObjectKey::new("default", format!("s{name}"));
                    TargetEvent::Removed(ObjectRef::namespaced(Kind::Service, &key))
                }
                Happening::Trouble => TargetEvent::Failed(Fault::Unreachable(String::new())),
            };
            let changed = store.take(Update { target: target(), event }, &Needing::default());
            prop_assert_eq!(changed.view, before != model);
            let view: BTreeMap<usize, u16> = store
                .view
                .services()
                .map(|service| (service.key.name().trim_start_matches('s').parse().unwrap(), service.ports[0].port))
                .collect();
            prop_assert_eq!(view, model.clone());
        }
    }
}

/// Doors that need these, whatever the objects say.
#[derive(Debug, Default)]
struct Needing {
    of_doors: Vec<ObjectRef>,
    of_ingresses: Vec<ObjectRef>,
}

impl DoorView for Needing {
    fn needs_of_doors(&self, _: &ClusterView) -> Vec<ObjectRef> {
        self.of_doors.clone()
    }

    fn needs_of_ingresses(&self, _: &ClusterView) -> Vec<ObjectRef> {
        self.of_ingresses.clone()
    }

    fn objects_of(&self, _: &Object) -> Vec<ObjectRef> {
        Vec::new()
    }

    fn concerns_needs(&self, _: Option<&Object>, _: Option<&Object>) -> bool {
        false
    }

    fn published(&self) -> Vec<(&ListenerName, &Publish)> {
        Vec::new()
    }

    fn published_for(&self, _: &Ingress, _: &ClusterView) -> Vec<&Publish> {
        Vec::new()
    }

    fn choose(&self, _: &Ingress, _: &ClusterView) -> bool {
        false
    }

    fn serve_class_of(&self, _: &Ingress, _: &ClusterView) -> bool {
        false
    }
}

/// An Ingress and its certificate go live together: at the start, and when an Ingress is added while it has just been found
/// out what is needed.
#[tokio::test]
async fn no_ingress_is_sent_without_its_secret() {
    let contact = Contact::new();
    let ingress = |name: &str| {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": name, "namespace": "shop", "resourceVersion": "5" },
            "spec": { "tls": [{ "hosts": [format!("{name}.test")], "secretName": name }] },
        })
    };
    let added = [
        event("ADDED", &ingress("second")),
        event("ADDED", &ingress("third")),
    ];
    let mut watches = vec![watch(&added[1..]), watch(&added[..1])];
    let (client, _) = scripted::answering(
        move |request| {
            let is_watch = request.contains("watch=");
            if request.contains("/ingresses") {
                return if is_watch {
                    watches.pop()
                } else {
                    Some(list(7, &[ingress("first")]))
                };
            }
            let named = request
                .split("metadata.name%3D")
                .nth(1)
                .map(|rest| rest.split('&').next());
            let secret = |name: &str| {
                json!({
                    "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                    "metadata": { "name": name, "namespace": "shop", "resourceVersion": "5" },
                })
            };
            let objects: Vec<Value> = named.flatten().into_iter().map(secret).collect();
            (!is_watch).then(|| list(7, &objects))
        },
        &contact,
    );
    let connection = Connection {
        client,
        contact,
        server: "test".into(),
        namespace: "default".into(),
        identity: "one".into(),
    };
    let options = ClusterOptions {
        most_followed: 200,
        ..ClusterOptions::default()
    };
    let doors = WithCertificates {
        finding_out: Duration::from_millis(30),
    };
    let (_doors, seen) = tokio::sync::watch::channel::<Arc<dyn DoorView>>(Arc::new(doors));
    let (sender, mut events) = mpsc::channel(1);
    let check = async {
        let mut ingresses = 0;
        while ingresses < 3 {
            let Some(SourceEvent::Loaded(content)) = events.recv().await else {
                panic!("everything can be read");
            };
            ingresses = content.view.ingresses().count();
            for ingress in content.view.ingresses() {
                let [secret] = WithCertificates::of(ingress).try_into().expect("one Secret");
                assert!(
                    content.view.object(&secret).is_some(),
                    "{secret} is not sent with its Ingress"
                );
            }
        }
    };
    let local = tokio::task::LocalSet::new();
    let run = local.run_until(async {
        let (follower, _changes) = Follower::new(connection, options, Rc::default(), seen);
        tokio::select! {
            () = follower.run(&sender) => panic!("it ended"),
            () = check => {}
        }
    });
    tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .expect("all Ingresses are sent");
}

/// A namespace that names two hundred Secrets displaces no other namespace's and no door's.
#[test]
fn names_beyond_a_namespaces_share_come_last() {
    let object =
        |kind, namespace: &str, name: &str| ObjectRef::namespaced(kind, &ObjectKey::new(namespace, name));
    let secret = |namespace: &str, name: &str| object(Kind::Secret, namespace, name);
    let many = (0..200).map(|number| secret("aaa", &format!("s{number}")));
    let few = [
        secret("shop", "s0"),
        secret("shop", "s1"),
        object(Kind::ConfigMap, "aaa", "roots"),
    ];
    let doors = Needing {
        of_doors: vec![secret("gateway", "default")],
        of_ingresses: many.chain(few).collect(),
    };
    let needed = ObjectNeeds::of(&doors, &ClusterView::default(), SecretScope::Named);
    assert_eq!(needed.by_doors, [secret("gateway", "default")]);
    let named = needed.by_ingresses;
    assert_eq!(named.len(), 203);
    assert!(
        named[..50]
            .iter()
            .all(|need| need.namespace.as_deref() == Some("aaa"))
    );
    assert_eq!(named[50..52], [secret("shop", "s0"), secret("shop", "s1")]);
    assert_eq!(needed.unwanted, []);

    // Secrets that are not read take no place from what is.
    let needed = ObjectNeeds::of(&doors, &ClusterView::default(), SecretScope::None);
    assert_eq!(needed.by_doors, []);
    assert_eq!(needed.by_ingresses, [object(Kind::ConfigMap, "aaa", "roots")]);
    assert_eq!(needed.unwanted.len(), 203);
}

/// A namespace that has taken every place gives those beyond its share back as soon as others need them; those within it
/// stay.
#[test]
fn places_beyond_a_share_are_given_back() {
    let secret = |namespace: &str, number: usize| {
        ObjectRef::namespaced(Kind::Secret, &ObjectKey::new(namespace, format!("s{number:03}")))
    };
    let greedy: Vec<ObjectRef> = (0..200).map(|number| secret("greedy", number)).collect();
    let modest: Vec<ObjectRef> = (0..60).map(|number| secret("modest", number)).collect();
    // Of the greedy ones all are watched, of the modest ones the last.
    let is_watched = |need: &ObjectRef| need.namespace.as_deref() == Some("greedy") || *need == modest[49];
    let needs = greedy.iter().chain(&modest).collect();
    let ordered = in_order(needs, is_watched);
    let of_share = greedy[..50].iter().chain(&modest[49..50]).chain(&modest[..49]);
    let expected: Vec<&ObjectRef> = of_share.chain(&greedy[50..]).chain(&modest[50..]).collect();
    assert_eq!(ordered, expected);
}

/// Where all Secrets are listed, one that nobody names any more is not kept either: whoever has a thousand of them may name
/// one after the other.
#[tokio::test(start_paused = true)]
async fn secrets_are_kept_as_long_as_they_are_needed() {
    let store = Rc::new(RefCell::new(Store::default()));
    let contact = Contact::new();
    let (client, _) = scripted::client(Vec::new(), &contact);
    let connection = Connection {
        client,
        contact,
        server: "test".into(),
        namespace: "default".into(),
        identity: "one".into(),
    };
    let (updates, _nobody_reads) = mpsc::channel(100);
    let mut reflectors = Reflectors::new(connection, Rc::clone(&store), updates);
    let options = ClusterOptions {
        secrets: SecretScope::Cluster,
        most_followed: 200,
        ..ClusterOptions::default()
    };
    let mut named = NamedObjects::new(Rc::new(options), Rc::clone(&store));
    let secret = |number: usize| {
        let sent = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": { "name": format!("s{number}"), "namespace": "shop", "resourceVersion": "1" },
        });
        let received: ReceivedObject<RawSecret> = serde_json::from_value(sent).unwrap();
        received.into_observed()
    };
    let name =
        |number: usize| ObjectRef::namespaced(Kind::Secret, &ObjectKey::new("shop", format!("s{number}")));
    let needing = |number| Needing {
        of_doors: vec![name(100)],
        of_ingresses: vec![name(number)],
    };
    let all = WatchTarget {
        kind: Kind::Secret,
        scope: Scope::Cluster,
    };
    let kept = || -> Vec<String> {
        let store = store.borrow();
        store
            .view
            .secrets()
            .map(|secret| secret.key.name().to_owned())
            .collect()
    };
    let local = tokio::task::LocalSet::new();
    let check = async {
        reflectors.open(all.clone());
        named.follow(&needing(0), &mut reflectors);
        let take = |named: &NamedObjects, target: WatchTarget, event| {
            let mut update = Update { target, event };
            named.drop_unneeded(&mut update);
            store.borrow_mut().take(update, &Needing::default());
        };
        take(
            &named,
            all.clone(),
            TargetEvent::Listed((0..=100).map(secret).collect()),
        );
        assert_eq!(kept(), ["s0", "s100"]);
        for number in 1..50 {
            named.follow(&needing(number), &mut reflectors);
            let read = TargetEvent::Applied(Box::new(secret(number)));
            take(&named, WatchTarget::single(&name(number)), read);
            let mut expected = ["s100".to_owned(), format!("s{number}")];
            expected.sort();
            assert_eq!(kept(), expected);
        }
    };
    local.run_until(check).await;
}
