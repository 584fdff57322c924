//! The source against an API server that says what the test wants, on a clock that the test turns.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use door::{DefaultCertificate, Policy, Scheme, Selector, TlsPolicy};
use http::{Request, Response};
use k8s_openapi::api::core::v1::Service as RawService;
use kube::Api;
use kube::client::{Body, Client};
use proptest::prelude::*;
use resource::{ClusterView, Kind, Object, ObjectRef, manifest};
use route::ObjectKey;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Connection;
use super::connection::contact::Contact;
use super::connection::fault::Fault;
use super::door_view::{DoorOutlook, Publish, SecretScope, needs};
use super::read::observed::Observed;
use super::read::raw::RawObject;
use super::read::reflector::{Reflector, Scope, TargetEvent, Update, WatchTarget};
use super::read::store::Store;
use super::write::installation::Installation;
use super::write::lease;

/// What the API server answers, one after the other; afterwards it never answers.
type Script = Arc<Mutex<VecDeque<Response<String>>>>;

/// The requests that were sent: when, and for what.
type Asked = Arc<Mutex<Vec<(Instant, String)>>>;

fn answer(status: u16, body: &impl ToString) -> Response<String> {
    Response::builder().status(status).body(body.to_string()).unwrap()
}

fn failure(status: u16) -> Response<String> {
    answer(
        status,
        &json!({ "kind": "Status", "status": "Failure", "code": status, "message": "no", "reason": "" }),
    )
}

fn service(name: &str, port: u16, version: u64) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default", "resourceVersion": version.to_string() },
        "spec": { "ports": [{ "port": port }] }
    })
}

fn list(version: u64, items: &[Value]) -> Response<String> {
    answer(
        200,
        &json!({ "kind": "ServiceList", "apiVersion": "v1", "metadata": { "resourceVersion": version.to_string() }, "items": items }),
    )
}

fn watch(events: &[Value]) -> Response<String> {
    answer(
        200,
        &events
            .iter()
            .map(|event| format!("{event}\n"))
            .collect::<String>(),
    )
}

fn event(kind: &str, object: &Value) -> Value {
    json!({ "type": kind, "object": object })
}

fn target() -> WatchTarget {
    WatchTarget {
        kind: Kind::Service,
        scope: Scope::Cluster,
    }
}

/// Follows the script, and returns what came of it: requests, and updates.
async fn follow(script: Vec<Response<String>>, time: Duration) -> (Vec<(Instant, String)>, Vec<TargetEvent>) {
    let (script, asked): (Script, Asked) = (Arc::new(Mutex::new(script.into())), Arc::default());
    let contact = Contact::new();
    let (said, heard) = (Arc::clone(&asked), contact.clone());
    let server = tower::service_fn(move |request: Request<Body>| {
        let query = request.uri().to_string();
        said.lock().unwrap().push((Instant::now(), query));
        let next = script.lock().unwrap().pop_front();
        let heard = heard.clone();
        async move {
            let Some(response) = next else {
                return std::future::pending().await;
            };
            heard.heard(response.status(), response.headers());
            Ok::<_, Infallible>(response.map(|body| Body::from(body.into_bytes())))
        }
    });
    let api: Api<RawObject<RawService>> = Api::all(Client::new(server, "default"));
    let (sender, mut updates) = mpsc::channel(100);
    let reflector = Reflector::new(api, target(), None, sender, contact);
    let mut events = Vec::new();
    let collect = async {
        while let Some(Update { event: one, .. }) = updates.recv().await {
            events.push(one);
        }
    };
    tokio::select! {
        () = reflector.run() => {}
        () = collect => {}
        () = tokio::time::sleep(time) => {}
    }
    let asked = asked.lock().unwrap().clone();
    (asked, events)
}

fn names(events: &[TargetEvent]) -> Vec<String> {
    events
        .iter()
        .map(|event| match event {
            TargetEvent::Listed(objects) => format!("{} listed", objects.len()),
            TargetEvent::Following => "following".to_owned(),
            TargetEvent::Applied(seen) => format!("{} applied", seen.reference.name),
            TargetEvent::Removed(reference) => format!("{} removed", reference.name),
            TargetEvent::Failed(fault) => format!("trouble: {fault}"),
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_and_then_every_change() {
    let (asked, events) = follow(
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
    let queries: Vec<&str> = asked.iter().map(|(_, query)| query.as_str()).collect();
    assert!(queries[0].contains("limit=200"), "{queries:?}");
    assert!(
        queries[1].contains("resourceVersion=7") && queries[1].contains("timeoutSeconds=50"),
        "{queries:?}"
    );
    // Taken up where the bookmark was.
    assert!(queries[2].contains("resourceVersion=30"), "{queries:?}");
}

/// What the API server accepts and no client reads harms nobody else.
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
        .map(|seen| (&*seen.reference.name, seen.object.is_some(), seen.problems.len()))
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
        let (asked, events) = follow(script, Duration::from_secs(20)).await;
        assert_eq!(names(&events).last().map(String::as_str), Some("1 listed"));
        let again = asked
            .iter()
            .filter(|(_, query)| !query.contains("watch="))
            .nth(1)
            .unwrap()
            .0;
        assert!(again - started < Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured_and_failures_back_off() {
    let mut busy = failure(429);
    busy.headers_mut().insert("retry-after", "25".parse().unwrap());
    let mut script = vec![busy];
    script.extend((0..50).map(|_| failure(500)));
    let (asked, _) = follow(script, Duration::from_secs(600)).await;
    let gaps: Vec<Duration> = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(gaps[0] >= Duration::from_secs(25), "{gaps:?}");
    assert!(
        gaps.iter()
            .all(|gap| *gap >= Duration::from_secs(1) && *gap <= Duration::from_secs(30)),
        "{gaps:?}"
    );
    assert!(gaps.len() < 60, "{}", gaps.len());
}

/// Tries to hold a Lease while the API server answers as the script says, and nothing afterwards.
async fn hold(script: Vec<Response<String>>, time: Duration) -> Vec<(Instant, String)> {
    let (script, asked): (Script, Asked) = (Arc::new(Mutex::new(script.into())), Arc::default());
    let contact = Contact::new();
    let (said, heard) = (Arc::clone(&asked), contact.clone());
    let server = tower::service_fn(move |request: Request<Body>| {
        let line = format!("{} {}", request.method(), request.uri().path());
        said.lock().unwrap().push((Instant::now(), line));
        let next = script.lock().unwrap().pop_front();
        let heard = heard.clone();
        async move {
            let Some(response) = next else {
                return std::future::pending().await;
            };
            heard.heard(response.status(), response.headers());
            Ok::<_, Infallible>(response.map(|body| Body::from(body.into_bytes())))
        }
    });
    let connection = Connection {
        client: Client::new(server, "default"),
        contact,
        server: "https://api".into(),
        namespace: "default".into(),
        identity: "one".into(),
    };
    let installation = Installation::new(Some("edge"), &connection);
    let held = watch::Sender::new(None);
    let retirement = watch::Sender::default();
    tokio::select! {
        () = lease::hold(connection, installation, &held, &retirement) => {}
        () = tokio::time::sleep(time) => {}
    }
    asked.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn the_lease_keeps_to_retry_after_as_lists_do() {
    for status in [429, 503] {
        let mut busy = failure(status);
        busy.headers_mut().insert("retry-after", "25".parse().unwrap());
        let asked = hold(vec![busy, failure(500), failure(500)], Duration::from_secs(40)).await;
        let look = "GET /apis/coordination.k8s.io/v1/namespaces/default/leases/edge";
        assert!(asked.iter().all(|(_, line)| line == look), "{asked:?}");
        let pauses: Vec<Duration> = asked.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses[0] >= Duration::from_secs(25), "{status}: {pauses:?}");
        assert!(pauses[0] < Duration::from_secs(28), "{status}: {pauses:?}");
        assert!(pauses[1] < Duration::from_secs(3), "{status}: {pauses:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_do_not_flood_the_server() {
    let mut script = vec![list(7, &[])];
    script.extend((0..200).map(|_| watch(&[])));
    let (asked, _) = follow(script, Duration::from_secs(60)).await;
    assert!(asked.len() <= 62, "{}", asked.len());
}

#[tokio::test(start_paused = true)]
async fn silence_is_noticed_within_a_minute() {
    // The second request is never answered.
    let (_, events) = follow(vec![list(7, &[])], Duration::from_secs(60)).await;
    assert_eq!(
        names(&events),
        [
            "0 listed",
            "trouble: the API server has said nothing for 55 seconds"
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

fn seen(name: usize, port: u16) -> Observed {
    let sent = service(&format!("s{name}"), port, 1).to_string();
    Observed::new::<RawService>(serde_json::from_str(&sent).unwrap())
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
                    let objects = model.iter().map(|(name, port)| seen(*name, *port)).collect();
                    TargetEvent::Listed(objects)
                }
                Happening::Applied(name, port) => {
                    model.insert(name, port);
                    TargetEvent::Applied(Box::new(seen(name, port)))
                }
                Happening::Removed(name) => {
                    model.remove(&name);
                    let key = ObjectKey::new("default", format!("s{name}"));
                    TargetEvent::Removed(ObjectRef::namespaced(Kind::Service, &key))
                }
                Happening::Trouble => TargetEvent::Failed(Fault::Unreachable(String::new())),
            };
            let changed = store.take(Update { target: target(), event });
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

/// Whoever names two hundred Secrets takes nobody else's place among those that are followed, and no door's.
#[test]
fn names_beyond_a_namespaces_share_come_last() {
    let ingress = |namespace: &str, year: u16, secrets: usize| {
        let tls: Vec<Value> = (0..secrets)
            .map(|number| json!({ "hosts": [format!("h{number}.test")], "secretName": format!("s{number}") }))
            .collect();
        let written = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {
                "name": "app", "namespace": namespace, "labels": { "expose": "door" },
                "creationTimestamp": format!("{year}-01-01T00:00:00Z")
            },
            "spec": { "tls": tls, "defaultBackend": { "service": { "name": "app", "port": { "number": 80 } } } }
        });
        let parsed = manifest::parse("app.yaml", written.to_string().as_bytes());
        assert_eq!(parsed.objects.len(), 1);
        parsed.objects.into_iter().map(|placed| placed.object)
    };
    let view: ClusterView = ingress("aaa", 2020, 200)
        .chain(ingress("shop", 2025, 2))
        .collect();
    let key =
        |namespace: &str, name: &str| ObjectRef::namespaced(Kind::Secret, &ObjectKey::new(namespace, name));
    let policy = Policy {
        tls: Some(TlsPolicy::new(DefaultCertificate::Secret(ObjectKey::new(
            "gateway", "default",
        )))),
        ..Policy::new(Selector::parse("expose=door").unwrap(), Scheme::Https)
    };
    let door = DoorOutlook {
        name: "door".parse().unwrap(),
        policy,
        publish: Publish::Nothing,
    };
    let needed = needs(&[door], &view, SecretScope::Named);
    assert_eq!(needed.by_doors, [key("gateway", "default")]);
    let named = needed.by_ingresses;
    assert_eq!(named.len(), 202);
    assert!(
        named[..50]
            .iter()
            .all(|need| need.namespace.as_deref() == Some("aaa"))
    );
    assert_eq!(named[50..52], [key("shop", "s0"), key("shop", "s1")]);
}
