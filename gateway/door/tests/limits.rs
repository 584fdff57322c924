//! Limits at a door: what they compile to, what they remember, and what closes them.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::sync::Arc;

use door::{
    BackendPolicy, Door, Filter, Ledger, Policy, Publisher, RateLimit, Scheme, Selector, Verdict, open,
    publish,
};
use resource::{ClusterView, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};

struct Rig {
    publishers: Vec<Publisher<()>>,
    door: Door<()>,
    view: ClusterView,
    backends: BackendPolicy,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Self {
        let policy = Policy::new(Selector::parse("one=yes").unwrap(), Scheme::Http);
        let (publisher, door) = open("one".parse().unwrap(), policy, ());
        let mut rig = Self {
            publishers: vec![publisher],
            door,
            view: ClusterView::default(),
            backends: BackendPolicy::default(),
            ledger: Ledger::default(),
        };
        rig.publish(
            "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}\n",
        );
        rig
    }

    /// Publishes with these objects in addition; what is reported.
    fn publish(&mut self, yaml: &str) -> Vec<String> {
        for placed in manifest::parse("test.yaml", yaml.as_bytes()).objects {
            self.view.insert(placed.object);
        }
        let reports = publish(&mut self.publishers, &self.view, &self.backends, &mut self.ledger);
        let problems = reports.problems();
        problems
            .iter()
            .map(|problem| problem.message.to_string())
            .collect()
    }

    /// The limits of a host, in order.
    fn limits(&self, host: &str) -> Vec<Arc<RateLimit>> {
        let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(host.as_bytes(), &mut host_scratch).unwrap();
        let path = normalise_path(b"/", &mut path_scratch).unwrap();
        let snapshot = self.door.snapshot();
        let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
            panic!("{}", host.as_str())
        };
        let filters = route.filters.iter().flat_map(|filters| &filters.request);
        let limits = filters.filter_map(|filter| {
            let Filter::RateLimit(limit) = filter else {
                return None;
            };
            Some(Arc::clone(limit))
        });
        limits.collect()
    }
}

fn ingress(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  \
         labels: {{one: \"yes\"}}\n  annotations: {{{annotations}}}\nspec:\n  rules:\n  - host: {name}.test\n    \
         http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}\n---\n"
    )
}

#[test]
fn a_limit_is_found_again_after_each_publication() {
    let mut rig = Rig::new();
    rig.publish(&ingress("a", "blastdoor.dev/rate-limit: 5/m"));
    rig.publish(&ingress("b", "blastdoor.dev/rate-limit: 5/m"));
    let (a, b) = (rig.limits("a.test"), rig.limits("b.test"));
    assert_ne!(a[0].limiters[0].id, b[0].limiters[0].id);
    assert!(Arc::ptr_eq(&a[0].table, &b[0].table), "one table for the door");
    // Another rate is the same limit.
    rig.publish(&ingress(
        "a",
        "blastdoor.dev/rate-limit: 7/m, blastdoor.dev/allow: 10.0.0.0/8",
    ));
    let again = rig.limits("a.test");
    assert_eq!(again[0].limiters[0].id, a[0].limiters[0].id);
    assert_eq!(again[0].limiters[0].rate.average(), 7);
    assert!(Arc::ptr_eq(&again[0].table, &a[0].table));
    // What nothing has changed stays the same object.
    assert!(Arc::ptr_eq(&rig.limits("b.test")[0], &b[0]));
}

#[test]
fn two_rates_of_one_filter_and_two_middlewares_have_counts_of_their_own() {
    let mut rig = Rig::new();
    let middleware = |name: &str| {
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{rateLimit: {{average: 1}}}}\n---\n"
        )
    };
    let annotations = "traefik.ingress.kubernetes.io/router.middlewares: \
                       \"shop-x@kubernetescrd,shop-y@kubernetescrd,shop-x@kubernetescrd\", \
                       blastdoor.dev/rate-limit: 5/m";
    let yaml = middleware("x") + &middleware("y") + &ingress("a", annotations);
    assert_eq!(rig.publish(&yaml), Vec::<String>::new());
    rig.publish(&ingress(
        "b",
        "nginx.ingress.kubernetes.io/limit-rps: \"5\", nginx.ingress.kubernetes.io/limit-rpm: \"9\"",
    ));
    let all = [rig.limits("a.test"), rig.limits("b.test")].concat();
    let ids: Vec<_> = all
        .iter()
        .flat_map(|limit| limit.limiters.iter().map(|limiter| limiter.id))
        .collect();
    assert_eq!(ids.len(), 6);
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "{ids:?}");
    }
}

#[test]
fn replicas_divide_a_limit_and_divide_it_again_when_their_number_changes() {
    let mut rig = Rig::new();
    let yaml = ingress(
        "a",
        "blastdoor.dev/rate-limit: 60/m, blastdoor.dev/rate-limit-scope: cluster",
    );
    let told = rig.publish(&yaml);
    assert!(
        told.iter().any(|message| message.contains("`[source] replicas`")),
        "{told:?}"
    );
    assert_eq!(rig.limits("a.test"), []);
    for (replicas, burst, seconds) in [(2, 30, 2), (3, 20, 3), (1, 60, 1)] {
        rig.backends.replicas = Some(replicas);
        assert_eq!(rig.publish(""), Vec::<String>::new());
        let rate = rig.limits("a.test")[0].limiters[0].rate;
        assert_eq!((rate.burst(), rate.interval()), (burst, seconds * 1_000_000_000));
    }
}

#[test]
fn what_a_secret_says_of_a_server_is_never_told() {
    let mut rig = Rig::new();
    let secret = |entries: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: store, namespace: shop}}\nstringData: {{{entries}}}\n---\n"
        )
    };
    let limited = ingress(
        "a",
        "blastdoor.dev/rate-limit: 5/m, blastdoor.dev/rate-limit-store: store",
    );
    let told = rig.publish(&limited);
    assert!(
        told.iter()
            .any(|message| message.contains("Secret `shop/store` does not exist")),
        "{told:?}"
    );
    for (entries, fault) in [
        ("password: hunter2", "`address` is missing"),
        (
            "address: \"redis.example.com:6379\", password: hunter2",
            "is a name in DNS",
        ),
        ("address: \"app\", password: hunter2", "is not a host and a port"),
        (
            "address: \"app:80,redis://:hunter2@redis.shop:6379\"",
            "`address`, element 2, is not a host and a port",
        ),
        ("address: \"hunter2..x:6379\"", "is not a host and a port"),
        (
            "address: \"hunter2:6379\"",
            "`address`, element 1, cannot be called",
        ),
        ("address: \"hunter2.example.com:6379\"", "is a name in DNS"),
        ("address: \"app:80\", db: hunter2", "`db` is not a number"),
        ("address: \"app:80\", tls: hunter2", "`tls` is neither"),
        ("address: \"app:80\", ca.crt: hunter2", "Secret `shop/store`"),
        ("address: \"app:80\", tls.crt: hunter2", "`tls.key` is missing"),
    ] {
        let told = rig.publish(&secret(entries));
        assert!(
            told.iter().any(|message| message.contains(fault)),
            "{entries}: {told:?}"
        );
        assert!(
            !told.iter().any(|message| message.contains("hunter2")),
            "{told:?}"
        );
        assert_eq!(rig.limits("a.test"), [], "{entries}");
    }
    rig.publish(&secret("address: \"app:80\", password: hunter2, username: ada"));
    let limits = rig.limits("a.test");
    let store = limits[0].store.as_ref().unwrap();
    assert_eq!(store.login.password.as_deref(), Some("hunter2"));
    assert!(!format!("{limits:?}").contains("hunter2"));
    assert_eq!(
        &*limits[0].limiters[0].prefix,
        "blastdoor:one:shop/a:blastdoor.dev/rate-limit:0.0:"
    );
}
