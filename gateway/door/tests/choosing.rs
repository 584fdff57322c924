//! Canaries, sticky sessions and error pages at doors: what they compile to, and what is told.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::sync::Arc;

use door::{
    Action, BackendPolicy, Blocked, Door, Filter, Ledger, Policy, Publisher, Route, Scheme, Selector,
    Verdict, open, publish,
};
use resource::{ClusterView, Topic, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};

/// Two doors, `one` for https and `two`: an Ingress with the label `one: yes` is at the first.
struct Rig {
    publishers: Vec<Publisher<()>>,
    doors: Vec<Door<()>>,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Self {
        let door = |name: &str, scheme| {
            let policy = Policy::new(Selector::parse(&format!("{name}=yes")).unwrap(), scheme);
            open(name.parse().unwrap(), policy, ())
        };
        let (publishers, doors) = [door("one", Scheme::Https), door("two", Scheme::Http)]
            .into_iter()
            .unzip();
        Self {
            publishers,
            doors,
            ledger: Ledger::default(),
        }
    }

    /// Publishes exactly these objects; what is reported.
    fn publish(&mut self, yaml: &str) -> Vec<resource::Problem> {
        let view: ClusterView = manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]).0;
        publish(
            &mut self.publishers,
            &view,
            &BackendPolicy::default(),
            &mut self.ledger,
        )
        .problems()
    }

    fn route(&self, door: usize, path: &str) -> Option<Arc<Route>> {
        let (mut host, mut scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(b"a.test", &mut host).unwrap();
        let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
        let snapshot = self.doors[door].snapshot();
        let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
            return None;
        };
        Some(Arc::clone(route))
    }

    /// The name of the canary of a route.
    fn canary(&self, door: usize, path: &str) -> Option<String> {
        let route = self.route(door, path)?;
        Some(route.canary.as_ref()?.route.origin.key.name().to_owned())
    }
}

/// An Ingress for `a.test` in `namespace`, with labels and annotations in flow style, and its Service with an endpoint.
fn app(name: &str, namespace: &str, labels: &str, path: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \"2026-01-0{}T00:00:00Z\", labels: {{{labels}}}, annotations: {{{annotations}}}}}\nspec: {{rules: [{{host: a.test, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n{}",
        name.len().min(9),
        service(name, namespace)
    )
}

fn service(name: &str, namespace: &str) -> String {
    let last = name.bytes().next().unwrap();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{ports: [{{port: 80}}]}}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints: [{{addresses: [\"10.0.0.{last}\"]}}]\n---\n"
    )
}

const BOTH: &str = "one: \"yes\", two: \"yes\"";
const ONE: &str = "one: \"yes\"";
const CANARY: &str =
    "nginx.ingress.kubernetes.io/canary: \"true\", nginx.ingress.kubernetes.io/canary-weight: \"10\"";

#[test]
fn a_canary_joins_at_each_door_that_admits_both() {
    let mut rig = Rig::new();
    let main = app("main", "shop", BOTH, "/", "");
    let problems = rig.publish(&(main.clone() + &app("canary", "shop", ONE, "/", CANARY)));
    assert_eq!(problems, []);
    assert_eq!(
        [0, 1].map(|door| rig.canary(door, "/")),
        [Some("canary".to_owned()), None]
    );
    assert_eq!(rig.route(0, "/").unwrap().origin.key.name(), "main");
    // It moves: never at both doors, and its main Ingress stays.
    rig.publish(&(main.clone() + &app("canary", "shop", "two: \"yes\"", "/", CANARY)));
    assert_eq!(
        [0, 1].map(|door| rig.canary(door, "/")),
        [None, Some("canary".to_owned())]
    );
    // It is one no more, and older or younger: its rule has lost the place, or has it.
    let problems = rig.publish(&(main + &app("canary", "shop", BOTH, "/", "")));
    assert_eq!([0, 1].map(|door| rig.canary(door, "/")), [None, None]);
    assert!(
        problems
            .iter()
            .all(|problem| problem.message.contains("belongs to the older")),
        "{problems:?}"
    );
}

#[test]
fn a_canary_without_an_ingress_of_its_own_namespace_is_not_served() {
    let mut rig = Rig::new();
    for (main, what) in [
        (String::new(), "nothing"),
        (app("main", "other", BOTH, "/", ""), "another namespace"),
        (app("main", "shop", BOTH, "/x", ""), "another path"),
        (
            app("main", "shop", BOTH, "/", "").replace("Prefix", "Exact"),
            "another path type",
        ),
        (
            app("main", "shop", BOTH, "/", "").replace("a.test", "b.test"),
            "another host",
        ),
        (
            app("main", "shop", "one: \"no\"", "/", ""),
            "an Ingress that no door admits",
        ),
    ] {
        let problems = rig.publish(&(main + &app("canary", "shop", ONE, "/", CANARY)));
        assert_eq!([0, 1].map(|door| rig.canary(door, "/")), [None, None], "{what}");
        let told = problems
            .iter()
            .find(|problem| problem.topic == Topic::CanaryUnpaired);
        let told = told.unwrap_or_else(|| panic!("{what}: {problems:?}"));
        assert!(
            told.message
                .contains("door `one` admits no Ingress of namespace `shop`"),
            "{what}: {}",
            told.message
        );
        let advice = match what {
            "another path type" => {
                "Ingress `shop/main` has this host and path with `pathType: Exact`; write the same here"
            }
            _ => "label the Ingress that it belongs to alike",
        };
        assert!(told.message.ends_with(advice), "{what}: {}", told.message);
        if let Some(route) = rig.route(0, "/") {
            assert_eq!(route.origin.key.name(), "main", "{what}");
        }
    }
}

#[test]
fn of_two_canaries_the_older_counts() {
    let mut rig = Rig::new();
    let yaml = app("main", "shop", BOTH, "/", "")
        + &app("first", "shop", ONE, "/", CANARY)
        + &app("second", "shop", ONE, "/", CANARY);
    let problems = rig.publish(&yaml);
    assert_eq!(rig.canary(0, "/"), Some("first".to_owned()));
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0]
            .message
            .contains("the older canary `shop/first` counts"),
        "{problems:?}"
    );
}

#[test]
fn what_is_wrong_with_a_canary_never_harms_its_ingress() {
    let mut rig = Rig::new();
    let main = app("main", "shop", BOTH, "/", "");
    let canary = app("canary", "shop", ONE, "/", CANARY);
    for (canary, expected) in [
        (
            canary.replace("{name: canary, port", "{name: nowhere, port"),
            "takes no requests",
        ),
        (
            canary.replace("canary-weight: \"10\"", "canary-weight: x"),
            "closes this canary",
        ),
        (
            app(
                "canary",
                "shop",
                ONE,
                "/",
                &format!("{CANARY}, nginx.ingress.kubernetes.io/affinity: cookie"),
            ),
            "without effect on a canary",
        ),
    ] {
        let problems = rig.publish(&(main.clone() + &canary));
        assert!(
            problems.iter().any(|problem| problem.message.contains(expected)),
            "{expected}: {problems:?}"
        );
        let route = rig.route(0, "/").unwrap();
        assert!(matches!(route.action, Action::Forward(_)), "{expected}");
        let takes_part = expected.contains("without effect");
        assert_eq!(route.canary.is_some(), takes_part, "{expected}");
        assert!(
            route
                .filters
                .as_ref()
                .is_none_or(|filters| filters.choice.sticky.is_none())
        );
    }
    // Nobody knows whether it is one: it closes its places, of which the older Ingress has this one.
    let unreadable = app(
        "canary",
        "shop",
        ONE,
        "/",
        "nginx.ingress.kubernetes.io/canary: maybe",
    );
    rig.publish(&(main + &unreadable));
    assert_eq!(rig.route(0, "/").unwrap().origin.key.name(), "main");
    rig.publish(&unreadable);
    assert_eq!(
        rig.route(0, "/").unwrap().action,
        Action::Blocked(Blocked::Annotation)
    );
}

#[test]
fn a_door_never_recognises_the_cookies_of_another_one() {
    let mut rig = Rig::new();
    rig.publish(&app(
        "main",
        "shop",
        BOTH,
        "/shop",
        "nginx.ingress.kubernetes.io/affinity: cookie",
    ));
    let [one, two] = [0, 1].map(|door| rig.route(door, "/shop").unwrap());
    let sticky = |route: &Route| {
        let choice = &route.filters.as_ref().unwrap().choice;
        let sticky = choice.sticky.as_ref().unwrap();
        (sticky.cookie.clone(), Arc::clone(&sticky.tags))
    };
    let ((cookie, tags), (other_cookie, other_tags)) = (sticky(&one), sticky(&two));
    assert_eq!(
        (cookie.secure, other_cookie.secure),
        (true, false),
        "at doors for https"
    );
    assert_eq!(cookie.path.unwrap().as_str(), "/shop");
    let tag = tags.at(0).unwrap();
    assert_eq!((tags.find(tag), other_tags.find(tag)), (Some(0), None));
}

#[test]
fn a_service_of_error_pages_recompiles_its_ingresses() {
    let mut rig = Rig::new();
    let main = app(
        "main",
        "shop",
        ONE,
        "/",
        "blastdoor.dev/errors: \"404\", blastdoor.dev/errors-service: pages",
    );
    rig.publish(&main);
    assert_eq!(
        rig.route(0, "/").unwrap().action,
        Action::Blocked(Blocked::Filter)
    );
    rig.publish(&(main + &service("pages", "shop")));
    let route = rig.route(0, "/").unwrap();
    assert!(matches!(route.action, Action::Forward(_)));
    let Some(Filter::Errors(pages)) = route.filters.as_ref().and_then(|filters| filters.request.first())
    else {
        panic!("{route:?}");
    };
    assert_eq!(
        (pages.upstream.service.name(), pages.upstream.endpoints.len()),
        ("pages", 1)
    );
}

#[test]
fn a_fallback_stands_in_for_a_service_that_is_missing() {
    let mut rig = Rig::new();
    let main = app(
        "main",
        "shop",
        ONE,
        "/",
        "nginx.ingress.kubernetes.io/default-backend: spare",
    );
    let without = main.replace("name: main, port", "name: gone, port");
    rig.publish(&(without + &service("spare", "shop")));
    let route = rig.route(0, "/").unwrap();
    let Action::Forward(upstream) = &route.action else {
        panic!("{route:?}");
    };
    assert_eq!(upstream.service.name(), "spare");
}
